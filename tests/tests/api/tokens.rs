//! Attacks on tokens.

use aws_lc_rs::hmac;
use rmail_tests::{daemon::Kind, http::HttpAnswer, jwt::Jwt};
use serde_json::{Value, json};

use crate::{ALICE, PASSWORD, SECRET, client, logged_in, start};

/// What every refusal is: the same for all reasons, in the family's own form.
fn expect_refusal(answer: HttpAnswer, why: &str) {
    assert_eq!(answer.status, 401, "{why}");
    let challenge = answer.field("www-authenticate");
    let expected = r#"Bearer realm="rmail", error="invalid_token""#;
    assert_eq!(challenge, Some(expected), "{why}");
    let body = answer.json();
    match body["error"].is_object() {
        true => assert_eq!(body["error"]["code"], "InvalidAuthenticationToken", "{why}"),
        false => assert_eq!(body, json!({"error": "Unauthorized"}), "{why}"),
    }
}

/// Whether a token lets in is the same for both families.
fn is_let_in(client: &mut rmail_tests::http::HttpClient, token: &str, why: &str) -> bool {
    client.set_token(token);
    let answers = [client.get("/auth/me"), client.get("/v1.0/me")];
    let are_good = answers.each_ref().map(|answer| answer.status == 200);
    assert_eq!(are_good[0], are_good[1], "{why}");
    if !are_good[0] {
        for answer in answers {
            expect_refusal(answer, why);
        }
    }
    are_good[0]
}

fn forgeries(token: &str) -> Vec<(String, String)> {
    let good = Jwt::parse(token);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, mac] = parts[..] else {
        panic!("a token has three parts")
    };
    let mut forged = Vec::new();
    let mut add = |why: &str, token: String| forged.push((why.to_owned(), token));
    for none in ["none", "None", "NONE", "nOnE", "", " none", "none "] {
        let jwt = good.clone().with_header("alg", none);
        add(&format!("alg {none:?}, no signature"), jwt.unsigned() + ".");
        add(&format!("alg {none:?}, no third part"), jwt.unsigned());
        add(&format!("alg {none:?}, signed"), jwt.sign_hs256(SECRET));
        add(
            &format!("alg {none:?}, the old signature"),
            format!("{}.{mac}", jwt.unsigned()),
        );
    }
    let null = good.clone().with_header("alg", Value::Null);
    add("alg null", null.sign_hs256(SECRET));
    let list = good.clone().with_header("alg", json!(["HS256"]));
    add("alg a list", list.sign_hs256(SECRET));
    for (alg, algorithm) in [
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
        ("hs256", hmac::HMAC_SHA256),
        ("RS256", hmac::HMAC_SHA256),
        ("ES256", hmac::HMAC_SHA256),
        ("EdDSA", hmac::HMAC_SHA256),
    ] {
        let jwt = good.clone().with_header("alg", alg);
        add(alg, jwt.sign(algorithm, SECRET));
    }
    let key = json!({"kty": "oct", "k": "YXR0YWNrZXI", "alg": "HS256"});
    for (name, value) in [
        ("jwk", key),
        ("jku", json!("https://attacker.example.net/keys")),
        ("x5u", json!("https://attacker.example.net/chain")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
    ] {
        let jwt = good.clone().with_header(name, value);
        add(
            &format!("{name}, signed by the attacker"),
            jwt.sign_hs256("attacker"),
        );
        add(&format!("{name}, well signed"), jwt.sign_hs256(SECRET));
    }
    let traversal = good.clone().with_header("kid", "../../../../dev/null");
    add("an empty key by kid", traversal.sign_hs256(""));
    add(
        "a foreign key",
        good.sign_hs256("another key of at least 32 bytes"),
    );
    add("an empty key", good.sign_hs256(""));
    for length in [1, mac.len() / 2, mac.len() - 1] {
        let cut = format!("{header}.{claims}.{}", &mac[..length]);
        add("a truncated MAC", cut);
    }
    add("a MAC and more", format!("{token}A"));
    add("a MAC of padding", format!("{token}="));
    add("four parts", format!("{token}.{mac}"));
    add("no MAC", format!("{header}.{claims}."));
    add("another's claims", {
        let other = good.clone().with_claim("sub", "bob@example.com");
        format!("{}.{mac}", other.unsigned())
    });
    add("too long", format!("{token}{}", "A".repeat(5000)));
    for (name, value) in [
        ("iss", json!("other")),
        ("aud", json!("other")),
        ("sub", json!("bob@example.com")),
        ("sub", json!("")),
        ("uid", json!("00000000-0000-0000-0000-000000000000")),
        ("ver", json!(1_000_000)),
        ("ver", json!("0")),
        ("scope", json!("admin")),
        ("scope", json!("")),
        ("exp", json!("4102444800")),
        ("exp", json!(4_102_444_800_i64)),
        ("jti", json!("")),
    ] {
        let jwt = good.clone().with_claim(name, value.clone());
        add(&format!("{name} {value}"), jwt.sign_hs256(SECRET));
    }
    forged
}

pub(crate) fn forged(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let (mut client, token) = logged_in(&daemon);
    let again = Jwt::parse(&token).sign_hs256(SECRET);
    assert!(is_let_in(&mut client, &again, "signed as the server does"));
    for (why, forged) in forgeries(&token) {
        assert!(!is_let_in(&mut client, &forged, &why), "{why}");
    }
    let admin = Jwt::parse(&token).with_claim("scope", "mail admin");
    client.set_token(&admin.sign_hs256(SECRET));
    let users = client.get("/users");
    assert_ne!(users.status, 200, "the account's own rights count");
    assert!(is_let_in(&mut client, &token, "after all that"));
    daemon.finish();
}

pub(crate) fn times(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let (mut client, token) = logged_in(&daemon);
    let good = Jwt::parse(&token);
    let claim = |name: &str| good.claims[name].as_i64().expect("it is a number");
    let now = claim("iat");
    let shifted = |by: i64| {
        let times = ["iat", "nbf", "exp"].into_iter();
        let moved = times.fold(good.clone(), |jwt, name| {
            jwt.with_claim(name, claim(name) + by)
        });
        moved.sign_hs256(SECRET)
    };
    let life = claim("exp") - now;
    assert_eq!(life, 3600);
    assert!(!is_let_in(&mut client, &shifted(-life), "it ends now"));
    assert!(is_let_in(
        &mut client,
        &shifted(-life + 60),
        "a minute is left"
    ));
    assert!(is_let_in(&mut client, &shifted(50), "within the skew"));
    assert!(!is_let_in(&mut client, &shifted(180), "not yet good"));
    let longer = good.clone().with_claim("exp", claim("exp") + 1);
    let longer = longer.sign_hs256(SECRET);
    assert!(!is_let_in(&mut client, &longer, "it lives too long"));
    // One that ends while we look: good until then, and never again.
    let ending = shifted(-life + 3);
    let mut was_good = false;
    client.set_token(&ending);
    while client.get("/auth/me").status == 200 {
        was_good = true;
    }
    assert!(was_good);
    assert!(!is_let_in(&mut client, &ending, "it has ended"));
    daemon.finish();
}

pub(crate) fn user_made_anew(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let (mut client, token) = logged_in(&daemon);
    let deleted = daemon.command(&["user", "delete", ALICE, "--yes"], "");
    assert!(deleted.status.success(), "{deleted:?}");
    assert!(!is_let_in(&mut client, &token, "there is no such user"));
    daemon.add_user(ALICE, PASSWORD);
    assert!(!is_let_in(&mut client, &token, "it is another user"));
    let (mut client, new) = logged_in(&daemon);
    assert!(is_let_in(&mut client, &new, "the new user's"));
    daemon.finish();
}

pub(crate) fn password_changed(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let (mut client, token) = logged_in(&daemon);
    daemon.set_password(ALICE, "another horse");
    assert!(!is_let_in(
        &mut client,
        &token,
        "the command line changed it"
    ));
    let token = client.log_in(ALICE, "another horse");
    let change = json!({"old_password": "another horse", "new_password": PASSWORD});
    client.post("/auth/password", &change).expect(204);
    assert!(!is_let_in(&mut client, &token, "the API changed it"));
    let token = client.log_in(ALICE, PASSWORD);
    client.post("/auth/logout-all", &json!({})).expect(204);
    assert!(!is_let_in(&mut client, &token, "all were logged out"));
    let first = client.log_in(ALICE, PASSWORD);
    let second = client.log_in(ALICE, PASSWORD);
    client.post("/auth/logout", &json!({})).expect(204);
    assert!(!is_let_in(&mut client, &second, "it was logged out"));
    assert!(is_let_in(&mut client, &first, "the other was not"));
    daemon.finish();
}

pub(crate) fn elsewhere(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let (_, token) = logged_in(&daemon);
    let mut client = client(&daemon);
    let without = client.get("/auth/me").expect(401);
    let challenge = without.field("www-authenticate");
    assert_eq!(challenge, Some(r#"Bearer realm="rmail""#));
    for name in ["access_token", "token", "Authorization"] {
        client.get(&format!("/auth/me?{name}={token}")).expect(401);
    }
    let mut ask = |name: &str, value: &str| {
        let answer = client.request("GET", "/auth/me", &[(name, value)], b"");
        answer.status
    };
    assert_eq!(ask("Cookie", &format!("token={token}")), 401);
    assert_eq!(ask("Authorization", &format!("Basic {token}")), 401);
    assert_eq!(ask("Authorization", &token), 401);
    assert_eq!(ask("Authorization", &format!("bEARER {token}")), 200);
    daemon.finish();
}
