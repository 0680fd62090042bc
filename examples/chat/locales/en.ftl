# What `chat` says. Its help is in the sources, in `arguments.rs`.

# The line of the official program, and what this one adds.
chat-welcome =
    Welcome to { $model }. Type to talk; `clear` forgets the conversation, `stop` ends the program.
    (`retry` answers again, `undo` takes the last turn back, Ctrl-C stops an answer, Ctrl-D ends the program.
    Several lines: end a line with \ to go on in the next, or begin and end the question with """.)
# That the built-in model is a toy, and how to get the real one.
chat-demonstration =
    Note: this is the small built-in demonstration model. It knows a few simple things; it is not ChatGLM-6B.
    For the real one, start with --model THUDM/chatglm-6b (downloads it), or --model DIR (the folder of an official download, as it is).
chat-user-prompt = You:{" "}
chat-model-label = { $model }:{" "}

# Loading. The first five are titles of the progress bar.
chat-stage-waiting = Waiting
chat-stage-downloading = Downloading
chat-stage-quantizing = Quantising
chat-stage-saving = Saving
chat-stage-loading = Loading
chat-time-left = left: { $time }
chat-prepacking-begins = (first use of this model in this precision: it is quantised once and kept in the cache folder)
chat-downloading-begins = (the model is downloaded once and kept in the Hugging Face cache folder; when interrupted, it continues)
chat-waiting-begins = (another process is downloading or quantising the same model; waiting for it)
chat-known-tokens = (the prompt cache holds { $tokens } tokens that were read before)
chat-outdated-cache = (the prompt cache will be replaced: { $reason })
chat-cache-memory = (conversations of up to { $tokens } tokens: at most { $size } of memory for their keys and values, taken as they grow)
chat-held-to-its-length = (the model was trained for { $longest } tokens; --max-length is held to that)

# The conversation.
chat-beam-search = (beam search with { $beams } beams: an answer appears when it is complete)
chat-reads-to-the-end = (type the question, in any number of lines; Ctrl-D on a new line ends it)
chat-invalid-keys = (what was typed is not UTF-8 and was discarded; set the terminal's encoding to UTF-8)
chat-interrupt-again = (Ctrl-C again ends the program)
chat-dropped-turns =
    { $turns ->
        [one] (the conversation grew too long: the oldest turn was forgotten)
       *[other] (the conversation grew too long: the oldest { $turns } turns were forgotten)
    }
chat-cut-by-length = (the answer was cut at the length limit, see --max-length and --max-new-tokens)
chat-stopped = (stopped; the conversation keeps what was written, Ctrl-C again ends the program)
chat-stopped-before = (stopped before the answer began, the question is forgotten; Ctrl-C again ends the program)
chat-taken-back = (the last question and its answer are forgotten)
chat-no-turn = (nothing was asked yet)
chat-invalid-scores = (the model gave NaN or infinite scores { $times } times; its weights may be damaged)
chat-invalid-line = (line { $line } is not valid { $encoding }; the invalid parts were replaced)
chat-line-too-long = error: line { $line } has more than { $limit } bytes and was skipped

# Errors.
chat-no-question = there is no question in { $name }
chat-empty-question = the question is empty
chat-no-blank = there is no blank in the text of --infill: write [MASK] for a few words, [sMASK] for sentences, or [gMASK] for a passage
chat-no-infilling = ChatGLM2-6B and its relatives have not learned to fill blanks; use --infill with ChatGLM-6B, or ask with --once
chat-no-lines = questions in { $encoding } cannot be taken line by line; give one with --file or --once -
chat-same-answers = --num-return-sequences asks for several answers, but greedy decoding (--greedy or --temperature 0) has only one; sample, or add --num-beams
chat-cannot-write = cannot write the answer: { $reason }
chat-cannot-read-terminal = cannot read from the terminal: { $reason }
chat-cannot-watch = cannot watch for ctrl-c: { $reason }
