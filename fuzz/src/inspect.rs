//! Reading a message for links: it ends, within its limits, and what it says of links is printable; and the same octets give the same answer.

use postern_inspect::{Limits, URL_BYTES_MAX, inspect};

/// The property.
pub fn check(data: &[u8]) {
    let limits = Limits { links_max: 20, parts_max: 20, depth_max: 5, octets_max: 16 * 1024 };
    let found = inspect(data, &limits);
    assert!(found.links.len() <= limits.links_max && found.parts <= limits.parts_max && found.octets <= limits.octets_max);
    for link in &found.links {
        assert!(link.url.len() <= URL_BYTES_MAX && link.url.bytes().all(|b| b.is_ascii_graphic()), "{link:?}");
    }
    assert_eq!(inspect(data, &limits), found);
}
