//! Packed matrices: where codes lie, what quantising costs, and how a matrix is written slab by slab.

#![allow(clippy::unwrap_used)] // Also in the helper functions.

mod samples;

use glm_quant::half::f16;
use glm_quant::{
    Bits, Error, GroupSize, Int4Matrix, Int8Matrix, PackedLayout, PackedMatrix, PackedWriter,
};
use proptest::prelude::*;
use samples::Samples;

fn formats() -> impl Strategy<Value = (Bits, GroupSize)> {
    let bits = prop::sample::select(vec![Bits::Four, Bits::Eight]);
    let groups = vec![GroupSize::Row, GroupSize::G32, GroupSize::G128];
    (bits, prop::sample::select(groups))
}

fn layouts(cols: impl Strategy<Value = usize>) -> impl Strategy<Value = PackedLayout> {
    (0_usize..40, cols, formats()).prop_map(|(rows, cols, (bits, group))| PackedLayout {
        rows,
        cols,
        bits,
        group,
    })
}

fn finite_halves(count: usize) -> impl Strategy<Value = Vec<f16>> {
    let half = any::<u16>().prop_map(|bits| match f16::from_bits(bits) {
        half if half.is_finite() => half,
        _ => f16::ZERO,
    });
    prop::collection::vec(half, count)
}

fn floats(halves: &[f16]) -> Vec<f32> {
    halves.iter().map(|half| half.to_f32()).collect()
}

fn dequantized(matrix: &PackedMatrix) -> Vec<f32> {
    let PackedLayout { rows, cols, .. } = *matrix.layout();
    let mut weights = vec![f32::NAN; rows * cols];
    for (row, weights) in weights.chunks_mut(cols.max(1)).enumerate() {
        matrix.dequantize_row(row, weights).unwrap();
    }
    weights
}

fn squared_error(weights: &[f32], restored: impl IntoIterator<Item = f32>) -> f64 {
    let pairs = weights.iter().zip(restored);
    pairs.map(|(w, r)| f64::from(w - r).powi(2)).sum()
}

proptest! {
    /// The places of `locate` and `scale_index`, one weight at a time, are where the fast paths write and read.
    #[test]
    fn codes_and_scales_lie_where_the_layout_says(layout in layouts(0_usize..300), seed: u64) {
        let PackedLayout { rows, cols, .. } = layout;
        let weights = Samples::new(seed).weights(rows * cols);
        let matrix = PackedMatrix::quantize_f32(layout, &weights).unwrap();
        let restored = dequantized(&matrix);
        let mut taken = vec![0_u32; layout.words()];
        for row in 0..rows {
            for col in 0..cols {
                let (word, bit) = layout.locate(row, col);
                let width = layout.bits.offset().ilog2() + 1;
                let mask = ((1_u32 << width) - 1) << bit;
                prop_assert_eq!(taken[word] & mask, 0, "two weights share bits");
                taken[word] |= mask;
                let stored = (matrix.codes()[word] & mask) >> bit;
                let code = stored as i32 - layout.bits.offset();
                prop_assert_eq!(matrix.code(row, col).map(i32::from), Some(code));
                let scale = matrix.scales()[layout.scale_index(row, col)].to_f32();
                prop_assert_eq!(restored[row * cols + col], scale * code as f32);
            }
        }
        // What no weight has taken holds codes of zero.
        let zeros = PackedMatrix::zeros(layout).unwrap();
        for ((word, zero), taken) in matrix.codes().iter().zip(zeros.codes()).zip(&taken) {
            prop_assert_eq!(word & !taken, zero & !taken);
        }
        prop_assert_eq!(matrix.code(rows, 0), None);
        prop_assert_eq!(matrix.code(0, cols), None);
        prop_assert!(matrix.dequantize_row(rows, &mut vec![0.0; cols]).is_err());
        let (codes, scales) = matrix.clone().into_parts();
        prop_assert_eq!(PackedMatrix::new(layout, codes, scales).unwrap(), matrix);
    }

    /// With one scale a row: equal to the official quantiser, and to its bytes on the way back.
    #[test]
    fn rows_are_official(
        (rows, cols, halves) in (0_usize..40, 0_usize..70).prop_flat_map(|(rows, half_cols)| {
            (Just(rows), Just(2 * half_cols), finite_halves(rows * 2 * half_cols))
        })
    ) {
        let group = GroupSize::Row;
        let floats = floats(&halves);
        let layout = PackedLayout { rows, cols, bits: Bits::Four, group };
        let official = Int4Matrix::quantize_f16(rows, cols, &halves).unwrap();
        let packed = PackedMatrix::quantize_f16(layout, &halves).unwrap();
        prop_assert_eq!(&PackedMatrix::from_int4(&official).unwrap(), &packed);
        prop_assert_eq!(packed.to_int4().unwrap(), official);
        let official = Int4Matrix::quantize_f32(rows, cols, &floats).unwrap();
        let packed = PackedMatrix::quantize_f32(layout, &floats).unwrap();
        prop_assert_eq!(packed.to_int4().unwrap(), official);

        let layout = PackedLayout { bits: Bits::Eight, ..layout };
        let official = Int8Matrix::quantize_f16(rows, cols, &halves).unwrap();
        let packed = PackedMatrix::quantize_f16(layout, &halves).unwrap();
        prop_assert_eq!(&PackedMatrix::from_int8(&official).unwrap(), &packed);
        prop_assert_eq!(packed.to_int8().unwrap(), official);
        let official = Int8Matrix::quantize_f32(rows, cols, &floats).unwrap();
        let packed = PackedMatrix::quantize_f32(layout, &floats).unwrap();
        prop_assert_eq!(packed.to_int8().unwrap(), official);
    }

    /// Any official bytes, -8 and -128 too, come back as they were.
    #[test]
    fn official_bytes_survive_packing(
        (rows, cols, bytes) in (0_usize..40, 0_usize..70).prop_flat_map(|(rows, half_cols)| {
            let bytes = prop::collection::vec(any::<u8>(), rows * 2 * half_cols);
            (Just(rows), Just(2 * half_cols), bytes)
        })
    ) {
        let scales: Vec<f16> = (0..rows).map(|row| f16::from_f32(0.5 + row as f32)).collect();
        let nibbles = bytes[..bytes.len() / 2].to_vec();
        let int4 = Int4Matrix::new(rows, cols, nibbles, scales.clone()).unwrap();
        let packed = PackedMatrix::from_int4(&int4).unwrap();
        prop_assert_eq!(dequantized(&packed), int4.dequantize());
        prop_assert_eq!(packed.to_int4().unwrap(), int4);
        let codes = bytes.into_iter().map(u8::cast_signed).collect();
        let int8 = Int8Matrix::new(rows, cols, codes, scales).unwrap();
        let packed = PackedMatrix::from_int8(&int8).unwrap();
        prop_assert_eq!(dequantized(&packed), int8.dequantize());
        prop_assert_eq!(packed.to_int8().unwrap(), int8);
    }

    /// Every code is the nearest of its range to the quotient by the stored scale. Within the range that bounds the
    /// error by half a step.
    #[test]
    fn codes_of_groups_are_the_nearest(layout in layouts(1_usize..300), seed: u64) {
        prop_assume!(layout.group != GroupSize::Row);
        let PackedLayout { rows, cols, .. } = layout;
        let mut samples = Samples::new(seed);
        let weights: Vec<f32> =
            (0..rows * cols).map(|_| samples.heavy_tailed() as f32).collect();
        let matrix = PackedMatrix::quantize_f32(layout, &weights).unwrap();
        let (lowest, highest) = match layout.bits {
            Bits::Four => (-8.0, 7.0),
            Bits::Eight => (-127.0, 127.0),
        };
        for (index, (weight, restored)) in weights.iter().zip(dequantized(&matrix)).enumerate() {
            let scale = matrix.scales()[layout.scale_index(index / cols, index % cols)].to_f32();
            let cut = scale * (weight / scale).clamp(lowest, highest);
            let bound = scale.abs() * (0.5 + 1e-4);
            prop_assert!((cut - restored).abs() <= bound, "{cut} became {restored}, scale {scale}");
            // INT8 cuts nothing but what the rounding of the scale put outside: half a unit of its last place, which is
            // the same for all scales of a group of small weights (below 2⁻¹⁴).
            if layout.bits == Bits::Eight {
                let rounding = (scale / 2048.0).max(2_f32.powi(-25));
                let bound = scale * 0.5 + highest * rounding * 1.001;
                prop_assert!((weight - restored).abs() <= bound, "{weight} became {restored}, scale {scale}");
            }
        }
    }

    /// The squared error of an INT4 group is no larger than with the official scale, or with all 16 codes in use.
    #[test]
    fn scales_of_groups_are_no_worse_than_simple_ones(
        group in prop::sample::select(vec![GroupSize::G32, GroupSize::G128]),
        len in 1_usize..=32,
        seed: u64,
    ) {
        let mut samples = Samples::new(seed);
        let weights: Vec<f32> = (0..len).map(|_| samples.heavy_tailed() as f32).collect();
        let layout = PackedLayout { rows: 1, cols: len, bits: Bits::Four, group };
        let matrix = PackedMatrix::quantize_f32(layout, &weights).unwrap();
        let found = squared_error(&weights, dequantized(&matrix));
        let extreme = weights.iter().fold(0.0_f32, |m, w| if w.abs() > m.abs() { *w } else { m });
        for (scale, lowest) in [(extreme.abs() / 7.0, -7.0), (extreme / -8.0, -8.0)] {
            let scale = f16::from_f32(scale).to_f32();
            let simple = |w: &f32| scale * (w / scale).round_ties_even().clamp(lowest, 7.0);
            let simple = squared_error(&weights, weights.iter().map(simple));
            prop_assert!(found <= simple * (1.0 + 1e-4), "{found}, but {simple} with {scale}");
        }
    }

    #[test]
    fn any_finite_halves_have_finite_weights(
        (layout, halves) in layouts(0_usize..70).prop_flat_map(|layout| {
            (Just(layout), finite_halves(layout.rows * layout.cols))
        })
    ) {
        let matrix = PackedMatrix::quantize_f16(layout, &halves).unwrap();
        prop_assert!(dequantized(&matrix).iter().all(|weight| weight.is_finite()));
        if layout.group != GroupSize::Row {
            prop_assert_eq!(PackedMatrix::quantize_f32(layout, &floats(&halves)).unwrap(), matrix);
        }
    }

    #[test]
    fn slabs_make_the_same_matrix(layout in layouts(1_usize..70), seed: u64, blocks in 1_usize..3) {
        let weights = Samples::new(seed).weights(layout.rows * layout.cols);
        let halves: Vec<f16> = weights.iter().map(|w| f16::from_f32(*w)).collect();
        let slab = blocks * 16 * layout.cols;
        let mut writer = PackedWriter::new(layout).unwrap();
        for rows in weights.chunks(slab) {
            writer.push_f32(rows).unwrap();
        }
        let whole = PackedMatrix::quantize_f32(layout, &weights).unwrap();
        prop_assert_eq!(writer.finish().unwrap(), whole);
        let mut writer = PackedWriter::new(layout).unwrap();
        for rows in halves.chunks(slab) {
            writer.push_f16(rows).unwrap();
        }
        let whole = PackedMatrix::quantize_f16(layout, &halves).unwrap();
        prop_assert_eq!(writer.finish().unwrap(), whole);
    }

    #[test]
    fn buffers_of_any_length_are_checked(
        layout in layouts(0_usize..70), words in 0_usize..200, scales in 0_usize..200
    ) {
        let matrix = PackedMatrix::new(layout, vec![0; words], vec![f16::ONE; scales]);
        let fits = words == layout.words() && scales == layout.scales();
        prop_assert_eq!(matrix.is_ok(), fits);
        let weights = vec![0.5; words];
        let fits = words == layout.rows * layout.cols;
        prop_assert_eq!(PackedMatrix::quantize_f32(layout, &weights).is_ok(), fits);
    }
}

const LAYOUT: PackedLayout = PackedLayout {
    rows: 40,
    cols: 6,
    bits: Bits::Four,
    group: GroupSize::G32,
};

#[test]
fn slabs_that_do_not_fit_are_refused() {
    let length = |what, expected, found| {
        Err(Error::Length {
            what,
            expected,
            found,
        })
    };
    let row = [1.0; 6];
    let mut writer = PackedWriter::new(LAYOUT).unwrap();
    assert_eq!(
        writer.push_f32(&row[..5]),
        length("the slab's last row", 6, 5)
    );
    assert_eq!(
        writer.push_f32(&row),
        Err(Error::SlabSplitsBlock { row: 1 })
    );
    assert_eq!(
        writer.push_f32(&row.repeat(41)),
        length("the slab", 240, 246)
    );
    writer.push_f32(&row.repeat(32)).unwrap();
    let mut broken = row.repeat(8);
    broken[6 * 7 + 2] = f32::NAN;
    broken[6 * 3 + 4] = f32::NAN;
    // Rows are counted from the first of the matrix, and the first bad one is named.
    assert_eq!(
        writer.push_f32(&broken),
        Err(Error::NonFiniteWeight { row: 35, column: 4 })
    );
    broken.fill(1e9);
    assert_eq!(
        writer.push_f32(&broken),
        Err(Error::ScaleOverflow { row: 32 })
    );
    writer.push_f32(&row.repeat(8)).unwrap();
    assert_eq!(writer.push_f32(&row), length("the slab", 0, 6));
    let whole = PackedMatrix::quantize_f32(LAYOUT, &row.repeat(40)).unwrap();
    assert_eq!(writer.finish().unwrap(), whole);

    let writer = PackedWriter::new(LAYOUT).unwrap();
    assert_eq!(
        writer.finish().err(),
        length("the pushed rows", 40, 0).err()
    );
}

#[test]
fn impossible_shapes_are_refused() {
    for (rows, cols) in [(usize::MAX, 4), (4, usize::MAX), (1 << 40, 1 << 40)] {
        let layout = PackedLayout {
            rows,
            cols,
            ..LAYOUT
        };
        let too_large = Error::TooLarge { rows, cols };
        assert_eq!(PackedMatrix::zeros(layout).err(), Some(too_large.clone()));
        assert_eq!(
            PackedMatrix::new(layout, vec![], vec![]).err(),
            Some(too_large.clone())
        );
        assert_eq!(PackedWriter::new(layout).err(), Some(too_large));
        assert!(PackedMatrix::quantize_f32(layout, &[]).is_err());
    }
    let scales = [f16::ONE; 48].map(|scale| scale * f16::NAN);
    let codes = vec![0; LAYOUT.words()];
    let row = PackedMatrix::new(LAYOUT, codes, scales.to_vec());
    assert_eq!(row, Err(Error::NonFiniteScale { row: 0 }));
}

#[test]
fn groups_have_no_official_form() {
    let matrix = PackedMatrix::zeros(LAYOUT).unwrap();
    let not_official = |wanted| Error::NotOfficial {
        wanted,
        bits: Bits::Four,
        group: GroupSize::G32,
    };
    assert_eq!(matrix.to_int4(), Err(not_official(Bits::Four)));
    assert_eq!(matrix.to_int8(), Err(not_official(Bits::Eight)));
    let rows = PackedLayout {
        cols: 5,
        group: GroupSize::Row,
        ..LAYOUT
    };
    let matrix = PackedMatrix::zeros(rows).unwrap();
    assert_eq!(matrix.to_int4(), Err(Error::OddColumns { cols: 5 }));
}

/// The error figures of the README. Run with `--nocapture` to see them.
#[test]
fn relative_errors_are_as_documented() {
    let (rows, cols) = (64, 4096);
    for (bits, group, normal, heavy_tailed) in [
        (Bits::Four, GroupSize::Row, 0.160, 0.560),
        (Bits::Four, GroupSize::G128, 0.0975, 0.190),
        (Bits::Four, GroupSize::G32, 0.0820, 0.125),
        (Bits::Eight, GroupSize::Row, 0.0089, 0.045),
        (Bits::Eight, GroupSize::G128, 0.0066, 0.014),
        (Bits::Eight, GroupSize::G32, 0.0054, 0.0086),
    ] {
        let layout = PackedLayout {
            rows,
            cols,
            bits,
            group,
        };
        let mut samples = Samples::new(1);
        let mut error = |sample: fn(&mut Samples) -> f64| {
            let weights: Vec<f16> = (0..rows * cols)
                .map(|_| f16::from_f64(0.02 * sample(&mut samples)))
                .collect();
            let matrix = PackedMatrix::quantize_f16(layout, &weights).unwrap();
            let weights = floats(&weights);
            let error = squared_error(&weights, dequantized(&matrix));
            (error / squared_error(&weights, std::iter::repeat(0.0))).sqrt()
        };
        let (found_normal, found_heavy) = (error(Samples::normal), error(Samples::heavy_tailed));
        println!("{bits:?} {group:?}: {found_normal:.4} {found_heavy:.4}");
        assert!(found_normal <= normal && found_heavy <= heavy_tailed);
    }
}
