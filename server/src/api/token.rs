//! Bearer tokens: JSON Web Tokens (RFC 7519) that are signed with HMAC-SHA256, and nothing else.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rmail_proto::{Address, Secret, UnixTime};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits;

/// The `aud` claim.
const AUDIENCE: &str = "rmail-api";

/// Makes tokens and checks them.
pub struct Tokens {
    signing: EncodingKey,
    /// The signing key first, then those that were before it.
    verifying: Vec<DecodingKey>,
    issuer: String,
    ttl: Duration,
    max_age: Duration,
}

/// Whose token it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subject {
    /// The canonical full address.
    pub address: Address,
    /// The account's GUID.
    pub guid: u128,
    /// The account's token generation.
    pub generation: u64,
    /// Whether the token may administer the server.
    pub is_admin: bool,
}

/// What a token says whose signature, issuer, audience and times are good.
///
/// That the account is there and enabled, that its GUID and generation are these, and that the
/// token is not revoked, is the caller's to check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claims {
    /// Whose it is.
    pub subject: Subject,
    /// The token's name, for revocation and the log.
    pub id: u128,
    /// When it ends; not valid at that second any more.
    pub expires_at: UnixTime,
    /// When somebody logged in with a password.
    pub authenticated_at: UnixTime,
}

/// The token is not good. Why, nobody is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the token is not valid")]
pub struct InvalidToken;

/// The claims as they are written.
#[derive(Serialize, Deserialize)]
struct WrittenClaims {
    iss: String,
    #[serde(deserialize_with = "read_audience")]
    aud: String,
    sub: String,
    uid: String,
    ver: u64,
    iat: i64,
    nbf: i64,
    exp: i64,
    auth_time: i64,
    jti: String,
    scope: String,
}

/// The header as it may be: no `jwk`, `jku`, `x5u`, `crit`, and nothing twice.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictHeader {
    alg: String,
    typ: Option<String>,
    /// Which key it names counts for nothing: all are tried.
    kid: Option<String>,
}

impl Tokens {
    /// `previous`: keys that verify and do not sign.
    pub fn new(
        secret: &Secret<String>,
        previous: &[Secret<String>],
        issuer: &str,
        ttl: Duration,
        max_age: Duration,
    ) -> Self {
        let all = std::iter::once(secret).chain(previous);
        let verifying = all.map(|secret| DecodingKey::from_secret(secret.reveal().as_bytes()));
        Self {
            signing: EncodingKey::from_secret(secret.reveal().as_bytes()),
            verifying: verifying.collect(),
            issuer: issuer.to_owned(),
            ttl,
            max_age,
        }
    }

    /// How long a token is good for.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A token for somebody who has just given a good password. `id` is random: 128 bits.
    pub fn issue(&self, now: UnixTime, subject: &Subject, id: u128) -> Secret<String> {
        self.sign(now, subject, id, now)
    }

    /// A new token for a good one; `None` when the login is too long ago. `subject` is the account
    /// as it is now. It ends with the login's age at the latest.
    pub fn refresh(
        &self,
        now: UnixTime,
        claims: &Claims,
        subject: &Subject,
        id: u128,
    ) -> Option<Secret<String>> {
        let since = claims.authenticated_at;
        let ends_at = since.0.saturating_add(seconds(self.max_age));
        (now.0 < ends_at).then(|| self.sign(now, subject, id, since))
    }

    fn sign(
        &self,
        now: UnixTime,
        subject: &Subject,
        id: u128,
        authenticated_at: UnixTime,
    ) -> Secret<String> {
        let oldest = authenticated_at.0.saturating_add(seconds(self.max_age));
        let scope = if subject.is_admin {
            "mail admin"
        } else {
            "mail"
        };
        let claims = WrittenClaims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: subject.address.to_string(),
            uid: write_guid(subject.guid),
            ver: subject.generation,
            iat: now.0,
            nbf: now.0,
            exp: now.0.saturating_add(seconds(self.ttl)).min(oldest),
            auth_time: authenticated_at.0,
            jti: format!("{id:032x}"),
            scope: scope.to_owned(),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing);
        Secret::new(token.expect("claims are JSON, and any key makes an HMAC"))
    }

    /// Checks a token.
    ///
    /// # Errors
    ///
    /// One, whatever is wrong.
    pub fn verify(&self, now: UnixTime, token: &str) -> Result<Claims, InvalidToken> {
        check_shape(token)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // Its clock is the system's: times are checked below.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims::<&str>(&[]);
        let mut keys = self.verifying.iter();
        let verified = keys
            .find_map(|key| jsonwebtoken::decode::<WrittenClaims>(token, key, &validation).ok());
        self.check_claims(now, verified.ok_or(InvalidToken)?.claims)
    }

    fn check_claims(&self, now: UnixTime, claims: WrittenClaims) -> Result<Claims, InvalidToken> {
        let life = claims.exp.saturating_sub(claims.iat);
        let skew = seconds(limits::TOKEN_SKEW);
        let is_good = claims.iss == self.issuer
            && claims.aud == AUDIENCE
            && claims.nbf <= now.0.saturating_add(skew)
            && now.0 < claims.exp
            && life <= seconds(self.ttl);
        let is_admin = match claims.scope.as_str() {
            "mail" => false,
            "mail admin" => true,
            _ => return Err(InvalidToken),
        };
        if !is_good {
            return Err(InvalidToken);
        }
        Ok(Claims {
            subject: Subject {
                guid: read_guid(&claims.uid).ok_or(InvalidToken)?,
                address: Address::parse(&claims.sub).map_err(|_| InvalidToken)?,
                generation: claims.ver,
                is_admin,
            },
            id: u128::from_str_radix(&claims.jti, 16).map_err(|_| InvalidToken)?,
            expires_at: UnixTime(claims.exp),
            authenticated_at: UnixTime(claims.auth_time),
        })
    }
}

impl fmt::Debug for Tokens {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("issuer", &self.issuer)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

/// The token of an Authorization field (RFC 6750 §2.1); the scheme in any case.
pub fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Three non-empty parts in base64url, and a header that is the only one there is.
fn check_shape(token: &str) -> Result<(), InvalidToken> {
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_part = |part: &&str| !part.is_empty() && part.bytes().all(is_base64url);
    if token.len() > limits::TOKEN_BYTES || parts.len() != 3 || !parts.iter().all(is_part) {
        return Err(InvalidToken);
    }
    let header = BASE64_URL_SAFE_NO_PAD
        .decode(parts[0])
        .map_err(|_| InvalidToken)?;
    let header: StrictHeader = serde_json::from_slice(&header).map_err(|_| InvalidToken)?;
    let is_jwt = header.typ.is_none_or(|kind| kind == "JWT");
    let is_named = header.kid.is_none_or(|key| !key.is_empty());
    (header.alg == "HS256" && is_jwt && is_named)
        .then_some(())
        .ok_or(InvalidToken)
}

/// Our audience, alone or in a list (RFC 7519 §4.1.3).
fn read_audience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Several(Vec<String>),
    }
    let several = match Audience::deserialize(deserializer)? {
        Audience::One(audience) => return Ok(audience),
        Audience::Several(several) => several,
    };
    let ours = several.into_iter().find(|audience| audience == AUDIENCE);
    Ok(ours.unwrap_or_default())
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// A GUID as it is written: 8-4-4-4-12 digits.
pub fn write_guid(guid: u128) -> String {
    rmail_proto::http::RequestId(guid).to_string()
}

/// The GUID that is written so, its digits in any case.
pub fn read_guid(text: &str) -> Option<u128> {
    let guid = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
    write_guid(guid).eq_ignore_ascii_case(text).then_some(guid)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: UnixTime = UnixTime(1_700_000_000);
    const KEY: &str = "a key of at least 32 bytes, truly";

    fn tokens_with(secret: &str, previous: &[&str]) -> Tokens {
        let previous: Vec<_> = previous
            .iter()
            .map(|key| Secret::new((*key).to_owned()))
            .collect();
        let hour = Duration::from_secs(3600);
        let secret = Secret::new(secret.to_owned());
        Tokens::new(&secret, &previous, "rmail", hour, hour * 24)
    }

    fn tokens() -> Tokens {
        tokens_with(KEY, &[])
    }

    fn alice() -> Subject {
        Subject {
            address: Address::parse("alice@example.test").unwrap(),
            guid: 0x1234,
            generation: 3,
            is_admin: false,
        }
    }

    fn token() -> String {
        tokens().issue(NOW, &alice(), 7).reveal().clone()
    }

    fn encode(value: &Value) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
    }

    fn decode(part: &str) -> Value {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    /// Signs any header and claims with any key, by the cryptography alone.
    fn forge(header: &str, claims: &str, key: &str) -> String {
        let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
        let message = format!("{header}.{claims}");
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
        let mac = aws_lc_rs::hmac::sign(&key, message.as_bytes());
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac))
    }

    fn good_claims() -> Value {
        decode(token().split('.').nth(1).unwrap())
    }

    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    fn with_claim(name: &str, value: Value) -> String {
        let mut claims = good_claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        forge(HEADER, &claims.to_string(), KEY)
    }

    fn is_good(token: &str) -> bool {
        tokens().verify(NOW, token).is_ok()
    }

    #[test]
    fn token_says_what_the_contract_lists() {
        let token = token();
        let parts: Vec<&str> = token.split('.').collect();
        assert_eq!(decode(parts[0]), json!({"typ": "JWT", "alg": "HS256"}));
        assert_eq!(
            decode(parts[1]),
            json!({
                "iss": "rmail", "aud": "rmail-api", "sub": "alice@example.test",
                "uid": "00000000-0000-0000-0000-000000001234", "ver": 3,
                "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_003_600,
                "auth_time": 1_700_000_000, "jti": "00000000000000000000000000000007",
                "scope": "mail",
            })
        );
        let claims = tokens().verify(NOW, &token).unwrap();
        assert_eq!(claims.subject, alice());
        assert_eq!((claims.id, claims.authenticated_at), (7, NOW));
        let admin = Subject {
            is_admin: true,
            ..alice()
        };
        let token = tokens().issue(NOW, &admin, 7);
        assert_eq!(tokens().verify(NOW, token.reveal()).unwrap().subject, admin);
    }

    #[test]
    fn forged_token_differs_from_a_good_one_in_nothing_but_what_is_tested() {
        assert!(is_good(&forge(HEADER, &good_claims().to_string(), KEY)));
        assert!(is_good(&forge(
            r#"{"alg":"HS256"}"#,
            &good_claims().to_string(),
            KEY
        )));
        let with_kid = r#"{"alg":"HS256","typ":"JWT","kid":"a"}"#;
        assert!(is_good(&forge(with_kid, &good_claims().to_string(), KEY)));
    }

    #[test]
    fn other_algorithms_and_headers_are_refused() {
        let claims = good_claims().to_string();
        for header in [
            r#"{"alg":"none","typ":"JWT"}"#,
            r#"{"alg":"None","typ":"JWT"}"#,
            r#"{"alg":"NONE","typ":"JWT"}"#,
            r#"{"alg":"nOnE","typ":"JWT"}"#,
            r#"{"alg":"","typ":"JWT"}"#,
            r#"{"alg":null,"typ":"JWT"}"#,
            r#"{"alg":["HS256"],"typ":"JWT"}"#,
            r#"{"alg":"hs256","typ":"JWT"}"#,
            r#"{"alg":"HS256 ","typ":"JWT"}"#,
            r#"{"alg":"HS384","typ":"JWT"}"#,
            r#"{"alg":"HS512","typ":"JWT"}"#,
            r#"{"alg":"RS256","typ":"JWT"}"#,
            r#"{"alg":"ES256","typ":"JWT"}"#,
            r#"{"alg":"HS256","alg":"none","typ":"JWT"}"#,
            r#"{"alg":"none","alg":"HS256","typ":"JWT"}"#,
            r#"{"ALG":"HS256","typ":"JWT"}"#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":"HS256","typ":"at+jwt"}"#,
            r#"{"alg":"HS256","jwk":{"kty":"oct","k":"YQ"}}"#,
            r#"{"alg":"HS256","jku":"https://evil.example/keys"}"#,
            r#"{"alg":"HS256","x5u":"https://evil.example/cert"}"#,
            r#"{"alg":"HS256","x5c":["YQ=="]}"#,
            r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
            r#"{"alg":"HS256","b64":false}"#,
            r#"{"alg":"HS256","zip":"DEF"}"#,
            r#"["HS256"]"#,
            "HS256",
            "",
        ] {
            assert!(!is_good(&forge(header, &claims, KEY)), "{header}");
            // The same without a signature.
            let [header, claims] =
                [header, &claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
            assert!(!is_good(&format!("{header}.{claims}.")), "{header}");
        }
    }

    #[test]
    fn signature_is_looked_at_whole() {
        let token = token();
        let (message, mac) = token.rsplit_once('.').unwrap();
        for length in 0..mac.len() {
            assert!(
                !is_good(&format!("{message}.{}", &mac[..length])),
                "{length}"
            );
        }
        for index in 0..mac.len() {
            let mut changed = mac.as_bytes().to_vec();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(!is_good(&format!("{message}.{changed}")), "{index}");
        }
        assert!(!is_good(&format!("{token}A")));
        // The last letter of a MAC carries two bits of nothing.
        let last = mac.as_bytes()[mac.len() - 1];
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for &letter in letters.iter().filter(|&&letter| letter != last) {
            let other = format!("{message}.{}{}", &mac[..mac.len() - 1], char::from(letter));
            assert!(!is_good(&other), "{other}");
        }
    }

    #[test]
    fn claims_of_another_token_do_not_fit_a_signature() {
        let token = token();
        let parts: Vec<&str> = token.split('.').collect();
        let mut claims = decode(parts[1]);
        claims["scope"] = json!("mail admin");
        assert!(!is_good(&format!(
            "{}.{}.{}",
            parts[0],
            encode(&claims),
            parts[2]
        )));
    }

    #[test]
    fn keys_of_others_sign_nothing() {
        let claims = good_claims().to_string();
        for key in ["another key of at least 32 bytes.", "", &KEY[1..], "rmail"] {
            assert!(!is_good(&forge(HEADER, &claims, key)), "{key}");
        }
    }

    #[test]
    fn previous_keys_verify_and_do_not_sign() {
        let old = token();
        let rotated = tokens_with("the new key, also of 32 bytes or so", &[KEY]);
        assert!(rotated.verify(NOW, &old).is_ok());
        let new = rotated.issue(NOW, &alice(), 8);
        assert!(rotated.verify(NOW, new.reveal()).is_ok());
        assert_eq!(tokens().verify(NOW, new.reveal()), Err(InvalidToken));
        let later = tokens_with("the new key, also of 32 bytes or so", &[]);
        assert_eq!(later.verify(NOW, &old), Err(InvalidToken));
    }

    #[test]
    fn times_count_to_the_second() {
        let token = token();
        let at = |seconds: i64| tokens().verify(UnixTime(NOW.0 + seconds), &token).is_ok();
        assert!(at(3599) && !at(3600) && !at(3601));
        // A clock that is up to a minute behind.
        assert!(at(-60) && !at(-61));
        assert!(!at(i64::MIN / 2) && !at(i64::MAX / 2));
    }

    #[test]
    fn claims_are_of_their_types_and_all_there() {
        for name in [
            "iss",
            "aud",
            "sub",
            "uid",
            "ver",
            "iat",
            "nbf",
            "exp",
            "auth_time",
            "jti",
            "scope",
        ] {
            assert!(!is_good(&with_claim(name, Value::Null)), "{name}");
            assert!(!is_good(&with_claim(name, json!({}))), "{name}");
            assert!(!is_good(&with_claim(name, json!(""))), "{name}");
        }
        for (name, value) in [
            ("iss", json!("other")),
            ("aud", json!("other")),
            ("aud", json!([])),
            ("aud", json!(["other"])),
            ("exp", json!(1_700_000_001.5)),
            ("exp", json!("1700003600")),
            ("exp", json!(1e300)),
            ("exp", json!(1_700_003_601)),
            ("iat", json!(1_699_999_999)),
            ("iat", json!(i64::MIN)),
            ("nbf", json!(1_700_000_061)),
            ("ver", json!(-1)),
            ("uid", json!("1234")),
            ("jti", json!("x")),
            ("scope", json!("admin")),
            ("scope", json!("mail  admin")),
        ] {
            assert!(
                !is_good(&with_claim(name, value.clone())),
                "{name}: {value}"
            );
        }
        assert!(is_good(&with_claim("aud", json!(["other", "rmail-api"]))));
        assert!(is_good(&with_claim("nbf", json!(1_700_000_060))));
        assert!(is_good(&with_claim("more", json!("ignored"))));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let token = token();
        let parts: Vec<&str> = token.split('.').collect();
        for text in [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "a.b",
            &token[1..],
            &format!(".{token}"),
            &format!("{token}."),
            &format!("{token}.x"),
            &format!(" {token}"),
            &format!("{}..{}", parts[0], parts[2]),
            &format!(".{}.{}", parts[1], parts[2]),
            &token.replace('.', "="),
            &format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
            &format!("{}.{}.{}=", parts[0], parts[1], parts[2]),
        ] {
            assert!(!is_good(text), "{text}");
        }
    }

    #[test]
    fn longest_token_is_bounded() {
        let padded = |bytes: usize| with_claim("pad", json!("a".repeat(bytes)));
        let fits = (2000..3000)
            .rev()
            .map(padded)
            .find(|token| token.len() <= limits::TOKEN_BYTES);
        assert!(is_good(&fits.unwrap()));
        assert!(!is_good(&padded(3000)));
    }

    #[test]
    fn refreshing_ends_with_the_age_of_the_login() {
        let tokens = tokens();
        let claims = tokens.verify(NOW, &token()).unwrap();
        let day = 24 * 3600;
        let late = UnixTime(NOW.0 + day - 100);
        let token = tokens.refresh(late, &claims, &alice(), 9).unwrap();
        let refreshed = tokens.verify(late, token.reveal()).unwrap();
        assert_eq!(refreshed.authenticated_at, NOW);
        assert_eq!(refreshed.expires_at, UnixTime(NOW.0 + day));
        let too_late = UnixTime(NOW.0 + day);
        assert!(tokens.refresh(too_late, &refreshed, &alice(), 9).is_none());
    }

    #[test]
    fn only_bearer_tokens_are_taken() {
        assert_eq!(bearer_token("Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(bearer_token("bEARER  a.b.c"), Some("a.b.c"));
        for other in ["", "Bearer", "Bearer ", "Basic a", "a.b.c", "Bearera"] {
            assert_eq!(bearer_token(other), None, "{other}");
        }
    }

    #[test]
    fn debug_output_shows_no_key() {
        assert!(!format!("{:?}", tokens()).contains("32 bytes"));
    }
}
