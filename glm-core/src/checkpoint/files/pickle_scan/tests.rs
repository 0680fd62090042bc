use super::*;
use proptest::prelude::*;

fn scan_all(pickle: &[u8]) -> Result<()> {
    scan(&mut &pickle[..], &mut Budget::of_file())
}

fn refused(pickle: &[u8]) -> String {
    match scan_all(pickle) {
        Err(Refusal::Unsafe(reason)) => reason.to_string(),
        other => panic!("{}: {other:?}", pickle.escape_ascii()),
    }
}

/// What there is too much of.
fn too_much(pickle: &[u8]) -> String {
    match scan_all(pickle) {
        Err(Refusal::TooLarge { what, .. }) => what.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_way_to_import_is_seen() {
    // os.system("true"), as protocol 0 and 2 write it.
    assert_eq!(
        refused(b"cos\nsystem\n(S'true'\ntR."),
        "it refers to `os.system`"
    );
    assert_eq!(
        refused(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."),
        "it refers to `posix.system`"
    );
    // INST imports and calls in one.
    assert_eq!(
        refused(b"(S'true'\nios\nsystem\n."),
        "it refers to `os.system`"
    );
    // STACK_GLOBAL, plain, memoized, and through the memo; its strings in every form.
    for pickle in [
        &b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93."[..],
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x880h\x00h\x01\x93.",
        b"Vos\np0\nVsystem\np1\n\x93.",
        b"S'os'\nS\"system\"\n\x93.",
        b"U\x02osT\x06\x00\x00\x00system\x93.",
        b"\x8d\x02\x00\x00\x00\x00\x00\x00\x00osX\x06\x00\x00\x00system\x93.",
        // Moved about: DUP and POP, a tuple between, behind a mark.
        b"\x8c\x02os\x8c\x06system20\x93.",
        b"\x8c\x02os(\x8c\x01x\x8c\x01yt0\x8c\x06system\x93.",
        b"\x8c\x02os(N1\x8c\x06system\x93.",
        // What is on the stack, and not the last strings that were read.
        b"\x8c\x02os\x8c\x06system\x8c\x0bcollections\x8c\x0bOrderedDict00\x93.",
    ] {
        assert_eq!(refused(pickle), "it refers to `os.system`");
    }
    for hidden in [
        &b"\x8c\x02os\x8c\x06system\x86)\x93."[..],
        b"Vo\\u0073\nVsystem\n\x93.",
        b"S'o\\x73'\nS'system'\n\x93.",
    ] {
        assert!(refused(hidden).contains("computes"));
    }
    assert!(refused(b"\x82\x01.").contains("extension registry"));
    // Called first and thrown away, before an innocent dictionary.
    assert_eq!(
        refused(b"c__builtin__\nexec\n(S'x'\ntR0}."),
        "it refers to `__builtin__.exec`"
    );
    let long = [b"c".as_slice(), &[b'x'; 1000], b"\ny\n."].concat();
    assert!(refused(&long).starts_with("it refers to `xxx"));
}

#[test]
fn tensors_and_containers_pass() {
    let pickle = b"\x80\x02ccollections\nOrderedDict\n)Rctorch._utils\n_rebuild_tensor_v2\n\
        ctorch\nHalfStorage\nctorch\nfloat16\n\x8a\x01\x07G\x00\x00\x00\x00\x00\x00\x00\x00.rest";
    let mut reader = &pickle[..];
    scan(&mut reader, &mut Budget::of_file()).unwrap();
    assert_eq!(reader, b"rest");
}

#[test]
fn a_cut_pickle_is_an_end_of_file() {
    let pickle =
        b"\x80\x02ccollections\nOrderedDict\n)X\x05\x00\x00\x00hello\x8b\x02\x00\x00\x00\x01\x02\
        \x94q\x01h\x01Vline\np7\nI42\n.";
    for end in 0..pickle.len() {
        let result = scan_all(&pickle[..end]);
        assert!(
            matches!(result, Err(Refusal::Io(_))),
            "cut at {end}: {result:?}"
        );
    }
    scan_all(pickle).unwrap();
    assert!(matches!(scan_all(b"\xff."), Err(Refusal::NoOpcode(0xff))));
}

#[test]
fn opcodes_that_cannot_follow_one_another_are_malformed() {
    for pickle in [
        &b"."[..],
        b"0.",
        b"(.",
        b"N(a.",
        b"t.",
        b"N(\x85.",
        b"}(Nu.",
        b"R.",
        b"h\x00.",
        b"g1_0\n.",
        b"g+1\n.",
        b"(o.",
        b"\x80\x06.",
    ] {
        let result = scan_all(pickle);
        assert!(
            matches!(result, Err(Refusal::Malformed(_))),
            "{}: {result:?}",
            pickle.escape_ascii()
        );
    }
}

/// `count` times `repeated`, between `start` and the end.
fn bomb(start: &[u8], repeated: &[u8], count: usize, end: &[u8]) -> Vec<u8> {
    [start, &repeated.repeat(count), end].concat()
}

#[test]
fn what_no_weight_file_needs_is_refused_before_it_is_kept() {
    // Values without end, marks without end, and values that are thrown away again.
    assert!(too_much(&bomb(b"\x80\x02", b"N", 10_000_000, b".")).contains("stack"));
    assert!(too_much(&bomb(b"", b"(", 10_000_000, b".")).contains("marks"));
    assert!(too_much(&bomb(b"", b"N0", 10_000_000, b".")).contains("opcodes"));
    assert!(too_much(&bomb(b"", b"]0", 10_000_000, b".")).contains("opcodes"));
    // A memo without end.
    assert!(too_much(&bomb(b"N", b"\x94", 10_000_000, b".")).contains("memo"));
    // Lists of lists, each twice in the next: a hundred bytes stand for 2^30 values.
    let doubled = bomb(b"]", b"q\x00h\x00\x86", 30, b".");
    assert!(too_much(&doubled).contains("bytes of values"));
    let doubled = bomb(b"N", b"2\x86", 40, b".");
    assert!(too_much(&doubled).contains("bytes of values"));
    // One long text many times, a long key of a storage too.
    let text = [&b"X\xff\xff\x0f\x00"[..], &[b'x'; 0xf_ffff]].concat();
    let many = bomb(&[&text, &b"q\x00"[..]].concat(), b"h\x00", 1000, b".");
    assert!(too_much(&many).contains("bytes of values"));
    let storage = bomb(&[&text, &b"Qq\x00"[..]].concat(), b"h\x00", 1000, b".");
    assert!(too_much(&storage).contains("bytes of values"));
    // Lengths that lie.
    for start in [
        &b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x96\x00\x00\x00\x00\x01\x00\x00\x00",
        b"X\xff\xff\xff\xff",
        b"B\xff\xff\xff\xff",
        b"\x8b\xff\xff\xff\x7f",
    ] {
        assert!(too_much(start).contains("bytes in one text"));
    }
    // Lines without end.
    for opcode in b"VScIi" {
        let line = [&[*opcode][..], &vec![b'1'; 9 << 20]].concat();
        assert!(too_much(&line).contains("bytes in one text"));
    }
    // More bytes than all pickles may have, in texts that are each allowed.
    let text = [&b"B\x00\x00\x40\x00"[..], &vec![b'x'; 4 << 20], b"0"].concat();
    assert!(too_much(&text.repeat(9)).contains("bytes of pickles"));
}

#[test]
fn pickles_of_a_file_share_what_they_may_use() {
    let mut budget = Budget::of_file();
    let pickle = bomb(b"N", b"N0", 500_000, b".");
    scan(&mut &pickle[..], &mut budget).unwrap();
    scan(&mut &pickle[..], &mut budget).unwrap();
    assert!(matches!(
        scan(&mut &pickle[..], &mut budget),
        Err(Refusal::TooLarge { .. })
    ));
}

/// A tensor, of which the memo has the function at 0 and the arguments at 1.
const TENSOR: &[u8] = b"h\x00h\x01R";
const PREPARED: &[u8] = b"ctorch._utils\n_rebuild_tensor_v2\nq\x000)q\x010";

#[test]
fn tensors_and_their_names_are_counted() {
    let dictionary = |count: usize, key_bytes: u8| {
        let key = [&b"U"[..], &[key_bytes], &vec![b'k'; key_bytes.into()]].concat();
        bomb(
            &[PREPARED, &b"}("[..]].concat(),
            &[&key, TENSOR].concat(),
            count,
            b"u.",
        )
    };
    scan_all(&dictionary(40_000, 100)).unwrap();
    assert_eq!(too_much(&dictionary(65_530, 250)), "bytes of tensor names");
    // A list that is filled again and again.
    let batch = [&b"("[..], &TENSOR.repeat(1000), b"e"].concat();
    let list = |batches: usize| [PREPARED, b"]", &batch.repeat(batches), b"."].concat();
    scan_all(&list(60)).unwrap();
    assert_eq!(too_much(&list(66)), "tensors");
    // A long key around many tensors is part of the name of each.
    let inner = [&b"]"[..], &batch.repeat(20)].concat();
    let key = [&b"X\x00\x00\x01\x00"[..], &vec![b'k'; 1 << 16]].concat();
    let nested = [PREPARED, b"}", &key, &inner, b"s."].concat();
    assert_eq!(too_much(&nested), "bytes of tensor names");
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_result(bytes: Vec<u8>) {
        let mut reader = &bytes[..];
        let result = scan(&mut reader, &mut Budget::of_file());
        prop_assert!(result.is_err() || bytes[..bytes.len() - reader.len()].ends_with(b"."));
    }

    /// Mostly opcodes that build something, so that the stack is walked deep into.
    #[test]
    fn any_opcodes_end_in_a_result(
        opcodes in prop::collection::vec(
            prop::sample::select(b"N(.012Nldtus)]}aebRQoq\x01h\x01\x85\x86\x87\x81\x92\x90\x91\x93\x94\x88".to_vec()),
            0..200,
        ),
    ) {
        let _ = scan_all(&opcodes);
    }
}
