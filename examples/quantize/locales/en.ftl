# What `quantize` says. Its help is in the sources, in `arguments.rs`.

quantize-wrote = wrote { $output }: { $size }, layers { $precision }, in { $time }
quantize-no-text = there is no text in { $path }
# What an option must be.
quantize-official-precisions = int4, int8, int4-row or int8-row with --official: that layout has one scale for each row
