# quality 的文字；中文帮助在 help.zh.ftl。

quality-heads = | 各层 | 词嵌入、输出层 | 量化方法 | 输入 | 缓存 | 困惑度 | 答对 |
quality-right = { $right } / { $all }
