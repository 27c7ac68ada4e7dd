//! Looking for a text without regard to case.

/// A text to look for.
pub(super) struct Needle {
    folded: String,
    kind: Kind,
}

enum Kind {
    /// It is short and was ASCII: bytes are compared, whatever stands around them.
    ShortAscii,
    /// Any text may hold it once that is folded: what was not ASCII may fold to it, as the Kelvin
    /// sign does.
    Ascii,
    /// Only a text that is not ASCII can hold it.
    Other,
}

/// Longest text that is compared at each place of another; longer ones are looked for in linear
/// time.
const SHORT_BYTES: usize = 64;

impl Needle {
    pub(super) fn new(text: &str) -> Self {
        let folded: String = fold(text).collect();
        let kind = if text.is_ascii() && text.len() <= SHORT_BYTES {
            Kind::ShortAscii
        } else if folded.is_ascii() {
            Kind::Ascii
        } else {
            Kind::Other
        };
        Self { folded, kind }
    }

    /// Whether a text in UTF-8 holds it; bytes that are not UTF-8 match nothing.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let needle = self.folded.as_bytes();
        match self.kind {
            Kind::ShortAscii => contains_ascii(text, needle),
            Kind::Ascii => self.is_in_folded(text),
            Kind::Other => !text.is_ascii() && self.is_in_folded(text),
        }
    }

    fn is_in_folded(&self, text: &[u8]) -> bool {
        let folded: String = fold(&String::from_utf8_lossy(text)).collect();
        folded.contains(&self.folded)
    }
}

/// Lower case, letter by letter: what a letter becomes does not hang on its neighbours, so that
/// a part of a text folds as it does in the whole.
fn fold(text: &str) -> impl Iterator<Item = char> + '_ {
    let lower = text.chars().flat_map(char::to_lowercase);
    lower.map(|letter| if letter == 'ς' { 'σ' } else { letter })
}

/// Whether `text` holds `needle`, which is in lower case, its ASCII letters in any case.
fn contains_ascii(text: &[u8], needle: &[u8]) -> bool {
    let Some(&lower) = needle.first() else {
        return true;
    };
    let upper = lower.to_ascii_uppercase();
    text.windows(needle.len()).any(|window| {
        (window[0] == lower || window[0] == upper) && window.eq_ignore_ascii_case(needle)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_in(needle: &str, text: &str) -> bool {
        Needle::new(needle).is_in(text.as_bytes())
    }

    #[test]
    fn case_does_not_matter_in_any_script() {
        assert!(is_in("HELLO", "say hello!"));
        assert!(is_in("grüße", "VIELE GRÜßE"));
        assert!(is_in("ПРИВЕТ", "ну, привет"));
        assert!(is_in("ΟΔΟΣ", "η οδος εδω"));
        assert!(is_in("οδος", "Η ΟΔΟΣ ΕΔΩ"));
        assert!(!is_in("grüße", "grusse"));
    }

    #[test]
    fn letter_that_folds_to_ascii_finds_itself_and_ascii() {
        assert!(is_in("\u{212a}", "5 \u{212a}"));
        assert!(is_in("\u{212a}", "5 k"));
    }

    #[test]
    fn long_text_takes_linear_time_and_is_found() {
        let text = "a".repeat(1024 * 1024);
        let needle = "A".repeat(60 * 1024);
        assert!(is_in(&needle, &text));
        assert!(!is_in(&format!("{needle}b"), &text));
        for length in [SHORT_BYTES, SHORT_BYTES + 1] {
            assert!(is_in(&needle[..length], &format!("b{}b", &text[..length])));
            assert!(!is_in(
                &needle[..length],
                &format!("b{}b", &text[..length - 1])
            ));
        }
    }

    #[test]
    fn empty_text_is_everywhere() {
        assert!(is_in("", ""));
        assert!(is_in("", "x"));
    }

    #[test]
    fn bytes_that_are_no_utf8_do_not_hide_their_neighbours() {
        assert!(Needle::new("after").is_in(b"\xff After"));
        assert!(Needle::new("süß").is_in(b"\xff S\xc3\x9c\xc3\x9f"));
    }

    proptest! {
        #[test]
        fn every_part_of_a_text_is_found_in_it(
            text in "(\\PC|[Σσςİßé]){0,12}",
            from in 0usize..12,
            to in 0usize..13,
        ) {
            let letters: Vec<char> = text.chars().collect();
            let from = from.min(letters.len());
            let to = to.clamp(from, letters.len());
            let part: String = letters[from..to].iter().collect();
            prop_assert!(is_in(&part, &text));
            prop_assert!(is_in(&part, &text.to_lowercase()));
            prop_assert!(is_in(&part.to_lowercase(), &text));
        }

        #[test]
        fn ascii_is_found_where_lower_case_is(needle in "[aAbB]{0,3}", text in "[aAbB ]{0,12}") {
            let expected = text.to_lowercase().contains(&needle.to_lowercase());
            prop_assert_eq!(is_in(&needle, &text), expected);
        }
    }
}
