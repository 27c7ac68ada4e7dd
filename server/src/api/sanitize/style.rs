//! The `style` attribute: declarations that are plainly harmless stay.

use super::policy;

/// Functions that values may call; all that loads or computes anything else is not among them.
const FUNCTIONS: [&str; 6] = ["rgb", "rgba", "hsl", "hsla", "calc", "url"];

/// The declarations that stay, or `None` when there is none.
pub(super) fn filter(style: &str) -> Option<String> {
    let kept: Vec<&str> = declarations(style)
        .into_iter()
        .map(str::trim)
        .filter(|declaration| is_harmless(declaration))
        .collect();
    (!kept.is_empty()).then(|| kept.join("; "))
}

/// Parts between semicolons that stand in neither quotes nor parentheses.
fn declarations(style: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quote, mut depth) = (None, 0_u32);
    for (index, c) in style.char_indices() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ';') if depth == 0 => {
                parts.push(&style[start..index]);
                start = index + 1;
            }
            (None, _) => {}
        }
    }
    // What does not end has no end that a browser would agree on.
    if quote.is_none() && depth == 0 {
        parts.push(&style[start..]);
    }
    parts
}

fn is_harmless(declaration: &str) -> bool {
    let Some((name, value)) = declaration.split_once(':') else {
        return false;
    };
    let name = name.trim().to_ascii_lowercase();
    let value = value.trim().to_ascii_lowercase();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let wrong = |c: char| c.is_control() || "\\<>{}".contains(c);
    if !is_name || value.is_empty() || value.contains(wrong) || value.contains("/*") {
        return false;
    }
    match name.as_str() {
        "behavior" | "-moz-binding" | "-ms-behavior" => false,
        // What leaves its place could cover the page around the message.
        "position" => matches!(value.as_str(), "static" | "relative"),
        _ => calls_are_harmless(&value),
    }
}

/// Whether each function that is called is of the list, and each URL is a picture's.
fn calls_are_harmless(value: &str) -> bool {
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('(') {
        let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let name = before.rsplit(|c| !is_part(c)).next().unwrap_or_default();
        if !name.is_empty() && !FUNCTIONS.contains(&name) {
            return false;
        }
        rest = after;
        if name == "url" {
            let Some((url, behind)) = after.split_once(')') else {
                return false;
            };
            let url = url.trim().trim_matches(['"', '\'']);
            if policy::image_url(url).is_none() || url.contains(['"', '\'', '(']) {
                return false;
            }
            rest = behind;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_declarations_stay_as_they_are() {
        let style = "color: #FF0000; font-family: \"Segoe UI\", Arial;width:calc(100% - 2px); \
            border-top: solid rgb(1,2,3) 1.0pt;background:url('cid:a@b');margin:0 !important";
        let expected = "color: #FF0000; font-family: \"Segoe UI\", Arial; width:calc(100% - 2px); \
            border-top: solid rgb(1,2,3) 1.0pt; background:url('cid:a@b'); margin:0 !important";
        assert_eq!(filter(style).as_deref(), Some(expected));
        let picture = "background:url(data:image/png;base64,AA==)";
        assert_eq!(filter(picture).as_deref(), Some(picture));
    }

    #[test]
    fn what_could_act_is_left_out() {
        for declaration in [
            "width: expression(alert(1))",
            "width: EXPRESSION (alert(1))",
            "width: exp/**/ression(alert(1))",
            "width: ex\\pression(alert(1))",
            "background: url(javascript:alert(1))",
            "background: url( ' JavaScript:x' )",
            "background: url(data:text/html,x)",
            "background: u\\72l(javascript:x)",
            "background: image-set('x')",
            "background: url(http://a.test/'onload)",
            "behavior: url(http://a.test/x.htc)",
            "-moz-binding: url(http://a.test/x.xml#y)",
            "position: fixed",
            "position: absolute",
            "color: red } body { color: blue",
            "@import 'x'",
            "color",
            ":",
            "color:",
            "background: url(http://a.test",
            "font-family: 'open",
        ] {
            assert_eq!(filter(declaration), None, "{declaration}");
            let among = format!("color: red; {declaration}");
            assert_eq!(filter(&among).as_deref(), Some("color: red"), "{among}");
        }
    }
}
