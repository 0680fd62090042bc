//! Writes the inputs that fuzzing begins with: `glm-core-seeds CORPUS`, a folder for each target. They are made of the golden
//! files, and of a model with a handful of weights.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use glm_core::{
    Precision,
    checkpoint::{Bits, Converter, Role, Target, expected_tensors},
    config::ModelConfig,
};
use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use xxhash_rust::xxh3::xxh3_64;

#[path = "../../../glm-tokenizer/tests/model_file/mod.rs"]
mod model_file;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// ChatGLM-6B with one layer of width 8.
const CHATGLM: &str = r#"{"model_type":"chatglm","vocab_size":16,"hidden_size":8,"inner_hidden_size":16,"num_layers":1,"num_attention_heads":2,"max_sequence_length":32,"bos_token_id":4,"eos_token_id":5,"mask_token_id":6,"gmask_token_id":7,"pad_token_id":3}"#;
/// ChatGLM2-6B likewise.
const CHATGLM2: &str = r#"{"model_type":"chatglm","padded_vocab_size":16,"hidden_size":8,"ffn_hidden_size":16,"num_layers":1,"num_attention_heads":2,"kv_channels":4,"multi_query_attention":true,"multi_query_group_num":1,"add_qkv_bias":true,"seq_length":32,"eos_token_id":2,"pad_token_id":0}"#;

fn main() -> Result<()> {
    let corpus = PathBuf::from(
        env::args_os()
            .nth(1)
            .ok_or("usage: glm-core-seeds CORPUS")?,
    );
    let seeds = Seeds { corpus };
    seeds.containers()?;
    seeds.models()?;
    seeds.ggml()?;
    seeds.snapshots()?;
    seeds.texts()
}

struct Seeds {
    corpus: PathBuf,
}

impl Seeds {
    fn put(&self, target: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let dir = self.corpus.join(target);
        fs::create_dir_all(&dir)?;
        Ok(fs::write(dir.join(name), bytes)?)
    }

    /// What PyTorch has written.
    fn containers(&self) -> Result<()> {
        let golden = golden("torch-formats");
        for name in ["zip.bin", "nested.bin", "module_state_dict.bin"] {
            let bytes = fs::read(golden.join(name))?;
            self.put("torch_zip", name, &bytes)?;
            let mut zip = zip::ZipArchive::new(fs::File::open(golden.join(name))?)?;
            for index in 0..zip.len() {
                let mut entry = Vec::new();
                zip.by_index(index)?.read_to_end(&mut entry)?;
                // How every pickle begins that `torch.save` writes.
                if entry.starts_with(&[0x80, 2]) {
                    self.put("torch_pickle", name, &entry)?;
                }
            }
        }
        self.put(
            "torch_legacy",
            "legacy.bin",
            &fs::read(golden.join("legacy.bin"))?,
        )
    }

    /// The small models in every form.
    fn models(&self) -> Result<()> {
        for (family, config) in [("chatglm", CHATGLM), ("chatglm2", CHATGLM2)] {
            let dir = env::temp_dir().join(format!("glm-core-seeds-{family}"));
            fs::create_dir_all(&dir)?;
            let weights = weights(&ModelConfig::from_json("config.json", config.as_bytes())?)?;
            fs::write(dir.join("config.json"), config)?;
            fs::write(dir.join("model.safetensors"), &weights)?;
            self.put("safetensors", family, &weights)?;
            self.put("folder", family, &folder_input(config.as_bytes(), &weights))?;
            for layers in ["stored", "int4", "int8-row"] {
                let target = Target::Prepacked {
                    layers: layers.parse::<Precision>()?,
                    head: None,
                };
                let file = dir.join(format!("{layers}.glm"));
                Converter::default()
                    .overwrite(true)
                    .convert(&dir, target, &file)?;
                self.put("prepacked", &format!("{family}-{layers}"), &fs::read(file)?)?;
            }
            for bits in [Bits::Four, Bits::Eight] {
                let name = format!("{family}-{bits:?}");
                let coded = dir.join(&name);
                let converter = Converter::default().overwrite(true);
                converter.convert(&dir, Target::Official(bits), &coded)?;
                let weights = fs::read(coded.join("model.safetensors"))?;
                let config = fs::read(coded.join("config.json"))?;
                self.put("safetensors", &name, &weights)?;
                self.put("folder", &name, &folder_input(&config, &weights))?;
            }
            fs::remove_dir_all(&dir)?;
        }
        Ok(())
    }

    /// Files of chatglm.cpp, of both versions and families.
    fn ggml(&self) -> Result<()> {
        let tokenizers = [
            model_file::chatglm(&[("▁", -1.0), ("a", -2.0)], &[]),
            model_file::chatglm2(&["▁", "a"], true),
        ];
        for (family, tokenizer) in [1_i32, 2].into_iter().zip(tokenizers) {
            let tensors = ggml_tensors();
            for version in [1_i32, 2] {
                let mut file = b"ggml".to_vec();
                let numbers: Vec<i32> = match version {
                    1 => vec![family, 1, 1, 400, 32, 2, 1, 64, 32, -1, 2, 3, -1],
                    _ => vec![family, 2, 1, 400, 32, 2, 2, 1, 64],
                };
                file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
                if version == 1 && family == 2 {
                    file.extend(1_i32.to_le_bytes());
                }
                if version == 2 {
                    file.extend(1e-5_f32.to_le_bytes());
                    file.extend(0_i32.to_le_bytes());
                    file.extend(10_000_f32.to_le_bytes());
                    file.extend(
                        [32_i32, 2, 3]
                            .iter()
                            .flat_map(|number| number.to_le_bytes()),
                    );
                }
                file.extend((tokenizer.len() as i32).to_le_bytes());
                file.extend(&tokenizer);
                for (name, shape, kind, bytes) in &tensors {
                    file.extend((name.len() as i32).to_le_bytes());
                    file.extend(name.as_bytes());
                    file.extend((shape.len() as i32).to_le_bytes());
                    file.extend(shape.iter().flat_map(|extent: &i32| extent.to_le_bytes()));
                    file.extend(kind.to_le_bytes());
                    file.resize(file.len().next_multiple_of(16), 0);
                    file.extend(bytes);
                }
                self.put("ggml", &format!("{family}-version{version}"), &file)?;
            }
        }
        Ok(())
    }

    /// What was read, of a model whose digest is 0 and whose tokens take twelve bytes.
    fn snapshots(&self) -> Result<()> {
        for tokens in [0_u64, 1, 3] {
            let (version, precision, digest) = (1_u32, 1_u32, 0_u64);
            let mut file = b"GLMREAD\n".to_vec();
            file.extend(version.to_le_bytes());
            file.extend(precision.to_le_bytes());
            file.extend(digest.to_le_bytes());
            file.extend(tokens.to_le_bytes());
            file.resize(file.len() + 12 * tokens as usize, 0x2a);
            let checksum = xxh3_64(&file);
            file.extend(checksum.to_le_bytes());
            self.put("prefix_snapshot", &format!("{tokens}-tokens"), &file)?;
        }
        Ok(())
    }

    /// Configurations, an index, the answers of a hub.
    fn texts(&self) -> Result<()> {
        for entry in fs::read_dir(golden("."))? {
            let config = entry?.path().join("config.json");
            if let (Ok(json), Some(name)) = (fs::read(&config), name_of(&config)) {
                self.put("config", &name, &json)?;
            }
        }
        let index = r#"{"metadata":{"total_size":4},"weight_map":{"a":"model-00001-of-00002.safetensors"}}"#;
        self.put("shard_index", "index", index.as_bytes())?;

        let commit = "0123456789abcdef0123456789abcdef01234567";
        let reply = |headers: &str, body: &str| {
            let length = body.len();
            format!(
                "HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
        };
        let file = |name: &str| format!(r#"{{"rfilename":"{name}"}}"#);
        let listing = |names: &[&str]| {
            let files: Vec<_> = names.iter().map(|name| file(name)).collect();
            reply(
                "",
                &format!(r#"{{"sha":"{commit}","siblings":[{}]}}"#, files.join(",")),
            )
        };
        let head = |length: usize| {
            format!(
                "HTTP/1.1 200 OK\r\nETag: \"abc{length}\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            )
        };
        let moved = "HTTP/1.1 302 Found\r\nX-Linked-Etag: \"abc\"\r\nX-Linked-Size: 4\r\nLocation: {hub}/elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned();
        let whole = [
            listing(&["config.json", "ice_text.model", "model.safetensors"]),
            head(2),
            head(4),
            moved.clone(),
            reply("", "{}"),
            reply("", "text"),
            moved,
            reply("", "data"),
        ];
        self.put("hub", "whole", whole.join("\n===\n").as_bytes())?;
        let sharded = [
            listing(&[
                "config.json",
                "tokenizer.model",
                "model.safetensors.index.json",
                "model-00001-of-00002.safetensors",
            ]),
            head(2),
            head(4),
            head(index.len()),
            reply("", "{}"),
            reply("", "text"),
            reply("", index),
            head(4),
            reply("Content-Range: bytes 0-3/4\r\n", "data"),
        ];
        self.put("hub", "sharded", sharded.join("\n===\n").as_bytes())?;
        for (name, status, code) in [
            ("missing", "404 Not Found", "RepoNotFound"),
            ("gated", "401 Unauthorized", "GatedRepo"),
            ("busy", "503 Service Unavailable", ""),
        ] {
            let answer = format!(
                "HTTP/1.1 {status}\r\nX-Error-Code: {code}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            self.put("hub", name, answer.as_bytes())?;
        }
        Ok(())
    }
}

/// All weights of a small model, in f16.
fn weights(config: &ModelConfig) -> Result<Vec<u8>> {
    let mut tensors = BTreeMap::new();
    for tensor in expected_tensors(config) {
        let count: usize = tensor.shape.iter().product();
        let value = |index: usize| match tensor.role {
            Role::Vector => f16::ONE,
            _ => f16::from_f32((index as f32 * 0.7).sin()),
        };
        let bytes: Vec<u8> = (0..count)
            .flat_map(|index| value(index).to_le_bytes())
            .collect();
        tensors.insert(tensor.name, (tensor.shape, bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            Ok((name, TensorView::new(Dtype::F16, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, None)?)
}

/// As the target `folder` takes it.
fn folder_input(config: &[u8], weights: &[u8]) -> Vec<u8> {
    let length = (config.len() as u16).to_le_bytes();
    [&length[..], config, weights].concat()
}

/// A tensor of each type that chatglm.cpp writes: name, shape, number of the type, bytes.
fn ggml_tensors() -> Vec<(String, Vec<i32>, i32, Vec<u8>)> {
    // f32, f16, q4_0, q4_1, q5_0, q5_1, q8_0; the last five have blocks of 32.
    [
        (0, 128),
        (1, 64),
        (2, 18),
        (3, 20),
        (6, 22),
        (7, 24),
        (8, 34),
    ]
    .into_iter()
    .map(|(kind, row)| {
        let name = format!("transformer.layers.0.attention.{kind}.weight");
        (name, vec![2, 32], kind, vec![0x2a; 2 * row])
    })
    .collect()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden")
        .join(name)
}

/// Of the folder that a file lies in.
fn name_of(file: &Path) -> Option<String> {
    Some(file.parent()?.file_name()?.to_string_lossy().into_owned())
}
