# chat 的中文帮助；英文帮助在 arguments.rs。

chat-about = 与 ChatGLM-6B、ChatGLM2-6B 或内置的小型演示模型对话
chat-after-help =
    在终端中：clear 清空对话历史，undo 撤回上一轮，retry 重新回答上一个问题，stop 或 exit 终止程序。
    Ctrl-C 停止回答，再按一次终止程序；Ctrl-D 也终止程序。
    多行问题：行末加 \ 换行继续，或用 """ 开始和结束。如果终端能表明内容是粘贴的，粘贴的内容就是一个问题，否则每行一个。

    在管道中：标准输入的每一行是一个问题，空行跳过。标准输出只有回答，其余都写到标准错误。退出码：全部问题都已回答为 0，有问题未能回答或出错为 1，选项有误为 2。

    按名字指定的模型存放在 Python 的 huggingface_hub 所用的缓存中，它的环境变量在这里同样有效：HF_ENDPOINT（镜像站）、HF_HOME、HF_TOKEN、HF_HUB_OFFLINE。

    示例：
      chat
      chat --model THUDM/chatglm-6b --revision v1.1.0 --precision int4
      chat --model chatglm-6b --seed 7
      chat --model chatglm-6b --precision int4
      chat --model chatglm-6b --greedy --once '晚上睡不着应该怎么办'
      chat --model chatglm-6b --num-beams 4 --once '晚上睡不着应该怎么办'
      chat --model chatglm-6b --infill '凯旋门位于[MASK]的首都[MASK]。'
      chat --model chatglm-6b --file letter.txt
      cat report.txt question.txt |
        chat --model THUDM/chatglm2-6b --prompt-cache report.cache --once -
      chat --max-new-tokens 100 < questions.txt > answers.txt

chat-heading-model = 模型
chat-help-model = 下载的检查点文件夹（config.json、ice_text.model、权重），chatglm.cpp 的 ggml 文件，`quantize` 或 `convert` 生成的文件（旁边须有 ice_text.model），或 huggingface.co 上模型的名字，如 THUDM/chatglm-6b，只下载一次
    .default = 内置的演示模型
chat-help-revision = 按名字指定的模型的分支、标签或提交
chat-help-offline = 不下载：按名字指定的模型必须已在缓存中（也可设 HF_HUB_OFFLINE=1）
chat-help-precision = 各层的精度：stored（与文件相同）、int8 或 int4，也可指明多少列共用一个缩放系数：int8-row、int8-g128、int8-g32、int4-row、int4-g128、int4-g32。量化的结果存入用户的缓存文件夹（GLM_CACHE_DIR），下次直接使用
chat-help-head = 词嵌入与输出层的精度，名字同上
    .default = 各层量化时为 int8，否则为 stored
chat-help-kv-cache = 对话在内存中的存放方式。int16：ChatGLM-6B 每个 token 预留 455 KiB（2048 个 token 为 0.95 GB，随对话占用），ChatGLM2-6B 为 28.4 KiB（32768 个 token 为 0.95 GB）；int8 约为其一半
    .f32 = 每个值 4 字节
    .f16 = 每个值 2 字节
    .int16 = 每个值 2 字节，精度与 f16 相当，速度更快
    .int8 = 每个值 1 字节
chat-help-exact = 与官方代码的 f32 计算同样精确；权重量化时较慢
chat-help-device = 运行的设备：cpu；编译时启用同名特性后还有 wgpu、cuda（wgpu:1、cuda:1 为第二个）和 ndarray
chat-help-threads = CPU 线程数
    .default = 每个核一个
chat-help-plan = 显示模型是什么、有什么问题、每种精度需要多少内存，然后结束；不读取大文件
chat-help-json = 与 --plan 同用：以 JSON 显示，大小以字节计

chat-heading-conversation = 对话
chat-help-once = 回答这一个问题，然后结束；- 表示标准输入的全部内容
chat-help-file = 回答这个文件中的问题（行数不限），然后结束；- 表示标准输入
chat-help-encoding = --file 与标准输入的编码，如 gbk
    .default = UTF-8；有字节顺序标记时以其为准；只有一个问题时也可按最可能的编码读取
chat-help-infill = 填写这段文本中的空白，然后结束：[MASK] 填几个词，[sMASK] 填句子，[gMASK] 填段落
chat-help-num-return-sequences = 与 --once 或 --file 同用：给出这么多个回答，以空行分隔
chat-help-raw = 原样显示模型的文字，不做官方代码对空白和标点的整理
chat-help-prompt-cache = 把模型读过的内容存入这个文件，下次接着用：每个问题都以同一段长文开头时，长文只需读一次。ChatGLM-6B 在文本后面有新内容时必须重读

chat-heading-length = 长度
chat-help-max-length = 提示与回答的总长度上限，以 token 计，同时不超过模型本身的上限
    .default = 2048，ChatGLM2-6B 为 8192
chat-help-max-new-tokens = 回答的长度上限，以 token 计
chat-help-min-new-tokens = 回答至少有这么多个 token 才能结束
chat-help-stop = 遇到这个字符串时，回答在它前面结束（可多次给出）

chat-heading-sampling = 采样
chat-help-temperature = 小于 1 时回答更稳定、变化更少；0 为贪心解码
    .default = 0.95，ChatGLM2-6B 为 0.8
chat-help-top-p = 只在概率之和达到这个值的最可能的 token 中选择；1 为关闭
    .default = 0.7，ChatGLM2-6B 为 0.8
chat-help-top-k = 只在这么多个最可能的 token 中选择；0 为关闭
chat-help-repetition-penalty = 大于 1 时减少重复；1 为关闭
chat-help-presence-penalty = 大于 0 时，回答中已有的 token 更少出现
chat-help-frequency-penalty = 同 --presence-penalty，但按出现的次数累计
chat-help-no-repeat-ngram-size = 任何连续这么多个 token 都不出现两次，对话历史也计算在内；0 为关闭
chat-help-greedy = 总是取最可能的 token：每次回答都相同
chat-help-prompt-lookup = 根据前文预测最多 N 个 token：回答不变，重复前文时更快
    .default = 关闭
chat-help-seed = 随机种子：对话相同、种子相同，回答就相同
    .default = 每次不同

chat-heading-beam-search = 束搜索
chat-help-num-beams = 同时跟踪 N 个候选并取最好的：不采样，回答完成后一次显示
    .default = 关闭
chat-help-length-penalty = 大于 0 偏向长的回答，小于 0 偏向短的
chat-help-early-stopping = 已有 N 个完整的回答时，何时结束搜索
    .at-once = 立即结束（early_stopping=True）
    .heuristic = 未完成的候选中最好的一个即使就此结束也进不了前 N 名时（early_stopping=False）
    .never = 未完成的候选都不可能再进入前 N 名时（early_stopping="never"）
