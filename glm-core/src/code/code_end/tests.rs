use proptest::prelude::*;

use super::*;

/// What remains of a text that comes whole.
fn cut(until: Until, before: &str, after: &str, text: &str) -> String {
    let mut end = CodeEnd::new(until, before, after);
    end.push(text) + &end.finish()
}

/// `|` is the cursor, `§` the place where the completion has to end.
fn check_block(sample: &str) {
    let (before, rest) = sample.split_once('|').unwrap();
    let (kept, _) = rest.split_once('§').unwrap();
    let text = rest.replacen('§', "", 1);
    assert_eq!(cut(Until::Block, before, "", &text), kept, "{sample}");
}

#[test]
fn python_blocks_end_where_indentation_does() {
    for sample in [
        "def f(x):\n|    return x§\n\ndef g(x):\n",
        "def f(x):\n    |return x§\n\n\nprint(f(1))\n",
        "def f(x):|\n    y = x\n\n    return y§\nassert f(1) == 1\n",
        "def f(x|):\n    return x§\n\ndef g(x):\n",
        "def f(x):\n    return |x§\n\ndef g(x):\n",
        "def f(x):\n    \"\"\" doc \"\"\"\n|    return x§\n\n\ndef check(f):\n    pass\n",
        "class A:\n    def f(self):|\n        return 1§\n\n    def g(self):\n        return 2\n",
        "class A:\n    def f(self):\n        |for x in y:\n            z(x)\n        return 1§\n    def g(self):\n",
        "# write a bubble sort function\n|def sort(a):\n    return a§\n\n\ndef main():\n    pass\n",
        "# sort|\nimport os\nimport sys\n\ndef sort(a):\n    return a§\n\nsort([])\n",
        "|@cached\ndef f(\n    a,\n    b,\n):\n    return a§\n\n@cached\ndef g():\n",
        "if x:\n|    a()\nelif y:\n    b()\nelse:\n    c()§\nd()\n",
        "if x:\n    a()\n    |b()§\nelse:\n    c()\n",
        "def f(end):\n|    pass§\nend = 3\n",
        "x = [|\n    1,\n    2,\n]§\ny = 3\n",
    ] {
        check_block(sample);
    }
}

#[test]
fn blocks_in_braces_end_with_the_line_that_closes_them() {
    for sample in [
        "fn f() {|\n    g();\n}§\n\nfn g() {\n",
        "fn f() {\n|    g();\n}§\n\nfn g() {\n",
        "fn f() {\n    |g();\n}§\n\nfn g() {\n",
        "fn f() {\n    g();\n|}§\n\nfn g() {\n",
        "fn f|(a: u8) -> u8 {\n    a\n}§\n\n#[test]\nfn g() {\n",
        "fn f(|\n    a: u8,\n) -> u8\nwhere\n    u8: Copy,\n{\n    a\n}§\n\nfn g() {\n",
        "impl A {\n    fn f(&self) {|\n        self.g();\n    }§\n\n    fn g(&self) {\n",
        "impl A {\n    fn f(&self) {|\n        self.g();\n    }§\n}\n\nfn main() {}\n",
        "void f() {\n    if (x) {|\n        a();\n    } else {\n        b();\n    }§\n    c();\n}\n",
        "void f() {\n    if (x) {|\n        a();\n    }\n    else {\n        b();\n    }§\n    c();\n}\n",
        "int f()|\n{\n    return 1;\n}§\n\nint main()\n{\n",
        "class A {\n    int f()|\n    {\n        return 1;\n    }§\n\n    int g()\n    {\n",
        "func add(a int, b int) int {\n\t|return a + b\n}§\n\nfunc main() {\n",
        "switch (x) {|\ncase 1:\n    a();\ndefault:\n    b();\n}§\nc();\n",
        "call(function () {|\n    a();\n});§\nb();\n",
    ] {
        check_block(sample);
    }
}

#[test]
fn blocks_of_words_and_tags_end_with_theirs() {
    for sample in [
        "def f(x)\n|  x + 1\nend§\n\ndef g(x)\n",
        "for i in 1 2; do|\n  echo $i\ndone§\necho end\n",
        "if x then|\n  a()\nelse\n  b()\nend§\nc()\n",
        "<ul>|\n  <li>a</li>\n</ul>§\n<p>\n",
        "module m;\n|  assign a = b;\nendmodule§\n\nmodule n;\n",
    ] {
        check_block(sample);
    }
}

#[test]
fn what_stands_behind_the_cursor_is_not_written_again() {
    let body = "\n    g();\n}\n";
    assert_eq!(cut(Until::Block, "fn f() {", "\n}\n", body), "\n    g();");
    let branches = "\n    if a {\n        b();\n    }\n}\n";
    let kept = "\n    if a {\n        b();\n    }";
    for after in ["\n}\n", "}\n"] {
        assert_eq!(cut(Until::Block, "fn f() {", after, branches), kept);
    }
    let before = "def f():\n    a()\n    ";
    assert_eq!(
        cut(Until::Block, before, "\n    c()\n", "b()\n    c()\n"),
        "b()"
    );
}

#[test]
fn a_block_goes_on_to_the_end_of_the_text() {
    for text in [
        "",
        "\n",
        "    return 1",
        "    return 1\n",
        "    return 1\n\n    # ",
    ] {
        assert_eq!(cut(Until::Block, "def f():\n", "", text), text);
    }
    assert_eq!(cut(Until::Block, "def f():\n", "", "    a()\nb"), "    a()");
}

#[test]
fn a_line_ends_at_its_end() {
    for (before, text, kept) in [
        ("x = ", "1\ny = 2\n", "1"),
        ("x = ", "1", "1"),
        ("foo();", "\n    bar();\n", "\n    bar();"),
        ("", "\n\n  a\n", "\n\n  a"),
        ("", " \n", " \n"),
    ] {
        assert_eq!(
            cut(Until::Line, before, "", text),
            kept,
            "{before:?} {text:?}"
        );
    }
    assert_eq!(cut(Until::End, "x = ", "", "1\ny\n"), "1\ny\n");
}

#[test]
fn what_is_certain_is_given_at_once() {
    let mut end = CodeEnd::new(Until::Block, "fn f() {", "");
    for (piece, given) in [
        ("\n", ""),
        ("   ", ""),
        (" l", "\n    l"),
        ("et", "et"),
        (";\n\n", ";"),
        ("}", ""),
        ("\n", "\n\n}"),
        ("fn", ""),
        (" g() {\n", ""),
    ] {
        assert_eq!(end.push(piece), given, "after {piece:?}");
    }
    assert!(end.is_complete());
    assert_eq!(end.push("more"), "");
    assert_eq!(end.finish(), "");
}

fn code(pieces: usize) -> impl Strategy<Value = Vec<String>> {
    let piece = prop::sample::select(vec![
        "a", "\n", "\n", "    ", "  ", "\t", "}", "{", "else", "end", ":", "(", ")", " ", "你",
        "\n}\n", "def ",
    ]);
    prop::collection::vec(piece.prop_map(str::to_owned), 0..pieces)
}

proptest! {
    #[test]
    fn pieces_add_up_to_the_whole(
        before in code(8),
        after in code(4),
        pieces in code(30),
        until in prop::sample::select(vec![Until::Line, Until::Block, Until::End]),
    ) {
        let (before, after, text) = (before.concat(), after.concat(), pieces.concat());
        let whole = cut(until, &before, &after, &text);
        prop_assert!(text.starts_with(&whole));
        let mut end = CodeEnd::new(until, &before, &after);
        let mut streamed: String = pieces.iter().map(|piece| end.push(piece)).collect();
        prop_assert!(whole.starts_with(&streamed));
        let was_complete = end.is_complete();
        streamed += &end.finish();
        prop_assert_eq!(&streamed, &whole);
        prop_assert!(was_complete || end.is_complete() || whole == text);
        // Nothing that is given could have been kept back by what comes later.
        let mut longer = CodeEnd::new(until, &before, &after);
        let given = longer.push(&text);
        for more in ["", "a", "\n", "x\n}\n", " else {\n"] {
            let whole = cut(until, &before, &after, &(text.clone() + more));
            prop_assert!(whole.starts_with(&given), "{more:?}");
        }
    }
}
