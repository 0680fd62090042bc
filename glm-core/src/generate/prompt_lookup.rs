//! Guesses the next tokens by looking up what followed the last ones before: prompt-lookup decoding
//! ([Saxena 2023](https://github.com/apoorvumang/prompt-lookup-decoding)), for answers that repeat their prompt, as in
//! summaries, rewriting and questions about a text.
//!
//! The model reads all guessed tokens in one pass, which takes little longer than one token because the weights are read
//! once. Every token is still chosen from the model's own logits, with the same draws; a wrong guess is forgotten. So the
//! result is what it would be without guessing, to the bit.

use crate::prefix_lm::TokenId;

/// Most tokens that are guessed: with the one before them they are 16, which attention takes for few, so that the cache is
/// read once for all of them.
pub(super) const MOST: usize = 15;

/// Longest and shortest run of last tokens that is looked up. A single token is followed by too many others.
const NGRAM: std::ops::RangeInclusive<usize> = 2..=4;

/// The tokens, at most `limit` and [`MOST`], that followed the latest earlier occurrence of the last few of `tokens`; of the longest run
/// that occurs.
pub(super) fn guess(tokens: &[TokenId], limit: usize) -> &[TokenId] {
    let limit = limit.min(MOST);
    if limit == 0 {
        return &[];
    }
    for n in NGRAM.rev() {
        let Some(start) = tokens.len().checked_sub(n) else {
            continue;
        };
        let (before, ngram) = (&tokens[..tokens.len() - 1], &tokens[start..]);
        if let Some(found) = before.windows(n).rposition(|window| window == ngram) {
            let following = &tokens[found + n..];
            return &following[..following.len().min(limit)];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_run_counts_and_among_equals_the_latest() {
        //            0  1  2  3  4  5  6  7  8  9 10 11
        let tokens = [7, 1, 2, 3, 9, 2, 3, 8, 5, 1, 2, 3];
        assert_eq!(
            guess(&tokens, 2),
            [9, 2],
            "1 2 3 stands at 1; 2 3 alone also at 5"
        );
        assert_eq!(guess(&tokens, 100), [9, 2, 3, 8, 5, 1, 2, 3]);
        let tokens = [1, 2, 9, 1, 2, 8, 1, 2];
        assert_eq!(guess(&tokens, 1), [8]);
    }

    #[test]
    fn nothing_is_guessed_without_a_match() {
        for tokens in [&[][..], &[1], &[1, 2], &[1, 2, 3, 4], &[1, 2, 9, 2]] {
            assert!(guess(tokens, 5).is_empty(), "{tokens:?}");
        }
        assert!(guess(&[1, 2, 1, 2], 0).is_empty());
    }

    #[test]
    fn no_more_is_guessed_than_the_kernels_read_one_by_one() {
        let tokens: Vec<TokenId> = (0..40).chain(0..3).collect();
        let guess = guess(&tokens, 1000);
        assert_eq!(guess, (3..18).collect::<Vec<TokenId>>());
    }

    #[test]
    fn a_repeating_text_is_guessed_from_itself() {
        assert_eq!(
            guess(&[4, 4, 4, 4, 4], 3),
            [4],
            "the occurrence one token before the end"
        );
        assert_eq!(guess(&[1, 2, 1, 2, 1], 3), [2, 1]);
    }
}
