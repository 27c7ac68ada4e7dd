use proptest::prelude::*;

use super::*;

#[test]
fn what_acts_or_loads_is_gone() {
    for html in [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=http://a.test/x.js></SCRIPT>",
        "<scr<script>ipt>",
        "<style>body{x:y}</style>",
        "<iframe src='javascript:alert(1)'>x</iframe>",
        "<object data=x><embed src=x></object>",
        "<form action=x><input name=y><button>",
        "<meta http-equiv=refresh content='0;url=http://a.test'>",
        "<base href='http://a.test/'>",
        "<link rel=stylesheet href=x>",
        "<svg><a xlink:href='javascript:x'><circle/></a></svg>",
        "<math><mi xlink:href='javascript:x'>y</mi></math>",
        "<template><img src=x onerror=y></template>",
        "<noscript><p title=\"</noscript><img src=x onerror=y>\"></noscript>",
        "<textarea></textarea><title></title>",
        "<!--><img src=x onerror=y>-->",
        "<?xml version='1.0'?><!DOCTYPE html>",
        "<x-custom></x-custom>",
        "<audio src=x></audio><video poster=x></video>",
    ] {
        let clean = sanitize(html);
        let is_left = [
            "<scr",
            "<img src",
            "on",
            "javascript",
            "http",
            "<svg",
            "<input",
        ]
        .into_iter()
        .find(|text| clean.contains(text));
        // Attributes that are not of the list fall; what shows a broken picture may stay.
        assert_eq!(is_left, None, "{html} -> {clean}");
    }
}

#[test]
fn elements_keep_what_is_harmless_of_their_attributes() {
    for (html, expected) in [
        (
            "<p style='color:red;x:expression(1)' onclick=alert(1) class=c id=i>a</p>",
            "<p style=\"color:red\">a</p>",
        ),
        (
            "<a href='https://a.test/?b&amp;c' target=_blank>x</a>",
            "<a href=\"https://a.test/?b&amp;c\" rel=\"noopener noreferrer\">x</a>",
        ),
        ("<a href='JaVa&#10;Script:x' name=y>x</a>", "<a>x</a>"),
        (
            "<img src=cid:pic@x alt='\"A\" & <B>'>",
            "<img alt=\"&quot;A&quot; &amp; &lt;B&gt;\" src=\"cid:pic@x\">",
        ),
        (
            "<img src='data:image/png;base64,AA=='>",
            "<img src=\"data:image/png;base64,AA==\">",
        ),
        ("<img src='data:text/html,x' onerror=y>", "<img>"),
        (
            "<td background='javascript:x' width=5>",
            "<td width=\"5\"></td>",
        ),
        ("<form>a <b>b</b></form>", "a <b>b</b>"),
        ("a < b && c > d", "a &lt; b &amp;&amp; c &gt; d"),
        (
            "<html><head></head><body bgcolor=red>x</body></html>",
            "<html><head></head><body bgcolor=\"red\">x</body></html>",
        ),
        ("<svg/>after <script/>x</script> end", "after  end"),
    ] {
        assert_eq!(sanitize(html), expected, "{html}");
    }
}

#[test]
fn every_element_is_closed_and_no_other() {
    for (html, expected) in [
        ("<div><b>x", "<div><b>x</b></div>"),
        ("</div></td></table>x", "x"),
        ("<b><i>x</b>y</i>", "<b><i>x</i></b>y"),
        ("<p>a<p>b", "<p>a</p><p>b</p>"),
        ("<br></br><hr/>", "<br><hr>"),
        ("<p>a<", "<p>a&lt;</p>"),
        ("<p>a<b class='", "<p>a</p>"),
    ] {
        assert_eq!(sanitize(html), expected, "{html}");
    }
}

#[test]
fn hostile_text_takes_linear_time_and_bounded_depth() {
    const TIMES: usize = 200_000;
    for piece in [
        "<div>",
        "<b><i>",
        "<p>",
        "<table><tr><td>",
        "</div>",
        "<a href=x ",
        "<!--",
        "&",
    ] {
        let html = piece.repeat(TIMES);
        let clean = sanitize(&html);
        assert!(clean.matches("<div>").count() <= limits::HTML_DEPTH);
        assert!(clean.len() <= 5 * html.len());
        assert!(html_to_text(&html).len() <= html.len());
        assert!(unique_html(&html).len() <= clean.len());
    }
    for piece in [">\n", "a:\n", "\n", "________\n", "-- x --\n"] {
        let text = piece.repeat(TIMES) + "x";
        assert!(unique_text(&text).ends_with('x'), "{piece:?}");
    }
}

#[test]
fn text_has_the_lines_lists_and_links_of_html() {
    for (html, expected) in [
        (
            "<p>Hello  \n <b>there</b>,</p><p>you.</p>",
            "Hello there,\n\nyou.",
        ),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        (
            "<ul><li>one</li><li>two</li></ul>end",
            "* one\n* two\n\nend",
        ),
        (
            "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>",
            "a b\nc",
        ),
        (
            "<a href='https://a.test/x'>here</a>!",
            "here <https://a.test/x>!",
        ),
        (
            "<a href='https://a.test/'>https://a.test</a>",
            "https://a.test",
        ),
        ("<a href='mailto:a@b.test'>a@b.test</a>", "a@b.test"),
        ("<pre>  a\n   b</pre>", "  a\n   b"),
        (
            "<style>x</style><title>t</title><script>y</script>z&nbsp;&lt;&eacute;&gt;",
            "z <\u{e9}>",
        ),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("", ""),
    ] {
        assert_eq!(html_to_text(html), expected, "{html}");
    }
}

#[test]
fn document_of_a_text_shows_it_as_it_was() {
    let text = "Dear <all>,\r\n\r\n  two   blanks & \"more\"\n\tend";
    let html = text_to_html(text);
    assert!(
        html.starts_with("<html><head></head><body>Dear &lt;all&gt;,<br>"),
        "{html}"
    );
    assert!(html.ends_with("</body></html>"));
    let shown = html.replace("&nbsp;", "\u{a0}").replace("\r\n", "\n");
    assert_eq!(sanitize(&html), shown);
    assert_eq!(
        html_to_text(&html),
        "Dear <all>,\n\n  two   blanks & \"more\"\nend"
    );
}

#[test]
fn quoted_history_of_html_is_left_out() {
    for quote in [
        "<blockquote type=cite>old</blockquote>",
        "<div class=\"gmail_quote\">old</div>",
        "<hr style='x' tabindex=\"-1\"><div id=divRplyFwdMsg>From: x</div>old",
        "<div id=\"x_divRplyFwdMsg\">old</div>",
        "<div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt'>old</div>",
    ] {
        let html = format!("<html><body><p>new</p>{quote}</body></html>");
        assert_eq!(
            unique_html(&html),
            "<html><body><p>new</p></body></html>",
            "{quote}"
        );
    }
    let none = "<p>new <blockquote>a verse</blockquote></p>";
    assert!(unique_html(none).contains("a verse"));
}

#[test]
fn quoted_history_of_a_text_is_left_out() {
    for quote in [
        "-----Original Message-----\r\nFrom: x\r\nold",
        "---------- Forwarded message ---------\nold",
        "________________________________\nFrom: x\nold",
        "On Monday, Bob wrote:\n> old\n\n> older\n",
        "Am Montag schrieb Bob:\n\n> old",
        "> old\n>> older",
    ] {
        assert_eq!(
            unique_text(&format!("new\nline\n\n{quote}")),
            "new\r\nline",
            "{quote}"
        );
    }
    for text in [
        "a:\r\nb",
        "a\r\n> quoted\r\nanswer",
        "-- signature --\r\nx",
        "________\r\nx",
    ] {
        assert_eq!(unique_text(text), text);
    }
}

#[test]
fn body_is_told_as_it_is_preferred() {
    let of = |content: &str, preferences: &Preferences| {
        let parsed = Parsed::parse(content.as_bytes());
        let (body, unique) = (
            body(&parsed, preferences),
            unique_body(&parsed, preferences),
        );
        (body.content_type, body.content, unique.content)
    };
    let prefers = |body| Preferences {
        body: Some(body),
        ..Preferences::default()
    };
    let html = "Content-Type: text/html\r\n\r\n<p onclick=x>a</p><hr tabindex='-1'>b";
    let (kind, content, unique) = of(html, &Preferences::default());
    let document = "<html><head></head><body><p>a</p><hr>b</body></html>";
    assert_eq!((kind, content.as_str()), ("html", document));
    assert_eq!(unique, "<p>a</p>");
    let whole = "Content-Type: text/html\r\n\r\n<html lang=de><body><p>a</body></html>";
    let (_, content, _) = of(whole, &Preferences::default());
    assert_eq!(content.matches("<body").count(), 1, "{content}");
    let (kind, content, unique) = of(html, &prefers(BodyType::Text));
    assert_eq!((kind, unique.as_str()), ("text", "a"));
    assert!(content.starts_with("a\n") && content.ends_with("\nb"));
    let unsafe_html = Preferences {
        allows_unsafe_html: true,
        ..Preferences::default()
    };
    assert!(of(html, &unsafe_html).1.contains("onclick"));
    let text = "Subject: x\r\n\r\na <b>\r\n> c";
    let told = of(text, &Preferences::default());
    assert_eq!(
        told,
        ("text", "a <b>\r\n> c".to_owned(), "a <b>".to_owned())
    );
    let (kind, content, _) = of(text, &prefers(BodyType::Html));
    assert_eq!(kind, "html");
    assert!(
        content.contains("<body>a &lt;b&gt;<br>\r\n&gt; c</body>"),
        "{content}"
    );
}

/// Pieces that mean something to browsers, and texts.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "<",
        ">",
        "</",
        "/>",
        "<script",
        "<style>",
        "</style>",
        "<img src=",
        "onerror=",
        "x ",
        "'",
        "\"",
        "=",
        "javascript:",
        "<!--",
        "-->",
        "<svg>",
        "</svg>",
        "<math>",
        "<p>",
        "</p>",
        "<b>",
        "<table>",
        "<td>",
        "<a href=",
        "<title>",
        "</title>",
        "<noscript>",
        "<textarea>",
        "style=",
        "url(",
        "expression(",
        ")",
        ";",
        ":",
        "&lt;",
        "&#x",
        "&#0;",
        "\0",
        "\u{c}",
        "<plaintext>",
        "<xmp>",
        "</xmp>",
        "<![CDATA[",
        "]]>",
        "\u{2028}",
        "é",
        "<template>",
    ]);
    prop::collection::vec(
        prop_oneof![3 => pieces.prop_map(str::to_owned), 1 => ".{0,4}"],
        0..24,
    )
    .prop_map(|pieces| pieces.concat())
}

/// Whether a text has only elements and attributes of the list, in balance.
fn is_clean(html: &str) -> Result<(), String> {
    let mut open: Vec<Vec<u8>> = Vec::new();
    for token in tokens(html) {
        match token {
            Token::StartTag(tag) => {
                let name = policy::element(&tag.name).ok_or(format!("{tag:?}"))?;
                for (attribute, value) in &tag.attributes {
                    let value = String::from_utf8_lossy(value);
                    let is_good = match &attribute[..] {
                        b"href" => policy::link_url(&value).is_some(),
                        b"src" | b"background" => policy::image_url(&value).is_some(),
                        b"style" => style::filter(&value).as_deref() == Some(&value),
                        b"rel" => value == "noopener noreferrer",
                        name => policy::attribute(name).is_some(),
                    };
                    if !is_good {
                        return Err(format!("{attribute:?} {value}"));
                    }
                }
                if !policy::is_void(name) {
                    open.push(tag.name.to_vec());
                }
            }
            Token::EndTag(tag) if open.pop().as_deref() == Some(&tag.name[..]) => {}
            Token::String(_) | Token::Error(_) => {}
            other => return Err(format!("{other:?}")),
        }
    }
    open.is_empty()
        .then_some(())
        .ok_or("open elements".to_owned())
}

proptest! {
    #[test]
    fn whatever_comes_only_what_is_listed_goes_out(html in soup()) {
        for clean in [sanitize(&html), unique_html(&html)] {
            prop_assert_eq!(is_clean(&clean), Ok(()), "{}", clean);
            prop_assert_eq!(sanitize(&clean), clean.clone(), "sanitised again");
        }
        html_to_text(&html);
        unique_text(&html);
    }

    #[test]
    fn text_survives_its_document(text in "[a-z<>&\"é ]{0,30}") {
        let shown = html_to_text(&text_to_html(&text));
        prop_assert_eq!(shown.trim_end(), text.trim_end());
        prop_assert_eq!(is_clean(&text_to_html(&text)), Ok(()));
    }
}
