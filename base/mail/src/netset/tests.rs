//! Which entry is found, in sets made by hand and in random ones against looking at every entry.

use proptest::prelude::*;

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn set(entries: &[(&str, Action)]) -> NetSet {
    let mut builder = NetSetBuilder::new();
    for (subject, action) in entries {
        builder.add(&Subject::parse(subject).unwrap(), *action, &format!("{subject} {action}"), None);
    }
    builder.build()
}

fn found(set: &NetSet, address: &str) -> String {
    set.find(address.parse().unwrap(), NOW).map_or("nothing".to_owned(), |found| format!("{} {}", found.subject, found.action))
}

#[test]
fn the_most_particular_network_decides_whatever_the_order() {
    let entries = [
        ("10.0.0.0/8", Action::Block),
        ("10.1.0.0/16", Action::Allow),
        ("10.1.2.0/24", Action::Block),
        ("10.1.2.3", Action::Exempt),
        ("2001:db8::/32", Action::Block),
        ("2001:db8:1::/48", Action::Allow),
    ];
    let backwards: Vec<_> = entries.iter().rev().copied().collect();
    for set in [set(&entries), set(&backwards)] {
        for (address, what) in [
            ("10.1.2.3", "10.1.2.3 exempt"),
            ("10.1.2.4", "10.1.2.0/24 block"),
            ("10.1.3.4", "10.1.0.0/16 allow"),
            ("10.2.0.0", "10.0.0.0/8 block"),
            ("::ffff:10.2.0.0", "10.0.0.0/8 block"),
            ("11.0.0.0", "nothing"),
            ("9.255.255.255", "nothing"),
            ("2001:db8:1::9", "2001:db8:1::/48 allow"),
            ("2001:db8:2::9", "2001:db8::/32 block"),
            ("2001:db9::", "nothing"),
            ("::", "nothing"),
        ] {
            assert_eq!(found(&set, address), what, "{address}");
        }
    }
}

#[test]
fn of_equal_networks_allow_comes_before_exempt_before_block_before_points() {
    let all = [Action::Score(5), Action::Block, Action::Exempt, Action::Allow];
    for stronger in 1..all.len() {
        for weaker in 0..stronger {
            for pair in [[weaker, stronger], [stronger, weaker]] {
                let set = set(&pair.map(|which| ("192.0.2.0/24", all[which])));
                assert_eq!(found(&set, "192.0.2.1"), format!("192.0.2.0/24 {}", all[stronger]));
            }
        }
    }
}

#[test]
fn of_different_points_for_one_network_the_most_count_and_then_those_that_last_longer() {
    let mut builder = NetSetBuilder::new();
    let subject = Subject::parse("192.0.2.0/24").unwrap();
    let until = |seconds| Some(UnixMillis(NOW.0 + seconds * 1000));
    for (tenths, until) in [(10, None), (90, until(5)), (80, until(3)), (50, until(9)), (-70, None)] {
        builder.add(&subject, Action::Score(tenths), "", until);
    }
    for many in 0..1000_u16 {
        builder.add(&subject, Action::Score(i16::try_from(many).unwrap() - 2000), "", until(u64::from(2000 - many)));
    }
    let set = builder.build();
    let at = |seconds: u64| set.find("192.0.2.1".parse().unwrap(), UnixMillis(NOW.0 + seconds * 1000)).unwrap().action;
    assert_eq!([at(0), at(5), at(9), at(5000)], [90, 50, 10, 10].map(Action::Score));
    assert_eq!(set.len(), 3, "bounded, and without what never counts");
}

#[test]
fn a_network_holds_its_addresses_and_no_others() {
    let holds = |network: &str, address: &str| Network::parse(network).unwrap().contains(address.parse().unwrap());
    assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
    assert!(holds("192.0.2.9", "192.0.2.9") && !holds("192.0.2.9", "192.0.2.8"));
    assert!(holds("0.0.0.0/0", "203.0.113.1") && !holds("0.0.0.0/0", "2001:db8::1"));
    assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::"));
    assert!(holds("192.0.2.0/24", "::ffff:192.0.2.1"), "a mapped address is the IPv4 address it is");
    for wrong in ["192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "192.0.2.7/2", "2001:db8::/129", "example.org", ""] {
        assert!(Network::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_ended_entry_counts_no_more_and_the_one_around_it_does() {
    let mut builder = NetSetBuilder::new();
    let mut add = |subject: &str, action, until| builder.add(&Subject::parse(subject).unwrap(), action, "", until);
    add("192.0.2.0/24", Action::Block, None);
    add("192.0.2.7", Action::Allow, Some(UnixMillis(NOW.0 + 1000)));
    add("192.0.2.7", Action::Allow, Some(UnixMillis(NOW.0 - 1000)));
    add("AS64500", Action::Block, Some(NOW));
    let set = builder.build();
    let at = |now| set.find("192.0.2.7".parse().unwrap(), UnixMillis(now)).unwrap().action;
    assert_eq!(at(NOW.0), Action::Allow, "of two ends the later one counts");
    assert_eq!(at(NOW.0 + 1000), Action::Block);
    assert!(set.find_asn(64_500, NOW).is_none());
    assert_eq!(set.len(), 3);
}

#[test]
fn as_numbers_and_countries_are_found_as_a_whole() {
    let set = set(&[("AS64500", Action::Block), ("AS1", Action::Allow), ("de", Action::Score(20))]);
    assert_eq!(set.find_asn(64_500, NOW).unwrap().action, Action::Block);
    assert!(set.find_asn(64_501, NOW).is_none() && set.find_asn(0, NOW).is_none());
    let country = |text| set.find_country(Country::parse(text).unwrap(), NOW).map(|found| found.subject.to_string());
    assert_eq!(country("DE").as_deref(), Some("DE"));
    assert_eq!(country("AT"), None);
    assert!(set.has_asns() && set.has_countries());
    let order = ["DE", "AS1", "0.0.0.0/0", "10.0.0.0/8"].map(|text| Subject::parse(text).unwrap().closeness());
    assert!(order.is_sorted());
}

#[test]
fn reasons_are_kept_once_and_cut_where_they_are_too_long() {
    let mut builder = NetSetBuilder::new();
    for number in 0..1000_u32 {
        builder.add(&Subject::Network(Network::V4(number << 8, 24)), Action::Block, ["one", "two"][number as usize % 2], None);
    }
    builder.add(&Subject::Asn(1), Action::Block, &"ä".repeat(200), None);
    let set = builder.build();
    assert_eq!(set.reasons.places.len(), 3);
    assert_eq!(set.find_asn(1, NOW).unwrap().reason(), "ä".repeat(127));
    assert_eq!(set.find("0.0.3.9".parse().unwrap(), NOW).unwrap().reason(), "two");
}

#[test]
fn points_have_three_digits_and_one_behind_the_point() {
    for (text, tenths) in [("4", 40), ("4.5", 45), ("-2.0", -20), ("+0.1", 1), ("999.9", 9999)] {
        assert_eq!(Action::parse(text), Some(Action::Score(tenths)), "{text}");
    }
    for text in ["", "-", "4.", ".5", "1000", "4.55", "1e3", "NaN", "4,5"] {
        assert_eq!(Action::parse(text), None, "{text}");
    }
}

#[test]
fn bits_behind_a_prefix_are_a_mistake_that_names_both_meanings() {
    let told = Network::parse("10.1.2.3/8").unwrap_err();
    assert!(told.contains("10.0.0.0/8") && told.contains("10.1.2.3"), "{told}");
    for text in ["10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0", "host"] {
        assert!(Network::parse(text).is_err(), "{text}");
    }
    assert_eq!(Network::parse("::ffff:10.0.0.0/104").unwrap().to_string(), "10.0.0.0/8");
}

fn slow(entries: &[(Network, Action, Option<u64>)], address: IpAddr, now: u64) -> Option<(Network, Action)> {
    let around = |network: &Network| {
        let at = Network::host(address);
        match (network, at) {
            (Network::V4(start, length), Network::V4(at, _)) => at & u32::mask(*length) == *start,
            (Network::V6(start, length), Network::V6(at, _)) => at & u128::mask(*length) == *start,
            _ => false,
        }
    };
    entries
        .iter()
        .filter(|(network, _, until)| around(network) && until.is_none_or(|until| until * 1000 > now))
        .max_by_key(|(network, action, _)| {
            (network.length(), action.strength(), if let Action::Score(tenths) = action { *tenths } else { 0 })
        })
        .map(|(network, action, _)| (*network, *action))
}

proptest! {
    #[test]
    fn a_set_finds_what_looking_at_every_entry_finds(
        // Few bits, so that networks lie in each other and meet.
        raw in proptest::collection::vec((any::<bool>(), 0_u32..64, 24_u8..=32, 0_u8..7, proptest::option::of(1_u64..4)), 0..300),
        asked in proptest::collection::vec((any::<bool>(), 0_u32..80), 1..40),
        now in 0_u64..5000,
    ) {
        let entries: Vec<(Network, Action, Option<u64>)> = raw.iter().map(|(v6, bits, length, action, until)| {
            let start = bits & u32::mask(*length);
            let network = if *v6 { Network::V6(u128::from(start) << 64, length + 32) } else { Network::V4(start, *length) };
            let network = if let Network::V6(start, length) = network { Network::V6(start & u128::mask(length), length) } else { network };
            let action = [Action::Score(3), Action::Score(-20), Action::Score(90), Action::Score(91), Action::Block, Action::Exempt, Action::Allow][usize::from(*action)];
            (network, action, *until)
        }).collect();
        let mut builder = NetSetBuilder::new();
        for (network, action, until) in &entries {
            builder.add(&Subject::Network(*network), *action, "", until.map(|seconds| UnixMillis(seconds * 1000)));
        }
        let set = builder.build();
        for (v6, bits) in asked {
            let address: IpAddr = if v6 { Ipv6Addr::from(u128::from(bits) << 64).into() } else { Ipv4Addr::from(bits).into() };
            let found = set.find(address, UnixMillis(now)).map(|found| (found.subject, found.action));
            let expected = slow(&entries, address, now).map(|(network, action)| (Subject::Network(network), action));
            prop_assert_eq!(found, expected, "{}", address);
        }
    }

    #[test]
    fn a_range_is_made_of_neighbours_that_cover_it(one in any::<u32>(), other in any::<u32>()) {
        let (first, last) = (one.min(other), one.max(other));
        let networks = Network::of_range(first.into(), last.into());
        prop_assert!(networks.len() <= 62);
        let mut at = u64::from(first);
        for network in networks {
            let Network::V4(start, length) = network else { panic!("{network}") };
            prop_assert_eq!(u64::from(start), at);
            prop_assert_eq!(start & u32::mask(length), start);
            at += 1 << (32 - length);
        }
        prop_assert_eq!(at, u64::from(last) + 1);
    }
}
