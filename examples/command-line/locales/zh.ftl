# 各程序共用的文字。

shared-error = 错误：{ $reason }
shared-note = 注意：{ $text }

# --lang
shared-help-lang = 帮助、消息和错误信息的语言 [默认值：中文环境为中文，否则为英文]

# 选项的值
shared-number-at-least = 必须是不小于 { $least } 的整数
shared-number-from-to = 必须是 { $least } 到 { $most } 之间的整数
shared-unknown-encoding = 不是已知的编码；可用 gbk、gb18030、big5、utf-8、utf-16le 以及 Web 标准中的其他编码

# 读取文本
shared-standard-input = 标准输入
shared-cannot-read = 无法读取 { $name }：{ $reason }
shared-cannot-read-input = 无法读取标准输入：{ $reason }
shared-cannot-write-report = 无法写出报告：{ $reason }
shared-text-too-long = { $name } 超过 { $limit } 字节
shared-not-in-encoding = { $name } 不是 { $encoding } 编码的文本；可用 --encoding 指定其他编码
shared-binary = { $name } 不是文本：其中含有零字节；如果是 UTF-16 文本，请用 --encoding utf-16le 指定
shared-encoding-not-told = { $name } 不是 UTF-8，也无法判断其编码；请用 --encoding 指定
shared-guessed-encoding = { $name } 不是 UTF-8，已按 { $encoding } 读取；可用 --encoding 指定其他编码

# 模型
shared-no-model = 没有名为 { $path } 的文件或文件夹；模型可以是下载的检查点文件夹、ggml 文件、量化后的文件，或要下载的模型的名字 ORG/NAME
shared-no-config = { $path } 不是检查点文件夹：其中没有 config.json；需要 config.json，ice_text.model 或 tokenizer.model，以及权重文件 model.safetensors、model.safetensors.index.json、pytorch_model.bin 或 pytorch_model.bin.index.json

# 进度
shared-stage-downloading = 下载
shared-stage-waiting = 等待其他进程
shared-stage-reading = 读取
shared-stage-converting = 转换
shared-stage-quantizing = 量化
shared-stage-saving = 保存
shared-stage-verifying = 校验
shared-time-left = 剩余 { $time }
shared-blocks = { $done }/{ $all } 层
shared-hours = { $hours } 小时 { $minutes } 分
shared-minutes = { $minutes } 分 { $seconds } 秒
shared-seconds = { $seconds } 秒

# 路径上的内容
shared-report-what = 内容
shared-report-verdict = 结论
shared-report-holds = 包含
shared-report-weights = 权重
shared-report-tokenizer = 分词器
shared-report-problem = 问题
shared-report-note = 注意
shared-report-memory = 内存
shared-report-context = 上下文
shared-report-suggestion = 建议
shared-report-precision = 精度
shared-report-head = 输出层
shared-report-size = 权重
shared-report-longest = 最长上下文
shared-report-unknown = 未知
shared-report-no-room = 放不下
shared-report-all-tokens = { $tokens }（全部）
shared-report-available = 可用 { $available }
shared-report-per-token = 每 1000 个 token { $size }（--kv-cache int8 为 { $int8 }），读取提示时最多另需 { $work }；最长 { $longest } 个 token
shared-report-member = { $name }：{ $content }
shared-report-unknown-family = 未知系列的模型
shared-report-content-for = { $family } 的{ $content }
shared-report-first-generation = 第一代（150528 个编号）
shared-report-second-generation = 第二代
shared-report-stored = 存储为 { $precision }
shared-report-prepacked = 预打包
shared-report-billion = 参数量 { $number }B
shared-report-million = 参数量 { $number }M
shared-report-thousand = 参数量 { $number }K
shared-report-parameters = 参数量 { $number }
shared-report-and = ，
shared-report-files = { $format }，{ $count } 个文件，{ $size }
shared-report-files-missing = { $format }，{ $count } 个文件，缺少其中 { $missing } 个，{ $size }
shared-report-with-int8-cache = {" "}加 --kv-cache int8，以便更长的对话
shared-report-faster = ；--precision { $precision } 更快
shared-report-no-memory = 本机内存不足：{ $precision } 也需要 { $size }
shared-report-least-memory = --precision int4 所需内存最少
