# What can be wrong with weight files and JSON.

file-empty = 文件为空
file-web-page = 这是一个网页，被保存成了该文件；请重新下载该文件
file-became-shorter = 读取以下内容时文件变短了：{ $what }
file-part-header = 文件头
file-part-tensor = 张量 `{ $name }`
file-part-tokenizer = 分词器

json-too-long = 这类文件最多 { $most } 字节
json-utf-16 = 文本编码是 UTF-16，应为 UTF-8；请另存为 UTF-8

tensor-length = 张量 `{ $name }` 应有 { $expected } 字节，实际为 { $found }
tensor-twice = 张量 `{ $name }` 也存在于 { $other }
tensor-too-many-extents = 张量 `{ $name }` 超过 { $most } 维

index-no-file-name = 索引称张量 `{ $tensor }` 在 `{ $shard }` 中，但这不是单纯的文件名
index-shard-count = 索引应列出 1 到 { $most } 个分片，实际为 { $count } 个

## Types of tensors

type-of-floats = f32、f16 或 bf16
type-of-ggml = f32、f16、q4_0、q4_1、q5_0、q5_1 或 q8_0
type-of-others = 与其他矩阵相同的类型
type-of-tensor = 浮点数、有符号整数、uint8 或 bool 类型
type-ggml-number = ggml 的 { $number } 号类型
type-half = 半精度

## More than a file of its kind needs

too-many-bytes = 字节数
too-many-tensors = 张量数
too-many-archive-entries = 压缩包条目数
too-many-directory-bytes = 压缩包目录字节数
too-many-unpacked-bytes = 压缩条目展开后的字节数
too-many-pickle-bytes = 全部 pickle 的字节数
too-many-opcodes = 全部 pickle 的操作码数
too-many-value-bytes = 全部 pickle 中各值的字节数
too-many-name-bytes = 张量名的字节数
too-many-text-bytes = 单个 pickle 文本的字节数
too-many-stack-values = 单个 pickle 栈中的值数
too-many-marks = 单个 pickle 栈中的标记数
too-many-memo-entries = 单个 pickle 备忘表的条目数

## safetensors

safetensors-length-cut = 连文件头长度都不完整
safetensors-header-cut = 文件头被截断
safetensors-header-length = 文件头长 { $bytes } 字节
safetensors-header-too-long = 文件头最多 { $most } 字节，该文件声称有 { $found } 字节
safetensors-data-cut = 文件头描述了 { $promised } 字节的张量，实际只有 { $found } 字节
safetensors-bytes-left = 最后一个张量之后还有 { $bytes } 字节

## Files of torch.save

torch-tar = 不支持 PyTorch 0.1.10 之前的 tar 容器；请用更新的版本重新保存
torch-no-file = 不是 torch.save 写出的文件
torch-description-cut = 对张量的描述被截断

pickle-no-opcode = pickle 中有未知的操作码 { $byte }
pickle-damaged = pickle 已损坏：{ $reason }
pickle-unreadable = 无法读取 pickle：{ $reason }
pickle-refers-to = 它引用了 `{ $module }.{ $name }`
pickle-computed-import = 它导入的名称是计算出来的
pickle-extension-import = 它从扩展注册表导入
pickle-unknown-protocol = 协议未知
pickle-memo-index = 备忘表的索引不是数字
pickle-memo-missing = 取用了未曾保存的值
pickle-key-without-value = 字典中有一个键没有值
pickle-stack-empty = 从栈中取出的值比栈中现有的更多

zip-no-directory = 压缩包末尾的目录缺失
zip-bytes-left = 压缩包结尾之后还有多余字节
zip-no-64-bit-record = 压缩包结尾的 64 位记录缺失
zip-records-differ = 压缩包结尾的各条记录不一致
zip-directory-misplaced = 压缩包的目录不在其结尾记录所说的位置
zip-entries-overlap = 压缩包的条目互相重叠
zip-entry-length = 条目 `{ $name }` 应有 { $size } 字节，实际为 { $stored }
zip-ambiguous = 压缩包中有重名的条目（{ $name }），读到哪一个取决于读取程序
zip-some-name = 名称不详

## ggml

ggml-no-magic = 文件不以 `ggml` 开头
ggml-too-many-tensors = 一个文件最多有 { $most } 个张量
ggml-part-cut = 从第 { $position } 字节起应有 { $count } 字节：{ $what }
ggml-tokenizer-length = 分词器应有 1 到 { $most } 字节，实际为 { $found }
ggml-tensor-number = 位于第 { $start } 字节的张量，其{ $what }应为 1 到 { $limit }，实际为 { $found }
ggml-name-length = 名称长度
ggml-number-of-extents = 维数
ggml-extents = 各维大小
ggml-name-no-text = 位于第 { $start } 字节的张量，其名称不是文本
ggml-tensor-too-large = 张量 `{ $name }` 的形状 { $shape } 过大，或不能划分为整块

## Prepacked files and saving

prepacked-no-model = 既不是预打包模型，也不是 ggml 文件；请给出检查点文件夹、chatglm.cpp 的 ggml 文件，或由 `quantize`、`convert` 写出的文件
prepacked-being-written = 另一个进程正在写入该文件
prepacked-beginning-cut = 缺少开头的字节
prepacked-no-precision = `{ $name }` 不是精度名称
prepacked-header = 文件头：{ $reason }
prepacked-header-cut = 文件头被截断
prepacked-header-checksum = 文件头的校验和不符；请重新量化检查点
prepacked-header-too-large = 文件头过大
prepacked-header-too-long = 文件头最多 { $most } 字节，该文件有 { $found } 字节
prepacked-file-cut = 应有 { $file_bytes } 字节
prepacked-file-too-long = 应有 { $file_bytes } 字节，实际为 { $found }
prepacked-length = 张量结束于第 { $end } 字节，文件却结束于第 { $file_bytes } 字节
prepacked-tensor-too-large = 有一个张量过大
prepacked-tensor-misplaced = 张量 `{ $name }` 的位置不对
prepacked-tensor-beyond = 张量 `{ $name }` 的位置超出了任何文件的范围
prepacked-tensor-format = 张量 `{ $name }` 的打包格式为 `{ $format }`
prepacked-tensor-outside = 张量 `{ $name }` 应位于第 { $end } 到 { $file_bytes } 字节之间，实际为 { $from } 到 { $to }
prepacked-tensor-place = 张量 `{ $name }` 应有 { $bytes } 字节，且起始位置为 { $alignment } 的倍数；实际为 { $found } 字节，起始于 { $start }

layout-other-precision = 它的精度与文件夹的不同
layout-beyond-half = 它有超出半精度范围的权重
