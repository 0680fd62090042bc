# quantize 的文字；中文帮助在 help.zh.ftl。

quantize-wrote = 已写出 { $output }：{ $size }，各层为 { $precision }，用时 { $time }
quantize-no-text = { $path } 中没有文本
# 选项必须满足的条件
quantize-official-precisions = int4、int8、int4-row 或 int8-row（与 --official 同用时，官方布局每行一个缩放系数）
