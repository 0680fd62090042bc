//! What this machine can do at most: read memory, and multiply 8-bit integers. Measuring programs divide by it, in the
//! same run and with the same threads, so that a figure says something on a machine that others use too.

use std::{
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{CpuLevel, pool};

/// Words that a thread takes at a time: a mebibyte.
const READ_CHUNK: usize = 1 << 17;

/// Places of a chunk that are read in turn. A single stream leaves memory idle while the next page is looked up; of 1, 4,
/// 8 and 16 the last was the fastest.
const STREAMS: usize = 16;

/// Sums that the streams share: as many as fit the registers of every instruction set.
const SUMS: usize = 4;

/// Words of a cache line.
const LINE: usize = 8;

/// Independent sums of the multiplication loop: more than latency times instructions a cycle on any CPU so far.
const CHAINS: usize = 16;

/// Rounds of [`CHAINS`] instructions that a thread takes at a time: some tens of microseconds.
const ROUNDS: usize = 10_000;

/// Tasks of a thread from one look at the clock to the next: a few milliseconds.
const TASKS_PER_THREAD: usize = 100;

/// How long the multiplication loop runs at least. A shorter one can fit between two turns of another program, and finds
/// a machine that is all its own.
const PEAK_TIME: Duration = Duration::from_millis(100);

/// Bytes per second at which all threads of [`pool`] read `buffer` once, doing next to nothing else.
///
/// The result is about the memory when the buffer is several times larger than the caches.
#[must_use]
pub fn read_bandwidth(buffer: &[u64]) -> f64 {
    let start = Instant::now();
    black_box(read_all(CpuLevel::active(), buffer));
    size_of_val(buffer) as f64 / start.elapsed().as_secs_f64()
}

/// Integer operations per second (a multiplication and an addition are two) that all threads of [`pool`] reach with the
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

/// All words of a buffer, combined by exclusive or.
fn read_all(level: CpuLevel, buffer: &[u64]) -> u64 {
    let result = AtomicU64::new(0);
    pool::for_each(buffer.len().div_ceil(READ_CHUNK), |index| {
        let rest = &buffer[index * READ_CHUNK..];
        let chunk = &rest[..rest.len().min(READ_CHUNK)];
        result.fetch_xor(read_chunk(level, chunk), Ordering::Relaxed);
    });
    result.into_inner()
}

fn read_chunk(level: CpuLevel, chunk: &[u64]) -> u64 {
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
#[target_feature(enable = "avx512f")]
fn read_chunk_avx512(chunk: &[u64]) -> u64 {
    exclusive_or(chunk)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn read_chunk_avx2(chunk: &[u64]) -> u64 {
    exclusive_or(chunk)
}

/// Plain loops that the compiler turns into vectors.
#[inline(always)]
fn exclusive_or(chunk: &[u64]) -> u64 {
    let (lines, tail) = chunk.as_chunks::<LINE>();
    let each = lines.len() / STREAMS;
    let (streams, more_lines) = lines.split_at(each * STREAMS);
    let streams: [&[[u64; LINE]]; STREAMS] =
        std::array::from_fn(|stream| &streams[stream * each..][..each]);
    let mut sums = [[0u64; LINE]; SUMS];
    for index in 0..each {
        for (number, stream) in streams.iter().enumerate() {
            for (sum, word) in sums[number % SUMS].iter_mut().zip(&stream[index]) {
                *sum ^= word;
            }
        }
    }
    let rest = more_lines.as_flattened().iter().chain(tail);
    sums.as_flattened().iter().chain(rest).fold(0, |a, b| a ^ b)
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
    fn every_word_is_read_once_at_every_length() {
        let words: Vec<u64> = (0..3 * READ_CHUNK as u64 + 77)
            .map(|index| (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        let short = 0..200;
        let around_a_chunk = READ_CHUNK - 70..READ_CHUNK + 2;
        for len in short.chain(around_a_chunk.step_by(9)).chain([words.len()]) {
            let expected = words[..len].iter().fold(0, |a, b| a ^ b);
            for level in CpuLevel::available() {
                assert_eq!(read_all(level, &words[..len]), expected, "{level} {len}");
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
