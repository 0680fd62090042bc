//! Memory in large pages. Weights are read from end to end for every token; with pages of 2 MiB instead of 4 KiB the
//! processor looks up far fewer of them, and a pass takes about a tenth less time.

use std::{
    io,
    ops::{Deref, DerefMut, Range},
};

use burn::tensor::{AllocationProperty, Bytes, TensorData};
use memmap2::MmapMut;

use crate::cpu::LINE;

/// Less than this is not worth a map of its own: the size of a large page on x86-64 and, as a rule, on ARM.
const LARGE_PAGE: usize = 2 << 20;

/// Bytes of this process, in large pages where the system has them (Linux, unless they are switched off), else in
/// ordinary ones.
///
/// They begin where a large page does: of a map that begins anywhere, the system leaves both ends in ordinary pages, which
/// was a tenth of all weights. What is left at the end has a large page if it fills at least half of one.
#[derive(Debug)]
pub struct LargePages {
    map: MmapMut,
    /// Of the map.
    range: Range<usize>,
}

impl LargePages {
    /// `len` bytes, all zero, that take memory when they are first written.
    ///
    /// # Errors
    /// What the system says when it has no room for them.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let spare = if len < LARGE_PAGE { 0 } else { 2 * LARGE_PAGE };
        // A length that no address has is refused like one that there is no room for.
        let map = MmapMut::map_anon(len.saturating_add(spare))?;
        if spare == 0 {
            return Ok(Self { map, range: 0..len });
        }
        let start = map.as_ptr().align_offset(LARGE_PAGE);
        // A system without large pages says so here; its own will do.
        #[cfg(target_os = "linux")]
        {
            let pages = (len + LARGE_PAGE / 2) / LARGE_PAGE;
            let _ = map.advise_range(memmap2::Advice::HugePage, start, pages * LARGE_PAGE);
        }
        Ok(Self {
            map,
            range: start..start + len,
        })
    }

    /// The same data, all of it together in large pages, if it is enough to fill one and the system has room; else as it
    /// is.
    pub(crate) fn move_to<const N: usize>(data: [TensorData; N]) -> [TensorData; N] {
        let mut len = 0_usize;
        let ranges = data.each_ref().map(|data| {
            let start = len.next_multiple_of(LINE); // Of the cache.
            len = start + data.as_bytes().len();
            start..len
        });
        if len < LARGE_PAGE {
            return data;
        }
        let Ok(mut pages) = Self::zeroed(len) else {
            return data;
        };
        for (data, range) in data.iter().zip(&ranges) {
            pages[range.clone()].copy_from_slice(data.as_bytes());
        }
        let pages = bytes::Bytes::from_owner(pages);
        let mut ranges = ranges.into_iter();
        data.map(|data| {
            let bytes = ranges
                .next()
                .map_or_else(bytes::Bytes::new, |range| pages.slice(range));
            let bytes = Bytes::from_shared(bytes, AllocationProperty::Other);
            TensorData::from_bytes(bytes, data.shape(), data.dtype())
        })
    }
}

impl Deref for LargePages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[self.range.clone()]
    }
}

impl DerefMut for LargePages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.range.clone()]
    }
}

impl AsRef<[u8]> for LargePages {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use burn_flex::FlexTensor;

    use super::*;

    #[test]
    fn data_is_the_same_wherever_it_lies_and_tensors_take_it_in_place() {
        let page = LARGE_PAGE / size_of::<f32>();
        for lens in [
            [3, 0],
            [page - 16, 15],
            [page, 0],
            [3 * page + 5, 70],
            [0, page],
        ] {
            let values = lens.map(|len| (0..len).map(|index| index as f32).collect::<Vec<_>>());
            let data = values.clone().map(|values| {
                let len = values.len();
                TensorData::new(values, [len])
            });
            let before = data.each_ref().map(|data| data.as_bytes().as_ptr());
            let moved = LargePages::move_to(data);
            let places = moved.each_ref().map(|data| data.as_bytes().as_ptr());
            assert_eq!(places != before, lens[0] + lens[1] >= page);
            for ((data, place), values) in moved.into_iter().zip(places).zip(values) {
                let tensor = FlexTensor::from_data(data);
                assert_eq!(tensor.storage::<f32>(), values);
                assert_eq!(tensor.storage::<f32>().as_ptr().cast(), place, "copied");
            }
        }
    }
}
