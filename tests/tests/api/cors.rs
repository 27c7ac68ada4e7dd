//! Pages of other origins (the Fetch standard's CORS protocol).

use rmail_tests::{
    daemon::Kind,
    http::{HttpAnswer, HttpClient},
};
use serde_json::json;

use crate::{client, logged_in, start};

const ORIGIN: &str = "https://webmail.example.net";

fn preflight(client: &mut HttpClient, origin: &str, path: &str) -> HttpAnswer {
    let fields = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "authorization,if-match"),
    ];
    client.request("OPTIONS", path, &fields, b"").expect(204)
}

fn cors_fields(answer: &HttpAnswer) -> Vec<&str> {
    let names = answer.fields.iter().map(|(name, _)| name.as_str());
    names
        .filter(|name| name.starts_with("access-control-"))
        .collect()
}

pub(crate) fn any_origin(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let (mut known, _) = logged_in(&daemon);
    let mut unknown = client(&daemon);
    for path in ["/v1.0/me/messages", "/folders", "/auth/login"] {
        let answer = preflight(&mut unknown, ORIGIN, path);
        let allows = |name: &str, wanted: &str| {
            let value = answer.field(&format!("access-control-allow-{name}"));
            let value = value.unwrap_or_default().to_ascii_lowercase();
            let mut allowed = value.split(',').map(str::trim);
            assert!(allowed.any(|one| one == wanted), "{name}: {value}");
        };
        allows("origin", "*");
        for method in ["get", "post", "put", "patch", "delete"] {
            allows("methods", method);
        }
        for field in [
            "authorization",
            "content-type",
            "prefer",
            "if-match",
            "content-range",
        ] {
            allows("headers", field);
        }
        assert_eq!(answer.field("access-control-max-age"), Some("600"));
        assert_eq!(answer.field("access-control-allow-credentials"), None);
        assert!(answer.body.is_empty());
    }
    let ask =
        |client: &mut HttpClient, path| client.request("GET", path, &[("Origin", ORIGIN)], b"");
    for (answer, status) in [
        (ask(&mut known, "/folders"), 200),
        (ask(&mut known, "/v1.0/me/mailFolders/nothing"), 404),
        (ask(&mut unknown, "/folders"), 401),
        (ask(&mut known, "/nothing"), 404),
    ] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
        let exposed = answer.field("access-control-expose-headers");
        assert!(exposed.is_some_and(|exposed| exposed.contains("ETag")));
        assert_eq!(answer.field("access-control-allow-credentials"), None);
    }
    assert!(cors_fields(&known.get("/folders")).is_empty(), "no origin");
    daemon.finish();
}

pub(crate) fn listed_origins(kind: Kind) {
    let daemon = start(kind, &json!({"cors_origins": [ORIGIN]}));
    let (mut client, _) = logged_in(&daemon);
    let answer = preflight(&mut client, ORIGIN, "/folders");
    assert_eq!(answer.field("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(answer.field("vary"), Some("Origin"));
    for other in [
        "https://evil.example.net",
        "http://webmail.example.net",
        "https://webmail.example.net.evil.example",
        "null",
    ] {
        let answer = preflight(&mut client, other, "/folders");
        assert!(cors_fields(&answer).is_empty(), "{other}: {answer:?}");
        let answer = client.request("GET", "/folders", &[("Origin", other)], b"");
        assert!(cors_fields(&answer).is_empty(), "{other}: {answer:?}");
    }
    daemon.finish();
}
