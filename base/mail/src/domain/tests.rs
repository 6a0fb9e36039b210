//! Domain names and literals: lowered, made A-labels, refused.

use super::*;

#[test]
fn names_are_lowered_and_international_labels_become_a_labels() {
    assert_eq!(Domain::parse("Example.ORG").unwrap().as_str(), "example.org");
    assert_eq!(Domain::parse("bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
}

#[test]
fn broken_names_are_faults() {
    for bad in ["", ".", "a..b", "-a.example", "a-.example", "a b", "a\0b", "exa mple", "a.", "ex\r\nample"] {
        assert_eq!(Domain::parse(bad), Err(Fault::Domain), "{bad:?}");
    }
    assert_eq!(Domain::parse(&"a".repeat(64)), Err(Fault::Domain));
    assert_eq!(Domain::parse(&["abcdefgh"; 32].join(".")), Err(Fault::Domain));
}

#[test]
fn address_literals_round_trip() {
    for literal in ["[192.0.2.1]", "[IPv6:2001:db8::1]"] {
        assert_eq!(Host::parse(literal).unwrap().to_string(), literal);
    }
    for bad in ["[192.0.2.1", "[192.0.2.256]", "[2001:db8::1]", "[]", "[IPv6:]", "[x-tag:abc]", "192.0.2.1]"] {
        assert!(Host::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn within_means_the_domain_or_below() {
    let own = Domain::parse("example.org").unwrap();
    assert!(Domain::parse("a.example.org").unwrap().is_within(&own));
    assert!(own.is_within(&own));
    assert!(!Domain::parse("badexample.org").unwrap().is_within(&own));
}

#[test]
fn a_hello_name_cannot_break_a_trace_header() {
    assert!(HeloName::parse("mail").is_ok());
    assert!(HeloName::parse("[IPv6:::1]").is_ok());
    for bad in ["", "a b", "a\rb", "(x)", "a\0", "a;b"] {
        assert!(HeloName::parse(bad).is_err(), "{bad:?}");
    }
}
