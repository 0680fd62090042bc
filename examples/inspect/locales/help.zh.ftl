# inspect 的中文帮助；英文帮助在 main.rs。

inspect-about =
    说明检查点是什么、有什么问题、在本机上需要多少内存

    只读取文件头：13 GB 的文件夹也只需几毫秒。全部都能加载（包括已有的分词器）时退出码为 0，否则为 1。
inspect-help-paths = 下载的检查点文件夹，或 `quantize`、`convert` 生成的文件
inspect-help-json = 以 JSON 列表显示，每个路径一个对象，大小以字节计
