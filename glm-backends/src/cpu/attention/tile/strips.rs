//! Rows of a cache in f32, cut into strips.

use std::ops::Range;

use super::super::PIECE;
use crate::cpu::{
    cache_slice::{CacheSlice, Element, with_elements},
    lanes::{LANES, Lanes},
    prefetch::Stream,
};

/// Some dims of a key or a value. Heads are cut into strips and the last one is padded with zeros: so the products read
/// rows at distances that are known when they are compiled.
pub(super) type Strip = [f32; STRIP];

/// Dims of a strip.
pub(super) const STRIP: usize = 64;

/// Room for `rows` rows, `[strips, rows]`.
pub(super) fn make_room(strips: &mut Vec<Strip>, rows: usize, head_dim: usize) {
    if !head_dim.is_multiple_of(STRIP) {
        strips.clear(); // Zeros where heads are padded, whatever the last call left.
    }
    strips.resize(rows * head_dim.div_ceil(STRIP), [0.0; STRIP]);
}

/// Copies all rows of `cache` into strips with room for a piece; INT8 codes without their scales.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn load<L: Lanes>(lanes: L, cache: CacheSlice<'_>, head_dim: usize, out: &mut [Strip]) {
    with_elements!(cache, |all| {
        // Loops of a known length for the heads of the published models.
        match head_dim {
            128 => load_rows(lanes, all, 128, out),
            _ => load_rows(lanes, all, head_dim, out),
        }
    });
}

#[cfg_attr(not(unoptimised), inline(always))]
fn load_rows<L: Lanes, E: Element>(lanes: L, rows: &[E], head_dim: usize, out: &mut [Strip]) {
    let stream = Stream::on(rows);
    for (place, row) in rows.chunks_exact(head_dim).enumerate() {
        stream.prefetch(row);
        widen::<L, E, PIECE>(lanes, row, place, out);
    }
}

/// Copies a row to place `place` of strips with room for `ROOM` rows.
#[cfg_attr(not(unoptimised), inline(always))]
pub(super) fn widen<L: Lanes, E: Element, const ROOM: usize>(
    lanes: L,
    row: &[E],
    place: usize,
    out: &mut [Strip],
) {
    for (row, out) in row.chunks(STRIP).zip(out.chunks_exact_mut(ROOM)) {
        let (out, _) = out[place].as_chunks_mut::<LANES>();
        for (row, out) in row.chunks(LANES).zip(out) {
            lanes.store(E::load_part(lanes, row), out);
        }
    }
}

/// Rows of values, as they lie in the cache or in strips.
#[derive(Clone, Copy)]
pub(super) struct Values<'a, E> {
    values: &'a [E],
    /// From one row to the next, and as many dims are together.
    stride: usize,
    /// From one strip to the next.
    strip_stride: usize,
    /// Without what pads strips.
    pub(super) dims: usize,
}

impl<'a> Values<'a, f32> {
    /// Those from `place` on, in strips with room for a piece.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn of_strips(strips: &'a [Strip], place: usize, head_dim: usize) -> Self {
        Self {
            values: strips[place..].as_flattened(),
            stride: STRIP,
            strip_stride: PIECE * STRIP,
            dims: head_dim,
        }
    }
}

impl<'a, E: Element> Values<'a, E> {
    /// Some rows of a cache.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn of_cache(cache: &'a [E], rows: Range<usize>, head_dim: usize) -> Self {
        Self {
            values: &cache[rows.start * head_dim..rows.end * head_dim],
            stride: head_dim,
            strip_stride: 0,
            dims: head_dim,
        }
    }

    /// The same; the compiler knows that rows have 128 dims.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn known_to_have_128_dims(self) -> Self {
        Self { dims: 128, ..self }
    }

    /// 16 dims of each row, from `dim` on; zero behind the last.
    #[cfg_attr(not(unoptimised), inline(always))]
    pub(super) fn columns<L: Lanes>(
        self,
        lanes: L,
        dim: usize,
    ) -> impl Iterator<Item = L::Vector> + use<'a, L, E> {
        let start = dim / self.stride * self.strip_stride + dim % self.stride;
        let width = LANES.min(self.dims - dim);
        let rows = self.values[start..].chunks(self.stride);
        rows.map(move |row| E::load_part(lanes, &row[..width]))
    }
}
