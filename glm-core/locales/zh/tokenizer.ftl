# Errors of glm-tokenizer. The English stands in its `src/error.rs`.

tokenizer-not-found = `{ $dir }` 中没有 SentencePiece 文件：已查找 `ice_text.model` 和 `tokenizer.model`
tokenizer-io = 无法读取 `{ $path }`：{ $source }
tokenizer-not-a-file = `{ $path }` 是{ $found }，这里需要普通文件形式的 SentencePiece 模型
tokenizer-empty = `{ $file }` 为空，这里需要 SentencePiece 模型
tokenizer-lfs-pointer = `{ $file }` 是 Git LFS 指针，不是模型本身；请用 `git lfs pull` 获取，或重新下载
tokenizer-limit-exceeded = `{ $file }`：{ $what }为 { $found }，超过上限 { $limit }
tokenizer-truncated = `{ $file }` 不完整：{ $field }（第 { $offset } 字节处）需要 { $expected } 字节，只剩 { $found } 字节
tokenizer-malformed = `{ $file }` 不是 SentencePiece 模型：{ $field }（第 { $offset } 字节处）有{ $problem }
tokenizer-wire-type = `{ $file }`：{ $field }（第 { $offset } 字节处）的 wire type 为 { $found }，应为 { $expected }
tokenizer-bad-piece = `{ $file }`：编号为 { $id } 的片段{ $problem }
tokenizer-duplicate-piece = `{ $file }`：编号为 { $first } 和 { $second } 的片段都是 `{ $piece }`
tokenizer-missing-piece = `{ $file }` 中没有片段 `{ $piece }`，{ $why }
tokenizer-charsmap = `{ $file }`：normalizer_spec.precompiled_charsmap { $problem }
tokenizer-ambiguous-piece = 编号为 { $first } 和 { $second } 的 token 都叫 `{ $piece }`，而 `tokenizers` 库按名字识别 token，每个都要有自己的名字
tokenizer-not-stock = 用 `tokenizers` 库自带的部件无法表示该分词器：{ $reason }
tokenizer-hugging-face = `tokenizers` 库不接受该分词器：{ $source }
tokenizer-unsupported = `{ $file }`：不支持 { $field } 的值。要求：{ $expected }；实际：{ $found }

size-of-file = 文件大小（字节）
size-of-piece = 片段长度（字节）
size-of-replacement = normalizer_spec.precompiled_charsmap 中替换文本的长度（字节）
size-of-unk-surface = trainer_spec.unk_surface 的长度（字节）
size-of-vocabulary = 片段数量

protobuf-whole = 模型
protobuf-field-number = 不可能的字段编号
protobuf-no-utf-8 = 非 UTF-8 的文本
protobuf-number-too-long = 超过 64 位的数
protobuf-wire-type = 未知的 wire type

piece-no-text = 没有文本
piece-type = 的类型不是普通、未知、控制、用户定义、字节中的任何一种
piece-score-not-finite = 的分数不是有限的数
piece-score-too-large = 的分数超出 -1e9 到 1e9
piece-second-unknown = 是第二个表示未知字符的片段
piece-byte = 是字节片段，却没有写成 `<0x41>` 的形式
piece-no-control = 与特殊 token 同名，却不是控制片段
piece-for-unknown = 它代表未知字符
piece-for-bytes = 但未知字符要写成字节
piece-of-chatglm = ChatGLM-6B 的每个模型文件都有它
piece-end-of-reply = ChatGLM2-6B 以它结束回答

charsmap-too-short = 不足 4 字节
charsmap-trie-too-long = 中的 trie 比整个表还长
charsmap-trie-units = 中的 trie 不是由 4 字节的单元组成
charsmap-trie-empty = 中的 trie 为空
charsmap-trie-loops = 中的 trie 有环，或其中的键超过 64 字节
charsmap-no-utf-8 = 中的替换文本不是 UTF-8
charsmap-no-closing-zero = 中最后一个替换文本没有结尾的零
charsmap-no-replacement = 中有一条规则没有替换文本
charsmap-replacement-outside = 中有一条规则的替换文本在表外

tokenizer-algorithms = 1（Unigram）或 2（BPE）
tokenizer-table = { $bytes } 字节的表
tokenizer-no-table = 没有表
tokenizer-a-vocabulary = 词表
tokenizer-no-normal-piece = 没有普通片段
tokenizer-user-defined-in-bpe = BPE 模型中有用户定义的片段
tokenizer-user-defined-in-unigram = 只在 Unigram 模型中有用户定义的片段

not-stock-chatglm = ChatGLM-6B 按 f32 之和打破平局，并采用最长的规范化规则，该库的部件不是这样
not-stock-normalises = 它的文件带有规范化规则
not-stock-no-bytes = 它的文件没有用于未知字符的字节片段
