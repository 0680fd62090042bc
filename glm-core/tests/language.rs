//! Errors in Chinese: none lacks its text, no text lacks its error, and what users read are whole sentences.

mod phrases;

use std::{collections::BTreeMap, fs, path::Path};

use glm_core::{
    Error, GlmTokenizer, Language, Phrase, Precision, Value, checkpoint::CheckpointFiles,
    config::ModelConfig,
};
use phrases::{crate_folder, translated, used, variants};

#[test]
fn every_phrase_has_a_text_with_its_values() {
    let texts = translated();
    let mut unused = texts.clone();
    for phrase in used() {
        let place = format!("`{}` of {}", phrase.id, phrase.file.display());
        let Some(text) = texts.get(&phrase.id) else {
            panic!("{place} has no text in locales/zh");
        };
        assert_eq!(*text, phrase.values, "the values of {place}");
        if let Some(english) = phrase.english {
            assert_eq!(english, phrase.values, "the English of {place}");
        }
        unused.remove(&phrase.id);
    }
    assert!(unused.is_empty(), "no phrase uses {unused:?}");
}

/// The compiler counts the variants of this crate's errors; those of others may grow.
#[test]
fn every_error_has_a_text() {
    let texts = translated();
    let threads = ("glm-backends/src/cpu/pool.rs", "ThreadsError", "threads");
    let level = ("glm-backends/src/cpu/level.rs", "LevelError", "cpu-level");
    let enums = [
        ("glm-quant/src/error.rs", "Error", "quant"),
        ("glm-backends/src/error.rs", "Error", "device"),
        threads,
        level,
    ];
    for (file, name, prefix) in enums {
        let variants = variants(&crate_folder(file), name);
        assert!(variants.len() > 1, "{file}");
        for variant in variants {
            let id = format!("{prefix}-{variant}");
            // An error that shows another one has none of its own.
            assert!(texts.contains_key(&id) || id == "device-threads", "{id}");
        }
    }
}

#[test]
fn every_text_can_be_formed() {
    for (id, names) in translated() {
        let values: Vec<(&'static str, Value)> = names
            .into_iter()
            .map(|name| (&*name.leak(), Value::from("1234567.50")))
            .collect();
        let count = values.len();
        let text = Language::Chinese.say(&Phrase::new(id.leak(), "English", values));
        assert_ne!(text, "English");
        assert!(text.matches("1234567.50").count() >= count, "{text}");
        assert!(!text.contains(['\u{2068}', '\u{2069}', '{', '}']), "{text}");
    }
}

#[test]
fn a_phrase_has_one_english_text() {
    let mut values = BTreeMap::new();
    for phrase in used() {
        let first = values
            .entry(phrase.id.clone())
            .or_insert(phrase.values.clone());
        assert_eq!(*first, phrase.values, "{}", phrase.id);
    }
    assert!(values.len() > 350, "{}", values.len());
}

fn in_chinese(error: impl Into<Error>) -> String {
    error.into().in_language(Language::Chinese)
}

#[test]
fn a_missing_folder() {
    let error = ModelConfig::from_dir("no/such-model").unwrap_err();
    let path = Path::new("no/such-model").join("config.json");
    assert_eq!(
        in_chinese(error),
        format!(
            "{} 不存在；请检查路径，以及文件是否已全部下载",
            path.display()
        )
    );
}

#[test]
fn damaged_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let shown = path.display();
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        in_chinese(CheckpointFiles::open_file(&path).err().unwrap())
    };
    assert_eq!(
        error(b""),
        format!("{shown} 不完整，只有 0 字节：文件为空；请重新下载该文件")
    );
    let header = br#"{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}"#;
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend([0; 3]);
    assert_eq!(
        error(&file),
        format!(
            "{shown} 不完整，只有 {} 字节：文件头描述了 8 字节的张量，实际只有 3 字节；请重新下载该文件",
            file.len()
        )
    );
    assert_eq!(
        error(b"<!DOCTYPE html>"),
        format!("{shown} 格式有误：这是一个网页，被保存成了该文件；请重新下载该文件")
    );
}

#[test]
fn a_bad_tokenizer() {
    let error = GlmTokenizer::from_bytes("ice_text.model", b"not a model").unwrap_err();
    assert_eq!(
        in_chinese(error),
        "`ice_text.model` 不是 SentencePiece 模型：模型（第 0 字节处）有未知的 wire type"
    );
    let folder = tempfile::tempdir().unwrap();
    let error = GlmTokenizer::from_dir(folder.path()).unwrap_err();
    assert_eq!(
        in_chinese(error),
        format!(
            "`{}` 中没有 SentencePiece 文件：已查找 `ice_text.model` 和 `tokenizer.model`",
            folder.path().display()
        )
    );
}

#[test]
fn options_and_configurations() {
    let error = "int3".parse::<Precision>().unwrap_err();
    assert!(in_chinese(error).starts_with("选项 `precision` 的值无效。要求：以下之一：stored, "));
    let json = br#"{"model_type": "chatglm", "vocab_size": 0}"#;
    let error = ModelConfig::from_json("config.json", json).unwrap_err();
    assert_eq!(
        in_chinese(error),
        "config.json 中 `vocab_size` 的值无效。要求：1 到 1048576 的整数；实际：0"
    );
    let error = ModelConfig::from_json("config.json", b"{}").unwrap_err();
    assert_eq!(
        in_chinese(error),
        "config.json 中 `model_type` 的值无效。要求：\"chatglm\"；实际：无"
    );
}

/// An error of another crate, and a text from outside, which stays as it is.
#[test]
fn errors_in_errors() {
    let error = "sse9".parse::<glm_core::CpuLevel>().unwrap_err();
    assert_eq!(
        in_chinese(error),
        "未知的 CPU 级别 `sse9`：应为 scalar、avx2、avx512vnni、amx 或 neon"
    );
    let error = ModelConfig::from_json("config.json", b"{").unwrap_err();
    let Error::Malformed { reason, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(reason.id(), None);
    let reason = reason.to_string();
    assert_eq!(in_chinese(error), format!("config.json 格式有误：{reason}"));
}

#[test]
fn english_is_what_is_displayed() {
    let error = ModelConfig::from_dir("no/such-model").unwrap_err();
    assert_eq!(error.in_language(Language::English), error.to_string());
}

#[cfg(feature = "hub")]
#[test]
fn downloads() {
    let folder = tempfile::tempdir().unwrap();
    let hub = glm_core::hub::Hub::default()
        .cache_dir(folder.path())
        .offline(true);
    let error = hub.fetch("THUDM/chatglm-6b", "main").unwrap_err();
    assert_eq!(
        in_chinese(error),
        format!(
            "{} 中 `THUDM/chatglm-6b` 的修订 `main` 不完整，缺少：它的快照；\
             请在联网时运行一次，不带 --offline，也不设 HF_HUB_OFFLINE",
            folder.path().display()
        )
    );
}

#[cfg(feature = "tensor")]
#[test]
fn generation() {
    let options = glm_core::GenerationOptions::default().with_top_p(3.0);
    assert_eq!(
        in_chinese(options.validate().unwrap_err()),
        "选项 `top_p` 的值无效。要求：大于 0 且不超过 1（1 表示关闭）；实际：3"
    );
}
