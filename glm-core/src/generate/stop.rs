//! Stop strings: the answer ends where one of them begins, although text arrives in pieces.
//!
//! A piece may end in the middle of a stop string. The beginning of one is therefore held back until it
//! is either completed (and cut) or ruled out (and given on), so that a reader of the pieces never sees
//! any of it.

/// Cuts streamed text before the first stop string.
///
/// The first is the one that is **complete** first, because generation ends there; of several that end
/// at the same place it is the longest. What comes out does not depend on how the text was divided.
///
/// ```
/// # use glm_core::generate::StopStrings;
/// let mut stop = StopStrings::new(&["\nUser:".to_owned()]);
/// assert_eq!(stop.push("Good day.\nUs"), "Good day.");
/// assert_eq!(stop.push("ually"), "\nUsually");
/// assert_eq!(stop.push("\nUser: "), "");
/// assert_eq!(stop.matched(), Some("\nUser:"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    /// The end of the text so far, as far as it may still become a stop string.
    held: String,
    /// Index of the stop string that was found.
    matched: Option<usize>,
}

impl StopStrings {
    /// Looks for these strings. Empty ones are ignored:
    /// [`GenerationOptions::validate`](super::GenerationOptions::validate) refuses them.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops
                .iter()
                .filter(|stop| !stop.is_empty())
                .cloned()
                .collect(),
            held: String::new(),
            matched: None,
        }
    }

    /// Takes the next piece and gives the text that is now certain. Nothing once a stop string was found.
    #[must_use]
    pub fn push(&mut self, piece: &str) -> String {
        if self.matched.is_some() {
            return String::new();
        }
        for character in piece.chars() {
            self.held.push(character);
            if let Some(index) = self.longest_match() {
                self.matched = Some(index);
                let stop_length = self.stops.get(index).map_or(0, String::len);
                let mut text = std::mem::take(&mut self.held);
                text.truncate(text.len().saturating_sub(stop_length));
                return text;
            }
        }
        let certain = self.held.len() - self.open_length();
        let open = self.held.split_off(certain);
        std::mem::replace(&mut self.held, open)
    }

    /// The text has ended: gives what was held back.
    #[must_use]
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// The stop string that was found, if any: generation can end.
    #[must_use]
    pub fn matched(&self) -> Option<&str> {
        self.stops.get(self.matched?).map(String::as_str)
    }

    /// Index of the longest stop string that ends at the end of the held text.
    fn longest_match(&self) -> Option<usize> {
        self.stops
            .iter()
            .enumerate()
            .filter(|(_, stop)| self.held.ends_with(stop.as_str()))
            .max_by_key(|(_, stop)| stop.len())
            .map(|(index, _)| index)
    }

    /// Bytes at the end of the held text that some stop string begins with.
    fn open_length(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        // An open beginning is shorter than its stop string, so only so many bytes need a look.
        let first = self.held.len().saturating_sub(longest);
        (first..self.held.len())
            .filter_map(|start| self.held.get(start..))
            .find(|end| self.stops.iter().any(|stop| stop.starts_with(end)))
            .map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rule on the whole text: the first end of a stop string, cut at that string's beginning.
    fn naive_cut<'a>(text: &'a str, stops: &[String]) -> &'a str {
        let ends = text.char_indices().map(|(start, c)| start + c.len_utf8());
        for end in ends {
            let seen = &text[..end];
            let longest = stops
                .iter()
                .filter(|stop| seen.ends_with(stop.as_str()))
                .map(String::len)
                .max();
            if let Some(length) = longest {
                return &text[..end - length];
            }
        }
        text
    }

    fn filtered(pieces: &[String], stops: &[String]) -> String {
        let mut filter = StopStrings::new(stops);
        let mut out: String = pieces.iter().map(|piece| filter.push(piece)).collect();
        out.push_str(&filter.finish());
        out
    }

    proptest! {
        #[test]
        fn pieces_add_up_to_the_naive_cut(
            pieces in prop::collection::vec("[ab问。]{0,4}", 0..12),
            stops in prop::collection::vec("[ab问。]{1,4}", 0..4),
        ) {
            let text = pieces.concat();
            prop_assert_eq!(filtered(&pieces, &stops), naive_cut(&text, &stops));
            let by_character: Vec<String> = text.chars().map(String::from).collect();
            prop_assert_eq!(filtered(&by_character, &stops), naive_cut(&text, &stops));
        }

        /// Held text is really open: some stop string goes on from it.
        #[test]
        fn nothing_is_held_without_reason(
            pieces in prop::collection::vec("[ab问。]{0,4}", 0..12),
            stops in prop::collection::vec("[ab问。]{1,4}", 1..4),
        ) {
            let mut filter = StopStrings::new(&stops);
            let mut given = String::new();
            let mut seen = String::new();
            for piece in &pieces {
                given.push_str(&filter.push(piece));
                seen.push_str(piece);
                if filter.matched().is_some() {
                    break;
                }
                let held = seen.strip_prefix(given.as_str()).unwrap();
                prop_assert!(held.is_empty() || stops.iter().any(|stop| stop.starts_with(held)));
            }
        }
    }

    #[test]
    fn a_match_ends_the_text() {
        let mut filter = StopStrings::new(&["</s>".to_owned()]);
        assert_eq!(filter.push("fin</"), "fin");
        assert_eq!(filter.matched(), None);
        assert_eq!(filter.push("s>after"), "");
        assert_eq!(filter.matched(), Some("</s>"));
        assert_eq!(filter.push("more"), "");
        assert_eq!(filter.finish(), "");
    }

    #[test]
    fn the_first_complete_stop_string_wins_and_the_longest_of_those() {
        let stops = ["abc", "b", "xb"].map(String::from);
        assert_eq!(naive_cut("abc", &stops), "a");
        assert_eq!(filtered(&["abc".into()], &stops), "a");
        assert_eq!(filtered(&["axbc".into()], &stops), "a");
    }

    #[test]
    fn without_stop_strings_text_passes_at_once() {
        let mut filter = StopStrings::new(&[]);
        assert_eq!(filter.push("任何"), "任何");
        assert_eq!(filter.finish(), "");
        let mut filter = StopStrings::new(&[String::new()]);
        assert_eq!(filter.push("x"), "x");
        assert_eq!(filter.matched(), None);
    }
}
