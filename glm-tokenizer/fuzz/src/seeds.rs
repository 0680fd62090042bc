//! Writes the inputs that fuzzing begins with: `glm-tokenizer-seeds CORPUS`, a folder for each target.

use std::{env, error::Error, fs, path::PathBuf};

#[path = "../../tests/model_file/mod.rs"]
mod model_file;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = PathBuf::from(
        env::args_os()
            .nth(1)
            .ok_or("usage: glm-tokenizer-seeds CORPUS")?,
    );
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let dir = corpus.join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(name), bytes)
    };
    let charsmap = model_file::charsmap(&[(b'A', "aa"), (b'-', "")]);
    let pieces = [("▁", -1.0), ("a", -2.0), ("ab", -2.5), ("你好", -3.0)];
    put(
        "sentencepiece",
        "chatglm",
        &model_file::chatglm(&pieces, &charsmap),
    )?;
    put(
        "sentencepiece",
        "chatglm2",
        &model_file::chatglm2(&["ab", "▁", "a", "b"], true),
    )?;
    put(
        "sentencepiece",
        "codegeex2",
        &model_file::chatglm2(&["ab", "▁", "a", "b"], false),
    )?;
    let first_generation = model_file::chatglm_first_generation(&pieces);
    put("sentencepiece", "first-generation", &first_generation)?;
    for (name, text) in [
        ("words", "The quick brown fox 1234.56"),
        ("chinese", "你好，世界。\n\n第二行\t制表"),
        (
            "special",
            "[gMASK] <sop> <n> <|tab|> <|blank_4|> <0x41> [MASK]",
        ),
        ("code", "def f(x):\n    return x + 1  # ok\n"),
        (
            "marks",
            " ﬁ e\u{301}  🤖👨\u{200d}👩\u{200d}👧 \u{3000}Ｆ\u{fffd}",
        ),
    ] {
        put("text", name, text.as_bytes())?;
    }
    Ok(())
}
