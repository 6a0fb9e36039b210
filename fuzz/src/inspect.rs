//! Reading a message for links: it ends, within its limits, and what it says of links is printable; and the same octets give the same answer. The forms that
//! lists compare stay as they are when they are made again.

use std::sync::LazyLock;

use postern_inspect::{ADDRESSES_MAX, Hosts, Inspector, Limits, URL_BYTES_MAX, names};

const LIMITS: Limits = Limits { links_max: 20, parts_max: 20, depth_max: 5, octets_max: 16 * 1024 };

static INSPECTOR: LazyLock<Inspector> = LazyLock::new(|| Inspector::new(LIMITS, Hosts::default()));

/// The property.
pub fn check(data: &[u8]) {
    let found = INSPECTOR.inspect(data);
    assert!(found.links.len() <= 2 * LIMITS.links_max && found.parts <= LIMITS.parts_max && found.octets <= LIMITS.octets_max);
    for link in &found.links {
        assert!(link.url.len() <= URL_BYTES_MAX && link.url.bytes().all(|b| b.is_ascii_graphic()), "{link:?}");
        let _ = link.normal();
    }
    assert!(found.addresses.len() <= ADDRESSES_MAX);
    for address in &found.addresses {
        assert_eq!(names::normal_address(address).as_deref(), Some(&**address));
    }
    assert_eq!(INSPECTOR.inspect(data), found);
}
