//! What the program itself says, in every language.

use std::fmt::Display;

use glm_core::checkpoint::LoadStage;
use indicatif::DecimalBytes;

use crate::{language::Language, session::Notice};

impl Language {
    /// The line of the official program, and what this one adds.
    pub(crate) fn welcome(self, demonstration: bool) -> String {
        let name = model_name(demonstration);
        match self {
            Self::Zh => format!(
                "欢迎使用 {name} 模型，输入内容即可进行对话，clear 清空对话历史，stop 终止程序\n\
                 （retry 重新回答，undo 撤回上一轮，Ctrl-C 停止回答，Ctrl-D 终止程序；\n\
                 多行问题：行末加 \\ 换行继续，或用 \"\"\" 开始和结束）"
            ),
            Self::En => format!(
                "Welcome to {name}. Type to talk; `clear` forgets the conversation, `stop` ends the program.\n\
                 (`retry` answers again, `undo` takes the last turn back, Ctrl-C stops an answer, Ctrl-D ends the program.\n\
                 Several lines: end a line with \\ to go on in the next, or begin and end the question with \"\"\".)"
            ),
        }
    }

    /// That the built-in model is a toy, and how to get the real one.
    pub(crate) fn demonstration(self) -> &'static str {
        match self {
            Self::Zh => {
                "注意：这是程序内置的小型演示模型，只会一些简单的问答，不是真正的 ChatGLM-6B。\n\
                 要使用真正的模型，请加上 --model THUDM/chatglm-6b（自动下载）或 --model 模型文件夹（官方下载的文件夹，无需转换）。"
            }
            Self::En => {
                "Note: this is the small built-in demonstration model. It knows a few simple things; it is not ChatGLM-6B.\n\
                 For the real one, start with --model THUDM/chatglm-6b (downloads it), or --model DIR (the folder of an official download, as it is)."
            }
        }
    }

    /// That so many tokens need not be read again.
    pub(crate) fn known_tokens(self, tokens: usize) -> String {
        match self {
            Self::Zh => format!("（缓存中有以前读过的 {tokens} 个 token）"),
            Self::En => format!("(the prompt cache holds {tokens} tokens that were read before)"),
        }
    }

    /// That a prompt cache cannot be used, and why.
    pub(crate) fn outdated_cache(self, reason: &dyn Display) -> String {
        match self {
            Self::Zh => format!("（提示缓存不能使用，将被替换：{reason}）"),
            Self::En => format!("(the prompt cache will be replaced: {reason})"),
        }
    }

    /// That answers come late, and why.
    pub(crate) fn beam_search(self, num_beams: usize) -> String {
        match self {
            Self::Zh => format!("（束搜索，{num_beams} 束：回答完成后一次显示）"),
            Self::En => format!(
                "(beam search with {num_beams} beams: an answer appears when it is complete)"
            ),
        }
    }

    /// What a conversation of this many tokens may take, in bytes.
    pub(crate) fn cache_memory(self, tokens: usize, bytes: u64) -> String {
        let size = DecimalBytes(bytes);
        match self {
            Self::Zh => {
                format!(
                    "（对话最长 {tokens} 个 token，其键值缓存最多占用 {size} 内存，随对话增长）"
                )
            }
            Self::En => format!(
                "(conversations of up to {tokens} tokens: at most {size} of memory for their keys and values, taken as they grow)"
            ),
        }
    }

    /// That --max-length asks for more than the model was trained for.
    pub(crate) fn held_to_its_length(self, longest: usize) -> String {
        match self {
            Self::Zh => format!("（模型的训练长度为 {longest} 个 token，--max-length 以此为限）"),
            Self::En => {
                format!(
                    "(the model was trained for {longest} tokens; --max-length is held to that)"
                )
            }
        }
    }

    /// What stands before the user's line.
    pub(crate) fn user_prompt(self) -> &'static str {
        match self {
            Self::Zh => "用户：",
            Self::En => "You: ",
        }
    }

    /// What stands before an answer.
    pub(crate) fn model_label(self, demonstration: bool) -> String {
        let name = model_name(demonstration);
        match self {
            Self::Zh => format!("{name}："),
            Self::En => format!("{name}: "),
        }
    }

    /// Title of the progress bar.
    pub(crate) fn loading(self, stage: LoadStage) -> &'static str {
        match (self, stage) {
            (Self::Zh, LoadStage::Waiting) => "等待其他进程",
            (Self::En, LoadStage::Waiting) => "Waiting",
            (Self::Zh, LoadStage::Downloading) => "下载",
            (Self::En, LoadStage::Downloading) => "Downloading",
            (Self::Zh, LoadStage::Quantizing | LoadStage::Prepacking) => "量化",
            (Self::En, LoadStage::Quantizing | LoadStage::Prepacking) => "Quantising",
            (Self::Zh, LoadStage::Saving) => "保存",
            (Self::En, LoadStage::Saving) => "Saving",
            (Self::Zh, _) => "加载模型",
            (Self::En, _) => "Loading",
        }
    }

    /// What the user should know when a stage begins.
    pub(crate) fn stage_begins(self, stage: LoadStage) -> Option<&'static str> {
        match (self, stage) {
            (Self::Zh, LoadStage::Prepacking) => {
                Some("（首次以此精度使用这个模型：量化一次并存入缓存文件夹，以后直接使用）")
            }
            (Self::En, LoadStage::Prepacking) => Some(
                "(first use of this model in this precision: it is quantised once and kept in the cache folder)",
            ),
            (Self::Zh, LoadStage::Downloading) => {
                Some("（下载模型，存入 Hugging Face 缓存文件夹，只需一次；中断后可继续）")
            }
            (Self::En, LoadStage::Downloading) => Some(
                "(the model is downloaded once and kept in the Hugging Face cache folder; when interrupted, it continues)",
            ),
            (Self::Zh, LoadStage::Waiting) => Some("（另一个进程正在下载或量化同一模型，等待中）"),
            (Self::En, LoadStage::Waiting) => Some(
                "(another process is downloading or quantising the same model; waiting for it)",
            ),
            _ => None,
        }
    }

    /// Title of the time that loading still takes.
    pub(crate) fn time_left(self) -> &'static str {
        match self {
            Self::Zh => "剩余",
            Self::En => "left:",
        }
    }

    /// That the question is read from a terminal.
    pub(crate) fn reads_to_the_end(self) -> &'static str {
        match self {
            Self::Zh => "（输入问题，可以多行；另起一行按 Ctrl-D 结束）",
            Self::En => "(type the question, in any number of lines; Ctrl-D on a new line ends it)",
        }
    }

    /// What the bytes of a question were taken for.
    pub(crate) fn guessed_encoding(self, name: &dyn Display, encoding: &dyn Display) -> String {
        match self {
            Self::Zh => {
                format!("（{name} 不是 UTF-8，已按 {encoding} 读取；可用 --encoding 指定编码）")
            }
            Self::En => format!(
                "({name} is not UTF-8 and was read as {encoding}; --encoding names another encoding)"
            ),
        }
    }

    /// That what was typed is lost, and why.
    pub(crate) fn invalid_keys(self) -> &'static str {
        match self {
            Self::Zh => "（输入的内容不是 UTF-8，已丢弃；请将终端的编码设为 UTF-8）",
            Self::En => {
                "(what was typed is not UTF-8 and was discarded; set the terminal's encoding to UTF-8)"
            }
        }
    }

    /// After the first Ctrl-C at the prompt.
    pub(crate) fn interrupt_again(self) -> &'static str {
        match self {
            Self::Zh => "（再按一次 Ctrl-C 终止程序）",
            Self::En => "(Ctrl-C again ends the program)",
        }
    }

    /// What the user should know about an answer.
    pub(crate) fn notice(self, notice: Notice) -> String {
        match (self, notice) {
            (Self::Zh, Notice::DroppedTurns(turns)) => {
                format!("（对话太长，最早的 {turns} 轮已被遗忘）")
            }
            (Self::En, Notice::DroppedTurns(turns)) => {
                format!(
                    "(the conversation grew too long: the oldest {} forgotten)",
                    count(turns)
                )
            }
            (Self::Zh, Notice::CutByLength) => {
                "（回答达到长度上限而被截断，见 --max-length 与 --max-new-tokens）".to_owned()
            }
            (Self::En, Notice::CutByLength) => {
                "(the answer was cut at the length limit, see --max-length and --max-new-tokens)"
                    .to_owned()
            }
            (Self::Zh, Notice::Stopped { begun: true }) => {
                "（已停止，写出的部分保留在对话中；再按一次 Ctrl-C 终止程序）".to_owned()
            }
            (Self::En, Notice::Stopped { begun: true }) => {
                "(stopped; the conversation keeps what was written, Ctrl-C again ends the program)".to_owned()
            }
            (Self::Zh, Notice::Stopped { begun: false }) => {
                "（已停止，这个问题不计入对话；再按一次 Ctrl-C 终止程序）".to_owned()
            }
            (Self::En, Notice::Stopped { begun: false }) => {
                "(stopped before the answer began, the question is forgotten; Ctrl-C again ends the program)".to_owned()
            }
            (Self::Zh, Notice::TakenBack) => "（上一轮对话已撤回）".to_owned(),
            (Self::En, Notice::TakenBack) => {
                "(the last question and its answer are forgotten)".to_owned()
            }
            (Self::Zh, Notice::NoTurn) => "（还没有对话）".to_owned(),
            (Self::En, Notice::NoTurn) => "(nothing was asked yet)".to_owned(),
            (Self::Zh, Notice::InvalidScores(times)) => {
                format!("（模型 {times} 次输出了 NaN 或无穷大，权重可能已损坏）")
            }
            (Self::En, Notice::InvalidScores(times)) => {
                format!(
                    "(the model gave NaN or infinite scores {times} times; its weights may be damaged)"
                )
            }
        }
    }

    /// A line of standard input, counted from 1, that was not valid in its encoding.
    pub(crate) fn invalid_line(self, line: usize, encoding: &dyn Display) -> String {
        match self {
            Self::Zh => format!("（第 {line} 行不是有效的 {encoding}，无效的部分已替换）"),
            Self::En => {
                format!("(line {line} is not valid {encoding}; the invalid parts were replaced)")
            }
        }
    }

    /// A line of standard input that is longer than `limit` bytes.
    pub(crate) fn line_too_long(self, line: usize, limit: u64) -> String {
        match self {
            Self::Zh => format!("错误：第 {line} 行超过 {limit} 字节，已跳过"),
            Self::En => format!("error: line {line} has more than {limit} bytes and was skipped"),
        }
    }

    /// An error's sentence, marked as one.
    pub(crate) fn error(self, error: &dyn Display) -> String {
        match self {
            Self::Zh => format!("错误：{error}"),
            Self::En => format!("error: {error}"),
        }
    }
}

fn model_name(demonstration: bool) -> &'static str {
    if demonstration {
        "ChatGLM-Mini"
    } else {
        "ChatGLM-6B"
    }
}

fn count(turns: usize) -> String {
    match turns {
        1 => "turn was".to_owned(),
        _ => format!("{turns} turns were"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_turns_read_well() {
        let dropped = |turns| Language::En.notice(Notice::DroppedTurns(turns));
        assert!(dropped(1).contains("the oldest turn was forgotten"));
        assert!(dropped(3).contains("the oldest 3 turns were forgotten"));
        assert!(
            Language::Zh
                .notice(Notice::DroppedTurns(3))
                .contains("3 轮")
        );
    }
}
