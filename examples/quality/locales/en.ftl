# What `quality` prints.

quality-heads = | layers | embedding, head | quantiser | inputs | cache | perplexity | right |
quality-right = { $right } of { $all }
