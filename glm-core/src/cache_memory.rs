//! How much memory a conversation takes beside the model, asked before its first token is read.

use crate::{
    checkpoint::available_memory,
    error::{Error, Result},
    model::Model,
};

impl Model {
    /// Bytes that the cache takes for each token of a row.
    pub fn cache_bytes_per_token(&self) -> usize {
        self.config()
            .cache_bytes_per_token(self.numerics().kv_cache)
    }

    /// Bytes that the cache takes for rows that become `tokens` long. They are taken from the system as they are filled, so
    /// that what does not fit would otherwise come out in the middle of an answer.
    ///
    /// # Errors
    /// [`Error::CacheOutOfMemory`] when this process can take fewer. Where the system does not tell, and for the memory of
    /// other devices than the CPU, everything fits.
    pub fn check_cache_fits(&self, rows: usize, tokens: usize) -> Result<u64> {
        let available = match glm_backends::has_own_kernels(self.device()) {
            true => available_memory(),
            false => None,
        };
        self.check_cache_fits_in(rows, tokens, available.unwrap_or(u64::MAX))
    }

    fn check_cache_fits_in(&self, rows: usize, tokens: usize, available: u64) -> Result<u64> {
        let factors = [rows, tokens].map(|factor| factor as u64);
        let per_token = self.cache_bytes_per_token() as u64;
        let required = factors.into_iter().fold(per_token, u64::saturating_mul);
        if required > available {
            return Err(Error::CacheOutOfMemory {
                rows,
                tokens,
                required,
                available,
            });
        }
        Ok(required)
    }
}

#[cfg(test)]
mod tests {
    use crate::{CachePrecision, Numerics};

    use super::*;

    fn model(kv_cache: CachePrecision) -> Model {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/chatglm2-tiny");
        let numerics = Numerics {
            kv_cache,
            ..Numerics::default()
        };
        crate::load(folder).unwrap().with_numerics(numerics)
    }

    #[test]
    fn the_last_byte_decides() {
        // Three layers with two key heads of 16 values.
        for (precision, bytes) in [
            (CachePrecision::F32, 3 * 2 * 2 * 64),
            (CachePrecision::F16, 3 * 2 * 2 * 32),
            (CachePrecision::Int16, 3 * 2 * 2 * 36),
            (CachePrecision::Int8, 3 * 2 * 2 * 18),
        ] {
            let model = model(precision);
            let required = 4 * 1000 * bytes;
            assert_eq!(model.check_cache_fits(4, 1000).unwrap(), required);
            assert!(model.check_cache_fits_in(4, 1000, required).is_ok());
            let error = model
                .check_cache_fits_in(4, 1000, required - 1)
                .unwrap_err();
            assert!(matches!(
                error,
                Error::CacheOutOfMemory {
                    rows: 4,
                    tokens: 1000,
                    ..
                }
            ));
        }
    }

    #[test]
    fn what_cannot_be_counted_does_not_fit() {
        let model = model(CachePrecision::F16);
        let error = model.check_cache_fits(usize::MAX, usize::MAX).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("int8"), "{message}");
    }
}
