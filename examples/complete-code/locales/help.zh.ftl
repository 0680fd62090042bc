# complete-code 的中文帮助；英文帮助在 arguments.rs。

complete-code-about = 用 CodeGeeX2-6B 在光标处补全代码
complete-code-after-help =
    CodeGeeX2 只看得到光标之前的内容。模型不读取光标之后的内容，只是代码块的补全会在已有的行之前结束。

    提示与官方相同：语言标签（如 `# language: Python`，代码已以标签开头时除外）加上代码。代码太长时，开头的部分会被略去。

    标准输出只有补全的内容（UTF-8），其余都写到标准错误。退出码：已补全为 0，出错为 1，选项有误为 2。

    使用 --stdio 时，标准输入的每一行是一个 JSON 对象：
      {"  {"}"id": 1, "path": "a.py", "prefix": "def f(x):\n", "suffix": "\n"{"}"}
      {"  {"}"cancel": 1{"}"}
    请求中还可以有 language、until、max_new_tokens、stop、temperature、top_p、top_k 和 seed。回答按请求的顺序给出，先是各个片段，最后是结束：
      {"  {"}"id": 1, "text": "    return x"{"}"}
      {"  {"}"id": 1, "done": true, "finish_reason": "code_complete",
    {"   "}"prompt_tokens": 15, ...{"}"}
    无法理解的行得到 {"{"}"error": ...{"}"}。前一个请求读过的内容不再重读，cached_tokens 是其数量。

    示例：
      complete-code --model THUDM/codegeex2-6b --precision int4 src/main.rs:12
      echo '# 写一个冒泡排序函数' | complete-code -m codegeex2-6b -l python
      complete-code -m codegeex2-6b --until line --json src/main.rs:12:9
      complete-code -m codegeex2-6b --precision int4 --stdio

complete-code-help-place = 代码文件以及光标的位置，行、列从 1 数起
    .default = 标准输入；没有列时为行末，没有行时为文件末尾
complete-code-help-language = 代码的编程语言，会告诉模型
    .default = 由文件名判断
complete-code-help-encoding = 代码的编码，如 gbk
    .default = UTF-8；有字节顺序标记时以其为准，否则按最可能的编码
complete-code-help-languages = 列出所有编程语言及其标签，然后结束
complete-code-help-json = 以 JSON 给出补全，包括结束的原因和 token 数
complete-code-help-stdio = 为编辑器服务：从标准输入读取请求，向标准输出写出补全，每行一个 JSON 对象

complete-code-heading-model = 模型
complete-code-help-model = 下载的检查点文件夹（config.json、tokenizer.model、权重），chatglm.cpp 的 ggml 文件，`quantize` 生成的文件（旁边须有 tokenizer.model），或 huggingface.co 上模型的名字，如 THUDM/codegeex2-6b，只下载一次
complete-code-help-revision = 按名字指定的模型的分支、标签或提交
complete-code-help-offline = 不下载：按名字指定的模型必须已在缓存中（也可设 HF_HUB_OFFLINE=1）
complete-code-help-precision = 各层的精度：stored（与文件相同）、int8 或 int4。量化的结果存入用户的缓存文件夹（GLM_CACHE_DIR），下次直接使用
complete-code-help-device = 运行的设备：cpu；编译时启用同名特性后还有 wgpu 和 cuda
complete-code-help-threads = CPU 线程数
    .default = 每个核一个
complete-code-help-memory = 与 --stdio 同用：为读过的内容保留的内存，以 MB 计；0 为不保留

complete-code-heading-completion = 补全
complete-code-help-until = 补全到哪里为止
    .line = 到行末
    .block = 到代码块或函数的末尾，由缩进判断
    .end = 直到模型结束
complete-code-help-max-new-tokens = 补全的长度上限，以 token 计
complete-code-help-stop = 遇到这个字符串时，补全在它前面结束（可多次给出）
complete-code-help-temperature = 大于 0 时随机采样；0 为贪心解码，每次补全都相同。官方演示用 0.2
complete-code-help-top-p = 只在概率之和达到这个值的最可能的 token 中选择；1 为关闭
complete-code-help-top-k = 只在这么多个最可能的 token 中选择；0 为关闭，1 为贪心解码
complete-code-help-seed = 随机种子：代码相同、种子相同，补全就相同
    .default = 每次不同
