//! What is read from lists of each format, what is told of mistakes, and that what is written reads back.

use proptest::prelude::*;

use super::*;
use crate::netset::{Country, Network};

fn entries(format: Format, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    read(format, None, text.as_bytes(), |entry| found.push(line(&entry)))
        .unwrap_or_else(|faults| panic!("{}", faults.words("f")));
    found
}

fn faults(format: Format, text: &str) -> String {
    read(format, None, text.as_bytes(), |_| {}).unwrap_err().words("f")
}

#[test]
fn our_own_text_has_subjects_words_and_reasons() {
    let text = "# a remark\n\n192.0.2.7\n192.0.2.0/24 allow ; a partner; of ours\n\
        198.51.100.0/24 4.5 until 2027-01-31 # newsletters\nAS64500 until 2027-01-31T18:00:00Z block\nde -2 \n!10.0.0.1\n::ffff:192.0.2.1\n2001:DB8::/32\n";
    assert_eq!(
        entries(Format::Text, text),
        [
            "192.0.2.7",
            "192.0.2.0/24 allow ; a partner; of ours",
            "198.51.100.0/24 4.5 until 2027-01-31 ; newsletters",
            "AS64500 block until 2027-01-31T18:00:00Z",
            "DE -2.0",
            "10.0.0.1 exempt",
            "192.0.2.1",
            "2001:db8::/32",
        ]
    );
}

#[test]
fn drop_is_read_with_its_references() {
    let text =
        "; Spamhaus DROP List 2026/11/24\r\n1.10.16.0/20 ; SBL256894\r\n2a06:e480::/29 ; SBL301771\r\nAS64500 ; Some network\r\n";
    assert_eq!(entries(Format::Drop, text), ["1.10.16.0/20 ; SBL256894", "2a06:e480::/29 ; SBL301771", "AS64500 ; Some network"]);
}

#[test]
fn a_zone_is_read_with_its_short_forms_and_ranges() {
    // The two lists of the same network in the manual of rbldnsd.
    for form in ["127.0.0.0/24", "127.0.0", "127.0.0.0-127.0.0.255", "127-127.0.0", "127.0.0.0-255"] {
        assert_eq!(entries(Format::Rbldnsd, form), ["127.0.0.0/24"], "{form}");
    }
    for form in ["127.16.0.0-127.31.255.255", "127.16.0-127.31.255", "127.16-127.31", "127.16-31", "127.16.0.0/12", "127.16/12"] {
        assert_eq!(entries(Format::Rbldnsd, form), ["127.16.0.0/12"], "{form}");
    }
    assert_eq!(entries(Format::Rbldnsd, "192.0.2.1-6"), ["192.0.2.1", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6"]);
    assert_eq!(entries(Format::Rbldnsd, "0.0.0.0-255.255.255.255"), ["0.0.0.0/0"]);
    assert_eq!(
        entries(
            Format::Rbldnsd,
            "2001:21ab:c000/36\n2001:21ab:def7:4242 :127.0.1.3: funny\n2605:6001:42::/52\n::1 # localhost\n!2605:6001:42::bead"
        ),
        ["2001:21ab:c000::/36", "2001:21ab:def7:4242::/64 ; funny", "2605:6001:42::/52", "::1", "2605:6001:42::bead exempt"]
    );
}

#[test]
fn a_zone_has_defaults_values_and_substitutions() {
    let text = "$SOA 0 ns.example hostmaster.example 0 1h 1h 1w 1h\n$NS 1d ns.example\n:127.0.0.2:IP address $ is listed\n\
        192.0.2.4\n192.0.2.5 :5\n192.0.2.6 :6:\n192.0.2.7 IP address $ wants $$$$\n10/8 ; a remark\n#$1 See https://bl.example\n;a remark\n192.0.2.8:8:$1/$\n";
    assert_eq!(
        entries(Format::Rbldnsd, text),
        [
            "192.0.2.4 ; IP address 192.0.2.4 is listed",
            "192.0.2.5 ; IP address 192.0.2.5 is listed",
            "192.0.2.6",
            "192.0.2.7 ; IP address 192.0.2.7 wants $$",
            "10.0.0.0/8 ; IP address 10.0.0.0/8 is listed",
            "192.0.2.8 ; See https://bl.example/192.0.2.8",
        ]
    );
    assert_eq!(
        entries(Format::Rbldnsd, "$= Listed: $= (ask)\n192.0.2.1 spam\n192.0.2.2 =own words\n192.0.2.3"),
        ["192.0.2.1 ; Listed: spam (ask)", "192.0.2.2 ; own words", "192.0.2.3"]
    );
}

#[test]
fn a_zone_ends_when_it_says_and_leaves_out_what_is_too_wide_for_it() {
    let ended = |stamp: &str| entries(Format::Rbldnsd, &format!("$TIMESTAMP {stamp}\n192.0.2.1"));
    assert_eq!(ended("2027:01:31:12:00:00 +6h"), ["192.0.2.1 until 2027-01-31T18:00:00Z"]);
    assert_eq!(ended("0 2027-02-01"), ["192.0.2.1 until 2027-01-31"]);
    assert_eq!(ended("20270131"), ["192.0.2.1"]);
    assert!(faults(Format::Rbldnsd, "$TIMESTAMP 0 +6h").contains("f:1:12: right are"));
    assert_eq!(entries(Format::Rbldnsd, "$MAXRANGE4 /24\n$MAXRANGE4 /16\n10/8\n10.1/16\n10.1.2.0/24\n"), ["10.1.2.0/24"]);
}

#[test]
fn the_test_points_of_a_zone_are_no_clients() {
    assert_eq!(entries(Format::Rbldnsd, "127.0.0.2\n!127.0.0.1\n::ffff:7f00:2\n127.0.0.3"), ["127.0.0.3"]);
}

#[test]
fn names_are_read_with_their_kind_or_with_that_of_their_list_and_written_as_a_zone_of_names() {
    let now = UnixMillis(1_800_000_000_000);
    let text = "sender:a#b@bad.test 4.0 ; a remark; of ours\n192.0.2.7\nlink:bad.test/a;b # c\n.below.test block\nbad.test\nalone.test allow\n";
    let mut all = Vec::new();
    let faults = read(Format::Text, Some(NameKind::Domain), text.as_bytes(), |entry| all.push(owned(entry)));
    assert_eq!(faults, Ok(()));
    assert_eq!(
        all.iter().map(line).collect::<Vec<_>>(),
        [
            "sender:a#b@bad.test 4.0 ; a remark; of ours",
            "domain:192.0.2.7",
            "link:bad.test/a;b ; c",
            "domain:.below.test block",
            "domain:bad.test",
            "domain:alone.test allow",
        ]
    );
    let zone = write(Format::Rbldnsd, Family::Names(NameKind::Domain), all.iter().cloned(), now);
    assert!(zone.text.ends_with("!invalid\n192.0.2.7\n.below.test\nbad.test\n!alone.test\n"), "{}", zone.text);
    assert_eq!(zone.left_out, 2);
    let mut again = Vec::new();
    let zone = format!("{}*.under.test :127.0.0.3:Listed, ask $\n", zone.text);
    read(Format::Rbldnsd, Some(NameKind::Link), zone.as_bytes(), |entry| again.push(line(&entry))).unwrap();
    let told = [
        "link:192.0.2.7",
        "link:.below.test",
        "link:bad.test",
        "link:alone.test exempt",
        "link:*.under.test ; Listed, ask *.under.test",
    ];
    assert_eq!(
        told.map(|line| line.replace("link:*.under.test ; Listed, ask *.", "link:*.under.test ; Listed, ask link:*.")),
        *again
    );
    let wrong = read(Format::Text, Some(NameKind::Sender), b"a@b@c.test\n", |_| {}).unwrap_err().words("f");
    assert!(wrong.contains("f:1:1:") && wrong.contains("right are a@bad.example"), "{wrong}");
    assert_eq!(write(Format::Drop, Family::V4, all.iter().cloned(), now).entries, 0, "DROP has no names");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_what_is_right() {
    let text = "192.0.2.7\n  192.0.2.300 block\n10.1.2.3/8\n192.0.2.0/24 blokc\n192.0.2.1 until morgen\n192.0.2.2 block allow\nAS99999999999\n192.0.2.3 until\n";
    let told = faults(Format::Text, text);
    let lines: Vec<&str> = told.lines().collect();
    for (place, words) in [
        ("f:2:3:", "right are 192.0.2.7, 192.0.2.0/24"),
        ("f:3:1:", "the network is 10.0.0.0/8, the address alone 10.1.2.3"),
        ("f:4:14:", "right are block, allow"),
        ("f:5:17:", "right are 2027-01-31"),
        ("f:6:17:", "once is right"),
        ("f:7:1:", "0 to 4294967295"),
        ("f:8:11:", "right are 2027-01-31"),
    ] {
        assert!(lines.iter().any(|line| line.starts_with(place) && line.contains(words)), "{place} {words}\n{told}");
    }
    assert_eq!(lines.len(), 7, "{told}");
    let zone = faults(Format::Rbldnsd, "spam.example\n$DATASET ip4set:a b\n192.0.2.9-1\n10.1/8\n2001:db8::g\n");
    for words in
        ["f:1:1:", "f:2:2: a combined zone", "f:3:1:", "right is 192.0.2.1-192.0.2.9", "the network is 10.0.0.0/8", "f:5:1:"]
    {
        assert!(zone.contains(words), "{words}\n{zone}");
    }
}

#[test]
fn of_very_many_mistakes_the_first_hundred_are_told_and_the_rest_counted() {
    let told = faults(Format::Text, &"x\n".repeat(FAULTS_MAX + 23));
    assert_eq!(told.lines().count(), FAULTS_MAX + 1);
    assert!(told.ends_with("and 23 more mistakes"), "{told}");
    assert!(faults(Format::Text, "a\0\u{202e}").chars().all(|c| !c.is_control() || c == '\n'));
    assert_eq!(read(Format::Text, None, b"10.0.0.1\nab \xff", |_| {}).unwrap_err().told[0].column, 4);
}

#[test]
fn texts_of_a_zone_that_hold_each_other_grow_no_longer_than_a_reason() {
    let base = "$= ".repeat(80);
    let variable = "v".repeat(REASON_BYTES_MAX);
    let zone = format!(
        "$= {base}\n$0 {variable}\n:127.0.0.2:{}\n10.0.0.1\n10.0.0.2 {}\n10.0.0.3 :2:{}\n",
        "$0".repeat(120),
        "ä$0".repeat(60),
        "$".repeat(250)
    );
    let mut longest = 0;
    read(Format::Rbldnsd, None, zone.as_bytes(), |entry| {
        longest = longest.max(entry.reason.len());
        assert!(told(&entry.reason, "2001:db8::1234:5678").len() <= REASON_BYTES_MAX);
    })
    .unwrap();
    assert!((REASON_BYTES_MAX - 3..=REASON_BYTES_MAX).contains(&longest), "{longest}");
}

#[test]
fn a_file_whose_last_line_has_no_end_is_not_whole() {
    for whole in ["", "\n", "10.0.0.0/8\n", "10.0.0.0/8\r\n", "10.0.0.0/8\n  "] {
        assert_eq!(is_whole(whole.as_bytes()), Ok(()), "{whole:?}");
    }
    let told = is_whole(b"10.0.0.1\n128.0.0.0/1").unwrap_err().words("l");
    assert!(told.starts_with("l:2:12: the last line has no end"), "{told}");
}

#[test]
fn what_is_exported_never_lists_whom_we_let_in() {
    let now = UnixMillis(1_800_000_000_000);
    let list = "192.0.2.0/24 block\n192.0.2.7 -2.0\n198.51.100.0/24\n198.51.100.9 allow until 2020-01-01\n203.0.113.0/24\n\
        203.0.113.0/25 exempt\n203.0.113.0/26\n10.0.0.0/8 allow\n10.1.0.0/16\n2001:db8::/32\n2001:db8:1::/48 0.0\n172.16.0.0/12\n";
    let mut all = Vec::new();
    read(Format::Text, None, list.as_bytes(), |entry| all.push(owned(entry))).unwrap();
    let drop = write(Format::Drop, Family::V4, all.iter().cloned(), now);
    assert_eq!(drop.text, "198.51.100.0/24\n203.0.113.0/26\n10.1.0.0/16\n172.16.0.0/12\n");
    let holed: Vec<String> = drop.holed.iter().map(ToString::to_string).collect();
    assert_eq!(holed, ["192.0.2.0/24", "203.0.113.0/24", "2001:db8::/32"]);
    let zone = write(Format::Rbldnsd, Family::V4, all.iter().cloned(), now);
    assert!(zone.text.contains("\n192.0.2.0/24\n!192.0.2.7\n") && zone.holed.is_empty(), "{}", zone.text);
}

#[test]
fn what_a_format_cannot_hold_is_left_out_and_counted() {
    let now = UnixMillis(1_800_000_000_000);
    let list = "192.0.2.0/24 ; bad $ net\n192.0.2.7 allow\n2001:db8::/32\nAS64500\nDE\n198.51.100.1 4.0\n198.51.100.2 until 2020-01-01\n";
    let written = |format, family| {
        let mut all = Vec::new();
        read(Format::Text, None, list.as_bytes(), |entry| all.push(owned(entry))).unwrap();
        write(format, family, all.into_iter(), now)
    };
    let drop = written(Format::Drop, Family::V4);
    assert_eq!((drop.text.as_str(), drop.left_out), ("2001:db8::/32\nAS64500\n", 5));
    let zone = written(Format::Rbldnsd, Family::V4);
    assert!(zone.text.ends_with("192.0.2.0/24 :127.0.0.2:bad $$ net\n!192.0.2.7\n198.51.100.1\n"), "{}", zone.text);
    assert_eq!((zone.entries, zone.left_out), (3, 4));
    assert_eq!(entries(Format::Rbldnsd, &zone.text), ["192.0.2.0/24 ; bad $ net", "192.0.2.7 exempt", "198.51.100.1"]);
    let zone = written(Format::Rbldnsd, Family::V6);
    assert!(zone.text.contains("::ffff:7f00:2 ") && zone.text.ends_with("2001:db8::/32\n"), "{}", zone.text);
    assert_eq!(written(Format::Text, Family::V4).left_out, 1);
}

fn subject() -> impl Strategy<Value = Subject> {
    let v4 = (any::<u32>(), 0_u8..=32).prop_map(|(address, length)| {
        let start = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0) & address;
        Subject::Network(Network::V4(start, length))
    });
    let v6 = (any::<u128>(), 0_u8..=128).prop_filter_map("mapped", |(address, length)| {
        let start = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0) & address;
        (start >> 32 != 0xffff).then_some(Subject::Network(Network::V6(start, length)))
    });
    let country = "[A-Z]{2}".prop_map(|text| Subject::Country(Country::parse(&text).unwrap()));
    let name = ("(helo|domain|ptr|link):[.]?[a-z0-9]{1,9}[.]test", "(sender|from|recipient):[a-z#!]{0,5}@[a-z0-9]{1,9}[.]test");
    let name = prop_oneof![name.0, name.1].prop_map(|text| Subject::parse(&text).unwrap());
    prop_oneof![v4, v6, any::<u32>().prop_map(Subject::Asn), country, name]
}

fn action() -> impl Strategy<Value = Option<Action>> {
    prop_oneof![
        Just(None),
        Just(Some(Action::Allow)),
        Just(Some(Action::Block)),
        Just(Some(Action::Exempt)),
        (-9999_i16..=9999).prop_map(|tenths| Some(Action::Score(tenths))),
    ]
}

proptest! {
    #[test]
    fn what_is_written_as_text_reads_back_the_same(
        subject in subject(), action in action(), text in "\\PC{0,80}", until in proptest::option::of(0_u64..4_000_000_000)
    ) {
        let until = until.map(|seconds| UnixMillis(seconds * 1000));
        let entry = Entry { subject, action, reason: Cow::Owned(reason(&text).trim().to_owned()), until };
        let written = line(&entry);
        prop_assert_eq!(parse(&written), Ok(entry), "{}", written);
    }

    #[test]
    fn any_octets_end_in_entries_or_in_mistakes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            let _ = read(format, None, &bytes, |_| {});
        }
    }

    #[test]
    fn any_text_that_looks_like_a_list_ends_in_entries_or_in_mistakes(text in "([0-9a-f:./!$#; -]|until|AS|\n){0,200}") {
        for format in Format::ALL {
            let _ = read(format, None, text.as_bytes(), |entry| assert!(!line(&entry).is_empty()));
        }
    }
}
