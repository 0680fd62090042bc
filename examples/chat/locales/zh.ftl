# chat 的文字；中文帮助在 help.zh.ftl。

# 第一行与官方程序相同。
chat-welcome =
    欢迎使用 { $model } 模型，输入内容即可进行对话，clear 清空对话历史，stop 终止程序
    （retry 重新回答，undo 撤回上一轮，Ctrl-C 停止回答，Ctrl-D 终止程序；
    多行问题：行末加 \ 换行继续，或用 """ 开始和结束）
chat-demonstration =
    注意：这是程序内置的小型演示模型，只会一些简单的问答，不是真正的 ChatGLM-6B。
    要使用真正的模型，请加上 --model THUDM/chatglm-6b（自动下载）或 --model 模型文件夹（官方下载的文件夹，无需转换）。
chat-user-prompt = 用户：
chat-model-label = { $model }：

# 加载。前五条是进度条的标题。
chat-stage-waiting = 等待其他进程
chat-stage-downloading = 下载
chat-stage-quantizing = 量化
chat-stage-saving = 保存
chat-stage-loading = 加载模型
chat-time-left = 剩余 { $time }
chat-prepacking-begins = （首次以此精度使用这个模型：量化一次并存入缓存文件夹，以后直接使用）
chat-downloading-begins = （下载模型，存入 Hugging Face 缓存文件夹，只需一次；中断后可继续）
chat-waiting-begins = （另一个进程正在下载或量化同一模型，等待中）
chat-known-tokens = （缓存中有以前读过的 { $tokens } 个 token）
chat-outdated-cache = （提示缓存不能使用，将被替换：{ $reason }）
chat-cache-memory = （对话最长 { $tokens } 个 token，其键值缓存最多占用 { $size } 内存，随对话增长）
chat-held-to-its-length = （模型的训练长度为 { $longest } 个 token，--max-length 以此为限）

# 对话
chat-beam-search = （束搜索，{ $beams } 束：回答完成后一次显示）
chat-reads-to-the-end = （输入问题，可以多行；另起一行按 Ctrl-D 结束）
chat-invalid-keys = （输入的内容不是 UTF-8，已丢弃；请将终端的编码设为 UTF-8）
chat-interrupt-again = （再按一次 Ctrl-C 终止程序）
chat-dropped-turns = （对话太长，最早的 { $turns } 轮已被遗忘）
chat-cut-by-length = （回答达到长度上限而被截断，见 --max-length 与 --max-new-tokens）
chat-stopped = （已停止，写出的部分保留在对话中；再按一次 Ctrl-C 终止程序）
chat-stopped-before = （已停止，这个问题不计入对话；再按一次 Ctrl-C 终止程序）
chat-taken-back = （上一轮对话已撤回）
chat-no-turn = （还没有对话）
chat-invalid-scores = （模型 { $times } 次输出了 NaN 或无穷大，权重可能已损坏）
chat-invalid-line = （第 { $line } 行不是有效的 { $encoding }，无效的部分已替换）
chat-line-too-long = 错误：第 { $line } 行超过 { $limit } 字节，已跳过

# 错误
chat-no-question = { $name } 中没有问题
chat-empty-question = 问题为空
chat-no-blank = --infill 的文本中没有空白：请写 [MASK]（几个词）、[sMASK]（句子）或 [gMASK]（段落）
chat-no-infilling = ChatGLM2-6B 及其同系列模型没有学过填空；请用 ChatGLM-6B 做 --infill，或用 --once 提问
chat-no-lines = { $encoding } 编码的问题无法逐行读取；请用 --file 或 --once - 给出一个问题
chat-same-answers = --num-return-sequences 要求多个回答，但贪心解码（--greedy 或 --temperature 0）只有一个；请改用采样，或加上 --num-beams
chat-cannot-write = 无法写出回答：{ $reason }
chat-cannot-read-terminal = 无法读取终端：{ $reason }
chat-cannot-watch = 无法监听 Ctrl-C：{ $reason }
