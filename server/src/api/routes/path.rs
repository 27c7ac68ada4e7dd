//! A request's path, taken apart.

use percent_encoding::percent_decode_str;

/// The segments of a path, each decoded once. In the Graph family a key in parentheses is a
/// segment of its own, and functions are bare.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path {
    segments: Vec<String>,
}

impl Path {
    /// `None` when a segment is not UTF-8, or holds a control character or a broken encoding.
    pub fn parse(path: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut is_graph = false;
        for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
            let segment = decode(segment)?;
            match split_key(&segment) {
                Some((name, key)) if is_graph => {
                    segments.push(bare(name));
                    segments.push(key);
                }
                _ if is_graph => segments.push(bare(&segment)),
                _ => {
                    is_graph = segment.eq_ignore_ascii_case("v1.0");
                    segments.push(segment);
                }
            }
            is_graph = is_graph && segments[0].eq_ignore_ascii_case("v1.0");
        }
        Some(Self { segments })
    }

    /// All of them.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// One of them.
    pub fn segment(&self, index: usize) -> Option<&str> {
        self.segments.get(index).map(String::as_str)
    }
}

fn decode(segment: &str) -> Option<String> {
    let mut encodings = segment.split('%').skip(1);
    let is_whole = encodings.all(|rest| {
        let digits = rest.as_bytes().get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    });
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    let is_text = !decoded.chars().any(char::is_control);
    (is_whole && is_text).then(|| decoded.into_owned())
}

/// `name('key')`, quotes within the key doubled.
fn split_key(segment: &str) -> Option<(&str, String)> {
    let (name, rest) = segment.split_once("('")?;
    let key = rest.strip_suffix("')")?;
    let is_quoted = key.replace("''", "").contains('\'');
    (!name.is_empty() && !is_quoted).then(|| (name, key.replace("''", "'")))
}

/// A function without its namespace and its empty parentheses.
fn bare(segment: &str) -> String {
    const NAMESPACE: &str = "microsoft.graph.";
    let name = segment.strip_suffix("()").unwrap_or(segment);
    let name = match name.split_at_checked(NAMESPACE.len()) {
        Some((space, name)) if space.eq_ignore_ascii_case(NAMESPACE) => name,
        _ => name,
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_keys_are_doubled() {
        assert_eq!(
            split_key("users('a''b')"),
            Some(("users", "a'b".to_owned()))
        );
        assert_eq!(split_key("users('a'b')"), None);
        assert_eq!(split_key("('a')"), None);
        assert_eq!(split_key("users('')"), Some(("users", String::new())));
        assert_eq!(split_key("users"), None);
    }
}
