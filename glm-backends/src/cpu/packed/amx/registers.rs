//! The tile registers and what is done with them: 32 tokens times two row blocks.
//!
//! Tiles 0 to 3 are sums: of the first 16 tokens with both row blocks, then of the next 16. Tiles 4 and 5 are the
//! activations of these tokens, 6 and 7 the weights of the row blocks.
//!
//! Rust has no stable names for these instructions, so they are written in assembly. Tiles and their shapes live from
//! one block of it to the next: the compiler itself uses no tile registers, and no function that might is called in
//! between.

use std::{arch::asm, cell::Cell};

use glm_quant::BLOCK_ROWS;

/// Rows of a tile register.
pub(super) const TILE_ROWS: usize = 16;

/// Bytes of a row of a tile register.
pub(super) const LINE: usize = 64;

/// Tokens that are multiplied at once.
pub(super) const TOKENS: usize = 2 * TILE_ROWS;

/// Row blocks that are multiplied at once.
pub(super) const BLOCKS: usize = 2;

thread_local! {
    /// Tokens, and columns in a step, of the shapes that this thread has loaded. Loading takes as long as multiplying a
    /// group, so shapes stay from one call to the next.
    static LOADED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Integer sums of a group: `[tokens, blocks, 16]`.
#[repr(align(64))]
pub(super) struct Dots(pub(super) [[[i32; BLOCK_ROWS]; BLOCKS]; TOKENS]);

/// From one token's integer sums to the next's, in bytes.
const DOT_STRIDE: usize = BLOCKS * LINE;

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct TileShapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl TileShapes {
    #[allow(clippy::cast_possible_truncation)] // At most 64.
    fn new(tokens: usize, step: usize) -> Self {
        let first = tokens.min(TILE_ROWS);
        // A tile must have a row, if only to be ignored.
        let second = (tokens - first).max(1);
        let mut shapes = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let rows = [
            first,
            first,
            second,
            second,
            first,
            second,
            step / 4,
            step / 4,
        ];
        let row_bytes = [LINE, LINE, LINE, LINE, step, step, LINE, LINE];
        for register in 0..8 {
            shapes.rows[register] = rows[register] as u8;
            shapes.row_bytes[register] = row_bytes[register] as u16;
        }
        shapes
    }
}

/// True when this thread has loaded the shapes for so many tokens, and so many columns in a step.
#[inline(always)]
pub(super) fn are_shaped(tokens: usize, step: usize) -> bool {
    LOADED.get() == (tokens, step)
}

/// Shapes the tiles for 1 to 32 tokens, and 32 or 64 columns in a step; they are cleared.
///
/// # Safety
/// The CPU has AMX, and the system lets this process use it.
pub(super) unsafe fn shape(tokens: usize, step: usize) {
    let shapes = TileShapes::new(tokens, step);
    // SAFETY: 64 bytes are read, which `shapes` has. The caller's promise.
    unsafe {
        asm!(
            "ldtilecfg [{shapes}]",
            shapes = in(reg) &raw const shapes,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly, preserves_flags),
        );
    }
    LOADED.set((tokens, step));
}

/// Forgets the shapes, so that a switch of threads has no tiles to save.
pub(super) fn release() {
    if LOADED.replace((0, 0)) != (0, 0) {
        // SAFETY: shapes are loaded only where the CPU has AMX.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
    }
}

/// Clears tiles 0 and 1.
///
/// # Safety
/// The tiles have been shaped.
#[inline(always)]
pub(super) unsafe fn zero_first() {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            out("tmm0") _, out("tmm1") _,
            options(nostack, nomem, preserves_flags),
        );
    }
}

/// Clears tiles 2 and 3.
///
/// # Safety
/// As [`zero_first`].
#[inline(always)]
pub(super) unsafe fn zero_second() {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilezero tmm2",
            "tilezero tmm3",
            out("tmm2") _, out("tmm3") _,
            options(nostack, nomem, preserves_flags),
        );
    }
}

/// Adds 16 tokens times two blocks to tiles 0 and 1, and leaves the weights in tiles 6 and 7.
///
/// # Safety
/// The tiles have been shaped; `x` has their rows of activations, `stride` bytes apart, and the others have their rows of
/// weights.
#[inline(always)]
pub(super) unsafe fn multiply_first(x: *const u8, stride: usize, w0: *const u32, w1: *const u32) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tileloadd tmm4, [{x} + {stride}]",
            "tileloadd tmm6, [{w0} + {line}]",
            "tdpbssd tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{w1} + {line}]",
            "tdpbssd tmm1, tmm4, tmm7",
            x = in(reg) x,
            stride = in(reg) stride,
            w0 = in(reg) w0,
            w1 = in(reg) w1,
            line = in(reg) LINE,
            out("tmm0") _, out("tmm1") _, out("tmm4") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly, preserves_flags),
        );
    }
}

/// Adds the next 16 tokens times the weights in tiles 6 and 7 to tiles 2 and 3.
///
/// # Safety
/// As [`multiply_first`], which has been called.
#[inline(always)]
pub(super) unsafe fn multiply_second(x: *const u8, stride: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tileloadd tmm5, [{x} + {stride}]",
            "tdpbssd tmm2, tmm5, tmm6",
            "tdpbssd tmm3, tmm5, tmm7",
            x = in(reg) x,
            stride = in(reg) stride,
            out("tmm2") _, out("tmm3") _, out("tmm5") _,
            options(nostack, readonly, preserves_flags),
        );
    }
}

/// Writes tiles 0 and 1 to the first 16 tokens.
///
/// # Safety
/// The tiles have been shaped, and `dots` may be written.
#[inline(always)]
pub(super) unsafe fn store_first(dots: *mut Dots) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilestored [{dots} + {stride}], tmm0",
            "tilestored [{dots} + {stride} + 64], tmm1",
            dots = in(reg) dots,
            stride = in(reg) DOT_STRIDE,
            options(nostack, preserves_flags),
        );
    }
}

/// Writes tiles 2 and 3 to the last 16 tokens.
///
/// # Safety
/// As [`store_first`].
#[inline(always)]
pub(super) unsafe fn store_second(dots: *mut Dots) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "tilestored [{dots} + {stride} + 2048], tmm2",
            "tilestored [{dots} + {stride} + 2112], tmm3",
            dots = in(reg) dots,
            stride = in(reg) DOT_STRIDE,
            options(nostack, preserves_flags),
        );
    }
}
