//! The residual connection of GLM, which scales what it carries on.

use super::{
    chunks::for_each_chunk,
    lanes::{Kernel, LANES, Lanes, run_at},
    level::CpuLevel,
};

/// Elements that one thread takes at a time.
const CHUNK: usize = 16384;

/// `b ← alpha · a + b`, rounded once.
///
/// # Panics
/// If the lengths differ.
pub fn scaled_add(alpha: f32, a: &[f32], b: &mut [f32]) {
    scaled_add_at(CpuLevel::active(), alpha, a, b);
}

/// [`scaled_add`] with the instructions of a given level.
///
/// # Panics
/// If the lengths differ, or this CPU does not have the level.
pub fn scaled_add_at(level: CpuLevel, alpha: f32, a: &[f32], b: &mut [f32]) {
    assert_eq!(a.len(), b.len(), "a sum of two slices of one length");
    for_each_chunk(b, CHUNK, |chunk, b| {
        let a = &a[chunk * CHUNK..][..b.len()];
        run_at(level, ScaledAdd { alpha, a, b });
    });
}

struct ScaledAdd<'a> {
    alpha: f32,
    a: &'a [f32],
    b: &'a mut [f32],
}

impl Kernel for ScaledAdd<'_> {
    type Output = ();

    #[cfg_attr(not(unoptimised), inline(always))]
    fn run<L: Lanes>(self, lanes: L) {
        let alpha = lanes.splat(self.alpha);
        for (a, b) in self.a.chunks(LANES).zip(self.b.chunks_mut(LANES)) {
            let sum = lanes.mul_add(alpha, lanes.load_part(a, 0.0), lanes.load_part(b, 0.0));
            lanes.store_part(sum, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_at_every_tail_on_every_level() {
        for level in CpuLevel::available() {
            for len in (0..50).chain([CHUNK - 1, CHUNK + 1]) {
                let a: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin()).collect();
                let mut b: Vec<f32> = (0..len).map(|i| (i as f32 * 0.3).cos()).collect();
                let expected: Vec<f32> = a
                    .iter()
                    .zip(&b)
                    .map(|(a, b)| 7.483_315_f32.mul_add(*a, *b))
                    .collect();
                scaled_add_at(level, 7.483_315, &a, &mut b);
                assert_eq!(b, expected, "{level}, {len} elements");
            }
        }
    }
}
