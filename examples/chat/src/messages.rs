//! What the program itself says, as far as it depends on something.

use command_line::texts::{Locales, Texts};
use glm_core::checkpoint::LoadStage;

use crate::session::Notice;

/// The texts of this program.
pub(crate) const LOCALES: Locales = Locales {
    english: include_str!("../locales/en.ftl"),
    chinese: include_str!("../locales/zh.ftl"),
    chinese_help: include_str!("../locales/help.zh.ftl"),
};

/// The line of the official program, and what this one adds.
pub(crate) fn welcome(texts: &Texts, demonstration: bool) -> String {
    let model = ("model", model_name(demonstration).into());
    texts.with("chat-welcome", [model])
}

/// What stands before an answer.
pub(crate) fn model_label(texts: &Texts, demonstration: bool) -> String {
    let model = ("model", model_name(demonstration).into());
    texts.with("chat-model-label", [model])
}

/// That answers come late, and why.
pub(crate) fn beam_search(texts: &Texts, num_beams: usize) -> String {
    texts.with("chat-beam-search", [("beams", num_beams.into())])
}

/// Title of the progress bar.
pub(crate) fn loading(texts: &Texts, stage: LoadStage) -> String {
    texts.get(match stage {
        LoadStage::Waiting => "chat-stage-waiting",
        LoadStage::Downloading => "chat-stage-downloading",
        LoadStage::Quantizing | LoadStage::Prepacking => "chat-stage-quantizing",
        LoadStage::Saving => "chat-stage-saving",
        _ => "chat-stage-loading",
    })
}

/// What the user should know when a stage begins.
pub(crate) fn stage_begins(texts: &Texts, stage: LoadStage) -> Option<String> {
    let id = match stage {
        LoadStage::Prepacking => "chat-prepacking-begins",
        LoadStage::Downloading => "chat-downloading-begins",
        LoadStage::Waiting => "chat-waiting-begins",
        _ => return None,
    };
    Some(texts.get(id))
}

/// What the user should know about an answer.
pub(crate) fn notice(texts: &Texts, notice: Notice) -> String {
    match notice {
        Notice::DroppedTurns(turns) => texts.with("chat-dropped-turns", [("turns", turns.into())]),
        Notice::CutByLength => texts.get("chat-cut-by-length"),
        Notice::Stopped { begun: true } => texts.get("chat-stopped"),
        Notice::Stopped { begun: false } => texts.get("chat-stopped-before"),
        Notice::TakenBack => texts.get("chat-taken-back"),
        Notice::NoTurn => texts.get("chat-no-turn"),
        Notice::InvalidScores(times) => {
            texts.with("chat-invalid-scores", [("times", times.into())])
        }
    }
}

fn model_name(demonstration: bool) -> &'static str {
    match demonstration {
        true => "ChatGLM-Mini",
        false => "ChatGLM-6B",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use command_line::coverage::gaps;
    use glm_core::Language;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn every_text_is_there_in_both_languages() {
        let gaps = gaps::<Arguments>(&LOCALES, Path::new("src"));
        assert_eq!(gaps, Vec::<String>::new());
    }

    #[test]
    fn dropped_turns_read_well() {
        for (language, turns, text) in [
            (Language::English, 1, "the oldest turn was forgotten"),
            (Language::English, 3, "the oldest 3 turns were forgotten"),
            (Language::Chinese, 1, "最早的 1 轮"),
            (Language::Chinese, 3, "最早的 3 轮"),
        ] {
            let texts = Texts::new(language, &LOCALES);
            let told = notice(&texts, Notice::DroppedTurns(turns));
            assert!(told.contains(text), "{told}");
        }
    }
}
