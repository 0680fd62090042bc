//! Looks through a pickle for names of things it would call, and for sizes that no weight file has.
//!
//! A pickle is a program: unpickled by Python, it may import and call anything, which is how a `.bin` file
//! can run code on the machine that loads it. `pytorch-reader` never calls anything and skips what it does
//! not know, so such a file would load here without harm, and without a warning to the user, who may next
//! open it in Python. This pass follows the opcodes in order, and refuses every imported name outside those
//! that make up tensors and plain containers, as `torch.load(weights_only=True)` does.
//!
//! It keeps a stack and a memo as the reader does, but of each value only what it weighs: the bytes that the
//! reader would need for it, the tensors in it and the bytes of their names. A value that is fetched from the
//! memo is a copy of the whole there, a name is made of the keys of all dictionaries around the tensor, and a
//! few kilobytes of opcodes can thus ask for more memory than there is. What is beyond a limit is refused
//! before the reader sees it.
//!
//! Opcodes: `Lib/pickletools.py` of CPython, protocols 0 to 5.

use std::{
    collections::HashMap,
    io::{self, BufRead},
    rc::Rc,
};

use glm_tokenizer::{Phrase, phrase};

use super::{
    MAX_TENSORS,
    pickle_imports::check_import,
    pickle_source::{PickleSource, PickleText},
};

/// Bytes of all pickles of a file together. That of ChatGLM-6B has 0.1 MB.
pub(super) const MAX_PICKLE_BYTES: u64 = 32 << 20;
/// Opcodes of all pickles of a file together. A tensor takes about 40.
const MAX_OPERATIONS: u64 = 1 << 21;
/// Values on the stack at a time. Python puts a dictionary together from a thousand pairs at a time, other programs from
/// all of them.
const MAX_STACK: usize = 1 << 17;
/// Entries in the memo. A tensor takes about 10.
const MAX_MEMO: usize = 1 << 18;
/// Memory for all values that are made, copies included.
const MAX_VALUE_BYTES: u64 = 256 << 20;
/// Bytes of the names of all its tensors.
const MAX_TENSOR_NAME_BYTES: u64 = 8 << 20;

/// What the reader needs for a value besides its text: its place on the stack or in a container.
const VALUE_BYTES: u64 = 128;
/// Longest key that is no text: a number.
const NUMBER_BYTES: u64 = 20;
/// The highest protocol.
const MAX_PROTOCOL: u8 = 5;

/// Why a pickle was not accepted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It imports this name, or gets at it in a way that hides the name.
    Unsafe(Phrase),
    /// It has more of something than a weight file needs.
    TooLarge { what: Phrase, most: u64 },
    /// A byte that is no opcode.
    NoOpcode(u8),
    /// Opcodes that cannot follow one another.
    Malformed(Phrase),
    /// It could not be read to its end.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

type Result<T> = std::result::Result<T, Refusal>;

/// What the pickles of one file may still use.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    operations: u64,
    value_bytes: u64,
}

impl Budget {
    pub(super) fn of_file() -> Self {
        Self {
            bytes: MAX_PICKLE_BYTES,
            operations: MAX_OPERATIONS,
            value_bytes: MAX_VALUE_BYTES,
        }
    }

    fn operation(&mut self) -> Result<()> {
        self.operations = self.operations.checked_sub(1).ok_or_else(|| {
            too_large(
                phrase!("too-many-opcodes", "opcodes in its pickles"),
                MAX_OPERATIONS,
            )
        })?;
        Ok(())
    }

    fn memory(&mut self, bytes: u64) -> Result<()> {
        self.value_bytes = self.value_bytes.checked_sub(bytes).ok_or_else(|| {
            too_large(
                phrase!("too-many-value-bytes", "bytes of values in its pickles"),
                MAX_VALUE_BYTES,
            )
        })?;
        Ok(())
    }
}

fn too_large(what: Phrase, most: u64) -> Refusal {
    Refusal::TooLarge { what, most }
}

/// Reads one pickle from `reader`, which is left just after its end.
pub(super) fn scan(reader: &mut impl BufRead, budget: &mut Budget) -> Result<()> {
    let mut left = budget.bytes;
    let source = PickleSource {
        reader,
        left: &mut left,
    };
    let root = Walk {
        source,
        budget,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    }
    .run();
    budget.bytes = left;
    let root = root?;
    if root.tensors > MAX_TENSORS as u64 {
        return Err(too_large(
            phrase!("too-many-tensors", "tensors"),
            MAX_TENSORS as u64,
        ));
    }
    if root.name_bytes > MAX_TENSOR_NAME_BYTES {
        return Err(too_large(
            phrase!("too-many-name-bytes", "bytes of tensor names"),
            MAX_TENSOR_NAME_BYTES,
        ));
    }
    Ok(())
}

/// What is known of a value.
#[derive(Debug, Clone)]
struct Value {
    /// What the reader needs for it and everything in it, at most.
    bytes: u64,
    /// As a key: its length.
    key_bytes: u64,
    tensors: u64,
    /// Of the tensors in it, as far as it decides about them.
    name_bytes: u64,
    is: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A text that may be the name of something.
    Name(Rc<str>),
    /// A function that makes a tensor.
    Rebuild,
    Other,
}

impl Value {
    fn plain(payload: u64) -> Self {
        Self {
            bytes: VALUE_BYTES.saturating_add(payload),
            key_bytes: NUMBER_BYTES,
            tensors: 0,
            name_bytes: 0,
            is: Kind::Other,
        }
    }

    fn text(text: PickleText) -> Self {
        Self {
            key_bytes: text.bytes,
            is: text
                .name
                .map_or(Kind::Other, |name| Kind::Name(name.into())),
            ..Self::plain(text.bytes)
        }
    }

    /// Puts `value` under a key of `key_bytes` bytes.
    fn insert(&mut self, key_bytes: u64, value: &Value) {
        let prefix = value.tensors.saturating_mul(key_bytes.saturating_add(1));
        self.bytes = self.bytes.saturating_add(value.bytes);
        self.tensors = self.tensors.saturating_add(value.tensors);
        self.name_bytes = self
            .name_bytes
            .saturating_add(value.name_bytes)
            .saturating_add(prefix);
        self.is = Kind::Other;
    }

    /// Puts values one after the other into it. Any of them may turn out to be the key of another.
    fn extend(&mut self, values: &[Value]) {
        let longest = values.iter().map(|value| value.key_bytes).max();
        for value in values {
            self.insert(longest.unwrap_or(0).max(NUMBER_BYTES), value);
        }
    }
}

struct Walk<'a, R> {
    source: PickleSource<'a, R>,
    budget: &'a mut Budget,
    stack: Vec<Value>,
    /// Heights of the stack at each open MARK.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
}

impl<R: BufRead> Walk<'_, R> {
    fn run(mut self) -> Result<Value> {
        loop {
            self.budget.operation()?;
            let opcode = self.source.byte()?;
            match opcode {
                b'.' => return self.pop(),
                // PROTO, FRAME, READONLY_BUFFER.
                0x80 => {
                    if self.source.byte()? > MAX_PROTOCOL {
                        return Err(Refusal::Malformed(phrase!(
                            "pickle-unknown-protocol",
                            "it has an unknown protocol"
                        )));
                    }
                }
                0x95 => self.source.skip(8)?,
                0x98 => {}

                // GLOBAL, INST (an import and a call in one), STACK_GLOBAL, EXT1, EXT2, EXT4.
                b'c' => {
                    let class = self.import()?;
                    self.push(class)?;
                }
                b'i' => {
                    let class = self.import()?;
                    let arguments = self.pop_to_mark()?;
                    self.call(&class, &arguments)?;
                }
                0x93 => {
                    let [module, name] = self.pop_several()?;
                    let (Kind::Name(module), Kind::Name(name)) = (module.is, name.is) else {
                        return Err(Refusal::Unsafe(phrase!(
                            "pickle-computed-import",
                            "it computes the name of what it imports"
                        )));
                    };
                    let class = class(&module, &name)?;
                    self.push(class)?;
                }
                0x82..=0x84 => {
                    return Err(Refusal::Unsafe(phrase!(
                        "pickle-extension-import",
                        "it imports from the extension registry"
                    )));
                }

                // Strings: SHORT_BINUNICODE, SHORT_BINSTRING, BINUNICODE, BINSTRING, BINUNICODE8, UNICODE, STRING.
                0x8c | b'U' => self.push_text(1)?,
                b'X' | b'T' => self.push_text(4)?,
                0x8d => self.push_text(8)?,
                b'V' | b'S' => {
                    let text = self.source.line()?;
                    self.push(Value::text(unquoted(text, opcode == b'S')))?;
                }
                // Bytes, also of long numbers: SHORT_BINBYTES, LONG1, BINBYTES, LONG4, BINBYTES8, BYTEARRAY8.
                b'C' | 0x8a => self.push_bytes(1)?,
                b'B' | 0x8b => self.push_bytes(4)?,
                0x8e | 0x96 => self.push_bytes(8)?,
                // Numbers: BININT1, BININT2, BININT, BINFLOAT; INT, LONG, FLOAT and the id of PERSID as text.
                b'K' => self.push_number(1)?,
                b'M' => self.push_number(2)?,
                b'J' => self.push_number(4)?,
                b'G' => self.push_number(8)?,
                b'I' | b'L' | b'F' | b'P' => {
                    let line = self.source.short_line()?;
                    self.push(Value::plain(line.len() as u64))?;
                }
                // NONE, NEWTRUE, NEWFALSE, empty containers, NEXT_BUFFER.
                b'N' | 0x88 | 0x89 | b')' | b']' | b'}' | 0x8f | 0x97 => {
                    self.push(Value::plain(0))?;
                }

                // Containers of what is above the mark: TUPLE, LIST, FROZENSET; DICT.
                b'(' => self.mark()?,
                b't' | b'l' | 0x91 => {
                    let items = self.pop_to_mark()?;
                    self.push_container(&items)?;
                }
                b'd' => {
                    let items = self.pop_to_mark()?;
                    self.push(Value::plain(0))?;
                    self.set_items(&items)?;
                }
                0x85 => self.push_tuple::<1>()?,
                0x86 => self.push_tuple::<2>()?,
                0x87 => self.push_tuple::<3>()?,
                // APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS.
                b'a' => {
                    let item = self.pop()?;
                    self.top()?.extend(&[item]);
                }
                b'e' | 0x90 => {
                    let items = self.pop_to_mark()?;
                    self.top()?.extend(&items);
                }
                b's' => {
                    let pair: [Value; 2] = self.pop_several()?;
                    self.set_items(&pair)?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }

                // POP, POP_MARK, DUP.
                b'0' => {
                    if self.mark_is_on_top() {
                        self.marks.pop();
                    } else {
                        self.pop()?;
                    }
                }
                b'1' => drop(self.pop_to_mark()?),
                b'2' => {
                    let copy = self.top()?.clone();
                    self.push_copy(copy)?;
                }

                // The memo: PUT, BINPUT, LONG_BINPUT, MEMOIZE; GET, BINGET, LONG_BINGET.
                b'p' => {
                    let index = self.text_index()?;
                    self.memoize(index)?;
                }
                b'q' => {
                    let index = self.source.number(1)?;
                    self.memoize(index)?;
                }
                b'r' => {
                    let index = self.source.number(4)?;
                    self.memoize(index)?;
                }
                0x94 => self.memoize(self.memo.len() as u64)?,
                b'g' => {
                    let index = self.text_index()?;
                    self.fetch(index)?;
                }
                b'h' => {
                    let index = self.source.number(1)?;
                    self.fetch(index)?;
                }
                b'j' => {
                    let index = self.source.number(4)?;
                    self.fetch(index)?;
                }

                // Calls and states: BINPERSID, REDUCE, NEWOBJ, NEWOBJ_EX, OBJ, BUILD.
                b'Q' => {
                    let id = self.pop()?;
                    self.push(Value::plain(id.bytes))?;
                }
                b'R' | 0x81 => {
                    let [class, arguments] = self.pop_several()?;
                    self.call(&class, &[arguments])?;
                }
                0x92 => {
                    let [class, arguments, keywords] = self.pop_several()?;
                    self.call(&class, &[arguments, keywords])?;
                }
                b'o' => {
                    let mut items = self.pop_to_mark()?.into_iter();
                    let class = items.next().ok_or_else(underflow)?;
                    let arguments: Vec<_> = items.collect();
                    self.call(&class, &arguments)?;
                }
                b'b' => {
                    let [object, state] = self.pop_several()?;
                    self.push_container(&[object, state])?;
                    // The memo gets the object in its new state.
                    let built = self.top()?.bytes;
                    self.budget.memory(built)?;
                }
                _ => return Err(Refusal::NoOpcode(opcode)),
            }
        }
    }

    fn import(&mut self) -> Result<Value> {
        let module = self.source.name_line()?;
        let name = self.source.name_line()?;
        class(&module, &name)
    }

    fn text_index(&mut self) -> Result<u64> {
        let line = self.source.short_line()?;
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        let index: Option<u32> = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        index.map(u64::from).ok_or_else(|| {
            Refusal::Malformed(phrase!(
                "pickle-memo-index",
                "an index into its memo is no number"
            ))
        })
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.budget.memory(VALUE_BYTES.max(value.bytes))?;
        self.put_on_stack(value)
    }

    fn put_on_stack(&mut self, value: Value) -> Result<()> {
        if self.stack.len() == MAX_STACK {
            return Err(too_large(
                phrase!("too-many-stack-values", "values on the stack of its pickle"),
                MAX_STACK as u64,
            ));
        }
        self.stack.push(value);
        Ok(())
    }

    fn push_text(&mut self, length_bytes: usize) -> Result<()> {
        let text = self.source.counted(length_bytes)?;
        self.push(Value::text(text))
    }

    fn push_bytes(&mut self, length_bytes: usize) -> Result<()> {
        let text = self.source.counted(length_bytes)?;
        self.push(Value::plain(text.bytes))
    }

    fn push_number(&mut self, bytes: u64) -> Result<()> {
        self.source.skip(bytes)?;
        self.push(Value::plain(0))
    }

    /// A copy, which the reader makes of everything in it.
    fn push_copy(&mut self, value: Value) -> Result<()> {
        self.budget.memory(value.bytes)?;
        self.put_on_stack(value)
    }

    /// A container of values that are moved there.
    fn push_container(&mut self, items: &[Value]) -> Result<()> {
        self.budget.memory(VALUE_BYTES)?;
        let mut container = Value::plain(0);
        container.extend(items);
        self.put_on_stack(container)
    }

    fn push_tuple<const N: usize>(&mut self) -> Result<()> {
        let items: [Value; N] = self.pop_several()?;
        self.push_container(&items)
    }

    /// What a call gives: a tensor, or something that is made of its arguments.
    fn call(&mut self, class: &Value, arguments: &[Value]) -> Result<()> {
        let mut result = Value::plain(class.bytes);
        result.extend(arguments);
        if let Kind::Rebuild = class.is {
            result.tensors = result.tensors.max(1);
        }
        // Its arguments are there until it is made.
        self.budget.memory(result.bytes)?;
        self.put_on_stack(result)
    }

    fn set_items(&mut self, items: &[Value]) -> Result<()> {
        let (pairs, rest) = items.as_chunks();
        if !rest.is_empty() {
            return Err(Refusal::Malformed(phrase!(
                "pickle-key-without-value",
                "a key of a dictionary has no value"
            )));
        }
        let top = self.top()?;
        for [key, value] in pairs {
            top.bytes = top.bytes.saturating_add(key.bytes);
            top.insert(key.key_bytes, value);
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<()> {
        if self.marks.len() == MAX_STACK {
            return Err(too_large(
                phrase!("too-many-marks", "marks on the stack of its pickle"),
                MAX_STACK as u64,
            ));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn mark_is_on_top(&self) -> bool {
        self.marks.last() == Some(&self.stack.len())
    }

    fn pop(&mut self) -> Result<Value> {
        match self.mark_is_on_top() {
            true => Err(underflow()),
            false => self.stack.pop().ok_or_else(underflow),
        }
    }

    /// The last values, in the order in which they came.
    fn pop_several<const N: usize>(&mut self) -> Result<[Value; N]> {
        let mut values = [const { None }; N];
        for value in values.iter_mut().rev() {
            *value = Some(self.pop()?);
        }
        Ok(values.map(|value| value.unwrap_or_else(|| Value::plain(0))))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(underflow)?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Result<&mut Value> {
        match self.mark_is_on_top() {
            true => Err(underflow()),
            false => self.stack.last_mut().ok_or_else(underflow),
        }
    }

    fn memoize(&mut self, index: u64) -> Result<()> {
        let copy = self.top()?.clone();
        self.budget.memory(copy.bytes.saturating_add(VALUE_BYTES))?;
        self.memo.insert(index, copy);
        if self.memo.len() > MAX_MEMO {
            return Err(too_large(
                phrase!("too-many-memo-entries", "entries in the memo of its pickle"),
                MAX_MEMO as u64,
            ));
        }
        Ok(())
    }

    fn fetch(&mut self, index: u64) -> Result<()> {
        let copy = self.memo.get(&index).cloned();
        let copy = copy.ok_or_else(|| {
            Refusal::Malformed(phrase!(
                "pickle-memo-missing",
                "it fetches what it has not kept"
            ))
        })?;
        self.push_copy(copy)
    }
}

fn underflow() -> Refusal {
    Refusal::Malformed(phrase!(
        "pickle-stack-empty",
        "it takes more from its stack than is there"
    ))
}

/// A class or function that may be imported.
fn class(module: &str, name: &str) -> Result<Value> {
    check_import(module, name)?;
    let makes_tensor = name.starts_with("_rebuild_tensor") || name == "_rebuild_from_type_v2";
    Ok(Value {
        is: match makes_tensor {
            true => Kind::Rebuild,
            false => Kind::Other,
        },
        ..Value::plain((module.len() + name.len()) as u64)
    })
}

/// The text of a line: of STRING it is in quotes. With escapes it may be another one.
fn unquoted(text: PickleText, is_quoted: bool) -> PickleText {
    let name = text.name.filter(|name| !name.contains('\\'));
    let name = match is_quoted {
        true => name.and_then(|name| {
            let inner = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
            inner('\'').or_else(|| inner('"')).map(str::to_owned)
        }),
        false => name,
    };
    // Latin-1, which becomes twice as long in UTF-8.
    let bytes = 2 * text.bytes;
    PickleText { bytes, name }
}

#[cfg(test)]
mod tests;
