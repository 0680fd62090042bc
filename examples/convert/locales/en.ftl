# What `convert` says. Its help is in the sources, in `arguments.rs`.

convert-wrote = wrote { $output }: { $size }, verified, in { $time }
convert-wrote-unverified = wrote { $output }: { $size }, not verified, in { $time }
convert-requantize-does-it = --requantize does it nevertheless, at the cost of quality
# What an option must be.
convert-only-prepacked = left out, except with --to prepacked
