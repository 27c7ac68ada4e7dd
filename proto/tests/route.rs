//! Where mail for a domain goes, against plain maps of what the DNS says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    Domain, Instant,
    dns::{Answer, Denial, Failure, LookupResult, Mx, Name, Question, Reason, RecordType, Records},
    limits,
    smtp::{EnhancedCode, Families, Plan, Route, RouteAction, RouteConfig, RouteFailure},
};

/// Questions and what the DNS says: `10 mx1.example.com, 20 .` or addresses with commas between
/// them, and `-> name` for their owner, or a failure: `none`, `unknown`, `later`, `loop`. What is
/// not there is unknown.
type Zone<'a> = BTreeMap<&'a str, &'a str>;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn say(zone: &Zone, question: &Question) -> LookupResult {
    let denial = Denial {
        authentic: true,
        valid_until: Instant::default(),
    };
    let text = zone.get(question.to_string().as_str());
    let (data, owner) = match text.copied().unwrap_or("unknown") {
        "none" => return Err(Failure::NoData(denial)),
        "unknown" => return Err(Failure::NoSuchDomain(denial)),
        "later" => return Err(Failure::Temporary(Reason::Timeout)),
        "loop" => return Err(Failure::AliasLoop),
        text => match text.split_once(" -> ") {
            Some((data, owner)) => (data, name(owner)),
            None => (text, question.name.clone()),
        },
    };
    let items = data.split(", ");
    let records = match question.record_type {
        RecordType::A => Records::A(items.map(|item| item.parse().unwrap()).collect()),
        RecordType::Aaaa => Records::Aaaa(items.map(|item| item.parse().unwrap()).collect()),
        RecordType::Mx => {
            let mx = |item: &str| {
                let (preference, exchange) = item.split_once(' ').unwrap();
                Mx {
                    preference: preference.parse().unwrap(),
                    exchange: name(exchange),
                }
            };
            Records::Mx(items.map(mx).collect())
        }
        RecordType::Ptr | RecordType::Tlsa | RecordType::Txt => panic!("{question}"),
    };
    Ok(Answer {
        records,
        owner,
        authentic: true,
        valid_until: Instant::from_start(Duration::from_secs(60)),
    })
}

fn config() -> RouteConfig {
    RouteConfig {
        own_names: vec![name("us.example")],
        own_addresses: vec!["192.0.2.99".parse().unwrap()],
        loopback_is_own: true,
        families: Families::Both,
    }
}

/// Asks, and gives the answers in an order of choice.
fn run(
    config: RouteConfig,
    domain: &str,
    seed: u64,
    order: &[usize],
    mut say: impl FnMut(&Question) -> LookupResult,
) -> Result<Plan, RouteFailure> {
    let mut route = Route::new(Arc::new(config), Domain::parse(domain).unwrap(), seed);
    let mut asked = BTreeSet::new();
    let mut open = Vec::new();
    let mut order = order.iter().cycle();
    loop {
        while let Some(action) = route.poll_action() {
            match action {
                RouteAction::Ask(question) => {
                    assert!(asked.insert(question.clone()), "asked twice: {question}");
                    open.push(question);
                }
                RouteAction::Done(result) => {
                    assert!(open.is_empty(), "answers that nobody waits for");
                    assert!(route.poll_action().is_none());
                    return result;
                }
            }
        }
        assert!(!open.is_empty(), "it waits for nothing");
        assert!(open.len() <= 2 * limits::ROUTE_HOSTS_MAX);
        let question = open.remove(order.next().unwrap() % open.len());
        let result = say(&question);
        route.handle_answer(&question, result.clone());
        // A doubled answer is ignored.
        route.handle_answer(&question, result);
    }
}

fn route(zone: &[(&str, &str)], domain: &str) -> Result<Plan, RouteFailure> {
    let zone = zone.iter().copied().collect();
    run(config(), domain, 7, &[0], |question| say(&zone, question))
}

/// As in `10 mx1.example.com 2001:db8::1 192.0.2.1`, a line for each host.
fn hosts(plan: &Plan) -> Vec<String> {
    let line = |exchanger: &rmail_proto::smtp::Exchanger| {
        let name = exchanger.name.as_ref().map_or("literal", Name::as_str);
        let addresses: Vec<_> = exchanger.addresses.iter().map(IpAddr::to_string).collect();
        format!("{} {name} {}", exchanger.preference, addresses.join(" "))
    };
    plan.exchangers.iter().map(line).collect()
}

#[track_caller]
fn goes_to(zone: &[(&str, &str)], domain: &str, expected: &[&str]) {
    assert_eq!(hosts(&route(zone, domain).unwrap()), expected);
}

#[track_caller]
fn fails(zone: &[(&str, &str)], domain: &str, code: (u8, u16, u16)) {
    let failure = route(zone, domain).unwrap_err();
    assert_eq!(
        failure.enhanced,
        EnhancedCode(code.0, code.1, code.2),
        "{failure}"
    );
    assert_eq!(failure.is_permanent(), code.0 == 5);
    assert!(failure.text.chars().all(|c| !c.is_control()));
}

#[test]
fn hosts_are_tried_by_preference() {
    let zone = [
        ("MX a.example", "20 backup.a.example, 10 mx.a.example"),
        ("A mx.a.example", "192.0.2.1"),
        ("A backup.a.example", "192.0.2.2"),
    ];
    let expected = ["10 mx.a.example 192.0.2.1", "20 backup.a.example 192.0.2.2"];
    goes_to(&zone, "a.example", &expected);
    let plan = route(&zone, "a.example").unwrap();
    let targets: Vec<_> = plan.targets().map(|(_, ip)| ip.to_string()).collect();
    assert_eq!(targets, ["192.0.2.1", "192.0.2.2"]);
}

#[test]
fn equal_preferences_share_the_load() {
    let zone: Zone = BTreeMap::from([
        ("MX a.example", "10 m1, 10 m2, 10 m3, 5 m0"),
        ("A m0", "192.0.2.1"),
        ("A m1", "192.0.2.1"),
        ("A m2", "192.0.2.1"),
        ("A m3", "192.0.2.1"),
    ]);
    let mut seconds: BTreeMap<Name, u32> = BTreeMap::new();
    for seed in 0..300 {
        let plan = run(config(), "a.example", seed, &[0], |question| {
            say(&zone, question)
        });
        let plan = plan.unwrap();
        assert_eq!(plan.exchangers[0].name, Some(name("m0")));
        *seconds
            .entry(plan.exchangers[1].name.clone().unwrap())
            .or_default() += 1;
    }
    assert_eq!(seconds.len(), 3);
    assert!(seconds.values().all(|&count| count > 60), "{seconds:?}");
}

#[test]
fn families_take_turns() {
    let zone = [
        ("MX a.example", "10 m"),
        ("A m", "192.0.2.1, 192.0.2.1"),
        ("AAAA m", "2001:db8::1"),
    ];
    goes_to(&zone, "a.example", &["10 m 2001:db8::1 192.0.2.1"]);
    let zone = [
        ("MX a.example", "10 m"),
        ("A m", "192.0.2.1, 192.0.2.2, 192.0.2.3"),
        ("AAAA m", "2001:db8::1, 2001:db8::2"),
    ];
    let plan = route(&zone, "a.example").unwrap();
    let families: Vec<_> = plan.exchangers[0]
        .addresses
        .iter()
        .map(IpAddr::is_ipv6)
        .collect();
    assert_eq!(families, [true, false, true, false, false]);
}

#[test]
fn family_that_we_have_not_is_not_asked_for() {
    let zone: Zone = BTreeMap::from([
        ("MX a.example", "10 m"),
        ("A m", "192.0.2.1"),
        ("AAAA m", "2001:db8::1"),
    ]);
    for (families, expected) in [
        (Families::Ipv4, "10 m 192.0.2.1"),
        (Families::Ipv6, "10 m 2001:db8::1"),
    ] {
        let config = RouteConfig {
            families,
            ..config()
        };
        let plan = run(config, "a.example", 7, &[0], |question| {
            say(&zone, question)
        });
        assert_eq!(hosts(&plan.unwrap()), [expected]);
    }
}

#[test]
fn domain_without_mx_is_its_own_exchanger() {
    let zone = [("MX a.example", "none"), ("A a.example", "192.0.2.1")];
    goes_to(&zone, "a.example", &["0 a.example 192.0.2.1"]);
    fails(&[("MX a.example", "none")], "a.example", (5, 1, 2));
    fails(
        &[("MX a.example", "none"), ("A a.example", "later")],
        "a.example",
        (4, 4, 3),
    );
}

#[test]
fn domain_with_mx_is_never_its_own_exchanger() {
    let zone = [
        ("MX a.example", "10 gone.example"),
        ("A a.example", "192.0.2.1"),
    ];
    fails(&zone, "a.example", (5, 4, 4));
}

#[test]
fn null_mx_refuses_mail() {
    fails(&[("MX a.example", "0 .")], "a.example", (5, 1, 10));
    // Beside others it means nothing (RFC 7505 §3).
    let zone = [("MX a.example", "0 ., 10 m"), ("A m", "192.0.2.1")];
    goes_to(&zone, "a.example", &["10 m 192.0.2.1"]);
}

#[test]
fn domain_that_is_not_there_is_permanent_and_what_nobody_knows_is_not() {
    fails(&[], "a.example", (5, 1, 2));
    fails(&[("MX a.example", "later")], "a.example", (4, 4, 3));
    fails(&[("MX a.example", "loop")], "a.example", (4, 4, 3));
}

#[test]
fn host_that_nobody_knows_of_now_does_not_hide_the_others() {
    let zone = [
        ("MX a.example", "10 m1, 20 m2"),
        ("A m1", "later"),
        ("A m2", "192.0.2.2"),
    ];
    goes_to(&zone, "a.example", &["20 m2 192.0.2.2"]);
    let zone = [("MX a.example", "10 m1, 20 m2"), ("A m2", "later")];
    fails(&zone, "a.example", (4, 4, 3));
    let zone = [
        ("MX a.example", "10 m1"),
        ("A m1", "192.0.2.1"),
        ("AAAA m1", "later"),
    ];
    goes_to(&zone, "a.example", &["10 m1 192.0.2.1"]);
}

#[test]
fn mail_never_goes_to_ourselves_nor_to_who_is_no_better() {
    let with = |list, ours| {
        [
            ("MX a.example", list),
            ("A better", "192.0.2.1"),
            ("A equal", "192.0.2.2"),
            ("A worse", "192.0.2.3"),
            ("A ours", ours),
        ]
    };
    let list = "10 better, 20 equal, 20 us.example, 30 worse";
    let expected = ["10 better 192.0.2.1"];
    goes_to(&with(list, "unknown"), "a.example", &expected);
    let list = "10 better, 20 equal, 20 ours, 30 worse";
    for ours in ["192.0.2.99", "127.0.0.1", "192.0.2.4 -> us.example"] {
        goes_to(&with(list, ours), "a.example", &expected);
    }
    for list in ["20 us.example, 30 worse", "20 ours, 20 equal, 30 worse"] {
        fails(&with(list, "192.0.2.99"), "a.example", (5, 4, 6));
    }
    let zone = [("MX us.example", "none"), ("A us.example", "192.0.2.1")];
    fails(&zone, "us.example", (5, 4, 6));
    let zone = [("MX a.example", "none"), ("AAAA a.example", "::1")];
    fails(&zone, "a.example", (5, 4, 6));
}

#[test]
fn loopback_can_be_somebody_else_in_tests() {
    let zone: Zone = BTreeMap::from([("MX a.example", "10 m"), ("A m", "127.0.0.1")]);
    let config = RouteConfig {
        loopback_is_own: false,
        ..config()
    };
    let plan = run(config, "a.example", 7, &[0], |question| {
        say(&zone, question)
    });
    assert_eq!(hosts(&plan.unwrap()), ["10 m 127.0.0.1"]);
}

#[test]
fn addresses_of_no_host_are_left_out() {
    let zone = [
        ("MX a.example", "10 m"),
        ("A m", "0.0.0.0, 224.0.0.1, 255.255.255.255, 192.0.2.1"),
        ("AAAA m", "::, ff02::1, ::ffff:192.0.2.2"),
    ];
    goes_to(&zone, "a.example", &["10 m 192.0.2.1"]);
}

#[test]
fn address_literals_need_no_dns() {
    goes_to(&[], "[192.0.2.1]", &["0 literal 192.0.2.1"]);
    goes_to(&[], "[IPv6:2001:db8::1]", &["0 literal 2001:db8::1"]);
    fails(&[], "[192.0.2.99]", (5, 4, 6));
    fails(&[], "[127.0.0.1]", (5, 4, 6));
    fails(&[], "[0.0.0.0]", (5, 4, 4));
}

#[test]
fn u_labels_are_asked_for_as_a_labels() {
    let zone = [("MX xn--bcher-kva.example", "10 m"), ("A m", "192.0.2.1")];
    goes_to(&zone, "bücher.example", &["10 m 192.0.2.1"]);
    fails(&[], "\u{378}.example", (5, 1, 2));
}

#[test]
fn no_more_hosts_and_addresses_than_the_limits_say() {
    let list = |count: usize| {
        let items: Vec<_> = (0..count)
            .map(|number| format!("{number} m{number}"))
            .collect();
        items.join(", ")
    };
    let addresses: Vec<_> = (1..=limits::ROUTE_ADDRESSES_MAX + 1)
        .map(|last| format!("192.0.2.{last}"))
        .collect();
    let addresses = addresses.join(", ");
    for (count, expected) in [
        (limits::ROUTE_HOSTS_MAX, limits::ROUTE_HOSTS_MAX),
        (limits::ROUTE_HOSTS_MAX + 1, limits::ROUTE_HOSTS_MAX),
    ] {
        let list = list(count);
        let plan = run(config(), "a.example", 7, &[0], |question| {
            let key = question.to_string();
            let value = if question.record_type == RecordType::Mx {
                list.as_str()
            } else if question.record_type == RecordType::A {
                addresses.as_str()
            } else {
                "none"
            };
            let zone = Zone::from([(key.as_str(), value)]);
            say(&zone, question)
        });
        let plan = plan.unwrap();
        assert_eq!(plan.exchangers.len(), expected);
        for exchanger in &plan.exchangers {
            assert_eq!(exchanger.addresses.len(), limits::ROUTE_ADDRESSES_MAX);
        }
    }
}

#[test]
fn plan_is_authentic_when_every_answer_was() {
    let zone: Zone = BTreeMap::from([("MX a.example", "10 m"), ("A m", "192.0.2.1")]);
    for (doubtful, expected) in [("none", true), ("MX a.example", false), ("A m", false)] {
        let plan = run(config(), "a.example", 7, &[0], |question| {
            let mut result = say(&zone, question);
            if let Ok(answer) = &mut result {
                answer.authentic = question.to_string() != doubtful;
            }
            result
        });
        assert_eq!(plan.unwrap().exchangers[0].authentic, expected);
    }
}

/// Anything at all that the DNS can say.
fn any_result() -> impl Strategy<Value = LookupResult> {
    let denial = Denial {
        authentic: false,
        valid_until: Instant::default(),
    };
    let hosts = prop_oneof![
        4 => "m[0-4]".prop_map(|text| name(&text)),
        1 => Just(name("us.example")),
        1 => Just(Name::root()),
        1 => Just(name("a@b")),
    ];
    let mx = (0u16..4, hosts.clone()).prop_map(|(preference, exchange)| Mx {
        preference,
        exchange,
    });
    let last = prop_oneof![4 => 0u8..9, 1 => Just(99u8)];
    let records = prop_oneof![
        4 => vec(mx, 0..20).prop_map(|list| Records::Mx(list.into())),
        4 => vec(last, 0..20).prop_map(|list| {
            Records::A(list.into_iter().map(|last| [192, 0, 2, last].into()).collect())
        }),
        2 => vec(0u16..20, 0..20).prop_map(|list| {
            let address = |last| [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into();
            Records::Aaaa(list.into_iter().map(address).collect())
        }),
        1 => Just(Records::Ptr([name("a")].into())),
    ];
    prop_oneof![
        8 => (records, hosts).prop_map(|(records, owner)| Ok(Answer {
            records,
            owner,
            authentic: false,
            valid_until: Instant::default(),
        })),
        1 => Just(Err(Failure::NoData(denial))),
        1 => Just(Err(Failure::NoSuchDomain(denial))),
        1 => Just(Err(Failure::AliasLoop)),
        1 => Just(Err(Failure::Temporary(Reason::Overloaded))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_the_dns_says_there_is_one_end(
        results in vec(any_result(), 1..12),
        order in vec(any::<usize>(), 1..9),
        seed: u64,
    ) {
        // What is said depends on the question, and not on when it is asked.
        let says = |question: &Question| {
            let text = question.to_string();
            let sum: usize = text.bytes().map(usize::from).sum();
            results[sum % results.len()].clone()
        };
        let result = run(config(), "m0", seed, &order, says);
        prop_assert_eq!(&result, &run(config(), "m0", seed, &[0], says));
        if let Ok(plan) = result {
            prop_assert!((1..=limits::ROUTE_HOSTS_MAX).contains(&plan.exchangers.len()));
            prop_assert!(plan.exchangers.is_sorted_by_key(|exchanger| exchanger.preference));
            for exchanger in &plan.exchangers {
                let count = exchanger.addresses.len();
                prop_assert!((1..=limits::ROUTE_ADDRESSES_MAX).contains(&count));
            }
            for (exchanger, address) in plan.targets() {
                prop_assert_ne!(&exchanger.name, &Some(name("us.example")));
                prop_assert_ne!(address.to_string(), "192.0.2.99");
            }
        }
    }
}
