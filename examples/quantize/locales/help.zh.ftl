# quantize 的中文帮助；英文帮助在 arguments.rs。

quantize-about = 在磁盘上把 ChatGLM-6B 或 ChatGLM2-6B 的检查点量化为 INT8 或 INT4
quantize-after-help =
    精度：
      int4, int8            4 位或 8 位编码，每 128 列一个缩放系数
      int4-g32, int8-g32    每 32 列一个缩放系数：稍大一些，更接近原模型
      int4-row, int8-row    每行一个缩放系数，与官方的 int4、int8 检查点相同
      stored                与检查点相同：只打包不量化，或保留词嵌入的精度

    生成的文件可直接使用：程序以内存映射方式打开，立即启动。张量逐个转换，13 GB 的检查点只需不到 4 GB 内存。

    示例：
      quantize chatglm-6b --precision int4 -o chatglm-6b-int4.glm
      quantize chatglm-6b --precision int4 --head int4 -o chatglm-6b-int4-small.glm
      quantize chatglm-6b --precision int4 --gptq text.txt -o chatglm-6b-int4-gptq.glm
      quantize chatglm-6b --precision int4 --official -o chatglm-6b-int4

quantize-help-source = 检查点文件夹（config.json 和权重）、chatglm.cpp 的 ggml 文件，或 huggingface.co 上模型的名字，如 THUDM/chatglm-6b，只下载一次
quantize-help-precision = 各层矩阵的精度
quantize-help-head = 词嵌入与输出层的精度
    .default = int8；与 --official 同用时为 stored
quantize-help-gptq = 用 GPTQ 在这个文本文件上确定各层的编码：模型更好，但需要数小时。约使用 30000 个 token，文本的语言和类型应与模型将要处理的一致。内存必须放得下整个检查点
quantize-help-encoding = 该文本的编码，如 gbk
    .default = UTF-8；有字节顺序标记时以其为准，否则按最可能的编码
quantize-help-official = 不写单个文件，而写官方布局的文件夹，供其他程序使用；每行一个缩放系数，词嵌入与输出层为 fp16
quantize-help-output = 要写出的文件（与 --official 同用时为文件夹）
quantize-help-force = 覆盖已有的内容
