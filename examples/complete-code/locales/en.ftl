# What `complete-code` says. Its help is in the sources, in `arguments.rs`; what it says to editors is in `messages.rs`.

complete-code-language-not-told = the model was told no language; --language names it
complete-code-too-long = the code is too long: its first { $bytes } bytes were not read
complete-code-invalid-scores = the model gave scores that are no numbers; its weights are damaged
complete-code-cut-at = the completion was cut at { $limit } tokens; --max-new-tokens allows more
complete-code-cut-by-context = the completion was cut where the model's context ends

# Errors.
complete-code-other-family = { $path } belongs to ChatGLM-6B, which does not complete code; use CodeGeeX2-6B (THUDM/codegeex2-6b)
complete-code-no-language = the language `{ $name }` is not known; --language takes one of those that --languages lists
complete-code-no-line = { $path } has no line { $line }: it has { $lines }
complete-code-no-column = line { $line } of { $path } has no column { $column }: the last one is { $last }
complete-code-cannot-write = cannot write the completion: { $reason }
