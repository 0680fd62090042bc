//! [SplitMix64](https://doi.org/10.1145/2660193.2660195): random numbers that are a function of a seed and a place, so that
//! neither order nor threads change them.

/// The `index`-th number, from 1, of the sequence that starts at `seed`. Neighbouring seeds and places give unrelated
/// numbers.
pub(crate) fn number(seed: u64, index: u64) -> u64 {
    let z = seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::number;

    /// The first numbers of the reference implementation (<https://prng.di.unimi.it/splitmix64.c>) for the seed 1234567.
    #[test]
    fn numbers_are_those_of_the_reference() {
        let numbers = [1, 2, 3].map(|index| number(1_234_567, index));
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, expected);
    }
}
