# Parts of those errors: what lies at a path, and what does not belong together.

the-tokenizer = 未命名
this-model = 在内存中创建
no-thread = 无法启动线程：{ $reason }

## Kinds of files

file-kind-regular = 普通文件
file-kind-folder = 文件夹
file-kind-fifo = 命名管道
file-kind-socket = 套接字
file-kind-character-device = 字符设备
file-kind-block-device = 块设备
file-kind-dangling-link = 目标不存在的符号链接
file-kind-other = 特殊文件

## What a path holds

content-checkpoint = 检查点
content-ggml = ggml 文件
content-prepacked = 预打包文件
content-weights = 缺少配置的权重
content-swiss-army-transformer = SwissArmyTransformer 格式的检查点
content-p-tuning-prefix = P-Tuning v2 前缀
content-model-with-prefix = 权重中带有 P-Tuning v2 前缀的完整模型
content-lora-adapter = LoRA 适配器
content-model-with-adapter = 权重中带有未合并的 LoRA 适配器的完整模型
content-other-adapter = LoRA 以外的适配器
content-text-encoder = 文本编码器
content-collection = 多个模型
content-tokenizer = 没有模型的分词器
content-prompt-cache = 提示缓存
content-images = 图片
content-data = 数据文件
content-nothing = 无法识别的内容

verdict-loads = 可以加载
verdict-broken = 目前不能加载
verdict-not-supported = 能认出，尚不支持
verdict-choose-one = 有多个可选：请指定其中一个
verdict-not-a-model = 不是模型

found-adapter-for = { $what }，用于 { $base }
found-checkpoint-of = { $model } 的检查点
found-chatglm3-rope-ratio = 带有 rope_ratio 的 ChatGLM3-6B
found-ggml-other-tokenizer = { $model } 模型，却带有另一模型的分词器
found-ggml-type = chatglm.cpp 类型编号为 { $number } 的模型
found-ggml-version = chatglm.cpp 格式版本 { $version } 的模型（已知版本为 1 和 2）
found-gguf = GGUF 模型，这种格式没有 ChatGLM-6B（chatglm.cpp 自己的文件以 `ggml` 开头）
found-mixed-precisions = 张量 `{ $name }` 的精度与其他张量不同的模型
found-model-type = 类型为 "{ $name }" 的模型
found-peft-type = PEFT 的 { $kind } 类型适配器
found-sat-model = { $content }，模型类为 { $class }
found-text-encoder = 类型为 "{ $kind }" 的文本编码器

## What an inspection remarks

inspection-adapter-beside = { $dir } 中在完整模型旁还有一个适配器；使用模型时不带它
inspection-doubtful-tokenizer = { $file } 是 { $other } 的分词器，而模型似乎是 { $family }：两者对文本的第一个 token 处理不同；请使用与权重一同发布的文件
inspection-more-tensors = { $path } 还有 { $more } 个张量缺失、形状或类型不符，或在该模型中没有位置
inspection-name-wrapper = { $path } 中每个张量的名称都以 `{ $wrapper }` 开头（训练程序会这样保存）；该前缀已被略去
inspection-no-tokenizer = { $dir } 中没有分词器；要进行对话，请把下载内容中的 { $name } 放在权重旁边

## Files of different checkpoints

mixed-one-file = { $path } 自相矛盾
mixed-two-files = { $path } 与 { $other } 不属于同一个模型
mix-first-vocabulary-second-ids = vocab_size 是第一代的（150528），bos_token_id 却是第二代的（130004）；请使用与权重一同发布的 config.json
mix-second-vocabulary-first-ids = vocab_size 是第二代的（130528），bos_token_id 却是第一代的（150004）；请使用与权重一同发布的 config.json
mix-first-weights = 权重是第一代的（150528 个编号），配置是第二代的（130528 个）；请从同一修订获取两者
mix-second-weights = 权重是第二代的（130528 个编号），配置是第一代的（150528 个）；请从同一修订获取两者
mix-chatglm2-weights = 权重属于 ChatGLM2-6B 或其后续模型，配置属于 ChatGLM-6B
mix-chatglm-weights = 权重属于 ChatGLM-6B，配置属于 ChatGLM2-6B 或其后续模型
mix-visualglm-weights = 权重属于 VisualGLM-6B，配置属于 ChatGLM-6B
mix-first-tokenizer = 分词器是第一代的，其文本从编号 20000 开始，模型是第二代的；请使用与权重同一修订的 ice_text.model
mix-second-tokenizer = 分词器是第二代的，其文本从编号 0 开始，模型是第一代的；请使用与权重同一修订的 ice_text.model
mix-chatglm2-tokenizer = 分词器属于 ChatGLM2-6B 或其后续模型，模型是 ChatGLM-6B；它的分词器文件是 ice_text.model
mix-chatglm-tokenizer = 分词器属于 ChatGLM-6B，模型是 ChatGLM2-6B 或其后续模型；它的分词器文件是 tokenizer.model
mix-missing-prefix = 配置中有 `pre_seq_len`（P-Tuning v2 前缀的长度），权重中却没有前缀；请使用该模型的 config.json，或删除这个键以不带前缀地使用模型
mix-other-layer-count = 权重有 { $weights } 层，配置中 `num_layers` 为 { $config }；请使用同一个模型的权重和配置，并检查文件是否已全部下载
mix-other-width = 权重的宽度为 { $weights }，配置中 `hidden_size` 为 { $config }；请使用同一个模型的权重和配置
mix-float-weights = 配置中有 `quantization_bit`，权重却未经量化；请使用 fp16 模型的 config.json
mix-quantized-weights = 权重经过量化，配置中却没有说明（`quantization_bit`）；请使用与权重一同发布的 config.json
mix-int8-weights = 配置说明为 INT4，权重却是 INT8
mix-int4-weights = 配置说明为 INT8，权重却是 INT4
mix-quantized-embedding = 词嵌入经过量化，配置中却没有说明（`quantization_embeddings`）
mix-float-embedding = 配置中有 `quantization_embeddings`，词嵌入却未经量化

## What is in the way of an output

occupied-file = 已存在，是一个文件；请将其删除、换一个名字，或允许替换（`--force`）
occupied-folder = 已存在，是一个含有文件的文件夹；请换一个名字、清空文件夹，或允许替换其中的文件（`--force`）
occupied-source = 就是制作输出所用的来源，或是其中一部分；来源绝不会被覆盖，请换一个位置
occupied-other-tokenizer = 已存在，是另一个模型的分词器；请写入其他文件夹，或先移走该文件
occupied-being-written = 正由另一个进程写入；请等待其结束

## Snapshots of what was read

snapshot-field-beginning = 文件开头
snapshot-field-version = 格式版本
snapshot-field-precision = 键值的精度
snapshot-field-length = 长度
snapshot-field-model = 模型摘要
snapshot-field-checksum = 校验和
snapshot-field-tokens = token 列表
snapshot-unknown-precision = 未知（{ $code }）
snapshot-bytes = { $bytes } 字节
snapshot-least-bytes = 至少 { $least } 字节
snapshot-prompt = 该模型的提示词
