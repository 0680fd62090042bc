//! JSON objects that come from others: no name twice, and no more names than a checkpoint has.
//!
//! Which of two entries of one name counts depends on who reads, so a file that has them is refused.

use std::{collections::HashSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::MAX_TENSORS;

/// Most extents of a tensor.
pub(super) const MAX_DIMS: usize = 16;
/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 4096;
/// What a header of safetensors has under this name is no tensor.
const METADATA: &str = "__metadata__";

/// The entries of an object, in their order.
pub(super) struct UniqueEntries<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueEntries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct EntriesVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<V> {
    type Value = UniqueEntries<V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the names of tensors")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut entries = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name.len() > MAX_NAME_BYTES {
                let reason = format!(
                    "a name of {} bytes, at most {MAX_NAME_BYTES} are possible",
                    name.len()
                );
                return Err(M::Error::custom(reason));
            }
            if !names.insert(name.clone()) {
                return Err(M::Error::custom(format!("`{name}` is there twice")));
            }
            if name == METADATA {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if entries.len() == MAX_TENSORS {
                return Err(M::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            }
            entries.push((name, map.next_value()?));
        }
        Ok(UniqueEntries(entries))
    }
}

/// A shape of no more than [`MAX_DIMS`] extents.
pub(super) struct Shape(pub(super) Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a shape of at most {MAX_DIMS} extents")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut extents: S) -> Result<Shape, S::Error> {
        let mut shape = Vec::new();
        while let Some(extent) = extents.next_element()? {
            if shape.len() == MAX_DIMS {
                return Err(S::Error::invalid_length(MAX_DIMS + 1, &self));
            }
            shape.push(extent);
        }
        Ok(Shape(shape))
    }
}
