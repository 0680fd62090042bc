# convert 的中文帮助；英文帮助在 arguments.rs。

convert-about = 在磁盘上的各种形式之间转换 ChatGLM-6B 或 ChatGLM2-6B 的检查点
convert-after-help =
    形式：
      safetensors   官方布局的文件夹，所有张量为 f16；量化编码会还原
      int8, int4    与官方的 chatglm-6b-int8、chatglm-6b-int4 相同的文件夹
      prepacked     一个可直接使用的文件，精度由 --precision 指定

    分词器一并写出，ggml 文件中的也不例外。张量逐个转换。

    示例：
      convert chatglm-ggml.bin --to safetensors -o chatglm-6b
      convert chatglm-ggml.bin --to prepacked -o chatglm-6b.glm
      convert chatglm-6b --to int4 -o chatglm-6b-int4
      convert chatglm-6b-int4.glm --to int4 --requantize -o chatglm-6b-int4

convert-help-source = 检查点文件夹（config.json 和权重）、chatglm.cpp 的 ggml 文件或预打包文件
convert-help-to = 转换成什么形式
convert-help-precision = 与 --to prepacked 同用：各层矩阵的精度（int4、int8-g32 等，见 `quantize --help`）
    .default = stored
convert-help-head = 与 --to prepacked 同用：词嵌入与输出层的精度
    .default = 各层量化时为 int8，否则为 stored
convert-help-output = 要写出的文件夹（--to prepacked 时为文件）
convert-help-requantize = 允许把量化编码再量化成另一种编码：舍入两次，质量不如只量化一次
convert-help-no-verify = 不校验；默认会重新读取结果，与再次转换的结果比较
convert-help-force = 覆盖已有的内容（源文件除外）
