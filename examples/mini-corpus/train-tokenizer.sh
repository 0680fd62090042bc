#!/bin/sh
# Makes examples/mini-model/chatglm-mini/ice_text.model from the training corpus.
#
#   cd <repository root> && examples/mini-corpus/train-tokenizer.sh
#
# Needs cargo, and python3 with the official packages: pip install sentencepiece protobuf jieba
# (made with sentencepiece 0.2.3, jieba 0.42.1). The trainer's settings are those that ChatGLM-6B's own
# ice_text.model states about itself, but for the size of the vocabulary and the coverage of
# characters; its special pieces follow the learnt ones, as they do there:
#
#   <unk> <s> </s> <pad> <n>   learnt pieces   [MASK] [gMASK] [sMASK] <unused_0> <sop> <eop> <ENC> <dBLOCK>
#   <|tab|> <|blank_2|> ... <|blank_80|>   <0x00> ... <0xFF>
#
# The corpus asks the same questions about many things, so the trainer would make whole questions
# into pieces, and the model would not learn what their words mean. jieba therefore marks where
# Chinese words end, and no piece crosses such a mark. The marks are for training only.
#
# The trainer would put control symbols and byte pieces first, so the script appends them to the
# trained file, and then turns byte fallback on.
set -eu

model=examples/mini-model/chatglm-mini/ice_text.model
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo run --release -p mini-corpus -- --out "$work" --tokenizer-text "$work/text.txt"

${PYTHON:-python3} - "$work/text.txt" "$work/trained" "$model" <<'PYTHON'
import re
import string
import sys

import jieba
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protobuf

text, trained, model_file = sys.argv[1:]
Piece = protobuf.ModelProto.SentencePiece

MARK = "\u00a6"  # a broken bar, which the corpus does not use
with open(text, encoding="utf-8") as file:
    sentences = file.read()
assert MARK not in sentences
with open(text, "w", encoding="utf-8") as file:
    file.write(re.sub(r"[\u4e00-\u9fff]+", lambda run: MARK.join(jieba.cut(run[0])), sentences))

sentencepiece.SentencePieceTrainer.Train(
    input=text,
    pretokenization_delimiter=MARK,
    model_prefix=trained,
    model_type="unigram",
    vocab_size=2048,
    character_coverage=1.0,
    # A user may type what the corpus does not: every printable ASCII character is a piece.
    required_chars="".join(c for c in string.printable if not c.isspace()),
    split_digits=True,
    user_defined_symbols="<n>",
    pad_id=3,
    max_sentencepiece_length=16,
    num_threads=1,
)

model = protobuf.ModelProto()
with open(trained + ".model", "rb") as file:
    model.ParseFromString(file.read())

special = "[MASK] [gMASK] [sMASK] <unused_0> <sop> <eop> <ENC> <dBLOCK>".split()
blanks = ["<|tab|>"] + [f"<|blank_{length}|>" for length in range(2, 81)]
bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
for pieces, kind in [(special, Piece.CONTROL), (blanks, Piece.USER_DEFINED), (bytes_, Piece.BYTE)]:
    for piece in pieces:
        model.pieces.add(piece=piece, score=0.0, type=kind)
model.trainer_spec.byte_fallback = True
# The paths of the machine that trained it say nothing to anyone else.
model.trainer_spec.ClearField("input")
model.trainer_spec.ClearField("pretokenization_delimiter")
model.trainer_spec.model_prefix = "ice_text"

with open(model_file, "wb") as file:
    file.write(model.SerializeToString())
print(f"{model_file}: {len(model.pieces)} pieces")
PYTHON
