//! What training programs put before the name of every tensor.
//!
//! `DataParallel`, DeepSpeed and SwissArmyTransformer save `module.NAME`, plain scripts and Lightning `state_dict.NAME` or
//! `model.NAME`, a compiled module `_orig_mod.NAME`, PEFT `base_model.model.NAME`. A dictionary around the weights gives
//! the same names as names that all begin alike. None of it says anything about the model.

/// In the order in which they are looked for; one may be in another.
const WRAPPERS: [&str; 7] = [
    "module.",
    "state_dict.",
    "model_state_dict.",
    "base_model.model.",
    "model.",
    "_orig_mod.",
    "_forward_module.",
];

/// Of the names of a LoRA adapter the wrapper is a part: PEFT finds its own files by it.
const ADAPTER: &str = ".lora_";

/// The wrappers that all of `names` are in, from the outermost, as one text; empty when they are in none.
pub(super) fn find<'a>(names: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut wrapper = String::new();
    let mut rest = names.clone();
    if rest.next().is_none() || names.clone().any(|name| name.contains(ADAPTER)) {
        return wrapper;
    }
    loop {
        let is_around_all = |next: &&&str| {
            names.clone().all(|name| {
                let inner = name.strip_prefix(&*wrapper);
                // Something has to be left of it.
                let inner = inner.and_then(|inner| inner.strip_prefix(**next));
                inner.is_some_and(|inner| !inner.is_empty())
            })
        };
        match WRAPPERS.iter().find(is_around_all) {
            Some(next) => wrapper += next,
            None => return wrapper,
        }
    }
}

#[cfg(test)]
mod tests {
    fn find(names: &[&str]) -> String {
        super::find(names.iter().copied())
    }

    #[test]
    fn a_wrapper_is_around_all_names() {
        assert_eq!(find(&["module.a", "module.b.c"]), "module.");
        assert_eq!(find(&["module.a", "b"]), "");
        assert_eq!(find(&["modules.a"]), "");
        assert_eq!(find(&[]), "");
    }

    #[test]
    fn wrappers_are_found_in_wrappers() {
        let names = ["state_dict.model.module.a", "state_dict.model.module.b"];
        assert_eq!(find(&names), "state_dict.model.module.");
        assert_eq!(
            find(&["module._orig_mod.base_model.model.a"]),
            "module._orig_mod.base_model.model."
        );
    }

    #[test]
    fn names_do_not_vanish() {
        assert_eq!(find(&["module.model.", "module.model.a"]), "module.");
        assert_eq!(find(&["module."]), "");
    }

    #[test]
    fn adapters_keep_their_names() {
        assert_eq!(find(&["base_model.model.a.lora_A.weight"]), "");
    }
}
