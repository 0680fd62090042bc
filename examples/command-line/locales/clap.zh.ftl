# 命令行解析器 clap 的文字；英文由 clap 自己给出。

shared-help-help = 显示帮助
shared-help-version = 显示版本
shared-heading-arguments = 参数
shared-heading-options = 选项
shared-possible-values = 可选值：
shared-one-of = [可选值：{ $values }]
shared-default-value = [默认值：{ $value }]

shared-usage = 用法：{ $usage }
shared-usage-more = 详细说明请见 --help。
shared-usage-unknown = 未知的参数 { $argument }
shared-usage-missing = 缺少以下必需的参数：{ $arguments }
shared-usage-repeated = { $argument } 只能给出一次
shared-usage-conflict = { $argument } 不能与以下参数同时使用：{ $others }
shared-usage-no-value = { $argument } 需要一个值
shared-usage-value = { $argument } 的值“{ $value }”无效
shared-usage-values = 可选值：{ $values }
shared-usage-because = { $reason }：{ $source }
shared-usage-expected = 应为{ $expected }
shared-usage-no-number = 不是数字
shared-usage-number-of-values = { $argument } 的值的个数不对
shared-usage-no-equals = { $argument } 的值前面需要等号
shared-usage-invalid-utf8 = 参数中有无效的 UTF-8
shared-usage-unknown-command = 未知的命令 { $name }
shared-usage-no-command = 缺少命令
shared-usage-similar = {"  "}提示：是否想用 { $name }？
