//! Rows, and what is left alone.

use postern_mail::Offence;

use super::*;

fn ban(network: &str, cause: Cause, until: Option<u64>) -> Ban {
    Ban {
        of: network.parse().unwrap(),
        cause,
        evidence: "\"quotes\"\nand lines \u{202e}".to_owned(),
        since: UnixMillis(5),
        until: until.map(UnixMillis),
        times: 3,
    }
}

#[test]
fn what_is_kept_is_there_after_the_store_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = vec![
        ban("10.0.0.0/8", Cause::Order, None),
        ban("192.0.2.7/32", Cause::Offence(Offence::AuthGuess), Some(9)),
        ban("192.0.2.0/24", Cause::Neighbours, Some(9)),
        ban("2001:db8::/64", Cause::Offence(Offence::Spray), Some(u64::MAX)),
    ];
    let rows = BanRows::of(&Store::open(folder.path()).unwrap());
    rows.keep(&kept.iter().cloned().map(BanChange::Put).collect::<Vec<_>>()).unwrap();
    let gone = ban("203.0.113.9/32", Cause::Order, None);
    rows.keep(&[BanChange::Put(gone.clone())]).unwrap();
    rows.keep(&[BanChange::Forget(gone.of)]).unwrap();
    drop(rows);
    let mut loaded = BanRows::of(&Store::open(folder.path()).unwrap()).load().unwrap();
    kept.sort_by_key(|ban| ban.of);
    loaded.sort_by_key(|ban| ban.of);
    assert_eq!(loaded, kept);
}

#[test]
fn a_row_that_does_not_read_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rows = BanRows::of(&Store::open(folder.path()).unwrap());
    let strange = vec![4, 192, 0, 2, 1, 32];
    let put = Change::Put(Keyspace::Bans, strange.clone(), b"{\"cause\":\"from-the-future\"}".to_vec());
    rows.backend.write(vec![put], Durability::Synced).unwrap();
    rows.keep(&[BanChange::Put(ban("192.0.2.2/32", Cause::Order, None))]).unwrap();
    assert_eq!(rows.load().unwrap().len(), 1);
    assert!(rows.backend.read(Keyspace::Bans, &strange).unwrap().is_some());
}

#[test]
fn no_key_reads_as_another_network() {
    for network in ["0.0.0.0/0", "192.0.2.128/25", "::/0", "2001:db8::/127"] {
        let of: Subnet = network.parse().unwrap();
        assert_eq!(super::network(&key(of)), Some(of));
    }
    for broken in [&b""[..], b"\x04", b"\x04\x01\x02\x03\x04\x21", b"\x06\x01\x02\x03\x04\x20", b"\x05\x01\x02\x03\x04\x20"] {
        assert_eq!(super::network(broken), None);
    }
}
