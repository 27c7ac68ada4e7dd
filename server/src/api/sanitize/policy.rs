//! What HTML may hold: elements, attributes, URLs.

/// Elements that stay. What is not listed goes, and what stands within it stays.
const ELEMENTS: [&str; 77] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "main",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "wbr",
];

/// Attributes that stay on each of them. Neither `id` and `name`, which a page's scripts may take
/// for their own, nor `class`, by which a page's style may.
const ATTRIBUTES: [&str; 38] = [
    "abbr",
    "align",
    "alink",
    "alt",
    "bgcolor",
    "border",
    "cellpadding",
    "cellspacing",
    "clear",
    "color",
    "cols",
    "colspan",
    "datetime",
    "dir",
    "face",
    "frame",
    "headers",
    "height",
    "hspace",
    "lang",
    "link",
    "nowrap",
    "reversed",
    "rowspan",
    "rules",
    "scope",
    "size",
    "span",
    "start",
    "summary",
    "text",
    "title",
    "type",
    "valign",
    "value",
    "vlink",
    "vspace",
    "width",
];

/// Elements that have no end (HTML standard §13.1.2).
const VOID: [&str; 5] = ["br", "col", "hr", "img", "wbr"];

/// Elements that end a paragraph which is still open.
const BLOCKS: [&str; 26] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "center",
    "details",
    "div",
    "dl",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "ul",
];

/// An element that stays, by its name in lower case.
pub(super) fn element(name: &[u8]) -> Option<&'static str> {
    listed(&ELEMENTS, name)
}

/// An attribute whose value stays as it is.
pub(super) fn attribute(name: &[u8]) -> Option<&'static str> {
    listed(&ATTRIBUTES, name)
}

fn listed(sorted: &[&'static str], name: &[u8]) -> Option<&'static str> {
    let found = sorted.binary_search_by(|known| known.as_bytes().cmp(name));
    found.ok().map(|index| sorted[index])
}

/// Whether an element has neither content nor an end.
pub(super) fn is_void(element: &str) -> bool {
    VOID.contains(&element)
}

/// Whether an element can't stand within a paragraph.
pub(super) fn is_block(element: &str) -> bool {
    BLOCKS.contains(&element)
}

/// A URL that may be followed. Relative ones would lead into the page that shows the message.
pub(super) fn link_url(url: &str) -> Option<String> {
    const SCHEMES: [&str; 8] = ["http", "https", "mailto", "tel", "sms", "ftp", "cid", "mid"];
    let (scheme, url) = read_url(url)?;
    SCHEMES.contains(&scheme.as_str()).then_some(url)
}

/// A URL that may be loaded as a picture.
pub(super) fn image_url(url: &str) -> Option<String> {
    /// No SVG: it may hold scripts, and is opened by itself from a menu.
    const PICTURES: [&str; 7] = [
        "image/png",
        "image/gif",
        "image/jpeg",
        "image/jpg",
        "image/webp",
        "image/bmp",
        "image/avif",
    ];
    let (scheme, url) = read_url(url)?;
    match scheme.as_str() {
        "http" | "https" | "cid" => Some(url),
        "data" => {
            let kind = url.get(5..)?.split([';', ',']).next()?.to_ascii_lowercase();
            PICTURES.contains(&kind.as_str()).then_some(url)
        }
        _ => None,
    }
}

/// The scheme in lower case, and the URL as a browser reads it: without controls and white space
/// around it, and without tabs and newlines in it (URL standard §4.4).
fn read_url(url: &str) -> Option<(String, String)> {
    let is_outer = |c: char| c.is_control() || c.is_whitespace();
    let url: String = url
        .trim_matches(is_outer)
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    let (scheme, _) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then(|| (scheme.to_ascii_lowercase(), url.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_agree() {
        assert!(ELEMENTS.is_sorted() && ATTRIBUTES.is_sorted());
        for name in VOID.iter().chain(&BLOCKS) {
            assert!(ELEMENTS.contains(name), "{name}");
        }
        assert!(!ATTRIBUTES.iter().any(|name| name.starts_with("on")));
    }

    #[test]
    fn urls_are_read_as_browsers_read_them() {
        for url in [
            "javascript:alert(1)",
            " \u{1} JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            "java\tscript:x",
            "vbscript:x",
            "data:text/html,x",
            "data:image/svg+xml,<svg/>",
            "blob:x",
            "file:///etc/passwd",
            "/logout",
            "//host/x",
            "?x",
            "#x",
            "",
            ":",
        ] {
            assert_eq!((link_url(url), image_url(url)), (None, None), "{url:?}");
        }
        assert_eq!(
            link_url(" HTTPS://a.test/\n?b ").unwrap(),
            "HTTPS://a.test/?b"
        );
        assert_eq!(link_url("data:image/png;base64,AAAA"), None);
        let picture = "data:image/PNG;base64,AAAA";
        assert_eq!(image_url(picture).unwrap(), picture);
        assert_eq!(image_url("cid:a@b").unwrap(), "cid:a@b");
        assert_eq!(image_url("mailto:a@b"), None);
    }
}
