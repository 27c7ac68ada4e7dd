//! What mail clients are told for their set-up, by the formats of those who ask.

use rmail_tests::{
    daemon::{Daemon, Kind, Port},
    http::{HttpAnswer, HttpClient},
};
use serde_json::json;

use crate::{ALICE, client, start};

const OUTLOOK: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook";

/// An element's path, and its text: all that has no elements inside, in order.
///
/// # Panics
///
/// When the document is not well formed, as far as the formats go: tags nest, and there is no DTD.
fn leaves(document: &str) -> Vec<(String, String)> {
    let mut leaves = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut is_leaf = false;
    let mut rest = document.trim_start();
    while let Some((text, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        assert!(!tag.starts_with('!'), "no DTD, no comments: {tag}");
        if tag.starts_with('?') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(path.last(), Some(&name), "tags nest in {document}");
            if is_leaf {
                leaves.push((path.join("/"), text.to_owned()));
            }
            path.pop();
            is_leaf = false;
            continue;
        }
        let name = tag.split([' ', '/']).next().expect("there is a name");
        if tag.ends_with('/') {
            continue;
        }
        path.push(name);
        is_leaf = true;
    }
    assert!(path.is_empty(), "all tags are closed in {document}");
    leaves
}

fn expect_xml(answer: &HttpAnswer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let kind = answer.field("content-type");
    assert_eq!(kind, Some("text/xml; charset=utf-8"));
    assert!(answer.text().starts_with("<?xml "), "{}", answer.text());
    leaves(answer.text())
}

fn texts<'l>(leaves: &'l [(String, String)], end: &str) -> Vec<&'l str> {
    let named = leaves.iter().filter(|(path, _)| path.ends_with(end));
    named.map(|(_, text)| text.as_str()).collect()
}

/// Over both listeners.
fn both(daemon: &Daemon) -> [HttpClient; 2] {
    [Port::Http, Port::Https].map(|port| HttpClient::new(daemon.door(port)))
}

pub(crate) fn autoconfig(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let port = |port| daemon.port(port).to_string();
    let paths = [
        "/.well-known/autoconfig/mail/config-v1.1.xml",
        "/mail/config-v1.1.xml",
    ];
    for mut client in both(&daemon) {
        for path in paths {
            let path = format!("{path}?emailaddress=alice%40example.com&emailmd5=x");
            let found = expect_xml(&client.get(&path));
            let of = |end: &str| texts(&found, end);
            assert_eq!(of("emailProvider/domain"), ["example.com"]);
            assert_eq!(of("incomingServer/socketType"), ["SSL", "STARTTLS"]);
            assert_eq!(
                of("incomingServer/port"),
                [port(Port::Imaps), port(Port::Imap)]
            );
            assert_eq!(of("outgoingServer/socketType"), ["SSL", "STARTTLS"]);
            assert_eq!(
                of("outgoingServer/port"),
                [port(Port::Smtps), port(Port::Submission)]
            );
            assert_eq!(of("Server/hostname"), ["mail.example.com"; 4]);
            assert_eq!(of("Server/authentication"), ["password-cleartext"; 4]);
            assert_eq!(of("Server/username"), ["%EMAILADDRESS%"; 4]);
        }
        let answer = client.get(&format!("{}?emailaddress={ALICE}", paths[0]));
        let text = answer.text();
        assert!(
            text.contains(r#"<emailProvider id="example.com">"#),
            "{text}"
        );
        assert!(text.contains(r#"<incomingServer type="imap">"#), "{text}");
        assert!(!text.contains("xmlns"), "the reader knows no namespace");
        let host = [("Host", "autoconfig.example.com")];
        let by_host = client.request("GET", paths[1], &host, b"");
        let found = expect_xml(&by_host);
        assert_eq!(texts(&found, "emailProvider/domain"), ["example.com"]);
        client
            .get(&format!("{}?emailaddress=a@other.net", paths[0]))
            .expect(404);
        client
            .get(&format!("{}?emailaddress=a%3Cb@example.com", paths[0]))
            .expect(400);
    }
    daemon.finish();
}

fn request_document(address: &str, schema: &str) -> String {
    format!(
        "\u{feff}<?xml version=\"1.0\"?>\r\n\
         <a:Autodiscover xmlns:a=\"{OUTLOOK}/requestschema/2006\"><a:Request>\
         <a:AcceptableResponseSchema>{schema}</a:AcceptableResponseSchema>\
         <a:EMailAddress> {address}\n</a:EMailAddress></a:Request></a:Autodiscover>"
    )
}

pub(crate) fn autodiscover(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let port = |port| daemon.port(port).to_string();
    let schema = format!("{OUTLOOK}/responseschema/2006a");
    let mut client = client(&daemon);
    let mut post = |path: &str, body: &str| {
        let fields = [("Content-Type", "text/xml")];
        client.request("POST", path, &fields, body.as_bytes())
    };
    for path in [
        "/autodiscover/autodiscover.xml",
        "/Autodiscover/Autodiscover.xml",
        "/AUTODISCOVER/AUTODISCOVER.XML",
    ] {
        let answer = post(path, &request_document("Alice@Example.com", &schema));
        let found = expect_xml(&answer);
        let of = |end: &str| texts(&found, end);
        assert_eq!(of("Account/AccountType"), ["email"]);
        assert_eq!(of("Account/Action"), ["settings"]);
        assert_eq!(of("Protocol/Type"), ["IMAP", "IMAP", "SMTP", "SMTP"]);
        let ports = [Port::Imaps, Port::Imap, Port::Smtps, Port::Submission];
        assert_eq!(of("Protocol/Port"), ports.map(port));
        assert_eq!(of("Protocol/SSL"), ["on"; 4]);
        assert_eq!(of("Protocol/SPA"), ["off"; 4]);
        assert_eq!(of("Protocol/AuthRequired"), ["on"; 4]);
        assert_eq!(of("Protocol/DomainRequired"), ["off"; 4]);
        assert_eq!(of("Protocol/Server"), ["mail.example.com"; 4]);
        let names = of("Protocol/LoginName");
        assert!(
            names.iter().all(|name| name.eq_ignore_ascii_case(ALICE)),
            "{names:?}"
        );
        let text = answer.text();
        assert!(
            text.contains("exchange/autodiscover/responseschema/2006\""),
            "{text}"
        );
        assert!(text.contains(&schema), "{text}");
    }
    let path = "/autodiscover/autodiscover.xml";
    let dtd = format!(
        "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>{}",
        request_document("&x;", &schema).trim_start_matches('\u{feff}')
    );
    for (body, code) in [
        (request_document("alice@other.net", &schema), "500"),
        (
            request_document(ALICE, "mobilesync/responseschema/2006"),
            "601",
        ),
        (request_document("nobody", &schema), "600"),
        (dtd, "600"),
        ("<Autodiscover>".to_owned(), "600"),
        (String::new(), "600"),
    ] {
        let found = expect_xml(&post(path, &body));
        assert_eq!(texts(&found, "Error/ErrorCode"), [code], "{body}");
    }
    let found = expect_xml(&client.get(path));
    assert_eq!(texts(&found, "Error/ErrorCode"), ["600"]);
    daemon.finish();
}

pub(crate) fn autodiscover_json(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let mut client = client(&daemon);
    let base = "/autodiscover/autodiscover.json";
    let port = daemon.port(Port::Https);
    let rest = client
        .get(&format!("{base}?Email={ALICE}&Protocol=Rest"))
        .expect(200);
    let url = format!("https://mail.example.com:{port}/v1.0");
    assert_eq!(rest.json(), json!({"Protocol": "Rest", "Url": url}));
    for path in [
        format!("{base}/v1.0/{ALICE}?Protocol=AutodiscoverV1"),
        format!("/Autodiscover/Autodiscover.json?email={ALICE}&protocol=autodiscoverv1"),
    ] {
        let found = client.get(&path).expect(200).json();
        assert_eq!(found["Protocol"], "AutodiscoverV1");
        let url = found["Url"].as_str().expect("it is text");
        assert!(url.starts_with("https://mail.example.com"), "{url}");
        assert!(url.ends_with("/autodiscover/autodiscover.xml"), "{url}");
    }
    let wrong = client.get(&format!("{base}?Email={ALICE}&Protocol=Pigeon"));
    assert_eq!(wrong.expect(400).json()["ErrorCode"], "InvalidProtocol");
    let none = client.get(&format!("{base}?Email={ALICE}")).expect(400);
    assert_eq!(none.json()["ErrorCode"], "MandatoryParameterMissing");
    daemon.finish();
}

pub(crate) fn apple(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let mut client = client(&daemon);
    let answer = client
        .get(&format!("/email.mobileconfig?email={ALICE}"))
        .expect(200);
    let kind = answer.field("content-type");
    assert_eq!(kind, Some("application/x-apple-aspen-config"));
    let disposition = answer.field("content-disposition").unwrap_or_default();
    assert!(
        disposition.contains("example.com.mobileconfig"),
        "{disposition}"
    );
    let text = answer.text();
    for needed in [
        "com.apple.mail.managed",
        "EmailTypeIMAP",
        "IncomingMailServerHostName",
        "OutgoingPasswordSameAsIncomingPassword",
        &daemon.port(Port::Imaps).to_string(),
        &daemon.port(Port::Smtps).to_string(),
    ] {
        assert!(text.contains(needed), "no {needed} in {text}");
    }
    assert!(
        !text.contains("<key>IncomingPassword</key>"),
        "never a password"
    );
    let again = client.get(&format!("/email.mobileconfig?email={ALICE}"));
    assert_eq!(
        again.body, answer.body,
        "a second install replaces the first"
    );
    client.get("/email.mobileconfig").expect(400);
    client
        .get("/email.mobileconfig?email=a@other.net")
        .expect(404);
    daemon.finish();
}

pub(crate) fn no_oracle(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let mut client = client(&daemon);
    for path in [
        "/mail/config-v1.1.xml?emailaddress=",
        "/autodiscover/autodiscover.json?Protocol=Rest&Email=",
    ] {
        let known = client.get(&format!("{path}{ALICE}")).expect(200);
        let unknown = client.get(&format!("{path}nobody@example.com"));
        assert_eq!(unknown.expect(200).body, known.body);
        // Credentials are not looked at, good or bad.
        let fields = [("Authorization", "Basic YWxpY2U6d3Jvbmc=")];
        let with = client.request("GET", &format!("{path}{ALICE}"), &fields, b"");
        assert_eq!(with.expect(200).body, known.body);
    }
    daemon.finish();
}
