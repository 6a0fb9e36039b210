//! Tests of the whole conversation.

use crate::Session;

/// At 10,000 idle connections every octet of a session is 10 kB of the server.
#[test]
fn a_session_is_small() {
    let size = size_of::<Session>();
    assert!(size <= 512, "{size} octets");
    println!("{size}");
}
