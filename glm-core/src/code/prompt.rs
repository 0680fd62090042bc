//! What CodeGeeX2 reads: the language tag, and the code before the cursor.

use std::borrow::Cow;

use glm_tokenizer::{GlmTokenizer, TokenId};

use super::Language;
use crate::error::{Error, Result};

/// The official prompt: the tag of the language on a line of its own, and the code (`predict` in `demo/run_demo.py` of
/// CodeGeeX2). Code that begins with a tag, and code without a language, stays as it is.
///
/// ```
/// use glm_core::code::{Language, code_prompt};
///
/// let code = "# write a bubble sort function\n";
/// assert_eq!(
///     code_prompt(Language::by_name("python"), code),
///     "# language: Python\n# write a bubble sort function\n"
/// );
/// assert_eq!(code_prompt(Language::by_name("go"), "// language: Go\n"), "// language: Go\n");
/// ```
#[must_use]
pub fn code_prompt(language: Option<&Language>, code: &str) -> String {
    let (tag, code) = tag_and_code(language, code);
    tag.into_owned() + code
}

/// The ids of [`code_prompt`], special tokens included, and how many bytes of the code they leave out.
///
/// Code that makes more than `room` tokens loses its beginning, but for the tag. It is cut before a line where there is
/// one, and in steps of half the room: while someone writes, prompts begin alike, and what was read can be used again.
///
/// # Errors
/// [`Error::PromptTooLong`] when not even the tag fits.
pub(super) fn fitting_prompt(
    tokenizer: &GlmTokenizer,
    language: Option<&Language>,
    code: &str,
    room: usize,
) -> Result<(Vec<TokenId>, usize)> {
    let (tag, code) = tag_and_code(language, code);
    let prompt = |from: usize| {
        let text = format!("{tag}{}", &code[from..]);
        tokenizer.with_special_tokens(tokenizer.encode(&text))
    };
    // A byte makes one token at most: whatever is behind the last cut fits, unless `room` is almost taken by the tag.
    let cuts = cuts(code, room / 2).into_iter().rev();
    let fitting = cuts
        .map(|from| (prompt(from), from))
        .take_while(|(ids, _)| ids.len() <= room);
    fitting.last().ok_or_else(|| Error::PromptTooLong {
        tokens: prompt(code.len()).len(),
        max_length: room,
    })
}

/// The line that tells the language, its line break included, and the code behind it.
fn tag_and_code<'a>(language: Option<&Language>, code: &'a str) -> (Cow<'a, str>, &'a str) {
    let first_line = code.split_inclusive('\n').next().unwrap_or_default();
    match language {
        _ if is_tag(first_line) => (first_line.into(), &code[first_line.len()..]),
        Some(language) => (format!("{}\n", language.tag()).into(), code),
        None => ("".into(), code),
    }
}

/// Whether a line is a tag: `language:` behind the sign of a comment.
fn is_tag(line: &str) -> bool {
    let Some((sign, _)) = line.split_once("language:") else {
        return false;
    };
    let mut signs = Language::all().iter().map(Language::comment_sign);
    signs.any(|known| known == sign.trim())
}

/// Where code may be cut: at its beginning, and once every `step` bytes, before the next line that begins there.
fn cuts(code: &str, step: usize) -> Vec<usize> {
    let step = step.max(1);
    let cut = |at: usize| {
        let window = &code.as_bytes()[at..code.len().min(at + step)];
        let line = window.iter().position(|byte| *byte == b'\n');
        code.ceil_char_boundary(line.map_or(at, |line| at + line + 1))
    };
    let later = (step..code.len()).step_by(step).map(cut);
    [0].into_iter().chain(later).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tag_is_written_once() {
        let rust = Language::by_name("rust");
        for (code, prompt) in [
            ("", "// language: Rust\n"),
            ("fn main() {", "// language: Rust\nfn main() {"),
            ("// language: Rust", "// language: Rust"),
            ("// language: Rust\nfn", "// language: Rust\nfn"),
            ("# language: Go\nfunc", "# language: Go\nfunc"),
            (
                "let language: Language = x;",
                "// language: Rust\nlet language: Language = x;",
            ),
            (
                "\n// language: C\n",
                "// language: Rust\n\n// language: C\n",
            ),
        ] {
            assert_eq!(code_prompt(rust, code), prompt);
        }
        assert_eq!(code_prompt(None, "language: rust\n"), "language: rust\n");
    }

    proptest! {
        /// Cuts do not move while the code grows, lie a step apart on average, and are lines where there are any.
        #[test]
        fn cuts_stay_where_they_are(
            code in "[a你\n]{0,60}",
            more in "[a你\n]{0,20}",
            step in 1_usize..20,
        ) {
            let longer = code.clone() + &more;
            let (first, second) = (cuts(&code, step), cuts(&longer, step));
            // The last one may still find its line.
            let settled = &first[..first.len() - 1];
            prop_assert_eq!(settled, &second[..settled.len()]);
            for cut in first {
                prop_assert!(cut == 0 || code.is_char_boundary(cut));
            }
        }
    }
}
