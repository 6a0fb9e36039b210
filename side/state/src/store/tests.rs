//! The store's folder: its modes, its layout number, and its secret.

use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::backend::{Change, Durability, Keyspace, Order, Row};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn put(backend: &dyn Backend, space: Keyspace, key: &str, value: &str) {
    backend.write(vec![Change::Put(space, key.into(), value.into())], Durability::Buffered).unwrap();
}

#[test]
fn the_store_and_its_secret_are_for_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    assert_eq!(mode(&folder.path().join("state")), 0o700);
    assert_eq!(mode(&folder.path().join("state/secret")), 0o600);
}

#[test]
fn the_secret_is_random_and_stays_the_same_over_a_restart() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Store::open(one.path()).unwrap().secret().clone();
    assert_eq!(first.expose().len(), SECRET_BYTES);
    assert!(Store::open(one.path()).unwrap().secret() == &first);
    assert!(Store::open(other.path()).unwrap().secret() != &first);
}

#[test]
fn a_damaged_secret_is_reported_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(Store::open(folder.path()).unwrap());
    fs::write(folder.path().join("state/secret"), b"short").unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StateFailure::Corrupt(_))));
    assert_eq!(fs::read(folder.path().join("state/secret")).unwrap(), b"short");
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let _open = Store::open(folder.path()).unwrap();
    assert!(matches!(Store::open(folder.path()), Err(StateFailure::InUse)));
}

#[test]
fn a_store_of_a_newer_layout_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    put(&**store.backend(), Keyspace::Meta, "version", "99");
    drop(store);
    for _ in 0..2 {
        assert!(matches!(Store::open(folder.path()), Err(StateFailure::Newer { found: 99, known: 1 })));
    }
}

#[test]
fn a_store_of_an_older_layout_is_brought_up_to_date_once() {
    fn grow(backend: &dyn Backend) -> Result<Vec<Change>, StateFailure> {
        let grown = backend.read(Keyspace::Meta, b"grown")?.map_or(0, |value| value.len());
        Ok(vec![Change::Put(Keyspace::Meta, b"grown".to_vec(), vec![b'x'; grown + 1])])
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let steps: [schema::Step; 3] = [schema::STEPS[0], grow, grow];
    for _ in 0..2 {
        schema::bring_up_to_date(&**store.backend(), &steps).unwrap();
        assert_eq!(store.backend().read(Keyspace::Meta, b"grown").unwrap(), Some(b"xx".to_vec()));
        assert_eq!(store.backend().read(Keyspace::Meta, b"version").unwrap(), Some(b"3".to_vec()));
    }
}

#[test]
fn rows_are_scanned_in_order_from_either_end_within_their_range() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    for key in ["a", "b", "c", "d"] {
        put(&**store.backend(), Keyspace::History, key, key);
    }
    put(&**store.backend(), Keyspace::Addresses, "b", "elsewhere");
    let keys = |rows: Vec<Row>| rows.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<String>();
    let scan = |from: &str, before: Option<&[u8]>, order, limit| {
        keys(store.backend().scan(Keyspace::History, from.as_bytes(), before, order, limit).unwrap())
    };
    assert_eq!(scan("b", None, Order::Ascending, 9), "bcd");
    assert_eq!(scan("b", Some(b"d"), Order::Ascending, 9), "bc");
    assert_eq!(scan("", None, Order::Descending, 2), "dc");
}

#[test]
fn what_was_written_is_there_after_a_restart_and_what_was_removed_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    put(&**store.backend(), Keyspace::History, "kept", "1");
    put(&**store.backend(), Keyspace::History, "gone", "1");
    store.backend().write(vec![Change::Remove(Keyspace::History, b"gone".to_vec())], Durability::Synced).unwrap();
    drop(store);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.backend().read(Keyspace::History, b"kept").unwrap(), Some(b"1".to_vec()));
    assert_eq!(store.backend().read(Keyspace::History, b"gone").unwrap(), None);
}
