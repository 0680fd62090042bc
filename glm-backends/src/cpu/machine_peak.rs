//! What this machine can do at most: read memory, and multiply 8-bit integers. Measuring programs divide by it, in the
//! same run and with the same threads, so that a figure says something on a machine that others use too.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use super::{
    CpuLevel,
    pool::{self, Pool},
    prefetch::{LINE, Reading, prefetch},
    shares::for_each_part,
};

/// Bytes that a thread takes at a time.
const READ_CHUNK: usize = 1 << 20;

/// Bytes of a stream, where several are read in turn: see [`Reading`]. 4, 8 and 16 streams were slower than 1 and 2
/// everywhere.
const STREAM: usize = 1 << 15;

/// Independent sums of the multiplication loop: more than latency times instructions a cycle on any CPU so far.
const CHAINS: usize = 16;

/// Rounds of [`CHAINS`] instructions that a thread takes at a time: some tens of microseconds.
const ROUNDS: usize = 10_000;

/// Tasks of a thread from one look at the clock to the next: a few milliseconds.
const TASKS_PER_THREAD: usize = 100;

/// How long the multiplication loop runs at least. A shorter one can fit between two turns of another program, and finds
/// a machine that is all its own.
const PEAK_TIME: Duration = Duration::from_millis(100);

/// Bytes per second at which all [`threads`](super::threads) read `buffer` once, doing next to nothing else: in as many
/// places as is fastest, asking for what comes next ahead of time, as the matrix products do.
///
/// The result is about the memory when the buffer is several times larger than the caches. With `LargePages` it is a
/// tenth higher.
#[must_use]
pub fn read_bandwidth(buffer: &[u8]) -> f64 {
    let start = Instant::now();
    black_box(read_all(CpuLevel::active(), buffer));
    buffer.len() as f64 / start.elapsed().as_secs_f64()
}

/// Integer operations per second (a multiplication and an addition are two) that all [`threads`](super::threads) reach with the
/// dot-product instruction of [`CpuLevel::active`], operands in registers: `vpdpbusd`, `sdot`, or `vpmaddubsw`, which
/// leaves the sums to other instructions. The plain level counts what the compiler makes of a loop. The AMX level measures
/// `vpdpbusd` too, so that shares mean the same on all x86-64 CPUs with AVX-512: there a product may exceed this peak.
#[must_use]
pub fn dot_product_peak() -> f64 {
    dot_product_peak_at(CpuLevel::active())
}

/// [`dot_product_peak`] with the instruction of `level`.
///
/// # Panics
/// If this CPU lacks the level.
#[must_use]
pub fn dot_product_peak_at(level: CpuLevel) -> f64 {
    let tasks = pool::threads() * TASKS_PER_THREAD;
    let start = Instant::now();
    let mut instructions = 0.0;
    while start.elapsed() < PEAK_TIME {
        pool::for_each(tasks, |_| {
            black_box(dot_products(level, black_box(3), ROUNDS));
        });
        instructions += (tasks * ROUNDS * CHAINS) as f64;
    }
    instructions * operations(level) / start.elapsed().as_secs_f64()
}

/// All bytes of a buffer, combined by exclusive or.
fn read_all(level: CpuLevel, buffer: &[u8]) -> u8 {
    let result = AtomicU8::new(0);
    let chunks = buffer.len().div_ceil(READ_CHUNK);
    for_each_part(Pool::global(), chunks, 1, 1, |index| {
        let rest = &buffer[index.start * READ_CHUNK..];
        let chunk = &rest[..rest.len().min(READ_CHUNK)];
        result.fetch_xor(read_chunk(level, chunk), Ordering::Relaxed);
    });
    result.into_inner()
}

fn read_chunk(level: CpuLevel, chunk: &[u8]) -> u8 {
    match level {
        // SAFETY: the level is available only on a CPU with AVX-512 F.
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Amx | CpuLevel::Avx512Vnni if level.is_available() => unsafe {
            read_chunk_avx512(chunk)
        },
        // SAFETY: the level is available only on a CPU with AVX2.
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 if level.is_available() => unsafe { read_chunk_avx2(chunk) },
        _ => exclusive_or(chunk),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn read_chunk_avx512(chunk: &[u8]) -> u8 {
    exclusive_or(chunk)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn read_chunk_avx2(chunk: &[u8]) -> u8 {
    exclusive_or(chunk)
}

/// Plain loops that the compiler turns into vectors.
#[inline(always)]
fn exclusive_or(chunk: &[u8]) -> u8 {
    let reading = Reading::of_this_cpu();
    let distance = reading.distance();
    match reading {
        Reading::OnePlace => exclusive_or_in_streams::<1, STREAM>(chunk, distance),
        Reading::TwoPlaces => exclusive_or_in_streams::<2, { 2 * STREAM }>(chunk, distance),
    }
}

/// `ALL` bytes at a time, in `N` streams.
#[inline(always)]
fn exclusive_or_in_streams<const N: usize, const ALL: usize>(chunk: &[u8], distance: usize) -> u8 {
    let (pieces, tail) = chunk.as_chunks::<ALL>();
    let mut sums = [[0; LINE]; 2]; // As many as fit the registers of every instruction set.
    for piece in pieces {
        let (lines, _) = piece.as_chunks::<LINE>();
        let of_stream = lines.len() / N;
        for index in 0..of_stream {
            // At the end of the streams, those behind them.
            let more = if index * LINE + distance >= of_stream * LINE {
                (N - 1) * of_stream * LINE
            } else {
                0
            };
            for stream in 0..N {
                let line = &lines[stream * of_stream + index];
                prefetch(line.as_ptr().wrapping_add(distance + more));
                for (sum, byte) in sums[(index + stream) % 2].iter_mut().zip(line) {
                    *sum ^= byte;
                }
            }
        }
    }
    sums.as_flattened().iter().chain(tail).fold(0, |a, b| a ^ b)
}

/// Operations of one step of [`dot_products`].
fn operations(level: CpuLevel) -> f64 {
    let products = match level {
        CpuLevel::Amx | CpuLevel::Avx512Vnni => 64,
        CpuLevel::Avx2 => 32,
        CpuLevel::Neon | CpuLevel::Scalar => 16,
    };
    2.0 * f64::from(products)
}

/// `rounds` times the instruction of `level` on each of [`CHAINS`] registers; all lanes of all of them, added up.
///
/// Every operand byte is `value` or 1, so that the result is known: see the test.
///
/// # Panics
/// If this CPU lacks the level.
fn dot_products(level: CpuLevel, value: i8, rounds: usize) -> i64 {
    assert!(
        level.is_available(),
        "this CPU does not have the instructions of level `{level}`"
    );
    match level {
        // SAFETY: the level is available, as just asserted, so the CPU has AVX-512 F and VNNI.
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Amx | CpuLevel::Avx512Vnni => unsafe { dot_products_vnni(value, rounds) },
        // SAFETY: the level is available, as just asserted, so the CPU has AVX2.
        #[cfg(target_arch = "x86_64")]
        CpuLevel::Avx2 => unsafe { dot_products_maddubs(value, rounds) },
        // SAFETY: the level is available, as just asserted, so the CPU has the dot product extension.
        #[cfg(target_arch = "aarch64")]
        CpuLevel::Neon => unsafe { dot_products_sdot(value, rounds) },
        _ => dot_products_plain(value, rounds),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot_products_vnni(value: i8, rounds: usize) -> i64 {
    use std::arch::x86_64::*;
    let (ones, values) = (_mm512_set1_epi8(1), _mm512_set1_epi8(value));
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = _mm512_dpbusd_epi32(*sum, ones, values);
        }
    }
    sums.iter()
        .map(|sum| i64::from(_mm512_reduce_add_epi32(*sum)))
        .sum()
}

/// The instruction does not add to a register: each step multiplies the result of the one before by one, so that none
/// can be left out.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn dot_products_maddubs(value: i8, rounds: usize) -> i64 {
    use std::arch::x86_64::*;
    // Low bytes times one, high bytes times zero: the 16-bit lanes stay `value`.
    let ones = _mm256_set1_epi16(1);
    let mut results = [_mm256_set1_epi16(i16::from(value)); CHAINS];
    for _ in 0..rounds {
        for result in &mut results {
            *result = _mm256_maddubs_epi16(ones, *result);
        }
    }
    let mut total = 0;
    for result in results {
        let pairs = _mm256_madd_epi16(result, ones);
        let half = _mm_add_epi32(
            _mm256_castsi256_si128(pairs),
            _mm256_extracti128_si256::<1>(pairs),
        );
        let quarter = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
        total += i64::from(_mm_cvtsi128_si32(quarter)) + i64::from(_mm_extract_epi32::<1>(quarter));
    }
    total
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
fn dot_products_sdot(value: i8, rounds: usize) -> i64 {
    use std::arch::aarch64::*;
    let (ones, values) = (vdupq_n_s8(1), vdupq_n_s8(value));
    let mut sums = [vdupq_n_s32(0); CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            // SAFETY: the function is compiled for the dot product extension; registers only.
            unsafe {
                std::arch::asm!(
                    "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
                    sum = inout(vreg) *sum,
                    a = in(vreg) ones,
                    b = in(vreg) values,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
    }
    sums.iter().map(|sum| i64::from(vaddvq_s32(*sum))).sum()
}

fn dot_products_plain(value: i8, rounds: usize) -> i64 {
    let mut sums = [0i32; CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            let (a, b) = black_box(([1i8; 16], [value; 16]));
            *sum += a
                .iter()
                .zip(b)
                .map(|(a, b)| i32::from(*a) * i32::from(b))
                .sum::<i32>();
        }
    }
    sums.iter().map(|sum| i64::from(*sum)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_once_at_every_length() {
        let bytes: Vec<u8> = (0..3 * READ_CHUNK as u32 + 77)
            .map(|index| (index.wrapping_mul(0x9e37_79b9) >> 24) as u8)
            .collect();
        let short = 0..200;
        let around_two_streams = 2 * STREAM - 70..2 * STREAM + 70;
        let around_a_chunk = READ_CHUNK - 70..READ_CHUNK + 2;
        let lens = short.chain(around_two_streams).chain(around_a_chunk);
        for len in lens.step_by(9).chain([bytes.len()]) {
            let expected = bytes[..len].iter().fold(0, |a, b| a ^ b);
            for level in CpuLevel::available() {
                assert_eq!(read_all(level, &bytes[..len]), expected, "{level} {len}");
            }
        }
    }

    #[test]
    fn every_instruction_multiplies_as_often_as_is_counted() {
        for level in CpuLevel::available() {
            for rounds in [0, 1, 7, 100] {
                // A lane of `vpmaddubsw` keeps its value; the others add `value` for every product.
                let expected = match level {
                    CpuLevel::Avx2 => 16,
                    _ => rounds as i64 * operations(level) as i64 / 2,
                } * CHAINS as i64;
                assert_eq!(dot_products(level, 3, rounds), 3 * expected, "{level}");
                assert_eq!(dot_products(level, -5, rounds), -5 * expected, "{level}");
            }
        }
    }

    #[test]
    fn rates_are_positive() {
        assert!(read_bandwidth(&vec![1; 2 * READ_CHUNK]) > 0.0);
        assert!(dot_product_peak_at(CpuLevel::Scalar) > 0.0);
    }
}
