//! The names that a pickle of weights may import, as `torch.load(weights_only=True)` has such a list.

use glm_tokenizer::phrase;

use super::pickle_scan::Refusal;

/// # Errors
/// [`Refusal::Unsafe`] for a name that does more than describe weights.
pub(super) fn check_import(module: &str, name: &str) -> Result<(), Refusal> {
    if is_allowed(module, name) {
        Ok(())
    } else {
        Err(Refusal::Unsafe(phrase!(
            "pickle-refers-to",
            "it refers to `{module}.{name}`",
            module,
            name
        )))
    }
}

/// Names that only build tensors, plain containers and the settings that trainers save beside them.
fn is_allowed(module: &str, name: &str) -> bool {
    match module {
        "collections" => matches!(name, "OrderedDict" | "defaultdict" | "Counter"),
        "builtins" | "__builtin__" => matches!(
            name,
            "set"
                | "frozenset"
                | "dict"
                | "list"
                | "tuple"
                | "int"
                | "float"
                | "complex"
                | "bool"
                | "str"
                | "bytes"
                | "bytearray"
                | "slice"
                | "range"
                | "object"
        ),
        "torch._utils" => matches!(
            name,
            "_rebuild_tensor"
                | "_rebuild_tensor_v2"
                | "_rebuild_tensor_v3"
                | "_rebuild_parameter"
                | "_rebuild_parameter_with_state"
        ),
        "torch._tensor" => name == "_rebuild_from_type_v2",
        "torch.nn.parameter" => matches!(name, "Parameter" | "Buffer"),
        "torch.storage" | "torch.cuda" => name.ends_with("Storage"),
        "torch" => {
            name.ends_with("Storage")
                || matches!(
                    name,
                    "Size"
                        | "Tensor"
                        | "device"
                        | "bfloat16"
                        | "half"
                        | "float"
                        | "double"
                        | "bool"
                        | "int"
                        | "long"
                        | "short"
                )
                || is_numbered_type(name)
        }
        "torch.serialization" => name == "_get_layout",
        "argparse" => name == "Namespace",
        "numpy" => matches!(name, "dtype" | "ndarray"),
        "numpy.core.multiarray" | "numpy._core.multiarray" => {
            matches!(name, "scalar" | "_reconstruct")
        }
        // How Python 3 writes bytes in the older protocols.
        "_codecs" => name == "encode",
        _ => false,
    }
}

/// `float16`, `int8`, `uint64` and the like.
fn is_numbered_type(name: &str) -> bool {
    ["float", "int", "uint", "complex"]
        .iter()
        .filter_map(|kind| name.strip_prefix(kind))
        .any(|bits| matches!(bits, "8" | "16" | "32" | "64" | "128"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_torch_are_not_taken_by_how_they_begin() {
        for name in ["floating", "load", "hub", "int", "float128x"] {
            assert_eq!(is_allowed("torch", name), name == "int", "{name}");
        }
    }
}
