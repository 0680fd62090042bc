//! Looks through a pickle for names of things it would call.
//!
//! A pickle is a program: unpickled by Python, it may import and call anything, which is how a `.bin` file
//! can run code on the machine that loads it. `pytorch-reader` never calls anything and skips what it does
//! not know, so such a file would load here without harm, and without a warning to the user, who may next
//! open it in Python. This pass reads the opcodes in order, builds no object, and refuses every imported
//! name outside those that make up tensors and plain containers, as `torch.load(weights_only=True)` does.
//!
//! Opcodes: `Lib/pickletools.py` of CPython, protocols 0 to 5.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

/// Longest module or class name kept; a longer one is not on the list of allowed ones anyway.
const MAX_NAME_BYTES: u64 = 256;

/// Why a pickle was not accepted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It imports this name, or gets at it in a way that hides the name.
    Unsafe(String),
    /// A byte that is no opcode.
    NoOpcode(u8),
    /// It could not be read to its end.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads one pickle from `reader`, which is left just after its end.
pub(super) fn scan(reader: &mut impl BufRead) -> Result<(), Refusal> {
    let mut strings = RecentStrings::default();
    loop {
        let opcode = read_byte(reader)?;
        match opcode {
            b'.' => return Ok(()),

            // Imports. INST is an import and a call in one.
            b'c' | b'i' => {
                let module = read_name_line(reader)?;
                let name = read_name_line(reader)?;
                check_import(&module, &name)?;
                strings.forget();
            }
            0x93 => {
                let (Some(module), Some(name)) = strings.take_last_two() else {
                    return Err(Refusal::Unsafe(
                        "it computes the name of what it imports".into(),
                    ));
                };
                check_import(&module, &name)?;
            }
            0x82..=0x84 => {
                return Err(Refusal::Unsafe(
                    "it imports from the extension registry".into(),
                ));
            }

            // Strings, which may become the operands of STACK_GLOBAL (0x93).
            b'X' | b'T' | 0x8c | b'U' | 0x8d => {
                let length = match opcode {
                    0x8c | b'U' => read_number(reader, 1)?,
                    0x8d => read_number(reader, 8)?,
                    _ => read_number(reader, 4)?,
                };
                strings.push(read_counted_name(reader, length)?);
            }
            b'V' => strings.push(Some(read_name_line(reader)?)),

            // The memo, through which a string may be fetched again.
            0x94 => strings.memoize(None),
            b'q' => strings.memoize(Some(read_number(reader, 1)?)),
            b'r' => strings.memoize(Some(read_number(reader, 4)?)),
            b'p' => strings.memoize(parse_index(&read_name_line(reader)?)),
            b'h' => strings.fetch(read_number(reader, 1)?),
            b'j' => strings.fetch(read_number(reader, 4)?),
            b'g' => match parse_index(&read_name_line(reader)?) {
                Some(index) => strings.fetch(index),
                None => strings.forget(),
            },

            _ => {
                skip_operand(opcode, reader)?;
                strings.forget();
            }
        }
    }
}

/// Skips the operand of an opcode that neither imports nor holds text.
fn skip_operand(opcode: u8, reader: &mut impl BufRead) -> Result<(), Refusal> {
    let length = match opcode {
        // MARK, POP, POP_MARK, DUP, NONE, REDUCE, BUILD, DICT, LIST, TUPLE, SETITEM(S), APPEND(S), empty
        // containers, OBJ, BINPERSID.
        b'(' | b'0' | b'1' | b'2' | b'N' | b'R' | b'b' | b'd' | b'l' | b't' | b's' | b'u'
        | b'a' | b'e' | b'}' | b']' | b')' | b'o' | b'Q' => 0,
        // NEWOBJ, TUPLE1-3, NEWTRUE, NEWFALSE, EMPTY_SET, ADDITEMS, FROZENSET, NEWOBJ_EX, buffers.
        0x81 | 0x85..=0x89 | 0x8f..=0x92 | 0x97 | 0x98 => 0,
        // PROTO, BININT1.
        0x80 | b'K' => 1,
        // BININT2.
        b'M' => 2,
        // BININT.
        b'J' => 4,
        // BINFLOAT, FRAME.
        b'G' | 0x95 => 8,
        // LONG1, SHORT_BINBYTES.
        0x8a | b'C' => read_number(reader, 1)?,
        // LONG4, BINBYTES.
        0x8b | b'B' => read_number(reader, 4)?,
        // BINBYTES8, BYTEARRAY8.
        0x8e | 0x96 => read_number(reader, 8)?,
        // INT, LONG, FLOAT, STRING, PERSID: a line of text.
        b'I' | b'L' | b'F' | b'S' | b'P' => {
            reader.skip_until(b'\n')?;
            return Ok(());
        }
        _ => return Err(Refusal::NoOpcode(opcode)),
    };
    skip(reader, length)
}

/// The last two values on the stack as far as they are known strings, and the strings in the memo.
#[derive(Default)]
struct RecentStrings {
    previous: Option<String>,
    last: Option<String>,
    memo: HashMap<u64, Option<String>>,
}

impl RecentStrings {
    fn push(&mut self, string: Option<String>) {
        self.previous = std::mem::replace(&mut self.last, string);
    }

    /// After an opcode whose effect on the stack is not followed.
    fn forget(&mut self) {
        self.previous = None;
        self.last = None;
    }

    fn take_last_two(&mut self) -> (Option<String>, Option<String>) {
        (self.previous.take(), self.last.take())
    }

    /// `None` is the next free index, as in MEMOIZE.
    fn memoize(&mut self, index: Option<u64>) {
        let index = index.unwrap_or(self.memo.len() as u64);
        self.memo.insert(index, self.last.clone());
    }

    fn fetch(&mut self, index: u64) {
        let string = self.memo.get(&index).cloned().flatten();
        self.push(string);
    }
}

fn check_import(module: &str, name: &str) -> Result<(), Refusal> {
    if is_allowed(module, name) {
        Ok(())
    } else {
        Err(Refusal::Unsafe(format!("it refers to `{module}.{name}`")))
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

fn read_byte(reader: &mut impl BufRead) -> Result<u8, Refusal> {
    let mut byte = [0];
    reader.read_exact(&mut byte)?;
    let [byte] = byte;
    Ok(byte)
}

/// A little-endian number of `bytes` bytes, at most 8.
fn read_number(reader: &mut impl BufRead, bytes: usize) -> Result<u64, Refusal> {
    let mut number = 0;
    for position in 0..bytes {
        number |= u64::from(read_byte(reader)?) << (8 * position);
    }
    Ok(number)
}

/// A line without its end, cut at [`MAX_NAME_BYTES`]; the rest of the line is skipped.
fn read_name_line(reader: &mut impl BufRead) -> Result<String, Refusal> {
    let mut line = Vec::new();
    reader
        .by_ref()
        .take(MAX_NAME_BYTES)
        .read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if (line.len() as u64) < MAX_NAME_BYTES {
        return Err(Refusal::Io(io::ErrorKind::UnexpectedEof.into()));
    } else {
        reader.skip_until(b'\n')?;
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// A string of `length` bytes, or `None` when it is too long for a name.
fn read_counted_name(reader: &mut impl BufRead, length: u64) -> Result<Option<String>, Refusal> {
    if length > MAX_NAME_BYTES {
        skip(reader, length)?;
        return Ok(None);
    }
    let mut bytes = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(Refusal::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn parse_index(line: &str) -> Option<u64> {
    line.trim().parse().ok()
}

fn skip(reader: &mut impl BufRead, length: u64) -> Result<(), Refusal> {
    if io::copy(&mut reader.by_ref().take(length), &mut io::sink())? == length {
        Ok(())
    } else {
        Err(Refusal::Io(io::ErrorKind::UnexpectedEof.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(pickle: &[u8]) -> String {
        match scan(&mut &pickle[..]) {
            Err(Refusal::Unsafe(reason)) => reason,
            other => panic!("{pickle:?}: {other:?}"),
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
        // STACK_GLOBAL, plain, memoized, and through the memo.
        assert_eq!(
            refused(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93."),
            "it refers to `os.system`"
        );
        assert_eq!(
            refused(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x880h\x00h\x01\x93."),
            "it refers to `os.system`"
        );
        assert_eq!(
            refused(b"Vos\np0\nVsystem\np1\n\x93."),
            "it refers to `os.system`"
        );
        // A harmless pair of strings that the stack no longer holds.
        assert!(
            refused(b"\x8c\x02os\x8c\x06system\x8c\x0bcollections\x8c\x0bOrderedDict00\x93.")
                .contains("computes")
        );
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
        scan(&mut reader).unwrap();
        assert_eq!(reader, b"rest");
        for name in ["floating", "load", "hub", "int", "float128x"] {
            assert_eq!(is_allowed("torch", name), name == "int", "{name}");
        }
    }

    #[test]
    fn a_cut_pickle_is_an_end_of_file() {
        let pickle = b"\x80\x02ccollections\nOrderedDict\n)X\x05\x00\x00\x00hello\x8b\x02\x00\x00\x00\x01\x02\
            \x94q\x01h\x01.";
        for end in 0..pickle.len() {
            let result = scan(&mut &pickle[..end]);
            assert!(
                matches!(result, Err(Refusal::Io(_))),
                "cut at {end}: {result:?}"
            );
        }
        scan(&mut &pickle[..]).unwrap();
        assert!(matches!(
            scan(&mut &b"\xff."[..]),
            Err(Refusal::NoOpcode(0xff))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_result(bytes: Vec<u8>) {
            let mut reader = &bytes[..];
            let result = scan(&mut reader);
            prop_assert!(result.is_err() || bytes[..bytes.len() - reader.len()].ends_with(b"."));
        }
    }
}
