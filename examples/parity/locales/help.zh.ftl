# parity 的中文帮助；英文帮助在 main.rs。

parity-about =
    把本程序的结果与官方 ChatGLM-6B 或 ChatGLM2-6B 代码的结果作比较；后者记录在检查点旁边的 expected.json 和 expected.safetensors 中

    每项检查显示一行，包括最大误差和容差。全部通过时退出码为 0，有检查未通过或有文件夹无法比较时为 1，选项有误时为 2。
parity-help-dirs = 含有 expected.json 的文件夹；其布局见 README
parity-help-format = 要加载的权重文件
    .default = 文件夹中的每种格式
    .safetensors = model.safetensors，单文件或分片
    .bin = pytorch_model.bin，单文件或分片
parity-help-device = 模型运行的设备：cpu，以及编译时启用的 ndarray、wgpu[:N]、cuda[:N]
parity-help-fast = 按 `chat` 的默认方式计算（量化权重的输入舍入为 int8，键和值舍入为 f16），并按相应的容差比较
parity-help-markdown = 不逐行显示，而为每个文件夹显示一个 Markdown 表格，列出每个量的最大误差
parity-help-quiet = 只显示未通过的检查和总数
