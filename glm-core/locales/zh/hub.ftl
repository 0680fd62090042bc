# Errors of downloads. The English stands in `src/hub/error.rs`.

hub-local-name = 没有 { $path }，也不会把它当作要下载的模型名：{ $why }
hub-not-found = { $endpoint } 上没有模型 `{ $repo }` 的修订 `{ $revision }`；请检查名字；如果是私有模型，请设置 HF_TOKEN
hub-access-denied = 模型 `{ $repo }` 是私有的或需要申请：请在 { $endpoint }/{ $repo } 接受其条款，并将 HF_TOKEN 设为有权读取它的令牌（{ $token }）
hub-token-may-not = 当前令牌无权读取
hub-no-token = 未给出令牌
hub-no-checkpoint = `{ $repo }` 的修订 `{ $revision }` 不是这类检查点：其中没有：{ $missing }
hub-not-cached = { $cache_dir } 中 `{ $repo }` 的修订 `{ $revision }` 不完整，缺少：{ $missing }；请在联网时运行一次，不带 --offline，也不设 HF_HUB_OFFLINE
hub-connection = 无法下载 { $url }：{ $reason }；已下载的部分已保留，再次运行即可继续
hub-stalled = { $url } 在 { $seconds } 秒内没有发送任何数据；已下载的部分已保留，再次运行即可继续
hub-status = { $url } 返回状态码 { $status }
hub-reply = { $url } 的应答不符合 Hub 的规范：{ $reason }
hub-wrong-length = { $url } 有 { $found } 字节，应为 { $expected } 字节；文件已丢弃，请重试
hub-wrong-checksum = { $url } 在传输中损坏：校验和为 { $found }，应为 { $expected }；文件已丢弃，请重试
hub-no-cache-dir = 没有可以存放下载文件的主目录；请将 HF_HOME 设为一个文件夹

hub-snapshot = 它的快照
hub-or = { $first } 或 { $second }
hub-name-of-a-file = .{ $extension } 是文件的扩展名
hub-name-of-a-folder = 这里有 `{ $folder }`，所以它可能是一个路径；要下载以此为名的模型，请在其他文件夹中运行

hub-listing-too-long = 文件列表最多 { $most } 字节
hub-no-commit = { $commit } 不是提交
hub-other-commit = 它给出的是提交 { $commit }
hub-no-etag = 没有可用的 etag
hub-no-length = 没有给出长度
hub-no-address = 不是有效的地址
hub-redirect-no-web-address = 重定向的目标不是普通的网址
hub-redirect-without-encryption = 重定向到了未加密的连接
hub-redirects-too-often = 重定向次数过多
hub-other-part = 发来的不是所请求的部分
hub-ended-early = 在 { $length } / { $size } 字节处中断
hub-content-range = 无法解析其 content-range
hub-download-status = 对下载请求返回状态码 { $status }
hub-announces-too-much = 它声明有 { $bytes } 字节，但这类文件最多 { $most } 字节

hub-notice-unchecked = 只检查了 { $url } 的长度：Hub 没有给出它的校验和
