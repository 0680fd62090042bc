//! Headers that are whole, and every way to damage one.

use proptest::prelude::*;

use super::*;
use crate::checkpoint::{Converter, Target, prepacked::PrepackedFile};

/// A whole file: INT4 layers, an INT8 embedding, a tied head.
fn file() -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chatglm-6b-tiny");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.glm");
    let target = Target::Prepacked {
        layers: "int4-g32".parse().unwrap(),
        head: Some("int8-row".parse().unwrap()),
    };
    Converter::default()
        .verify(false)
        .convert(source, target, &path)
        .unwrap();
    std::fs::read(path).unwrap()
}

fn read(bytes: &[u8]) -> Result<Header> {
    Header::read(Path::new("model.glm"), bytes, bytes.len())
}

fn header_bytes(file: &[u8]) -> usize {
    PREAMBLE_BYTES + u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize
}

/// The file with its JSON changed, and a header that fits it.
fn bent(file: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let end = header_bytes(file);
    let mut json: Value = serde_json::from_slice(&file[PREAMBLE_BYTES..end]).unwrap();
    change(&mut json);
    let text = serde_json::to_vec(&json).unwrap();
    let mut bytes = file.to_vec();
    // The new text may be longer; the tensors need not be right behind it for what is tested here.
    let data = bytes.split_off(data_start(end - PREAMBLE_BYTES));
    bytes.truncate(PREAMBLE_BYTES);
    bytes[12..16].copy_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend(&text);
    bytes.resize(data_start(text.len()), 0);
    bytes.extend(data);
    let length = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&bytes[..PREAMBLE_BYTES + text.len()]);
    bytes[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The message for a bent file.
fn message(file: &[u8], change: impl FnOnce(&mut Value)) -> String {
    let error = read(&bent(file, change)).unwrap_err();
    assert!(error.to_string().contains("model.glm"), "{error}");
    error.to_string()
}

#[test]
fn what_was_planned_is_read_back() {
    let file = file();
    let header = read(&file).unwrap();
    assert_eq!(
        header.to_bytes(Path::new("x")).unwrap(),
        file[..header_bytes(&file)]
    );
    assert_eq!(header.file_bytes(), file.len());
    assert_eq!(
        read(&bent(&file, |_| {})).unwrap().tensors.len(),
        header.tensors.len()
    );
    for entry in &header.tensors {
        for range in entry.place.ranges() {
            assert!(range.start >= header.data_start(), "{}", entry.name);
        }
    }
}

#[test]
fn every_flipped_byte_of_the_header_is_found() {
    let mut file = file();
    for index in 0..header_bytes(&file) {
        for flip in [0x01, 0x80] {
            file[index] ^= flip;
            assert!(read(&file).is_err(), "byte {index}");
            file[index] ^= flip;
        }
    }
    read(&file).unwrap();
}

#[test]
fn a_file_cut_anywhere_is_truncated() {
    let file = file();
    assert_eq!(Header::bytes_to_read(&file), header_bytes(&file));
    for length in 0..file.len() {
        let error = read(&file[..length]).unwrap_err();
        assert!(
            matches!(error, Error::Truncated { found, .. } if found == length as u64),
            "{length}: {error}"
        );
    }
    let longer = [file.as_slice(), &[0]].concat();
    assert!(matches!(read(&longer), Err(Error::Malformed { .. })));
}

#[test]
fn another_version_says_so() {
    let mut file = file();
    file[8] += 1;
    let error = read(&file).unwrap_err();
    assert!(
        matches!(error, Error::OtherVersion { found, expected: VERSION, .. } if found == VERSION + 1)
    );
    assert!(
        error.to_string().contains("quantise the checkpoint again"),
        "{error}"
    );
}

#[test]
fn other_files_are_told_from_damaged_ones() {
    let folder = tempfile::tempdir().unwrap();
    for content in [&b"PK\x03\x04"[..], b"{}", b"GLMPACK\r\n0000000000"] {
        let path = folder.path().join("pytorch_model.bin");
        std::fs::write(&path, content).unwrap();
        let error = PrepackedFile::open(&path).unwrap_err();
        assert!(error.to_string().contains("no prepacked model"), "{error}");
    }
}

#[test]
fn a_header_that_lies_is_found_out() {
    let file = file();
    let tensors = |json: &mut Value| json["tensors"].as_array_mut().unwrap().clone();
    assert!(
        message(&file, |json| drop(
            json["tensors"].as_array_mut().unwrap().remove(3)
        ))
        .contains("is missing")
    );
    assert!(
        message(&file, |json| {
            let more = tensors(json)[0].clone();
            json["tensors"]
                .as_array_mut()
                .unwrap()
                .extend([more.clone(), more]);
        })
        .contains("lm_head.weight")
    );
    assert!(message(&file, |json| json["tensors"][0]["rows"] = 7.into()).contains("has shape"));
    assert!(
        message(&file, |json| json["tensors"][0]["format"] =
            "int8-g32".into())
        .contains("int8-row")
    );
    assert!(
        message(&file, |json| json["tensors"][0]["format"] = "stored".into()).contains("packed as")
    );
    assert!(message(&file, |json| json["layers"] = "int4".into()).contains("no precision"));
    assert!(message(&file, |json| json["layers"] = "int8-g32".into()).contains("has type"));
    assert!(message(&file, |json| json["config"]["num_layers"] = 1.into()).contains("is missing"));
    assert!(
        message(&file, |json| json["config"]["vocab_size"] =
            (1_u64 << 40).into())
        .contains("vocab_size")
    );
    assert!(message(&file, |json| json["extra"] = 1.into()).contains("unknown field"));
    for (key, value) in [
        ("offset", 64_u64),
        ("offset", 1),
        ("offset", 1 << 40),
        ("offset", u64::MAX),
        ("length", 1),
        ("length", 1 << 40),
        ("length", u64::MAX),
    ] {
        for (tensor, part) in [(0, "codes"), (0, "scales"), (1, "data")] {
            let message = message(&file, |json| {
                json["tensors"][tensor][part][key] = value.into();
            });
            assert!(message.contains("tensor `"), "{message}");
        }
    }
    // Two tensors in one place, each right by itself.
    assert!(
        message(&file, |json| {
            let norm = json["tensors"][1]["data"].clone();
            json["tensors"][2]["data"] = norm;
        })
        .contains("should lie between")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_end_in_a_result(bytes: Vec<u8>, sum: bool) {
        let mut file = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend((PREAMBLE_BYTES as u64 + bytes.len() as u64).to_le_bytes());
        file.extend([0; 8]);
        file.extend(&bytes);
        if sum {
            let sum = checksum(&file).to_le_bytes();
            file[CHECKSUM].copy_from_slice(&sum);
        }
        prop_assert!(read(&file).is_err());
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn any_numbers_in_the_table_end_in_a_result(
        tensor in 0_usize..20,
        part in prop::sample::select(vec!["codes", "scales", "data"]),
        offset: u64,
        length: u64,
        rows: usize,
        cols: usize,
    ) {
        thread_local!(static FILE: Vec<u8> = file());
        let bent = FILE.with(|file| bent(file, |json| {
            let tensor = &mut json["tensors"][tensor];
            if tensor[part].is_object() {
                tensor[part] = serde_json::json!({"offset": offset, "length": length});
            }
            tensor["rows"] = rows.into();
            tensor["cols"] = cols.into();
        }));
        prop_assert!(read(&bent).is_err());
    }
}
