//! The programming languages of CodeGeeX2, and how it is told which one it writes.

use std::path::Path;

/// A language that CodeGeeX2 was trained on.
///
/// The tags are those of the official repository: `LANGUAGE_TAG` in its
/// [`evaluation/utils.py`](https://github.com/THUDM/CodeGeeX2/blob/main/evaluation/utils.py), and RMarkdown, F# and the
/// like under the names of `demo/run_demo.py`. Tcl is left out: its official tag is that of Augeas.
#[derive(Debug, PartialEq, Eq)]
pub struct Language {
    name: &'static str,
    tag: &'static str,
    /// Other names, in lower case.
    aliases: &'static [&'static str],
    /// Of its files, in lower case.
    extensions: &'static [&'static str],
}

impl Language {
    /// Every language, by name.
    pub fn all() -> &'static [Self] {
        &LANGUAGES
    }

    /// The language of this name, of one of its other names, or of files with this extension; case, `-` and ` ` do not
    /// matter.
    ///
    /// ```
    /// use glm_core::code::Language;
    ///
    /// let names = ["c++", "CPP", "visual-basic", "rs"].map(Language::by_name);
    /// let names = names.map(|language| language.map_or("", Language::name));
    /// assert_eq!(names, ["C++", "C++", "Visual Basic", "Rust"]);
    /// ```
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        let name = name.to_lowercase().replace('-', " ");
        let is_named = |language: &&Self| {
            let own = language.name.to_lowercase().replace('-', " ");
            own == name || language.aliases.contains(&&*name)
        };
        let named = LANGUAGES.iter().find(is_named);
        named.or_else(|| of_extension(&name))
    }

    /// The language that a file is written in, by its name; where several share an extension the most common one.
    #[must_use]
    pub fn of_path(path: &Path) -> Option<&'static Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let named = FILE_NAMES.iter().find(|(file, _)| *file == name);
        match named {
            Some((_, language)) => Self::by_name(language),
            None => of_extension(&path.extension()?.to_str()?.to_lowercase()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The line that tells the model the language: `# language: Python`.
    #[must_use]
    pub fn tag(&self) -> &'static str {
        self.tag
    }

    /// What stands before `language:` in the tag (`LANGUAGE_COMMENT_SIGN`).
    pub(super) fn comment_sign(&self) -> &'static str {
        self.tag
            .split("language:")
            .next()
            .unwrap_or_default()
            .trim_end()
    }
}

fn of_extension(extension: &str) -> Option<&'static Language> {
    let mut languages = LANGUAGES.iter();
    languages.find(|language| language.extensions.contains(&extension))
}

/// Files whose name tells the language, in lower case.
const FILE_NAMES: [(&str, &str); 6] = [
    ("cmakelists.txt", "CMake"),
    ("dockerfile", "Dockerfile"),
    ("gemfile", "Ruby"),
    ("gnumakefile", "Makefile"),
    ("makefile", "Makefile"),
    ("rakefile", "Ruby"),
];

/// A row of the table.
const fn language(
    name: &'static str,
    tag: &'static str,
    aliases: &'static [&'static str],
    extensions: &'static [&'static str],
) -> Language {
    Language {
        name,
        tag,
        aliases,
        extensions,
    }
}

#[rustfmt::skip]
static LANGUAGES: [Language; 96] = [
    language("Abap", "* language: Abap", &[], &["abap"]),
    language("ActionScript", "// language: ActionScript", &[], &["as"]),
    language("Ada", "-- language: Ada", &[], &["adb", "ads"]),
    language("Agda", "-- language: Agda", &[], &["agda"]),
    language("Alloy", "/* language: Alloy */", &[], &["als"]),
    language("ANTLR", "// language: ANTLR", &[], &["g4"]),
    language("AppleScript", "-- language: AppleScript", &[], &["applescript"]),
    language("Assembly", "; language: Assembly", &[], &["asm", "s"]),
    language("Augeas", "// language: Augeas", &[], &["aug"]),
    language("AWK", "// language: AWK", &[], &["awk"]),
    language("Basic", "' language: Basic", &[], &["bas"]),
    language("Bluespec", "// language: Bluespec", &[], &["bsv"]),
    language("C", "// language: C", &[], &["c", "h"]),
    language("C#", "// language: C#", &["csharp", "c sharp"], &["cs"]),
    language("C++", "// language: C++", &[], &["cpp", "cc", "cxx", "hpp", "hh", "hxx"]),
    language("Clojure", "; language: Clojure", &[], &["clj", "cljs", "cljc"]),
    language("CMake", "# language: CMake", &[], &["cmake"]),
    language("Cobol", "// language: Cobol", &[], &["cob", "cbl"]),
    language("CoffeeScript", "# language: CoffeeScript", &[], &["coffee"]),
    language("Common Lisp", "; language: Common Lisp", &[], &["cl"]),
    language("CSS", "/* language: CSS */", &[], &["css"]),
    language("CUDA", "// language: Cuda", &[], &["cu", "cuh"]),
    language("Dart", "// language: Dart", &[], &["dart"]),
    language("Delphi", "{language: Delphi}", &[], &["dpr"]),
    language("Dockerfile", "# language: Dockerfile", &[], &["dockerfile"]),
    language("Elixir", "# language: Elixir", &[], &["ex", "exs"]),
    language("Elm", "-- language: Elm", &[], &["elm"]),
    language("Emacs Lisp", "; language: Emacs Lisp", &[], &["el"]),
    language("Erlang", "% language: Erlang", &[], &["erl", "hrl"]),
    language("Excel", "' language: Excel", &[], &[]),
    language("F#", "// language: F#", &["fsharp", "f sharp"], &["fs", "fsi", "fsx"]),
    language("Fortran", "!language: Fortran", &[], &["f", "for", "f77", "f90", "f95", "f03", "f08"]),
    language("GDScript", "# language: GDScript", &[], &["gd"]),
    language("GLSL", "// language: GLSL", &[], &["glsl", "vert", "frag"]),
    language("Go", "// language: Go", &["golang"], &["go"]),
    language("Groovy", "// language: Groovy", &[], &["groovy", "gradle"]),
    language("Haskell", "-- language: Haskell", &[], &["hs"]),
    language("HTML", "<!--language: HTML-->", &[], &["html", "htm"]),
    language("Idris", "-- language: Idris", &[], &["idr"]),
    language("Isabelle", "(*language: Isabelle*)", &[], &["thy"]),
    language("Java", "// language: Java", &[], &["java"]),
    language("Java Server Pages", "// language: Java Server Pages", &[], &["jsp"]),
    language("JavaScript", "// language: JavaScript", &["javascriptreact"], &["js", "jsx", "mjs", "cjs"]),
    language("Julia", "# language: Julia", &[], &["jl"]),
    language("Kotlin", "// language: Kotlin", &[], &["kt", "kts"]),
    language("Lean", "-- language: Lean", &[], &["lean"]),
    language("Lisp", "; language: Lisp", &[], &["lisp", "lsp"]),
    language("Literate Agda", "-- language: Literate Agda", &[], &["lagda"]),
    language("Literate CoffeeScript", "# language: Literate CoffeeScript", &[], &["litcoffee"]),
    language("Literate Haskell", "> language: Literate Haskell", &[], &["lhs"]),
    language("Lua", "// language: Lua", &[], &["lua"]),
    language("Makefile", "# language: Makefile", &["make"], &["mk"]),
    language("Maple", "# language: Maple", &[], &["mpl"]),
    language("Markdown", "<!--language: Markdown-->", &[], &["md", "markdown"]),
    language("Mathematica", "// language: Mathematica", &[], &["wl", "nb"]),
    language("Matlab", "% language: Matlab", &[], &["m"]),
    language("Objective-C", "// language: Objective-C", &["objectivec", "objc"], &[]),
    language("Objective-C++", "// language: Objective-C++", &["objcpp"], &["mm"]),
    language("OCaml", "(*language: OCaml*)", &[], &["ml", "mli"]),
    language("Pascal", "// language: Pascal", &[], &["pas"]),
    language("Perl", "# language: Perl", &[], &["pl", "pm"]),
    language("PHP", "// language: PHP", &[], &["php"]),
    language("PowerShell", "# language: PowerShell", &[], &["ps1", "psm1"]),
    language("Prolog", "% language: Prolog", &[], &["pro"]),
    language("Protocol Buffer", "// language: Protocol Buffer", &["protobuf"], &["proto"]),
    language("Python", "# language: Python", &[], &["py", "pyi", "pyw"]),
    language("R", "# language: R", &[], &["r"]),
    language("Racket", "; language: Racket", &[], &["rkt"]),
    language("reStructuredText", ".. language: reStructuredText", &[], &["rst"]),
    language("RMarkdown", "# language: RMarkdown", &[], &["rmd"]),
    language("Ruby", "# language: Ruby", &[], &["rb"]),
    language("Rust", "// language: Rust", &[], &["rs"]),
    language("SAS", "* language: SAS", &[], &["sas"]),
    language("Scala", "// language: Scala", &[], &["scala", "sc"]),
    language("Scheme", "; language: Scheme", &[], &["scm", "ss"]),
    language("Shell", "# language: Shell", &["shellscript"], &["sh", "bash", "zsh"]),
    language("Smalltalk", "'' language: Smalltalk", &[], &["st"]),
    language("Solidity", "// language: Solidity", &[], &["sol"]),
    language("SPARQL", "# language: SPARQL", &[], &["sparql", "rq"]),
    language("SQL", "-- language: SQL", &[], &["sql"]),
    language("Stan", "// language: Stan", &[], &["stan"]),
    language("Standard ML", "(*language:Standard ML*)", &["sml"], &["sml"]),
    language("Stata", "* language: Stata", &[], &["do", "ado"]),
    language("Swift", "// language: swift", &[], &["swift"]),
    language("SystemVerilog", "// language: SystemVerilog", &[], &["sv", "svh"]),
    language("TCSH", "# language: TCSH", &["csh"], &["csh", "tcsh"]),
    language("TeX", "% language: TeX", &["latex"], &["tex", "sty"]),
    language("Thrift", "/* language: Thrift */", &[], &["thrift"]),
    language("TypeScript", "// language: TypeScript", &["typescriptreact"], &["ts", "tsx", "mts", "cts"]),
    language("Verilog", "// language: Verilog", &[], &["v"]),
    language("VHDL", "-- language: VHDL", &[], &["vhd", "vhdl"]),
    language("Visual Basic", "' language: Visual Basic", &[], &["vb"]),
    language("Vue", "<!--language: Vue-->", &[], &["vue"]),
    language("XSLT", "<!--language: XSLT-->", &[], &["xsl", "xslt"]),
    language("YAML", "# language: YAML", &[], &["yml", "yaml"]),
    language("Zig", "// language: Zig", &[], &["zig"]),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_and_no_extension_has_two_languages() {
        let (mut names, mut extensions) = (HashSet::new(), HashSet::new());
        for language in Language::all() {
            let own = language.name.to_lowercase().replace('-', " ");
            for name in language
                .aliases
                .iter()
                .map(|alias| (*alias).to_owned())
                .chain([own])
            {
                assert!(names.insert(name), "{}", language.name);
            }
            for extension in language.extensions {
                assert_eq!(*extension, extension.to_lowercase());
                assert!(extensions.insert(*extension), "{extension}");
            }
            assert!(language.tag.contains("language:"));
            assert_ne!(language.comment_sign(), "", "{}", language.name);
        }
    }

    #[test]
    fn names_are_found_in_any_spelling() {
        for (name, tag) in [
            ("Python", "# language: Python"),
            ("PYTHON", "# language: Python"),
            ("py", "# language: Python"),
            ("objective-c", "// language: Objective-C"),
            ("Objective C", "// language: Objective-C"),
            ("common-lisp", "; language: Common Lisp"),
            ("csharp", "// language: C#"),
            ("c-sharp", "// language: C#"),
            ("html", "<!--language: HTML-->"),
        ] {
            let language = Language::by_name(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(language.tag(), tag);
        }
        for name in ["", " ", "klingon", "language"] {
            assert_eq!(Language::by_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn files_are_known_by_their_extension_or_name() {
        for (path, name) in [
            ("src/main.rs", "Rust"),
            ("a/b.PY", "Python"),
            ("x.tar.h", "C"),
            ("Dockerfile", "Dockerfile"),
            ("src/CMakeLists.txt", "CMake"),
            ("Makefile", "Makefile"),
            ("Gemfile", "Ruby"),
        ] {
            let language = Language::of_path(Path::new(path)).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(language.name(), name);
        }
        for path in ["", "notes.txt", "py", ".rs", "..", "src/"] {
            assert_eq!(Language::of_path(Path::new(path)), None, "{path:?}");
        }
    }

    #[test]
    fn the_comment_sign_is_what_the_official_code_cuts_out() {
        for (name, sign) in [
            ("Python", "#"),
            ("HTML", "<!--"),
            ("Isabelle", "(*"),
            ("Fortran", "!"),
            ("Smalltalk", "''"),
        ] {
            let language = Language::by_name(name).unwrap();
            assert_eq!(language.comment_sign(), sign);
        }
    }
}
