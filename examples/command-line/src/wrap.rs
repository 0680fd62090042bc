//! Lines of a width, in text that has Chinese in it: such text has few spaces, and each character takes two columns.

use unicode_width::UnicodeWidthChar;

/// Punctuation that no line begins with.
const CLOSING: &str = "，。；：！？、）》」』”’…,.;:!?)]}";

/// Punctuation that no line ends with.
const OPENING: &str = "（《「『“‘([{<";

/// The text in lines of at most `width` columns, where words and punctuation allow it. Lines that are there stay.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let lines = text.lines().map(|line| wrapped_line(line, width));
    lines.collect::<Vec<_>>().join("\n")
}

fn wrapped_line(line: &str, width: usize) -> String {
    let mut text = String::with_capacity(line.len() + line.len() / width.max(1));
    let mut column = 0;
    for piece in pieces(line) {
        let columns = columns(piece.trim_end());
        if column > 0 && column + columns > width {
            text.truncate(text.trim_end().len());
            text.push('\n');
            column = 0;
        }
        text.push_str(piece);
        column += columns + (piece.len() - piece.trim_end().len());
    }
    text.truncate(text.trim_end().len());
    text
}

/// What a line may not be broken in.
fn pieces(line: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut before) = (0, None);
    for (at, character) in line.char_indices() {
        if before.is_some_and(|before| may_break(before, character)) {
            pieces.push(&line[start..at]);
            start = at;
        }
        before = Some(character);
    }
    pieces.push(&line[start..]);
    pieces
}

fn may_break(before: char, after: char) -> bool {
    if before == ' ' {
        return after != ' ';
    }
    let is_between = is_wide(before) || is_wide(after);
    is_between && after != ' ' && !OPENING.contains(before) && !CLOSING.contains(after)
}

fn is_wide(character: char) -> bool {
    character.width() == Some(2)
}

/// How many columns a terminal has for it.
pub(crate) fn columns(text: &str) -> usize {
    let widths = text.chars().map(|character| character.width().unwrap_or(0));
    widths.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_between_chinese_characters() {
        for (text, width, lines) in [
            ("one two three", 8, "one two\nthree"),
            ("模型文件夹", 6, "模型文\n件夹"),
            ("模型，文件夹", 4, "模\n型，\n文件\n夹"),
            ("模型（文件夹）", 6, "模型\n（文件\n夹）"),
            ("用 --model 指定", 9, "用\n--model\n指定"),
            ("a\n\n  b", 8, "a\n\n  b"),
            ("toolongforit 是", 4, "toolongforit\n是"),
            ("", 4, ""),
        ] {
            assert_eq!(wrapped(text, width), lines, "{text}");
        }
    }
}
