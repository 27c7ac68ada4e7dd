//! How texts are compared: without case, and for `$search` without diacritics.

use icu_normalizer::{
    DecomposingNormalizerBorrowed, properties::CanonicalCombiningClassMapBorrowed,
};

/// Full case folding (Unicode §5.18), letter by letter: `ß` becomes `ss`, and `ς` becomes `σ`.
pub fn fold(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(fold_letter)
}

/// The lower case of the upper case of the lower case is what Unicode calls folded, but for the
/// dotless `ı`, which stays a letter of its own.
fn fold_letter(letter: char) -> impl Iterator<Item = char> {
    let is_dotless = letter == 'ı';
    let folded = letter
        .to_lowercase()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase);
    folded.map(move |lower| if is_dotless { letter } else { lower })
}

/// The words of a text, each between blanks, without case and diacritics; what is no letter and
/// no digit parts words. Scripts that write no blanks have a word for each ideograph.
pub(super) fn words(text: &str) -> String {
    const NFD: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizerBorrowed::new_nfd();
    const CLASSES: CanonicalCombiningClassMapBorrowed<'static> =
        CanonicalCombiningClassMapBorrowed::new();
    let letters = NFD.normalize_iter(text.chars());
    let letters = letters.filter(|letter| CLASSES.get_u8(*letter) == 0);
    let mut words = String::from(" ");
    for letter in letters.flat_map(fold_letter) {
        let is_alone = is_ideograph(letter) && letter.is_alphanumeric();
        if (is_alone || !letter.is_alphanumeric()) && !words.ends_with(' ') {
            words.push(' ');
        }
        if letter.is_alphanumeric() {
            words.push(letter);
        }
        if is_alone {
            words.push(' ');
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

/// Han, kana and their like.
fn is_ideograph(letter: char) -> bool {
    matches!(letter, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> String {
        fold(text).collect()
    }

    #[test]
    fn case_is_folded_in_full() {
        for (one, other) in [
            ("Straße", "STRASSE"),
            ("straẞe", "strasse"),
            ("ΟΔΟΣ", "οδος"),
            ("ﬁn", "FIN"),
            ("\u{212a}", "k"),
            ("ſ", "S"),
            ("ПРИВЕТ", "привет"),
        ] {
            assert_eq!(folded(one), folded(other));
        }
        assert_ne!(folded("ı"), folded("i"));
        assert_ne!(folded("e"), folded("é"));
    }

    #[test]
    fn words_are_without_case_marks_and_punctuation() {
        assert_eq!(words("Ça  va, l'Été?"), " ca va l ete ");
        assert_eq!(words("a@b-c.test"), " a b c test ");
        assert_eq!(words("日本語x"), " 日 本 語 x ");
        assert_eq!(words("日゛x"), " 日 x ");
        assert_eq!((words(""), words("...")), (" ".to_owned(), " ".to_owned()));
    }

    proptest! {
        #[test]
        fn folding_once_is_folding_for_good(text in "\\PC{0,20}") {
            let once = folded(&text);
            prop_assert_eq!(folded(&once), once.clone());
            prop_assert_eq!(folded(&text.to_lowercase()), once);
            prop_assert_eq!(words(&words(&text)), words(&text));
        }
    }
}
