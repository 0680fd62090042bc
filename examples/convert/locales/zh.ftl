# convert 的文字；中文帮助在 help.zh.ftl。

convert-wrote = 已写出 { $output }：{ $size }，已校验，用时 { $time }
convert-wrote-unverified = 已写出 { $output }：{ $size }，未校验，用时 { $time }
convert-requantize-does-it = 加上 --requantize 仍可进行，但会损失质量
# 选项必须满足的条件
convert-only-prepacked = 省略（仅可与 --to prepacked 同用）
