//! What is no model, or none that can be loaded yet, told by name.

use super::*;

/// What is no model is said to be none, before any tokenizer is looked for.
#[test]
fn files_that_are_no_models_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:5e97\nsize 1\n";
    let folder = folder(&[
        ("text.flm", b"abcd"),
        ("empty.bin", b""),
        ("empty.glm", b""),
        ("pointer.glm", pointer.as_bytes()),
        ("short.bin", b"ggml"),
        ("photo.png", PNG),
        ("adapter.safetensors", &empty_tensors(&[LORA_TENSOR])),
        ("page.glm", b"<!DOCTYPE html>"),
    ]);
    let mut seen = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let tokenizer = glm_core::load_tokenizer(&path).unwrap_err();
        assert!(!matches!(tokenizer, Error::Tokenizer(_)), "{tokenizer}");
        let model = glm_core::load(&path).unwrap_err();
        assert_eq!(tokenizer.to_string(), model.to_string());
        assert_eq!(error(&inspect(&path)), model.to_string());
        assert!(model.to_string().contains(name), "{model}");
        seen += 1;
    }
    assert_eq!(seen, 8);
}

/// A safetensors file of empty tensors.
fn empty_tensors(names: &[&str]) -> Vec<u8> {
    let views = names
        .iter()
        .map(|name| (*name, TensorView::new(Dtype::F32, vec![0], &[]).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

const LORA_CONFIG: &[u8] =
    br#"{"peft_type": "LORA", "base_model_name_or_path": "THUDM/chatglm-6b", "r": 8}"#;
const LORA_TENSOR: &str =
    "base_model.model.transformer.layers.0.attention.query_key_value.lora_A.weight";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Whatever else lies in folders of models is known by name, and said to be no model, or not supported yet.
#[test]
fn other_kinds_of_folders_are_told_by_name() {
    let lora = empty_tensors(&[LORA_TENSOR]);
    let bert = empty_tensors(&["bert.encoder.layer.0.attention.self.query.weight"]);
    let weights = empty_tensors(&["a"]);
    use Content::*;
    use Verdict::*;
    let kinds: Vec<(
        Content,
        Verdict,
        Option<ModelFamily>,
        &str,
        tempfile::TempDir,
    )> = vec![
        (
            LoraAdapter,
            NotSupported,
            Some(ModelFamily::ChatGlm),
            "a LoRA adapter for THUDM/chatglm-6b",
            folder(&[
                ("adapter_config.json", LORA_CONFIG),
                ("adapter_model.safetensors", &lora),
            ]),
        ),
        // Half a download.
        (
            LoraAdapter,
            NotSupported,
            None,
            "a LoRA adapter for THUDM/chatglm-6b",
            folder(&[("adapter_config.json", LORA_CONFIG)]),
        ),
        (
            OtherAdapter,
            NotSupported,
            None,
            "PEFT's type IA3",
            folder(&[("adapter_config.json", br#"{"peft_type": "IA3"}"#)]),
        ),
        (
            SwissArmyTransformer,
            NotSupported,
            Some(ModelFamily::VisualGlm),
            "VisualGLMModel",
            folder(&[
                ("model_config.json", br#"{"model_class": "VisualGLMModel"}"#),
                ("latest", b"1"),
                ("1/mp_rank_00_model_states.pt", b""),
            ]),
        ),
        (
            TextEncoder,
            NotSupported,
            None,
            "\"xlm-roberta\"",
            folder(&[("config.json", br#"{"model_type": "xlm-roberta"}"#)]),
        ),
        // Without a configuration the tensors tell.
        (
            TextEncoder,
            NotSupported,
            None,
            "a text encoder",
            folder(&[("model.safetensors", &bert)]),
        ),
        (
            Collection,
            ChooseOne,
            None,
            "one, three, two.bin",
            folder(&[
                ("one/adapter_config.json", LORA_CONFIG),
                ("two.bin", b"ggml"),
                ("three/config.json", br#"{"model_type": "chatglm"}"#),
                ("three/model.safetensors", &weights),
                ("four/settings.json", b"{}"),
                ("README.md", b"two adapters"),
            ]),
        ),
        (
            Images,
            NotAModel,
            None,
            "images",
            folder(&[
                ("a.png", PNG),
                ("b", b"\xff\xd8\xff\xe0"),
                ("c.webp", b"RIFF\0\0\0\0WEBPVP8 "),
                ("README.md", b"pictures"),
            ]),
        ),
        (
            Data,
            NotAModel,
            None,
            "data files",
            folder(&[("train.json", b"{}"), ("dev.csv", b"a,b"), ("a.png", PNG)]),
        ),
        (
            Tokenizer,
            NotAModel,
            None,
            "a tokenizer without a model",
            folder(&[("tokenizer.model", b"")]),
        ),
        (
            Nothing,
            NotAModel,
            None,
            "no checkpoint",
            folder(&[("README.md", b"")]),
        ),
    ];
    for (content, verdict, family, words, folder) in kinds {
        let inspection = inspect(folder.path());
        assert_eq!(inspection.content, content, "{inspection}");
        assert_eq!(inspection.verdict, verdict, "{inspection}");
        assert_eq!(inspection.family, family, "{inspection}");
        let message = error(&inspection);
        assert!(message.contains(words), "{message}");
        let page = inspection.to_string();
        assert!(page.contains(&verdict.to_string()), "{page}");
        let members = usize::from(content == Content::Collection) * 3;
        assert_eq!(inspection.members.len(), members);
        for member in &inspection.members {
            assert!(page.contains(&member.content.to_string()), "{page}");
        }
    }
}

/// The same for what is given as a file.
#[test]
fn other_kinds_of_files_are_told_by_name() {
    let prefix = empty_tensors(&["transformer.prefix_encoder.embedding.weight"]);
    let shard =
        empty_tensors(&["transformer.encoder.layers.27.self_attention.query_key_value.weight"]);
    let tokenizer = model_file::chatglm2(&["a"], true);
    use Content::*;
    use Verdict::*;
    for (name, bytes, content, verdict, words) in [
        (
            "adapter_model.safetensors",
            &*empty_tensors(&[LORA_TENSOR]),
            LoraAdapter,
            NotSupported,
            "a LoRA adapter",
        ),
        (
            "model.safetensors",
            &prefix,
            PTuningPrefix,
            NotSupported,
            "a P-Tuning v2 prefix",
        ),
        (
            "model-00002-of-00002.safetensors",
            &shard,
            Weights,
            Broken,
            "without their configuration",
        ),
        (
            "states.safetensors",
            &empty_tensors(&["mixins.eva.a"]),
            SwissArmyTransformer,
            NotSupported,
            "SwissArmyTransformer",
        ),
        (
            "expected.safetensors",
            &empty_tensors(&["a"]),
            Data,
            NotAModel,
            "data files",
        ),
        (
            "photo.jpg",
            b"\xff\xd8\xff\xe1",
            Images,
            NotAModel,
            "images",
        ),
        ("train.jsonl", b"{}", Data, NotAModel, "data files"),
        (
            "tokenizer.model",
            &tokenizer,
            Tokenizer,
            NotAModel,
            "a tokenizer without a model",
        ),
        (
            "read.glm",
            b"GLMREAD\n1",
            PromptCache,
            NotAModel,
            "a prompt cache",
        ),
    ]
        as [(&str, &[u8], Content, Verdict, &str); 9]
    {
        let folder = folder(&[(name, bytes)]);
        let inspection = inspect(folder.path().join(name));
        assert_eq!(inspection.content, content, "{inspection}");
        assert_eq!(inspection.verdict, verdict, "{inspection}");
        let message = error(&inspection);
        assert!(
            message.contains(name) && message.contains(words),
            "{message}"
        );
    }
}

/// What the folders of the official fixtures are.
fn fixture_content(name: &str) -> Option<Content> {
    Some(match name {
        "chatglm-6b-tiny"
        | "chatglm-6b-tiny-28layers"
        | "chatglm-6b-tiny-first-generation"
        | "chatglm-6b-tiny-int4"
        | "chatglm-6b-tiny-int4-qe"
        | "chatglm-6b-tiny-int8"
        | "chatglm-6b-tiny-legacy"
        | "chatglm-6b-tiny-no2d"
        | "chatglm2-tiny"
        | "chatglm2-tiny-int4"
        | "chatglm2-tiny-int8"
        | "chatglm2-tiny-mha"
        | "codegeex2-tiny"
        | "visualglm-tiny"
        | "ggml/checkpoint-chatglm-6b-tiny"
        | "ggml/checkpoint-chatglm2-tiny" => Content::Checkpoint,
        "chatglm-6b-tiny-ptuning"
        | "chatglm-6b-tiny-ptuning-projection"
        | "chatglm2-tiny-ptuning"
        | "chatglm2-tiny-ptuning-projection" => Content::PTuningPrefix,
        "chatglm-6b-tiny-lora"
        | "chatglm-6b-tiny-lora-early"
        | "chatglm-6b-tiny-qlora"
        | "chatglm2-tiny-lora"
        | "chatglm2-tiny-qlora"
        | "chatglm-6b-tiny-lora-variants/dora"
        | "chatglm-6b-tiny-lora-variants/modules-to-save"
        | "chatglm-6b-tiny-lora-variants/bias-all"
        | "chatglm-6b-tiny-lora/adapter_model.bin"
        | "chatglm-6b-tiny-lora-early/adapter_model.bin"
        | "chatglm2-tiny-lora/adapter_model.safetensors" => Content::LoraAdapter,
        "chatglm-6b-tiny-lora-variants" | "ggml" | "bert-tiny/contriever" => Content::Collection,
        "visualglm-tiny-sat" | "visualglm-tiny-sat/1/mp_rank_00_model_states.pt" => {
            Content::SwissArmyTransformer
        }
        "bert-tiny"
        | "bert-tiny/old-names"
        | "bert-tiny/cross-encoder"
        | "bert-tiny/xlm-roberta"
        | "bert-tiny/contriever/query_encoder" => Content::TextEncoder,
        "tokenizer-codegeex2" | "tokenizer-first-generation" => Content::Tokenizer,
        "image-preprocess/images" | "image-preprocess/decoded" | "visualglm-tiny/images" => {
            Content::Images
        }
        "beam-search"
        | "bert-tiny/layouts/bge"
        | "chatglm-6b-tiny-finetune"
        | "chatglm-6b-tiny-ptuning-int4-train"
        | "chatglm2-tiny-finetune"
        | "chatglm2-tiny-ptuning-int4-train"
        | "image-preprocess"
        | "quantizer"
        | "sampling"
        | "tokenizer"
        | "torch-formats"
        | "tuning-metrics"
        | "tuning-rows" => Content::Data,
        _ => return None,
    })
}

/// Deeper paths of the fixtures that are looked at too.
const DEEPER: [&str; 17] = [
    "bert-tiny/contriever",
    "bert-tiny/contriever/query_encoder",
    "bert-tiny/cross-encoder",
    "bert-tiny/layouts/bge",
    "bert-tiny/old-names",
    "bert-tiny/xlm-roberta",
    "chatglm-6b-tiny-lora-early/adapter_model.bin",
    "chatglm-6b-tiny-lora-variants/bias-all",
    "chatglm-6b-tiny-lora-variants/dora",
    "chatglm-6b-tiny-lora-variants/modules-to-save",
    "chatglm-6b-tiny-lora/adapter_model.bin",
    "chatglm2-tiny-lora/adapter_model.safetensors",
    "ggml/checkpoint-chatglm-6b-tiny",
    "ggml/checkpoint-chatglm2-tiny",
    "image-preprocess/images",
    "visualglm-tiny-sat/1/mp_rank_00_model_states.pt",
    "visualglm-tiny/images",
];

/// Every folder of the official fixtures. One that is not known here yet has to be told apart all the same.
#[test]
#[ignore = "needs the folder of all fixtures: set GLM_TEST_FIXTURES and run with --include-ignored"]
fn fixture_folders_are_told_apart() {
    let fixtures = PathBuf::from(std::env::var_os("GLM_TEST_FIXTURES").unwrap());
    let mut names: Vec<String> = DEEPER.map(str::to_owned).to_vec();
    for entry in fs::read_dir(&fixtures).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let mut seen = 0;
    for name in &names {
        let inspection = inspect(fixtures.join(name));
        let Some(content) = fixture_content(name) else {
            assert_ne!(inspection.content, Content::Nothing, "{inspection}");
            continue;
        };
        seen += 1;
        assert_eq!(inspection.content, content, "{inspection}");
        let path = name.strip_prefix("ggml/checkpoint-").unwrap_or(name);
        let is_for_a_model = matches!(
            content,
            Content::Checkpoint
                | Content::PTuningPrefix
                | Content::LoraAdapter
                | Content::SwissArmyTransformer
        );
        let family = match path.split('-').next().unwrap() {
            _ if !is_for_a_model => None,
            // Tensors tell the layers, and VisualGLM-6B has those of ChatGLM-6B.
            _ if path.ends_with(".pt") => Some(ModelFamily::ChatGlm),
            "chatglm" => Some(ModelFamily::ChatGlm),
            "chatglm2" => Some(ModelFamily::ChatGlm2),
            "codegeex2" => Some(ModelFamily::CodeGeeX2),
            "visualglm" => Some(ModelFamily::VisualGlm),
            other => panic!("an unknown fixture, {other}"),
        };
        assert_eq!(inspection.family, family, "{inspection}");
        let has_config = matches!(content, Content::Checkpoint | Content::PTuningPrefix);
        let generation = match family {
            Some(ModelFamily::ChatGlm) if name.contains("first-generation") => Some(1),
            Some(ModelFamily::ChatGlm) if has_config => Some(2),
            _ => None,
        };
        assert_eq!(inspection.generation, generation, "{inspection}");
        let verdict = match content {
            _ if family == Some(ModelFamily::VisualGlm) => Verdict::NotSupported,
            Content::Checkpoint => Verdict::Loads,
            Content::Collection => Verdict::ChooseOne,
            Content::Images | Content::Data | Content::Tokenizer => Verdict::NotAModel,
            _ => Verdict::NotSupported,
        };
        assert_eq!(inspection.verdict, verdict, "{inspection}");
    }
    assert!(seen >= 50, "only {seen} folders");
    let variants = inspect(fixtures.join("chatglm-6b-tiny-lora-variants")).members;
    assert_eq!(variants.len(), 8);
    let is_lora = |member: &Member| member.content == Content::LoraAdapter;
    assert!(variants.iter().all(is_lora));
}
