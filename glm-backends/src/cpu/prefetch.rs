//! Asking memory for what will be read soon. Weights and keys are read once for every token, so they come from memory,
//! and the processor's own guess ends at every page.

/// How far ahead of their use bytes are best asked for. Of 1 to 6 KiB, measured with two streams a thread, 3 KiB was the
/// fastest by a tenth, on a Xeon with AMX.
pub(super) const DISTANCE: usize = 3 << 10;

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Asks for as many bytes as `values` has, [`DISTANCE`] behind its start.
#[inline(always)]
pub(super) fn prefetch_behind<T>(values: &[T]) {
    let start = values.as_ptr().cast::<u8>().wrapping_add(DISTANCE);
    prefetch_lines(start, size_of_val(values));
}

/// Asks for [`DISTANCE`] bytes from element `first` on, which need not exist.
#[inline(always)]
pub(super) fn prefetch_start<T>(values: &[T], first: usize) {
    prefetch_lines(values.as_ptr().wrapping_add(first).cast(), DISTANCE);
}

#[inline(always)]
fn prefetch_lines(start: *const u8, bytes: usize) {
    for offset in (0..bytes).step_by(LINE) {
        prefetch(start.wrapping_add(offset));
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
