//! Text with wildcards.

/// Whether `text` is `pattern` with any text in the place of each `*`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, pattern)) = pattern.split_once('*') else {
        return pattern == text;
    };
    text.strip_prefix(start).is_some_and(|text| {
        let ends = text.char_indices().map(|(index, _)| index);
        let mut rests = ends.chain([text.len()]);
        rests.any(|index| matches(pattern, &text[index..]))
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn star_stands_for_any_text_also_none() {
        assert!(matches("* OK*ready*", "* OK [X] ready"));
        assert!(matches("*", ""));
        assert!(!matches("* OK*", "* NO"));
        assert!(!matches("a*b", "abc"));
    }
}
