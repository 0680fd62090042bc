# Errors of glm-core. The English is in `src/error.rs`.

not-found = { $path } 不存在；请检查路径是否正确、文件是否已全部下载
