use std::path::Path;

use proptest::prelude::*;
use rmail_proto::{Now, UnixTime, http::RequestId};
use serde_json::{Value, json};

use super::*;
use crate::api::error::Occasion;

const SETTINGS: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

fn site(extra: &str) -> Site {
    let text = format!(
        r#"{{"hostname": "mail.example.test", "mail_root": "/tmp/m",
            "domains": ["example.test", "other.test"] {extra}}}"#
    );
    let (config, _) = Config::load(&text, Path::new("/tmp")).unwrap();
    Site::new(&config)
}

fn occasion() -> Occasion<'static> {
    Occasion {
        now: Now {
            unix: UnixTime(12 * 3600 + 34 * 60 + 56),
            ..Now::default()
        },
        id: RequestId((7 << 32) | 2_477_272_013),
        client_id: None,
    }
}

fn text(response: &Response) -> String {
    let Body::Bytes(bytes) = response.body() else {
        panic!("a document");
    };
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn field(response: &Response, name: &str) -> Option<String> {
    let mut fields = response.fields().iter();
    let found = fields.find(|(field, _)| field.as_str().eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str().to_owned())
}

/// What stands in the elements of this name, in order.
fn values(document: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let after = document.split(&open).skip(1);
    after
        .map(|rest| rest.split(&close).next().unwrap().to_owned())
        .collect()
}

fn discover(site: &Site, address: &str, schema: &str) -> String {
    let body = format!(
        "<Autodiscover><Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>\
         {schema}</AcceptableResponseSchema></Request></Autodiscover>"
    );
    text(&autodiscover(site, Some(body.as_bytes()), &occasion()))
}

#[test]
fn thunderbird_is_told_each_listener_best_first() {
    let response = autoconfig(
        &site(""),
        "emailaddress=alice%40other.test&emailmd5=x",
        None,
    );
    let response = response.unwrap();
    assert_eq!(
        field(&response, "Content-Type").unwrap(),
        "text/xml; charset=utf-8"
    );
    let document = text(&response);
    assert!(
        document.contains("<emailProvider id=\"other.test\">"),
        "{document}"
    );
    assert_eq!(values(&document, "domain"), ["other.test"]);
    assert_eq!(values(&document, "port"), ["993", "143", "465", "587"]);
    let types = ["SSL", "STARTTLS", "SSL", "STARTTLS"];
    assert_eq!(values(&document, "socketType"), types);
    assert_eq!(values(&document, "hostname"), ["mail.example.test"; 4]);
    assert_eq!(values(&document, "username"), ["%EMAILADDRESS%"; 4]);
    assert!(!document.contains("xmlns"));
}

#[test]
fn listener_that_is_off_is_not_announced() {
    let site = site(
        r#", "imap": {"imaps_port": 0}, "smtp": {"submission_port": 0, "port": 25},
           "exchange_api": {"secure_port": 0}"#,
    );
    let document = text(&autoconfig(&site, "", None).unwrap());
    assert_eq!(values(&document, "port"), ["143", "465"]);
    let document = discover(&site, "alice@example.test", SETTINGS);
    assert_eq!(values(&document, "Port"), ["143", "465"]);
    assert_eq!(values(&document, "Encryption"), ["TLS", "SSL"]);
    let response = autodiscover_json(&site, "Email=a@example.test&Protocol=Rest", None).unwrap();
    assert_eq!(response.status(), Status::BAD_REQUEST);
    assert!(text(&response).contains("Supported values are 'AutodiscoverV1'"));
}

#[test]
fn domain_is_the_addresss_then_the_hosts_then_the_first() {
    let site = site("");
    let domain = |query: &str, host: Option<&str>| {
        autoconfig(&site, query, host).map(|response| values(&text(&response), "domain").remove(0))
    };
    assert_eq!(
        domain("", Some("autoconfig.other.test")).unwrap(),
        "other.test"
    );
    assert_eq!(domain("", Some("mail.other.test")).unwrap(), "other.test");
    assert_eq!(domain("", Some("other.test")).unwrap(), "other.test");
    for host in [None, Some("203.0.113.1"), Some("foreign.test"), Some("")] {
        assert_eq!(domain("emailmd5=x", host).unwrap(), "example.test");
    }
    let address = "emailaddress=a@EXAMPLE.test";
    assert_eq!(domain(address, Some("other.test")).unwrap(), "example.test");
    let code = |query: &str| domain(query, None).unwrap_err().status();
    assert_eq!(code("emailaddress=a@foreign.test"), Status::NOT_FOUND);
}

#[test]
fn addresses_that_are_none_are_refused_everywhere() {
    let site = site("");
    let long = format!(
        "{}@example.test",
        "a".repeat(limits::DISCOVERY_ADDRESS_CHARS)
    );
    for address in [
        "x",
        "@example.test",
        "a@b@example.test",
        "a%3C@example.test",
        "a%00@b",
        "a@",
    ]
    .into_iter()
    .chain([long.as_str()])
    {
        let query = format!("emailaddress={address}&email={address}&Protocol=Rest");
        let status = |result: Result<Response, ApiError>| match result {
            Ok(response) => response.status(),
            Err(error) => error.status(),
        };
        assert_eq!(
            status(autoconfig(&site, &query, None)),
            Status::BAD_REQUEST,
            "{address}"
        );
        assert_eq!(
            status(mobileconfig(&site, &query)),
            Status::BAD_REQUEST,
            "{address}"
        );
        let json = autodiscover_json(&site, &query, None);
        assert_eq!(status(json), Status::BAD_REQUEST, "{address}");
    }
    assert!(autoconfig(&site, "emailaddress=a+b@example.test", None).is_ok());
}

#[test]
fn outlook_is_told_each_listener_with_implicit_tls_first() {
    let document = discover(&site(""), "Alice@Example.test", SETTINGS);
    assert_eq!(values(&document, "Type"), ["IMAP", "IMAP", "SMTP", "SMTP"]);
    assert_eq!(values(&document, "Port"), ["993", "143", "465", "587"]);
    assert_eq!(
        values(&document, "Encryption"),
        ["SSL", "TLS", "SSL", "TLS"]
    );
    assert_eq!(values(&document, "SSL"), ["on"; 4]);
    assert_eq!(values(&document, "LoginName"), ["Alice@Example.test"; 4]);
    assert_eq!(values(&document, "DisplayName"), ["Alice@Example.test"]);
}

#[test]
fn outlooks_errors_are_documents() {
    let site = site("");
    let code = |document: &str| values(document, "ErrorCode").remove(0);
    let get = text(&autodiscover(&site, None, &occasion()));
    assert_eq!(code(&get), "600");
    assert!(
        get.contains("Time=\"12:34:56.0000000\" Id=\"2477272013\""),
        "{get}"
    );
    assert_eq!(
        code(&discover(&site, "alice@foreign.test", SETTINGS)),
        "500"
    );
    assert_eq!(code(&discover(&site, "alice", SETTINGS)), "600");
    let mobile =
        "http://schemas.microsoft.com/exchange/autodiscover/mobilesync/responseschema/2006";
    assert_eq!(code(&discover(&site, "alice@example.test", mobile)), "601");
    let broken = autodiscover(&site, Some(b"<!DOCTYPE x><x/>"), &occasion());
    assert_eq!(
        (broken.status(), code(&text(&broken)).as_str()),
        (Status::OK, "600")
    );
}

#[test]
fn outlook_is_told_where_a_protocol_is() {
    let site = site("");
    let ask = |query: &str, address: Option<&str>| {
        let response = autodiscover_json(&site, query, address).unwrap();
        let document: Value = serde_json::from_str(&text(&response)).unwrap();
        (response.status().code(), document)
    };
    let xml = "https://mail.example.test/autodiscover/autodiscover.xml";
    let expected = (200, json!({"Protocol": "AutodiscoverV1", "Url": xml}));
    assert_eq!(
        ask(
            "EMAIL=a@example.test&protocol=autodiscoverV1&RedirectCount=1",
            None
        ),
        expected
    );
    let rest = json!({"Protocol": "Rest", "Url": "https://mail.example.test:9003/v1.0"});
    assert_eq!(ask("Protocol=rest", Some("a@example.test")), (200, rest));
    let (status, document) = ask("Email=a@example.test&Protocol=Ews", None);
    assert_eq!(
        (status, &document["ErrorCode"]),
        (400, &json!("InvalidProtocol"))
    );
    assert_eq!(
        document["ErrorMessage"],
        "The given protocol value 'Ews' is invalid. Supported values are 'AutodiscoverV1,Rest'"
    );
    let (status, document) = ask("Email=a@example.test", None);
    assert_eq!(
        (status, &document["ErrorCode"]),
        (400, &json!("MandatoryParameterMissing"))
    );
    let (status, document) = ask("Email=a@foreign.test&Protocol=Rest", None);
    assert_eq!(
        (status, &document["ErrorCode"]),
        (404, &json!("UserNotFound"))
    );
}

#[test]
fn public_url_is_what_urls_start_with() {
    let site = site(r#", "exchange_api": {"public_url": "https://api.example.test/"}"#);
    let response = autodiscover_json(&site, "Email=a@example.test&Protocol=Rest", None).unwrap();
    assert!(text(&response).contains("\"https://api.example.test/v1.0\""));
}

#[test]
fn apples_profile_is_one_account_without_a_password() {
    let site = site("");
    let response = mobileconfig(&site, "email=Alice@example.test").unwrap();
    let kind = field(&response, "Content-Type").unwrap();
    assert_eq!(kind, "application/x-apple-aspen-config");
    let name = "attachment; filename=\"example.test.mobileconfig\"";
    assert_eq!(field(&response, "Content-Disposition").unwrap(), name);
    let document = text(&response);
    assert_eq!(values(&document, "integer"), ["993", "465", "1", "1"]);
    let count = |text: &str| document.matches(text).count();
    assert_eq!(count("<key>PayloadContent</key>"), 1);
    assert_eq!(count("<string>com.apple.mail.managed</string>"), 1);
    assert_eq!(count("<string>EmailAuthPassword</string>"), 2);
    assert_eq!(count("<string>Alice@example.test</string>"), 4);
    assert_eq!(
        count("<key>IncomingPassword</key>") + count("<key>OutgoingPassword</key>"),
        0
    );
}

#[test]
fn second_profile_replaces_the_first_and_no_other() {
    let site = site("");
    let uuids = |address: &str| {
        let document = text(&mobileconfig(&site, &format!("email={address}")).unwrap());
        let mut strings = values(&document, "string");
        strings.retain(|text| text.len() == 36 && text.matches('-').count() == 4);
        strings
    };
    let alice = uuids("alice@example.test");
    assert_eq!(alice, uuids("Alice@Example.test"));
    assert!(alice.len() == 2 && alice[0] != alice[1]);
    assert_ne!(alice, uuids("bob@example.test"));
    assert!(mobileconfig(&site, "").is_err());
    let foreign = mobileconfig(&site, "email=a@foreign.test").unwrap_err();
    assert_eq!(foreign.status(), Status::NOT_FOUND);
}

/// Bytes, and what is nearly a request.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "<Autodiscover>",
        "</Autodiscover>",
        "<Request>",
        "</Request>",
        "<EMailAddress>",
        "</EMailAddress>",
        "a@example.test",
        "&#0;",
        "&lt;",
        "&x;",
        "<!DOCTYPE a [",
        "]>",
        "<![CDATA[",
        "]]>",
        "<?xml",
        "?>",
        "<!--",
        "-->",
        "<a/>",
        "<p:a b='",
        "'",
        "\u{feff}",
        "\0",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec(pieces, 0..16).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_the_answer_is_a_document(body in bodies()) {
        let site = site("");
        let response = autodiscover(&site, Some(&body), &occasion());
        let document = text(&response);
        prop_assert_eq!(response.status(), Status::OK);
        let is_error = document.contains("<ErrorCode>");
        prop_assert!(is_error != document.contains("<Action>settings</Action>"));
    }

    #[test]
    fn whatever_is_asked_the_answer_is_a_document_or_a_refusal(
        query in "(emailaddress=|email=|Protocol=|%40|[@&=%a-z.<>\"+]|example.test|rest|.){0,20}",
        host in ".{0,20}",
    ) {
        let site = site("");
        for result in [
            autoconfig(&site, &query, Some(&host)),
            autodiscover_json(&site, &query, None),
            autodiscover_json(&site, &query, Some(&host)),
            mobileconfig(&site, &query),
        ] {
            match result {
                Ok(response) => prop_assert!(!text(&response).is_empty()),
                Err(error) => prop_assert!((400..500).contains(&error.status().code())),
            }
        }
    }
}
