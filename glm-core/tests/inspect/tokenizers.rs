//! Tokenizers beside a model: missing, broken, another one's.

use super::*;

#[test]
fn tokenizers() {
    let folder = copy("chatglm-6b-tiny");
    let path = folder.path().join("ice_text.model");
    // As many pieces as make <sop> the 624th.
    let pieces: Vec<String> = (0..615).map(|piece| format!("a{piece}")).collect();
    let pieces: Vec<(&str, f32)> = pieces.iter().map(|piece| (&**piece, -1.0)).collect();
    fs::write(&path, model_file::chatglm(&pieces, &[])).unwrap();
    let good = inspect(folder.path());
    assert!(good.is_loadable() && good.problems.is_empty(), "{good}");
    assert_eq!(good.tokenizer.as_deref(), Some(path.as_path()));

    // Of another vocabulary: nothing can be asked with it.
    fs::write(&path, model_file::chatglm(&[("a", -1.0)], &[])).unwrap();
    let other = inspect(folder.path());
    assert!(error(&other).contains("<sop>"), "{other}");
    assert!(error(&other).contains("config.json"), "{other}");

    fs::write(&path, model_file::chatglm_first_generation(&[("a", -1.0)])).unwrap();
    assert!(error(&inspect(folder.path())).contains("first generation"));
}

/// What lies in place of a tokenizer is a problem that names it, beside every form of a model.
#[test]
fn stand_ins_of_tokenizers() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:5e97\nsize 2706249\n";
    let folder = copy("chatglm-6b-tiny");
    let packed = folder.path().join("model.glm");
    LoadOptions::default()
        .prepack(folder.path(), &packed)
        .unwrap();
    let path = folder.path().join("ice_text.model");
    let check = || {
        for model in [folder.path(), &packed] {
            let inspection = inspect(model);
            assert!(
                error(&inspection).contains("ice_text.model"),
                "{inspection}"
            );
            assert_eq!(inspection.verdict, Verdict::Broken);
            assert_eq!(inspection.tokenizer.as_deref(), Some(path.as_path()));
            let refused = glm_core::load_tokenizer(model).unwrap_err().to_string();
            assert!(refused.contains("ice_text.model"), "{refused}");
        }
    };
    for garbage in ["not a model", "", pointer, "\0\0\0\0"] {
        fs::write(&path, garbage).unwrap();
        check();
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    check();
}

/// A checkpoint with tokenizer files of both families beside it, and several models in one folder.
#[test]
fn tokenizers_are_chosen_by_the_model() {
    let pieces: Vec<String> = (0..615).map(|piece| format!("a{piece}")).collect();
    let pieces: Vec<(&str, f32)> = pieces.iter().map(|piece| (&**piece, -1.0)).collect();
    let folder = folder(&[
        ("ice_text.model", &model_file::chatglm(&pieces, &[])),
        ("tokenizer.model", &model_file::chatglm2(&["a"], true)),
    ]);
    let first = folder.path().join("first.glm");
    let second = folder.path().join("second.glm");
    for (case, file) in [("chatglm-6b-tiny", &first), ("chatglm2-tiny", &second)] {
        LoadOptions::default().prepack(golden(case), file).unwrap();
    }
    let together = inspect(folder.path());
    assert_eq!(together.verdict, Verdict::ChooseOne);
    assert_eq!(together.members.len(), 2);

    let tokenizer_of = |model: &Path| {
        let inspection = inspect(model);
        assert!(
            inspection.is_loadable() && inspection.problems.is_empty(),
            "{inspection}"
        );
        let loaded = glm_core::load_tokenizer(model).unwrap();
        glm_core::load(model)
            .unwrap()
            .check_tokenizer(&loaded)
            .unwrap();
        inspection.tokenizer.unwrap()
    };
    assert!(tokenizer_of(&first).ends_with("ice_text.model"));
    assert!(tokenizer_of(&second).ends_with("tokenizer.model"));
    // The same in a checkpoint folder.
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("chatglm2-tiny").join(name), folder.path().join(name)).unwrap();
    }
    assert!(tokenizer_of(folder.path()).ends_with("tokenizer.model"));
    fs::remove_file(folder.path().join("config.json")).unwrap();

    // Names do not count: one that fits is taken.
    let [ice_text, tokenizer] =
        ["ice_text.model", "tokenizer.model"].map(|name| folder.path().join(name));
    let other = folder.path().join("other");
    for (from, to) in [
        (&ice_text, &other),
        (&tokenizer, &ice_text),
        (&other, &tokenizer),
    ] {
        fs::rename(from, to).unwrap();
    }
    assert!(tokenizer_of(&first).ends_with("tokenizer.model"));
    assert!(tokenizer_of(&second).ends_with("ice_text.model"));

    // Without a tokenizer of its own, a model is told which two files do not belong together.
    fs::remove_file(&tokenizer).unwrap();
    let inspection = inspect(&first);
    let refused = glm_core::load_tokenizer(&first).unwrap_err();
    assert_eq!(error(&inspection), refused.to_string());
    assert!(
        matches!(&refused, Error::Mixed { path, other, .. } if *path == first && *other == ice_text),
        "{refused}"
    );
    glm_core::load(&first).unwrap();
}

/// The tokenizers of ChatGLM2-6B and CodeGeeX2-6B differ in a flag, the models in what they were trained on.
#[test]
fn tokenizers_of_close_relatives_are_doubted() {
    for (case, prefix, is_right) in [
        ("chatglm2-tiny", true, true),
        ("chatglm2-tiny", false, false),
        ("codegeex2-tiny", false, true),
        ("codegeex2-tiny", true, false),
    ] {
        let folder = bent(case, |_, _| {});
        let tokenizer = model_file::chatglm2(&["a"], prefix);
        fs::write(folder.path().join("tokenizer.model"), tokenizer).unwrap();
        let inspection = inspect(folder.path());
        assert!(inspection.is_loadable(), "{inspection}");
        let said: Vec<&str> = inspection
            .problems
            .iter()
            .map(|problem| problem.message.english())
            .collect();
        match is_right {
            true => assert!(said.is_empty(), "{said:?}"),
            false => assert!(said[0].contains("tokenizer.model"), "{said:?}"),
        }
    }
}

/// The end of an answer is a token of the tokenizer like the others.
#[test]
fn an_end_that_the_tokenizer_does_not_have_is_a_problem() {
    let pieces: Vec<String> = (0..615).map(|piece| format!("a{piece}")).collect();
    let pieces: Vec<(&str, f32)> = pieces.iter().map(|piece| (&**piece, -1.0)).collect();
    for (case, name, tokenizer, token) in [
        (
            "chatglm-6b-tiny",
            "ice_text.model",
            model_file::chatglm(&pieces, &[]),
            "<eop>",
        ),
        (
            "chatglm2-tiny",
            "tokenizer.model",
            model_file::chatglm2(&["a"], true),
            "</s>",
        ),
    ] {
        let folder = bent(case, |_, config| {
            config.insert("eos_token_id".to_owned(), 77.into());
        });
        let file = folder.path().join(name);
        fs::write(&file, tokenizer).unwrap();
        let inspection = inspect(folder.path());
        let message = error(&inspection);
        for part in [token, "77", name, "config.json"] {
            assert!(message.contains(part), "{message}");
        }
        let model = glm_core::load(folder.path()).unwrap();
        let tokenizer = glm_core::load_tokenizer(folder.path()).unwrap();
        let refused = model.chat(&tokenizer, "a", &[]).unwrap_err();
        let message = refused.to_string();
        for part in [token, "77", name, &folder.path().display().to_string()] {
            assert!(message.contains(part), "{message}");
        }
        assert!(matches!(refused, Error::OtherTokenizer { .. }), "{refused}");
    }
    // In a ggml file of either version, whose tokenizer is in it. -1 stands for the tokenizer's.
    for (file, at) in [
        ("ggml/chatglm-6b-tiny.q4_0.bin", 56),
        ("ggml/chatglm-6b-tiny.q4_0-version1.bin", 44),
        ("ggml/chatglm2-tiny.q4_0.bin", 56),
        ("ggml/chatglm2-tiny.q4_0-version1.bin", 44),
    ] {
        let mut bytes = fs::read(golden(file)).unwrap();
        for (eos, is_right) in [(77_i32, false), (-1, true)] {
            bytes[at..at + 4].copy_from_slice(&eos.to_le_bytes());
            let folder = folder(&[("model.bin", &bytes)]);
            let path = folder.path().join("model.bin");
            let inspection = inspect(&path);
            assert_eq!(inspection.is_loadable(), is_right, "{inspection}");
            if !is_right {
                let refused = glm_core::load(&path).unwrap_err();
                assert!(
                    matches!(&refused, Error::Config { key, .. } if key == "eos_token_id"),
                    "{refused}"
                );
                assert_eq!(error(&inspection), refused.to_string());
            }
        }
    }
}
