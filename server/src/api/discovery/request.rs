//! Outlook's request, read from XML that anyone may have written: no document type, and so no
//! entities but XML's own; bounds on size and depth.

use quick_xml::{Reader, events::Event};

use crate::limits;

/// What is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct AutodiscoverRequest {
    pub(super) address: String,
    pub(super) schema: Option<String>,
}

const ROOT: [&str; 2] = ["Autodiscover", "Request"];

/// Elements are found by their local names. `None` for what is no such document.
pub(super) fn read_request(body: &[u8]) -> Option<AutodiscoverRequest> {
    if body.len() > limits::DISCOVERY_BODY_BYTES {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}').trim_start());
    let (mut address, mut schema) = (None, None);
    // The elements that are open, and the text of the innermost one.
    let mut open: Vec<String> = Vec::new();
    let mut content = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if open.len() == limits::DISCOVERY_XML_DEPTH {
                    return None;
                }
                open.push(start.local_name().as_ref().to_owned());
                content.clear();
            }
            Event::End(_) => {
                let name = open.pop()?;
                let field = match name.as_str() {
                    "EMailAddress" => Some(&mut address),
                    "AcceptableResponseSchema" => Some(&mut schema),
                    _ => None,
                };
                // The first of its name counts.
                if let Some(field) = field.filter(|field| open == ROOT && field.is_none()) {
                    *field = Some(content.trim().to_owned());
                }
                content.clear();
            }
            Event::Text(piece) => content.push_str(&piece.xml10_content()),
            Event::CData(piece) => content.push_str(&piece.xml10_content()),
            Event::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(c) => content.push(c),
                None => content.push(predefined(&reference)?),
            },
            Event::DocType(_) => return None,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof if open.is_empty() => break,
            Event::Eof => return None,
        }
    }
    Some(AutodiscoverRequest {
        address: address?,
        schema,
    })
}

/// The entities that XML has without a document type (XML 1.0 §4.6).
fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<String> {
        read_request(text.as_bytes()).map(|request| request.address)
    }

    fn request(inner: &str) -> String {
        format!("<Autodiscover><Request>{inner}</Request></Autodiscover>")
    }

    #[test]
    fn elements_are_found_whatever_their_prefix_and_order() {
        let expected = Some(AutodiscoverRequest {
            address: "a@b.test".to_owned(),
            schema: Some("s".to_owned()),
        });
        for text in [
            "<Autodiscover xmlns='x'><Request><EMailAddress>a@b.test</EMailAddress>\
             <AcceptableResponseSchema>s</AcceptableResponseSchema></Request></Autodiscover>",
            "\u{feff}\r\n<?xml version='1.0'?><!-- x --><p:Autodiscover xmlns:p='x'> <p:Request>\
             <p:AcceptableResponseSchema> s </p:AcceptableResponseSchema><p:Other a='b'/>\
             <p:EMailAddress>\r\n a&#64;b.test </p:EMailAddress></p:Request></p:Autodiscover>",
            "<Autodiscover><Request><EMailAddress><![CDATA[a@b.test]]></EMailAddress>\
             <AcceptableResponseSchema>s</AcceptableResponseSchema>\
             <EMailAddress>c@d.test</EMailAddress></Request></Autodiscover>",
        ] {
            assert_eq!(read_request(text.as_bytes()), expected, "{text}");
        }
        let escaped = request("<EMailAddress>a&amp;&lt;&gt;&apos;&quot;@b</EMailAddress>");
        assert_eq!(address(&escaped).as_deref(), Some("a&<>'\"@b"));
    }

    #[test]
    fn what_is_no_such_document_is_none() {
        for text in [
            "",
            "{}",
            "<a/>",
            "<Autodiscover><Request/></Autodiscover>",
            "<EMailAddress>a@b.test</EMailAddress>",
            "<Autodiscover><EMailAddress>a@b.test</EMailAddress></Autodiscover>",
            "<Autodiscover><Request><EMailAddress>a@b.test</EMailAddress></Request>",
            "<Autodiscover><Request><EMailAddress>a@b.test</Request></Autodiscover>",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
        assert_eq!(read_request(b"\xff\xfe<\0A\0"), None);
    }

    #[test]
    fn document_types_and_entities_of_their_own_are_refused() {
        let good = request("<EMailAddress>a@b.test</EMailAddress>");
        assert!(address(&good).is_some());
        for document_type in [
            "<!DOCTYPE Autodiscover>",
            "<!DOCTYPE Autodiscover SYSTEM 'file:///etc/passwd'>",
            "<!DOCTYPE Autodiscover [<!ENTITY x 'a'>]>",
        ] {
            assert_eq!(address(&format!("{document_type}{good}")), None);
        }
        assert_eq!(
            address(&request("<EMailAddress>&x;@b</EMailAddress>")),
            None
        );
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let deep = |depth: usize| {
            let (open, close) = ("<a>".repeat(depth - 2), "</a>".repeat(depth - 2));
            request(&format!("{open}{close}<EMailAddress>a@b</EMailAddress>"))
        };
        assert!(address(&deep(limits::DISCOVERY_XML_DEPTH)).is_some());
        assert_eq!(address(&deep(limits::DISCOVERY_XML_DEPTH + 1)), None);
        let mut long = request("<EMailAddress>a@b</EMailAddress>");
        long.push_str(&" ".repeat(limits::DISCOVERY_BODY_BYTES - long.len()));
        assert!(address(&long).is_some());
        assert_eq!(address(&(long + " ")), None);
    }
}
