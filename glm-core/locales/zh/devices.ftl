# Errors of glm-backends and glm-quant. The English stands in these crates.

device-unknown-device = 未知设备 `{ $name }`：应为 cpu、ndarray、wgpu[:N] 或 cuda[:N]
device-device-not-built = 当前构建不包含设备 `{ $name }`：请加上 `--features { $feature }` 编译
device-tensor-threads = 无法用 { $threads } 个线程进行张量计算：{ $reason }
threads-zero = 不能用 0 个线程计算
threads-too-many = 不能使用 { $threads } 个线程：{ $cores } 个核心上最多允许 { $limit } 个
threads-already-running = 不能使用 { $threads } 个线程：已有 { $running } 个在运行
cpu-level-unknown = 未知的 CPU 级别 `{ $name }`：应为 scalar、avx2、avx512vnni、amx 或 neon
cpu-level-not-available = 这个 CPU 没有 `{ $level }` 级别的指令；它支持 { $available }

quant-length = { $what }应有 { $expected } 个元素，实际为 { $found }
quant-too-large = { $rows } 行 { $cols } 列的矩阵过大
quant-odd-columns = int4 矩阵的列数须为偶数，实际为 { $cols }
quant-no-such-row = 请求了第 { $row } 行，但矩阵只有 { $rows } 行
quant-non-finite-weight = 第 { $row } 行第 { $column } 列的权重是 NaN 或无穷大
quant-non-finite-scale = 第 { $row } 行的缩放系数是 NaN 或无穷大
quant-scale-overflow = 第 { $row } 行的权重过大，缩放系数超出半精度范围
quant-slab-splits-block = 一批行结束于第 { $row } 行，它既不是最后一行，也不是 16 的倍数
quant-not-official = 请求的是每行一个缩放系数的 { $wanted } 位编码，而矩阵是 { $bits } 位，缩放系数的范围为：{ $group }
quant-no-packed-form = { $block } 块没有权重相同的打包形式
quant-non-finite-activation = 第 { $token } 个 token 第 { $column } 列的激活值是 NaN 或无穷大
quant-columns = 权重有 { $found } 列，激活值有 { $expected } 列
quant-not-positive-definite = 无论阻尼多大，激活值的二阶矩都不是正定的

quant-group-row = 整行
quant-group-columns = { $columns } 列
quant-part-bias = 偏置
quant-part-blocks = 数据块
quant-part-bytes-of-scales = 缩放系数的字节
quant-part-codes = 编码
quant-part-last-row = 该批行的最后一行
quant-part-output = 输出
quant-part-packed-codes = 打包的编码
quant-part-pushed-rows = 已送入的行
quant-part-scales = 缩放系数
quant-part-slab = 该批行
quant-part-weights = 权重
quant-part-whole-blocks = 由整块组成的行
