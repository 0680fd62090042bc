//! Writes small SentencePiece files, so that tests need no real one.

// Each test crate uses a part of it.
#![allow(dead_code)]

/// `ModelProto.SentencePiece.Type`.
pub(crate) const NORMAL: u64 = 1;
pub(crate) const UNKNOWN: u64 = 2;
pub(crate) const CONTROL: u64 = 3;
pub(crate) const USER_DEFINED: u64 = 4;
pub(crate) const BYTE: u64 = 6;

pub(crate) const UNIGRAM: u64 = 1;
pub(crate) const BPE: u64 = 2;

/// A protobuf message under construction.
#[derive(Clone, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn varint(mut self, field: u64, value: u64) -> Self {
        self.number(field << 3);
        self.number(value);
        self
    }

    pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
        self.number(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.number(field << 3 | 2);
        self.number(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(crate) fn piece(self, text: &str, score: f32, kind: u64) -> Self {
        let piece = Message::default()
            .bytes(1, text.as_bytes())
            .float(2, score)
            .varint(3, kind);
        self.bytes(1, &piece.0)
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

pub(crate) fn trainer_spec(model_type: u64, byte_fallback: bool) -> Message {
    Message::default()
        .varint(3, model_type)
        .varint(35, byte_fallback.into())
}

/// A normaliser specification: the two flags in which the families differ, and the rules.
pub(crate) fn normalizer_spec(
    charsmap: &[u8],
    dummy_prefix: bool,
    remove_extra_whitespaces: bool,
) -> Message {
    Message::default()
        .bytes(2, charsmap)
        .varint(3, dummy_prefix.into())
        .varint(4, remove_extra_whitespaces.into())
}

/// The pieces that files of ChatGLM-6B's first generation have, `pieces` among them.
pub(crate) fn first_generation_pieces(pieces: &[(&str, f32)]) -> Message {
    let mut model = Message::default().piece("<unk>", 0.0, UNKNOWN);
    for control in ["<s>", "</s>", "<pad>"] {
        model = model.piece(control, 0.0, CONTROL);
    }
    model = model.piece("<n>", 0.0, USER_DEFINED);
    for (text, score) in pieces {
        model = model.piece(text, *score, NORMAL);
    }
    model
}

/// The pieces that ChatGLM-6B files have, in their order, `pieces` among them.
pub(crate) fn chatglm_pieces(pieces: &[(&str, f32)]) -> Message {
    let mut model = first_generation_pieces(pieces);
    for control in [
        "[MASK]",
        "[gMASK]",
        "[sMASK]",
        "<unused_0>",
        "<sop>",
        "<eop>",
        "<ENC>",
        "<dBLOCK>",
    ] {
        model = model.piece(control, 0.0, CONTROL);
    }
    model = model.piece("<|tab|>", 0.0, USER_DEFINED);
    for blanks in 2..=80 {
        model = model.piece(&format!("<|blank_{blanks}|>"), 0.0, USER_DEFINED);
    }
    byte_pieces(model)
}

pub(crate) fn byte_pieces(mut model: Message) -> Message {
    for byte in 0..=255 {
        model = model.piece(&format!("<0x{byte:02X}>"), 0.0, BYTE);
    }
    model
}

/// A ChatGLM-6B file: Unigram, user-defined white space, byte fallback.
pub(crate) fn chatglm(pieces: &[(&str, f32)], charsmap: &[u8]) -> Vec<u8> {
    chatglm_pieces(pieces)
        .bytes(2, &trainer_spec(UNIGRAM, true).0)
        .bytes(3, &normalizer_spec(charsmap, true, true).0)
        .0
}

/// A file of ChatGLM-6B's first generation, whose tokenizer adds the special pieces itself.
pub(crate) fn chatglm_first_generation(pieces: &[(&str, f32)]) -> Vec<u8> {
    first_generation_pieces(pieces)
        .bytes(2, &trainer_spec(UNIGRAM, false).0)
        .bytes(3, &normalizer_spec(&[], true, true).0)
        .0
}

/// A ChatGLM2-6B file (with `dummy_prefix`) or a CodeGeeX2 file (without): BPE, byte fallback.
pub(crate) fn chatglm2(pieces: &[&str], dummy_prefix: bool) -> Vec<u8> {
    let mut model = Message::default().piece("<unk>", 0.0, UNKNOWN);
    for control in ["<s>", "</s>"] {
        model = model.piece(control, 0.0, CONTROL);
    }
    model = byte_pieces(model);
    for (rank, piece) in pieces.iter().enumerate() {
        model = model.piece(piece, -(rank as f32), NORMAL);
    }
    model
        .bytes(2, &trainer_spec(BPE, true).0)
        .bytes(3, &normalizer_spec(&[], dummy_prefix, false).0)
        .0
}

/// A compiled table with one-byte keys, laid out by hand: the root's children lie at 256 + key, the
/// value of key k at 512 + k.
pub(crate) fn charsmap(rules: &[(u8, &str)]) -> Vec<u8> {
    let mut units = vec![0u32; 1024];
    let mut replacements = String::new();
    units[0] = 256 << 10;
    for &(key, replacement) in rules {
        let (child, value) = (256 ^ usize::from(key), 512 ^ usize::from(key));
        let offset = (child ^ value) as u32;
        units[child] = offset << 10 | 1 << 8 | u32::from(key);
        units[value] = 1 << 31 | replacements.len() as u32;
        replacements += replacement;
        replacements.push('\0');
    }
    let mut table = (units.len() as u32 * 4).to_le_bytes().to_vec();
    table.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
    table.extend(replacements.as_bytes());
    table
}
