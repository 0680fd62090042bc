//! Asking memory for what will be read soon. Weights and keys are read once for every token, so they come from memory,
//! and the processor's own guess ends at every page.

use std::sync::LazyLock;

/// How a thread best reads from memory what it needs once. Measured on two CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// In one place. From large pages without asking ahead; from ordinary ones a page ahead and for the second cache, so that
    /// the next page is found and begun meanwhile.
    ///
    /// An EPYC of the fourth generation (Zen 4): from large pages a thread reads 28 GB/s in one place and 22 in two, and a
    /// product with INT4 weights is no faster whatever it asks for, and a quarter slower when that is for the first cache.
    /// Attention over keys and values in ordinary pages takes a third less time over 48 tokens, an eighth over 1024.
    OnePlace,
    /// In two places, asking for what lies 3 KiB ahead, for the first cache.
    ///
    /// A Xeon with AMX: two places a thread are a tenth faster than one or four; of 1 to 6 KiB, 3 KiB ahead are faster by a
    /// tenth, with large pages.
    TwoPlaces,
}

impl Reading {
    /// On this CPU.
    #[inline]
    pub(super) fn of_this_cpu() -> Self {
        static READING: LazyLock<Reading> = LazyLock::new(|| {
            if is_amd() {
                Reading::OnePlace
            } else {
                Reading::TwoPlaces
            }
        });
        *READING
    }

    /// Places at a time.
    pub(super) const fn places(self) -> usize {
        match self {
            Self::OnePlace => 1,
            Self::TwoPlaces => 2,
        }
    }

    /// Bytes from what is used to what is asked for meanwhile, of weights.
    pub(super) const fn distance(self) -> usize {
        match self {
            Self::OnePlace => LINE,
            Self::TwoPlaces => 3 << 10,
        }
    }
}

/// Bytes of an ordinary page.
const PAGE: usize = 4 << 10;

#[cfg(target_arch = "x86_64")]
fn is_amd() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes) == [*b"Auth", *b"enti", *b"cAMD"]
}

#[cfg(not(target_arch = "x86_64"))]
fn is_amd() -> bool {
    false
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Keys or values that are read from their start to their end, and then others. What is asked for ahead of time goes on
/// there, so that memory has no pause.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    end: *const u8,
    then: *const u8,
    reading: Reading,
}

impl Stream {
    /// `values` to the end, and then what is at another address, which need not be valid.
    #[inline(always)]
    pub(super) fn new<T>(values: &[T], then: *const u8) -> Self {
        Self {
            end: values.as_ptr_range().end.cast(),
            then,
            reading: Reading::of_this_cpu(),
        }
    }

    /// `values`, and then what lies behind them.
    #[inline(always)]
    pub(super) fn on<T>(values: &[T]) -> Self {
        Self::new(values, values.as_ptr_range().end.cast())
    }

    /// Asks for as many bytes as a part of it has, some way behind the start of the part: see [`Reading`].
    #[inline(always)]
    pub(super) fn prefetch<T>(self, part: &[T]) {
        let lines = |distance| {
            let mut at = part.as_ptr().cast::<u8>().wrapping_add(distance);
            if at >= self.end {
                at = self.then.wrapping_add(at as usize - self.end as usize);
            }
            let offsets = (0..size_of_val(part)).step_by(LINE);
            offsets.map(move |offset| at.wrapping_add(offset))
        };
        match self.reading {
            Reading::OnePlace => lines(PAGE).for_each(prefetch_to_second_cache),
            Reading::TwoPlaces => lines(self.reading.distance()).for_each(prefetch),
        }
    }
}

/// Bytes to be asked for little by little while something else is computed: a core that asks for many at once does nothing
/// else until most of them have come.
pub(super) struct Ahead {
    next: *const u8,
    /// Lines.
    left: usize,
    at_once: usize,
}

impl Ahead {
    /// Nothing to ask for.
    pub(super) const NOTHING: Self = Self {
        next: std::ptr::null(),
        left: 0,
        at_once: 0,
    };

    /// `bytes` bytes from an address on, which need not be valid, in `times` parts.
    #[inline(always)]
    pub(super) fn new(start: *const u8, bytes: usize, times: usize) -> Self {
        let left = bytes.div_ceil(LINE);
        Self {
            next: start,
            left,
            at_once: left.div_ceil(times),
        }
    }

    /// Asks for the next part.
    #[inline(always)]
    pub(super) fn ask(&mut self) {
        self.ask_each(prefetch);
    }

    /// Asks for the next part, which only the second cache has room for.
    #[inline(always)]
    pub(super) fn ask_for_later(&mut self) {
        self.ask_each(prefetch_to_second_cache);
    }

    #[inline(always)]
    fn ask_each(&mut self, prefetch: impl Fn(*const u8)) {
        let lines = self.at_once.min(self.left);
        for _ in 0..lines {
            prefetch(self.next);
            self.next = self.next.wrapping_add(LINE);
        }
        self.left -= lines;
    }
}

/// Asks for the cache line at an address, which need not be valid.
#[inline(always)]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and prefetching may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: prefetching may name any address and changes nothing that the program sees.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

/// The same, for a line that the first cache would have lost again when it is used.
#[inline(always)]
fn prefetch_to_second_cache<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{at}]", at = in(reg) at, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}
