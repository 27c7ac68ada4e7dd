//! Where a reply's quoted history begins, as the programs of the world mark it.

use html5gum::StartTag;

/// Classes of elements that hold or precede what is quoted.
const CLASSES: [&str; 5] = [
    "gmail_quote",
    "gmail_quote_container",
    "yahoo_quoted",
    "moz-cite-prefix",
    "protonmail_quote",
];

/// The same by their ids.
const IDS: [&str; 5] = [
    "divRplyFwdMsg",
    "appendonsend",
    "mail-editor-reference-message-container",
    "isForwardContent",
    "isReplyContent",
];

/// What stands on a line above a message that is quoted as a whole.
const DASHES: [&str; 2] = ["Original Message", "Forwarded message"];

/// Whether a tag is the first of what is quoted.
pub(super) fn begins_quote(tag: &StartTag<()>) -> bool {
    let attribute = |name: &str| {
        let value = tag.attributes.get(name.as_bytes());
        value
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .unwrap_or_default()
    };
    let is_name = |name: &str| &tag.name[..] == name.as_bytes();
    let style = attribute("style").to_ascii_lowercase();
    (is_name("blockquote") && attribute("type").eq_ignore_ascii_case("cite"))
        // The rule that Outlook, and this API, draw above a quoted header.
        || (is_name("hr") && attribute("tabindex") == "-1")
        || (is_name("div") && style.contains("border:none") && style.contains("border-top:solid #"))
        || attribute("class").split_whitespace().any(|class| CLASSES.contains(&class))
        || IDS.contains(&attribute("id").trim_start_matches("x_"))
}

/// A text up to where its quoted history begins: a line of dashes above the original, Outlook's
/// rule, or the quoted lines at the end and the line that introduces them.
pub fn unique_text(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_own = |line: &&str| !line.is_empty() && !line.starts_with('>');
    // From here on, there are quoted lines only.
    let own = lines.iter().rposition(is_own).map_or(0, |last| last + 1);
    let begins = |index: &usize| begins_quoted_text(&lines, *index, own);
    let end = (0..lines.len()).find(begins).unwrap_or(lines.len());
    let mut unique: Vec<&str> = text.lines().take(end).collect();
    while unique.last().is_some_and(|line| line.trim().is_empty()) {
        unique.pop();
    }
    unique.join("\r\n")
}

fn begins_quoted_text(lines: &[&str], index: usize, own: usize) -> bool {
    let line = lines[index];
    let next = || lines[index + 1..].iter().find(|line| !line.is_empty());
    if line.starts_with("--") && line.ends_with("--") {
        return DASHES.contains(&line.trim_matches(['-', ' ']));
    }
    if line.len() >= 8 && line.bytes().all(|byte| byte == b'_') {
        return next().is_some_and(|next| next.starts_with("From:"));
    }
    // "On …, … wrote:" in any language, when all that follows is quoted.
    let introduces = index + 1 == own && line.ends_with(':');
    let is_quoted = index >= own && line.starts_with('>');
    is_quoted || (introduces && next().is_some_and(|next| next.starts_with('>')))
}
