//! Words of lines that people paste into a shell.

/// A word as a shell reads it.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@:,=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_to_paste_survive_odd_paths() {
        assert_eq!(word("/tmp/a-b/rmail"), "/tmp/a-b/rmail");
        assert_eq!(word("/it's here"), r"'/it'\''s here'");
    }
}
