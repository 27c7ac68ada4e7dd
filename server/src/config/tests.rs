//! What the configuration promises.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn folder() -> &'static Path {
    Path::new("/etc/rmail")
}

fn load(text: &str) -> Config {
    let (config, warnings) = Config::load(text, folder()).unwrap();
    assert_eq!(warnings, []);
    config
}

/// `path: found` of every fault.
fn faults(text: &str) -> Vec<String> {
    let faults = Config::load(text, folder()).unwrap_err();
    let line = |fault: &Fault| format!("{}: {}", fault.path, fault.found);
    faults.0.iter().map(line).collect()
}

fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) = Config::load(text, folder()).unwrap();
    warnings.iter().map(Warning::to_string).collect()
}

#[test]
fn missing_keys_take_the_documented_defaults() {
    let config = load("{}");
    assert_eq!(config.hostname.as_str(), "mail.example.com");
    assert_eq!(config.mail_root, Path::new("/etc/rmail/mailstore"));
    assert_eq!(config.domains, [Domain::parse("example.com").unwrap()]);
    assert_eq!(config.log_level, LogLevel::Info);
    assert_eq!(config.smtp.host.to_string(), "0.0.0.0");
    let ports = [
        config.smtp.port,
        config.smtp.submission_port,
        config.smtp.smtps_port,
        config.imap.port,
        config.imap.imaps_port,
        config.exchange_api.port,
        config.exchange_api.secure_port,
    ];
    let ports = ports.map(|port| port.unwrap().get());
    assert_eq!(ports, [25, 587, 465, 143, 993, 9002, 9003]);
    assert_eq!(config.smtp.max_message_size.get(), 52_428_800);
    assert_eq!(config.smtp.max_recipients.get(), 50);
    assert_eq!(config.smtp.max_connections.get(), 100);
    assert_eq!(config.smtp.max_messages_per_connection.get(), 50);
    assert_eq!(config.imap.max_connections.get(), 100);
    assert!(config.exchange_api.token_secret.is_none());
    assert_eq!(config.exchange_api.token_ttl, Duration::from_secs(3600));
    assert_eq!(
        config.exchange_api.token_max_age,
        Duration::from_secs(2_592_000)
    );
    assert_eq!(config.exchange_api.cors_origins, CorsOrigins::Any);
    assert_eq!(config.tls, Tls::SelfSigned);
    assert_eq!(config.delivery.workers.get(), 4);
    let limit = &config.rate_limit;
    assert!(limit.enabled);
    let rates = [
        limit.connection_rate,
        limit.message_rate,
        limit.recipient_rate,
    ];
    assert_eq!(rates.map(NonZeroU32::get), [20, 30, 100]);
    let periods = [
        limit.connection_period,
        limit.message_period,
        limit.recipient_period,
    ];
    assert_eq!(periods, [Duration::from_secs(60); 3]);
    assert_eq!(limit.auth_failure_limit.get(), 5);
    assert_eq!(limit.auth_failure_lockout, Duration::from_secs(600));
    assert_eq!(limit.max_concurrent_per_ip.get(), 10);
    let whitelist = ["127.0.0.1", "::1"].map(|text| Network::parse(text).unwrap());
    assert_eq!(limit.whitelist, whitelist);
    assert_eq!(limit.max_tracked_ips.get(), 10_000);
    assert_eq!(limit.cleanup_interval, Duration::from_secs(300));
}

#[test]
fn example_says_the_defaults() {
    let example = load(Config::default_json());
    assert_eq!(format!("{example:?}"), format!("{:?}", load("{}")));
}

#[test]
fn example_has_every_key() {
    let (_, known) = Config::load_with_known("{}", folder());
    assert_eq!(example_keys(), known.into_iter().collect());
}

#[test]
fn every_key_refuses_a_value_of_a_wrong_type_by_its_path() {
    for path in example_keys() {
        let mut text = r#"{"wrong": "type"}"#.to_owned();
        for key in path.rsplit('.') {
            text = format!(r#"{{"{key}": {text}}}"#);
        }
        let faults = faults(&text);
        let fault = format!("{path}: an object");
        assert!(faults.contains(&fault), "{path}: {faults:?}");
    }
}

/// Paths of all keys of the example.
fn example_keys() -> BTreeSet<String> {
    fn collect(value: &serde_json::Value, path: &str, keys: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(members) => {
                for (key, value) in members {
                    collect(value, &format!("{path}.{key}"), keys);
                }
            }
            _ => {
                keys.insert(path.trim_start_matches('.').to_owned());
            }
        }
    }
    let mut keys = BTreeSet::new();
    let example = serde_json::from_str(Config::default_json()).unwrap();
    collect(&example, "", &mut keys);
    keys
}

#[test]
fn all_faults_are_listed_with_their_paths() {
    let text = r#"{
        "hostname": "two words", "domains": ["good.example", 7, "bad..example"],
        "log_level": "loud", "smtp": {"port": "25", "max_recipients": 0, "host": "localhost"},
        "imap": {"port": 65536, "imaps_port": -1}, "delivery": [], "rate_limit": {
            "enabled": 1, "connection_period": 0.5, "whitelist": ["127.0.0.1", "home"]}
    }"#;
    assert_eq!(
        faults(text),
        [
            "hostname: the text \"two words\"",
            "domains[1]: 7",
            "domains[2]: the text \"bad..example\"",
            "log_level: the text \"loud\"",
            "smtp.host: the text \"localhost\"",
            "smtp.port: the text \"25\"",
            "smtp.max_recipients: 0",
            "imap.port: 65536",
            "imap.imaps_port: -1",
            "delivery: a list",
            "rate_limit.enabled: 1",
            "rate_limit.connection_period: 0.5",
            "rate_limit.whitelist[1]: the text \"home\"",
        ]
    );
}

#[test]
fn fault_says_what_would_be_right() {
    let faults = Config::load(r#"{"imap": {"port": "143"}}"#, folder()).unwrap_err();
    let expected = "imap.port: found the text \"143\"; expected a whole number from 0 to 65535";
    assert_eq!(faults.to_string(), expected);
}

#[test]
fn syntax_fault_names_line_and_column() {
    assert_eq!(
        faults("{\n  \"smtp\": {,}\n}"),
        ["line 2, column 12: key must be a string"]
    );
    assert_eq!(faults(""), ["line 1, column 0: EOF while parsing a value"]);
    assert_eq!(faults("[]"), ["the whole file: a list"]);
}

#[test]
fn unknown_key_is_a_warning_that_names_the_nearest() {
    assert_eq!(
        warnings(r#"{"hostnam": "a.example", "smtp": {"max_recipient": 3, "frobnicate": 1}}"#),
        [
            "smtp.max_recipient: unknown key, ignored; did you mean smtp.max_recipients?",
            "smtp.frobnicate: unknown key, ignored",
            "hostnam: unknown key, ignored; did you mean hostname?",
        ]
    );
    assert_eq!(
        warnings(r#"{"imaps_port": 993, "ratelimit": {}}"#),
        [
            "imaps_port: unknown key, ignored; did you mean imap.imaps_port?",
            "ratelimit: unknown key, ignored; did you mean rate_limit?",
        ]
    );
}

#[test]
fn last_of_repeated_keys_counts_with_a_warning() {
    let text = r#"{"hostname": "a.example", "hostname": "b.example"}"#;
    let (config, warnings) = Config::load(text, folder()).unwrap();
    assert_eq!(config.hostname.as_str(), "b.example");
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].path, "hostname");
}

#[test]
fn relative_paths_resolve_against_the_folder_of_the_file() {
    let config = load(
        r#"{"mail_root": "./mail/../data", "tls": {"cert_file": "c.pem", "key_file": "/k.pem"}}"#,
    );
    assert_eq!(config.mail_root, Path::new("/etc/rmail/mail/../data"));
    let (cert_file, key_file) = ("/etc/rmail/c.pem".into(), "/k.pem".into());
    assert_eq!(
        config.tls,
        Tls::Files {
            cert_file,
            key_file
        }
    );
}

#[test]
fn one_of_certificate_and_key_alone_is_a_fault() {
    assert_eq!(
        faults(r#"{"tls": {"cert_file": "c.pem"}}"#),
        ["tls.key_file: nothing"]
    );
    let text = r#"{"tls": {"cert_file": null, "key_file": "k.pem"}}"#;
    assert_eq!(faults(text), ["tls.cert_file: nothing"]);
}

#[test]
fn names_are_lower_case_and_without_repetition() {
    let config = load(r#"{"hostname": "MX.Example.COM.", "domains": ["A.example", "a.EXAMPLE"]}"#);
    assert_eq!(config.hostname.as_str(), "mx.example.com");
    assert_eq!(config.domains, [Domain::parse("a.example").unwrap()]);
    assert!(config.hosts(&Domain::parse("A.Example").unwrap()));
    assert!(!config.hosts(&Domain::parse("b.example").unwrap()));
    assert_eq!(faults(r#"{"domains": []}"#), ["domains: an empty list"]);
}

#[test]
fn log_level_is_known_in_any_case() {
    for (text, level) in [("debug", LogLevel::Debug), ("Critical", LogLevel::Critical)] {
        let config = load(&format!(r#"{{"log_level": "{text}"}}"#));
        assert_eq!(config.log_level, level);
    }
}

#[test]
fn port_zero_turns_a_listener_off_and_two_listeners_share_no_port() {
    let config = load(r#"{"smtp": {"port": 0, "smtps_port": 0}}"#);
    assert_eq!((config.smtp.port, config.smtp.smtps_port), (None, None));
    let text = r#"{"smtp": {"host": "127.0.0.1", "port": 143}}"#;
    assert_eq!(faults(text), ["imap.port: 143, which smtp.port has too"]);
    load(r#"{"smtp": {"host": "127.0.0.1", "port": 143}, "imap": {"host": "127.0.0.2"}}"#);
}

#[test]
fn placeholder_secrets_are_refused_short_ones_warned_of_and_none_is_shown() {
    for secret in ["", " ", "secret", "ChangeMe"] {
        let text = format!(r#"{{"exchange_api": {{"token_secret": "{secret}"}}}}"#);
        assert_eq!(faults(&text).len(), 1, "{secret}");
    }
    let text = r#"{"exchange_api": {"token_secret": "tr0ub4dor"}}"#;
    let (config, warnings) = Config::load(text, folder()).unwrap();
    assert_eq!(warnings[0].path, "exchange_api.token_secret");
    assert!(!format!("{config:?} {warnings:?}").contains("tr0ub4dor"));
    assert_eq!(
        config.exchange_api.token_secret.unwrap().reveal(),
        "tr0ub4dor"
    );
    let secret = "x".repeat(32);
    load(&format!(
        r#"{{"exchange_api": {{"token_secret": "{secret}"}}}}"#
    ));
}

#[test]
fn web_addresses_are_checked() {
    let config = load(
        r#"{"exchange_api": {"public_url": "https://mail.example.com/", "allowed_hosts": ["A.B"],
            "cors_origins": ["https://Web.example"], "trusted_proxies": ["10.0.0.0/8"]}}"#,
    );
    let api = config.exchange_api;
    assert_eq!(api.public_url.as_deref(), Some("https://mail.example.com"));
    assert_eq!(api.allowed_hosts.unwrap(), ["a.b"]);
    assert_eq!(
        api.cors_origins,
        CorsOrigins::Only(vec!["https://web.example".to_owned()])
    );
    let text = r#"{"exchange_api": {"public_url": "mail.example.com", "token_ttl": 60,
        "token_max_age": 59, "cors_origins": ["https://a/b"]}}"#;
    assert_eq!(faults(text).len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_value_of_any_key_is_a_configuration_or_a_list_of_faults(
        index in 0usize..80,
        value in prop_oneof![
            any::<i64>().prop_map(|number| number.to_string()),
            (-1e9..1e9f64).prop_map(|number| number.to_string()),
            "\\PC{0,12}".prop_map(|text| serde_json::Value::from(text).to_string()),
            "[a-z:/.*0-9]{0,12}".prop_map(|text| format!("[\"{text}\"]")),
            Just("null".to_owned()),
        ],
    ) {
        let keys: Vec<String> = example_keys().into_iter().collect();
        let mut text = value;
        for key in keys[index % keys.len()].rsplit('.') {
            text = format!(r#"{{"{key}": {text}}}"#);
        }
        if let Err(faults) = Config::load(&text, folder()) {
            prop_assert!(!faults.0.is_empty());
        }
    }

    #[test]
    fn any_text_is_a_configuration_or_a_list_of_faults(
        text in "[{}\\[\\]\":,a-z0-9. -]{0,40}",
    ) {
        if let Err(faults) = Config::load(&text, folder()) {
            prop_assert!(!faults.0.is_empty());
        }
    }
}

#[test]
fn one_of_username_and_password_alone_is_a_fault() {
    let alone = faults(r#"{"relay": {"smarthost": "a.b", "smarthost_username": "me"}}"#);
    assert_eq!(alone, ["relay.smarthost_password: nothing"]);
    let alone = faults(r#"{"relay": {"smarthost_password": "secret"}}"#);
    assert_eq!(alone, ["relay.smarthost_username: nothing"]);
    let config = load(
        r#"{"relay": {"smarthost": "a.b", "smarthost_username": "me",
            "smarthost_password": "hunter2"}}"#,
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}
