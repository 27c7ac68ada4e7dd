//! Which local-parts a pattern takes: `*` stands for any run of characters, also none, and `?`
//! for any one character.
//!
//! Patterns and local-parts are compared as they are: who calls has folded both to lower case.

use std::cmp::Reverse;

/// Whether there is a wildcard in it.
pub fn is_pattern(local_part: &str) -> bool {
    local_part.contains(['*', '?'])
}

/// One spelling for all patterns that mean the same: of neighbouring wildcards, each `?` comes
/// first, and then one `*` if there was any.
pub fn canonical(pattern: &str) -> String {
    let mut canonical = String::with_capacity(pattern.len());
    let mut has_star = false;
    for c in pattern.chars() {
        match c {
            '*' => has_star = true,
            '?' => canonical.push('?'),
            c => {
                if std::mem::take(&mut has_star) {
                    canonical.push('*');
                }
                canonical.push(c);
            }
        }
    }
    if has_star {
        canonical.push('*');
    }
    canonical
}

/// Whether a pattern takes a local-part; in at most `pattern · local_part` steps.
pub fn matches(pattern: &str, local_part: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), local_part.chars().collect());
    let (mut at, mut text_at) = (0, 0);
    // The last `*`, and where what it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while text_at < text.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, text_at));
                at += 1;
            }
            (Some(&c), _) if c == '?' || c == text[text_at] => {
                at += 1;
                text_at += 1;
            }
            // An earlier `*` can do nothing that the last one can't.
            (Some(_) | None, Some((star_at, end))) => {
                star = Some((star_at, end + 1));
                at = star_at + 1;
                text_at = end + 1;
            }
            (Some(_) | None, None) => return false,
        }
    }
    pattern[at..].iter().all(|&c| c == '*')
}

/// Of these patterns the one that takes a local-part before the others: that with the most
/// literal text, then with the most `?`, then the first by its letters. So `*` comes last.
pub fn choose<'a>(
    patterns: impl IntoIterator<Item = &'a str>,
    local_part: &str,
) -> Option<&'a str> {
    let taking = patterns
        .into_iter()
        .filter(|pattern| matches(pattern, local_part));
    taking.min_by_key(|pattern| {
        let count = |is_wanted: fn(char) -> bool| pattern.chars().filter(|&c| is_wanted(c)).count();
        let literal = count(|c| !matches!(c, '*' | '?'));
        (Reverse(literal), Reverse(count(|c| c == '?')), *pattern)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, in the most naive way.
    fn takes(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            (['*', rest @ ..], text) => (0..=text.len()).any(|end| takes(rest, &text[end..])),
            (['?', rest @ ..], [_, text @ ..]) => takes(rest, text),
            ([c, rest @ ..], [d, text @ ..]) => c == d && takes(rest, text),
            (_, []) => false,
        }
    }

    fn naive(pattern: &str, text: &str) -> bool {
        let chars = |text: &str| text.chars().collect::<Vec<char>>();
        takes(&chars(pattern), &chars(text))
    }

    #[test]
    fn stars_are_any_run_and_question_marks_any_one() {
        for (pattern, takes, leaves) in [
            (
                "sales-*",
                &["sales-", "sales-1", "sales-a-b"][..],
                &["sales", "xsales-1"][..],
            ),
            ("v?", &["v1", "vä"], &["v", "v12"]),
            ("*-bot", &["a-bot", "-bot", "a-bot-bot"], &["a-bots", "bot"]),
            ("*", &["a", "a.b+c", "*"], &[]),
            ("a*b?c*", &["abxc", "aabbxcc"], &["abc", "ab"]),
        ] {
            assert!(takes.iter().all(|text| matches(pattern, text)), "{pattern}");
            assert!(
                !leaves.iter().any(|text| matches(pattern, text)),
                "{pattern}"
            );
        }
    }

    #[test]
    fn most_literal_text_comes_first_and_the_catch_all_last() {
        let patterns = ["*", "sales-*", "sales-?", "?*", "sales-eu-*", "s*"];
        for (text, chosen) in [
            ("sales-eu-1", "sales-eu-*"),
            ("sales-1", "sales-?"),
            ("sales-12", "sales-*"),
            ("support", "s*"),
            ("x", "?*"),
        ] {
            assert_eq!(choose(patterns, text), Some(chosen), "{text}");
            let reversed = patterns.into_iter().rev();
            assert_eq!(choose(reversed, text), Some(chosen), "{text}");
        }
        assert_eq!(choose(["a*", "b?"], "c"), None);
    }

    proptest! {
        #[test]
        fn matching_is_what_the_definition_says(
            pattern in "[ab*?]{0,8}", text in "[abä*]{0,10}"
        ) {
            prop_assert_eq!(matches(&pattern, &text), naive(&pattern, &text));
        }

        #[test]
        fn patterns_of_one_canonical_spelling_take_the_same(
            pattern in "[ab*?]{0,8}", text in "[ab]{0,8}"
        ) {
            let canonical_spelling = canonical(&pattern);
            prop_assert_eq!(matches(&canonical_spelling, &text), naive(&pattern, &text));
            prop_assert_eq!(canonical(&canonical_spelling), canonical_spelling.clone());
            prop_assert_eq!(is_pattern(&canonical_spelling), is_pattern(&pattern));
        }

        #[test]
        fn the_one_chosen_takes_the_text_and_no_other_that_does_has_more_literal_text(
            patterns in prop::collection::vec("[ab*?]{1,5}", 0..8), text in "[ab]{1,5}"
        ) {
            let literal = |pattern: &str| pattern.replace(['*', '?'], "").len();
            let taking = patterns.iter().filter(|pattern| naive(pattern, &text));
            let most = taking.map(|pattern| literal(pattern)).max();
            let chosen = choose(patterns.iter().map(String::as_str), &text);
            prop_assert_eq!(chosen.map(literal), most);
            prop_assert!(chosen.is_none_or(|chosen| naive(chosen, &text)));
        }
    }
}
