//! From a folder to a model: everything that can be wrong with names, shapes, types and values is an error that says
//! so, before anything large is read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bent_checkpoint;

use std::path::Path;

use bent_checkpoint::{bent, golden};
use glm_core::{Error, GenerationOptions, LoadOptions, generate::Generator};
use safetensors::Dtype;
use serde_json::Value;

const QKV: &str = "transformer.layers.1.attention.query_key_value.weight";

fn error(folder: &tempfile::TempDir) -> Error {
    let error = glm_core::load(folder.path()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(&folder.path().display().to_string()),
        "no file named in: {message}"
    );
    error
}

#[test]
fn an_unchanged_copy_loads() {
    let folder = bent("chatglm-6b-tiny", |_, _| {});
    glm_core::load(folder.path()).unwrap();
}

#[test]
fn a_missing_tensor_is_named() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| drop(tensors.remove(QKV)));
    assert!(matches!(error(&folder), Error::MissingTensor { tensor, .. } if tensor == QKV));
}

#[test]
fn a_tensor_without_a_place_is_named() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        let stray = tensors[QKV].clone();
        tensors.insert(
            "transformer.layers.9.attention.query_key_value.weight".to_owned(),
            stray,
        );
    });
    assert!(
        matches!(error(&folder), Error::UnexpectedTensor { tensor, .. } if tensor.contains("layers.9"))
    );
}

#[test]
fn a_wrong_shape_says_what_was_expected() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        if let Some((_, shape, _)) = tensors.get_mut(QKV) {
            shape.reverse();
        }
    });
    let Error::TensorShape {
        tensor,
        expected,
        found,
        ..
    } = error(&folder)
    else {
        panic!("not a shape error")
    };
    assert_eq!(
        (tensor.as_str(), expected, found),
        (QKV, vec![192, 64], vec![64, 192])
    );
}

#[test]
fn a_config_of_another_size_is_a_wrong_shape() {
    let folder = bent("chatglm-6b-tiny", |_, config| {
        drop(config.insert("inner_hidden_size".to_owned(), 128.into()))
    });
    assert!(matches!(error(&folder), Error::TensorShape { .. }));
}

#[test]
fn a_wrong_type_says_what_was_expected() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        if let Some((dtype, _, _)) = tensors.get_mut(QKV) {
            *dtype = Dtype::I16;
        }
    });
    let Error::TensorType { tensor, found, .. } = error(&folder) else {
        panic!("not a type error")
    };
    assert_eq!((tensor.as_str(), found.english()), (QKV, "i16"));
}

#[test]
fn a_quantised_folder_needs_codes_and_scales() {
    let folder = bent("chatglm-6b-tiny-int8", |tensors, _| {
        drop(tensors.remove(&format!("{QKV}_scale")))
    });
    assert!(
        matches!(error(&folder), Error::MissingTensor { tensor, .. } if tensor.ends_with("weight_scale"))
    );
}

#[test]
fn nan_in_the_weights_is_reported_with_the_layer() {
    for (name, layer) in [(QKV, Some(1)), ("transformer.final_layernorm.bias", None)] {
        let folder = bent("chatglm-6b-tiny", |tensors, _| {
            if let Some((_, _, bytes)) = tensors.get_mut(name) {
                bytes[10..12].copy_from_slice(&0x7e00_u16.to_le_bytes()); // an f16 NaN
            }
        });
        let Error::NonFinite {
            tensor,
            layer: found,
            ..
        } = error(&folder)
        else {
            panic!("NaN was loaded")
        };
        assert_eq!((tensor.as_str(), found), (name, layer));
    }
}

#[test]
fn other_models_are_named_and_not_tried() {
    for (key, value) in [
        ("model_type", Value::from("llama")),
        ("eva_config", Value::from(true)),
    ] {
        let folder = bent("chatglm-6b-tiny", |_, config| {
            drop(config.insert(key.to_owned(), value))
        });
        assert!(
            matches!(error(&folder), Error::UnsupportedModel { .. }),
            "{key}"
        );
    }
}

/// The greedy continuation of a prompt: enough of the network to tell two models apart.
fn continuation(folder: &Path) -> Vec<u32> {
    let model = glm_core::load(folder).unwrap();
    let options = GenerationOptions::greedy().with_max_new_tokens(8);
    let prompt = [318, 584, 207, 604, 621, 624];
    Generator::new(&model, &prompt, &options)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

#[test]
fn a_head_that_is_left_out_is_the_embedding() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        drop(tensors.remove("lm_head.weight"))
    });
    assert_eq!(
        continuation(folder.path()),
        continuation(&golden("chatglm-6b-tiny"))
    );
    // Without ties it must be there.
    let folder = bent("chatglm-6b-tiny-no2d", |tensors, _| {
        drop(tensors.remove("lm_head.weight"))
    });
    assert!(
        matches!(error(&folder), Error::MissingTensor { tensor, .. } if tensor == "lm_head.weight")
    );
}

#[test]
fn a_head_that_differs_from_the_embedding_is_used() {
    let folder = bent("chatglm-6b-tiny", |tensors, _| {
        if let Some((_, _, bytes)) = tensors.get_mut("lm_head.weight") {
            bytes.rotate_right(128); // every token gets the head row of the one before
        }
    });
    assert_ne!(
        continuation(folder.path()),
        continuation(&golden("chatglm-6b-tiny"))
    );
}

#[test]
fn f32_and_bf16_weights_load_as_they_are() {
    let widened = bent("chatglm-6b-tiny", |tensors, _| {
        for (dtype, _, bytes) in tensors.values_mut() {
            let (halves, _) = bytes.as_chunks::<2>();
            *bytes = halves
                .iter()
                .flat_map(|&b| half::f16::from_le_bytes(b).to_f32().to_le_bytes())
                .collect();
            *dtype = Dtype::F32;
        }
    });
    assert_eq!(
        continuation(widened.path()),
        continuation(&golden("chatglm-6b-tiny"))
    );
    let bf16 = bent("chatglm-6b-tiny", |tensors, _| {
        for (dtype, _, bytes) in tensors.values_mut() {
            let (halves, _) = bytes.as_chunks::<2>();
            *bytes = halves
                .iter()
                .flat_map(|&b| {
                    half::bf16::from_f32(half::f16::from_le_bytes(b).to_f32()).to_le_bytes()
                })
                .collect();
            *dtype = Dtype::BF16;
        }
    });
    assert_eq!(continuation(bf16.path()).len(), 8);
}

#[test]
fn progress_ends_at_the_total() {
    let mut last = None;
    LoadOptions::default()
        .progress(|progress| last = Some(progress))
        .load(golden("chatglm-6b-tiny"))
        .unwrap();
    let last = last.unwrap();
    assert_eq!(last.bytes_read, last.bytes_total);
    assert!(last.bytes_total > 400_000);
}

/// A copy of the sharded `.bin` checkpoint whose JSON files a Windows editor has saved.
fn edited(change: impl Fn(&str) -> Vec<u8>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("chatglm-6b-tiny")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let to = folder.path().join(&name);
        if name.ends_with(".bin") {
            std::fs::copy(entry.path(), to).unwrap();
        } else if name.ends_with(".json") && name != "expected.json" {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            std::fs::write(to, change(&text)).unwrap();
        }
    }
    folder
}

/// Configuration and index alike.
#[test]
fn json_files_may_have_a_byte_order_mark() {
    let folder = edited(|text| format!("\u{feff}{text}").into_bytes());
    assert_eq!(
        continuation(folder.path()),
        continuation(&golden("chatglm-6b-tiny"))
    );
    assert!(glm_core::inspect(folder.path()).is_loadable());
    // What is written from there is what would be written from the original.
    let converted = tempfile::tempdir().unwrap();
    glm_core::checkpoint::Converter::default()
        .convert(
            folder.path(),
            glm_core::checkpoint::Target::Safetensors,
            converted.path(),
        )
        .unwrap();
    assert_eq!(
        continuation(converted.path()),
        continuation(&golden("chatglm-6b-tiny"))
    );
}

#[test]
fn utf_16_is_refused_by_name() {
    let folder = edited(|text| text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    let message = error(&folder).to_string();
    assert!(
        message.contains("config.json") && message.contains("UTF-16"),
        "{message}"
    );
}
