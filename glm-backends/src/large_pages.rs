//! Memory in large pages. Weights are read from end to end for every token; with pages of 2 MiB instead of 4 KiB the
//! processor looks up far fewer of them, and a pass takes about a tenth less time.

use std::{
    io,
    ops::{Deref, DerefMut},
};

use burn::tensor::{AllocationProperty, Bytes, TensorData};
use memmap2::MmapMut;

/// Less than this is not worth a map of its own: the size of a large page on x86-64 and, as a rule, on ARM.
const LARGE_PAGE: usize = 2 << 20;

/// Bytes of this process, in large pages where the system has them (Linux, unless they are switched off), else in
/// ordinary ones.
#[derive(Debug)]
pub struct LargePages(MmapMut);

impl LargePages {
    /// `len` bytes, all zero, that take memory when they are first written.
    ///
    /// # Errors
    /// What the system says when it has no room for them.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let map = MmapMut::map_anon(len)?;
        // A system without large pages says so here; its own will do.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(map))
    }

    /// The same data in large pages, if they are enough to fill one and the system has room for them; else as it is.
    pub(crate) fn move_to(data: TensorData) -> TensorData {
        let bytes = data.as_bytes();
        if bytes.len() < LARGE_PAGE {
            return data;
        }
        let Ok(mut pages) = Self::zeroed(bytes.len()) else {
            return data;
        };
        pages.copy_from_slice(bytes);
        let bytes = Bytes::from_shared(bytes::Bytes::from_owner(pages), AllocationProperty::Other);
        TensorData::from_bytes(bytes, data.shape(), data.dtype())
    }
}

impl Deref for LargePages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for LargePages {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
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
        for len in [3, page - 1, page, 3 * page + 5] {
            let values: Vec<f32> = (0..len).map(|index| index as f32).collect();
            let data = TensorData::new(values.clone(), [len]);
            let before = data.as_bytes().as_ptr();
            let moved = LargePages::move_to(data);
            let place = moved.as_bytes().as_ptr();
            assert_eq!(place != before, len >= page);
            let tensor = FlexTensor::from_data(moved);
            assert_eq!(tensor.storage::<f32>().as_ptr().cast(), place, "copied");
            assert_eq!(tensor.storage::<f32>(), values);
        }
    }
}
