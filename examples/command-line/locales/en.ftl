# What all programs have in common.

shared-error = error: { $reason }
shared-note = note: { $text }

# Of --lang.
shared-help-lang = Language of help, messages and errors [default: Chinese in a Chinese locale, else English]

# Values of options.
shared-number-at-least = must be a whole number of at least { $least }
shared-number-from-to = must be a whole number from { $least } to { $most }
shared-unknown-encoding = is no encoding that is known; gbk, gb18030, big5, utf-8 and utf-16le are, with all others of the web

# Texts that are read.
shared-standard-input = standard input
shared-cannot-read = cannot read { $name }: { $reason }
shared-cannot-read-input = cannot read standard input: { $reason }
shared-cannot-write-report = cannot write the report: { $reason }
shared-text-too-long = { $name } has more than { $limit } bytes
shared-not-in-encoding = { $name } is not text in { $encoding }; --encoding names another encoding
shared-binary = { $name } is no text: it holds zero bytes; text in UTF-16 has them, --encoding utf-16le names it
shared-encoding-not-told = { $name } is not UTF-8, and its encoding cannot be told; --encoding names it
shared-guessed-encoding = { $name } is not UTF-8 and was read as { $encoding }; --encoding names another encoding

# Models.
shared-no-model = there is no file or folder { $path }; a model is the folder of a downloaded checkpoint, a ggml file, a quantised file, or the name ORG/NAME of a model to download
shared-no-config = { $path } is not a checkpoint folder: it has no config.json; looked for config.json, ice_text.model or tokenizer.model, and the weights as model.safetensors, model.safetensors.index.json, pytorch_model.bin or pytorch_model.bin.index.json

# Progress.
shared-stage-downloading = downloading
shared-stage-waiting = waiting for another process
shared-stage-reading = reading
shared-stage-converting = converting
shared-stage-quantizing = quantising
shared-stage-saving = saving
shared-stage-verifying = verifying
shared-time-left = { $time } left
shared-blocks = { $done }/{ $all } blocks
shared-hours = { $hours } h { $minutes } min
shared-minutes = { $minutes } min { $seconds } s
shared-seconds = { $seconds } s

# What lies at a path. In English as the library displays it.
shared-report-what = what
shared-report-verdict = verdict
shared-report-holds = holds
shared-report-weights = weights
shared-report-tokenizer = tokenizer
shared-report-problem = problem
shared-report-note = note
shared-report-memory = memory
shared-report-context = context
shared-report-suggestion = suggestion
shared-report-precision = precision
shared-report-head = head
shared-report-size = weights
shared-report-longest = longest context
shared-report-unknown = unknown
shared-report-no-room = does not fit
shared-report-all-tokens = { $tokens } (all)
shared-report-available = { $available } available
shared-report-per-token = { $size } for each 1000 tokens ({ $int8 } with --kv-cache int8), and up to { $work } while a prompt is read; at most { $longest } tokens
shared-report-member = { $name }: { $content }
shared-report-unknown-family = a model of unknown family
shared-report-content-for = { $content } for { $family }
shared-report-first-generation = first generation (150528 ids)
shared-report-second-generation = second generation
shared-report-stored = stored as { $precision }
shared-report-prepacked = prepacked
shared-report-billion = { $number } billion parameters
shared-report-million = { $number } million parameters
shared-report-thousand = { $number } thousand parameters
shared-report-parameters = { $number } parameters
shared-report-and = {", "}
shared-report-files =
    { $count ->
        [one] { $format }, 1 file, { $size }
       *[other] { $format }, { $count } files, { $size }
    }
shared-report-files-missing =
    { $count ->
        [one] { $format }, 1 file, { $missing } of them missing, { $size }
       *[other] { $format }, { $count } files, { $missing } of them missing, { $size }
    }
shared-report-with-int8-cache = {" "}with --kv-cache int8, for longer conversations
shared-report-faster = ; --precision { $precision } is faster
shared-report-no-memory = this machine lacks memory: even { $precision } needs { $size }
shared-report-least-memory = --precision int4 needs the least memory
