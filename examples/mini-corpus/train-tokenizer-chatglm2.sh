#!/bin/sh
# Makes examples/mini-model/chatglm2-mini/tokenizer.model from the training corpus.
#
#   cd <repository root> && examples/mini-corpus/train-tokenizer-chatglm2.sh
#
# Needs python3 with the official packages: pip install sentencepiece protobuf jieba
# (made with sentencepiece 0.2.1, jieba 0.42.1). The trainer's settings are those that ChatGLM2-6B's own
# tokenizer.model states about itself, but for the size of the vocabulary and the coverage of
# characters: byte-pair encoding, text as it is, and pieces in this order:
#
#   <unk> <s> </s>   <0x00> ... <0xFF>   learnt pieces
#
# [MASK] [gMASK] [sMASK] sop eop are no pieces: they are the ids behind the last one, as they are there.
#
# As in train-tokenizer.sh, no piece crosses the end of a Chinese word, as jieba finds it: the trainer sees
# each word as a line of its own. Only the first line of a text has the dummy prefix that every text gets
# when the tokenizer is used, so the script writes it, and has the trainer add none.
set -eu

data=examples/mini-corpus/data/train.jsonl
model=examples/mini-model/chatglm2-mini/tokenizer.model
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

${PYTHON:-python3} - "$data" "$work" "$model" <<'PYTHON'
import json
import re
import string
import sys

import jieba
import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protobuf

data, work, model_file = sys.argv[1:]


def prompt(history, question):
    turns = [*history, (question, "")]
    rounds = [f"[Round {n}]\n\n问：{q}\n\n答：{a}" for n, (q, a) in enumerate(turns, 1)]
    return "\n\n".join(rounds)


def parts(text):
    # The space is the dummy prefix.
    return " " + re.sub(r"[\u4e00-\u9fff]+", lambda run: "\n".join(jieba.cut(run[0])), text)


with open(data, encoding="utf-8") as lines, open(f"{work}/text.txt", "w", encoding="utf-8") as text:
    for pair in map(json.loads, lines):
        for sentence in prompt(pair["history"], pair["prompt"]), pair["response"]:
            text.write(parts(sentence) + "\n")
    # A user may type what the corpus does not: every printable ASCII character is a piece.
    text.write("\n".join(string.digits + string.ascii_letters + string.punctuation))

sentencepiece.SentencePieceTrainer.Train(
    input=f"{work}/text.txt",
    model_prefix=f"{work}/trained",
    model_type="bpe",
    # With the five ids behind it a multiple of 128, as the published vocabulary is padded to.
    vocab_size=2299,
    character_coverage=1.0,
    normalization_rule_name="identity",
    add_dummy_prefix=False,
    remove_extra_whitespaces=False,
    split_digits=True,
    allow_whitespace_only_pieces=True,
    byte_fallback=True,
    max_sentencepiece_length=16,
    num_threads=1,
)

model = protobuf.ModelProto()
with open(f"{work}/trained.model", "rb") as file:
    model.ParseFromString(file.read())
model.normalizer_spec.add_dummy_prefix = True
# The paths of the machine that trained it say nothing to anyone else.
model.trainer_spec.ClearField("input")
model.trainer_spec.model_prefix = "tokenizer"
with open(model_file, "wb") as file:
    file.write(model.SerializeToString())
print(f"{model_file}: {len(model.pieces)} pieces")
PYTHON
