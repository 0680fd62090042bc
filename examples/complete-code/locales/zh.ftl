# complete-code 的文字；中文帮助在 help.zh.ftl。

complete-code-language-not-told = 没有告诉模型编程语言；可用 --language 指定
complete-code-too-long = 代码太长，开头的 { $bytes } 字节没有读取
complete-code-invalid-scores = 模型输出的分数不是数字，权重已损坏
complete-code-cut-at = 补全在 { $limit } 个 token 处被截断；可用 --max-new-tokens 放宽
complete-code-cut-by-context = 补全达到模型上下文的上限而被截断

# 错误
complete-code-other-family = { $path } 属于 ChatGLM-6B，不能补全代码；请使用 CodeGeeX2-6B（THUDM/codegeex2-6b）
complete-code-no-language = 未知的编程语言 `{ $name }`；--language 可用的名字见 --languages
complete-code-no-line = { $path } 没有第 { $line } 行：共 { $lines } 行
complete-code-no-column = { $path } 的第 { $line } 行没有第 { $column } 列：最后一列是第 { $last } 列
complete-code-cannot-write = 无法写出补全：{ $reason }
