//! Keys on a disk and records in a name server, without the rest of the server.

use postern_config::{Config, Machine};
use postern_dkim::Reader;
use postern_testkit::dns::TestDns;

use super::*;
use crate::wire::live;

const DAY: u64 = 86_400_000;

fn config(dns: &TestDns, more: &str) -> Config {
    let text = format!("dns.servers = [\"{}\"]\ndns.timeout = \"500ms\"\n[[dkim]]\ndomain = \"a.test\"\n{more}\n", dns.address());
    postern_config::load(&text, "f", &Machine::named("mx.example")).unwrap()
}

fn publish(dns: &TestDns, told: &[Told]) {
    for told in told {
        dns.forget(&told.record.name);
        dns.txt_strings(&told.record.name, &told.record.value.as_bytes().chunks(255).map(<[u8]>::to_vec).collect::<Vec<_>>());
    }
}

fn states(told: &[Told]) -> Vec<State> {
    told.iter().map(|told| told.state).collect()
}

fn read() -> Read {
    let mut reader = Reader::default();
    reader.push(b"From: x@a.test\r\n\r\nhello\r\n");
    reader.finish().unwrap()
}

#[tokio::test]
async fn keys_take_turns_by_what_is_published_and_old_records_can_go_when_the_overlap_is_over() {
    let (dns, folder) = (TestDns::start(), tempfile::tempdir().unwrap());
    let config = config(&dns, "overlap = \"7d\"");
    let own = config.dkim.first().unwrap();
    let resolver = Resolver::new(live::lookup(&config)).unwrap();
    let keeper = Keeper::new(folder.path().to_path_buf());
    let at = |days: u64| UnixMillis(days * DAY);
    let told = |days| keeper.told(own, at(days)).unwrap();
    assert_eq!(states(&told(0)), [State::SigningUnseen; 2]);
    // Who does not answer says nothing.
    dns.fails(&told(0)[0].record.name);
    assert!(!keeper.look(own, &resolver, at(0)).await.unwrap());
    assert!(told(0)[0].looked.is_none() && told(0)[1].looked.as_ref().unwrap().0 == Published::Missing);
    dns.clear();
    publish(&dns, &told(0));
    assert!(!keeper.look(own, &resolver, at(1)).await.unwrap(), "they sign already");
    assert_eq!(states(&told(1)), [State::Signing; 2]);
    assert!(keeper.rotate(own, at(2)).await.unwrap() && !keeper.rotate(own, at(2)).await.unwrap());
    let old = keeper.sign(own, &read(), at(2)).await.unwrap();
    publish(&dns, &told(2)[2..3]);
    assert!(!keeper.look(own, &resolver, at(3)).await.unwrap(), "one of two");
    // Of another key: that of the other domain owner's typing error.
    dns.txt(&told(2)[3].record.name, "v=DKIM1; k=ed25519; p=AAAA");
    assert!(!keeper.look(own, &resolver, at(3)).await.unwrap());
    let still = keeper.sign(own, &read(), at(2)).await.unwrap();
    assert_eq!(old.split(" t=").next(), still.split(" t=").next(), "the old ones go on");
    publish(&dns, &told(2)[3..]);
    assert!(keeper.look(own, &resolver, at(4)).await.unwrap());
    let new = keeper.sign(own, &read(), at(4)).await.unwrap();
    assert!(new.contains(&format!("s={};", told(4)[2].selector)) && !new.contains(&told(4)[0].selector), "{new}");
    assert_eq!(states(&told(4)), [State::Retired, State::Retired, State::Signing, State::Signing]);
    assert_eq!(states(&told(11)), [State::Over, State::Over, State::Signing, State::Signing]);
    // A record that is still out keeps its key, and a key without a record is of no use to anybody.
    assert!(!keeper.look(own, &resolver, at(11)).await.unwrap());
    assert_eq!(told(11).len(), 4);
    let gone = told(11);
    dns.forget(&gone[0].record.name).forget(&gone[1].record.name).txt(&gone[1].record.name, &gone[1].record.revoked());
    assert!(!keeper.look(own, &resolver, at(10)).await.unwrap());
    assert_eq!(told(10).len(), 4, "not within the overlap");
    let file = folder.path().join(format!("dkim/a.test/{}.pem", gone[0].selector));
    assert!(file.exists());
    assert!(!keeper.look(own, &resolver, at(11)).await.unwrap());
    assert_eq!(states(&told(11)), [State::Signing, State::Signing]);
    assert!(!file.exists());
    // Another process finds the same.
    let again = Keeper::new(folder.path().to_path_buf());
    assert_eq!(states(&again.told(own, at(11)).unwrap()), [State::Signing, State::Signing]);
}

#[tokio::test]
async fn signatures_are_made_once_for_all_destinations_and_forgotten_with_the_keys() {
    let keeper = Keeper::new(std::path::PathBuf::new());
    let made = std::sync::atomic::AtomicU64::new(0);
    let sign = |id: u64, now: u64| {
        let (cell, made) = (keeper.cell(MessageId(id), UnixMillis(now), &[]), &made);
        async move {
            let fields = cell.get_or_try_init(|| async {
                tokio::task::yield_now().await;
                made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Ok::<_, ()>(Arc::<str>::from("x"))
            });
            fields.await.map(drop)
        }
    };
    let mut all = tokio::task::JoinSet::new();
    let cell = keeper.cell(MessageId(1), UnixMillis(0), &[]);
    for _ in 0..1000 {
        let same = keeper.cell(MessageId(1), UnixMillis(5), &[]);
        assert!(Arc::ptr_eq(&cell, &same));
        all.spawn(async move { same.get_or_init(|| async { Arc::from("x") }).await.len() });
    }
    assert_eq!(all.join_all().await.len(), 1000);
    sign(2, 0).await.unwrap();
    sign(2, 1).await.unwrap();
    assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 1);
    sign(2, 3_600_000).await.unwrap();
    assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 2, "not for ever");
    keeper.forget(&[]);
    sign(2, 3_600_001).await.unwrap();
    assert_eq!(made.load(std::sync::atomic::Ordering::SeqCst), 3);
    for id in 0..5000 {
        let _ = keeper.cell(MessageId(id), UnixMillis(3_600_002), &[]);
    }
    assert_eq!(keeper.remembered().cells.len(), REMEMBERED);
}

#[tokio::test]
async fn new_keys_are_made_when_it_is_time_and_wait_for_their_records_as_those_made_by_hand() {
    let (dns, folder) = (TestDns::start(), tempfile::tempdir().unwrap());
    let config = config(&dns, "rotate_after = \"90d\"");
    let own = config.dkim.first().unwrap();
    let resolver = Resolver::new(live::lookup(&config)).unwrap();
    let keeper = Keeper::new(folder.path().to_path_buf());
    let after = async |days: u64| {
        let now = UnixMillis(days * DAY);
        look_after(&keeper, own, &resolver, now).await.unwrap();
        keeper.told(own, now).unwrap()
    };
    publish(&dns, &keeper.told(own, UnixMillis(0)).unwrap());
    assert_eq!(states(&after(89).await), [State::Signing; 2]);
    let made = after(90).await;
    assert_eq!(states(&made), [State::Signing, State::Signing, State::Made, State::Made]);
    assert_eq!(after(500).await.len(), 4, "no more while these wait");
    publish(&dns, &made);
    assert_eq!(states(&after(501).await), [State::Retired, State::Retired, State::Signing, State::Signing]);
}

#[tokio::test]
async fn what_began_before_a_reload_leaves_neither_its_keys_nor_its_signatures_to_others() {
    let (dns, folder) = (TestDns::start(), tempfile::tempdir().unwrap());
    let own = |name: &str| {
        let keys = folder.path().join(name);
        std::fs::create_dir(&keys).unwrap();
        config(&dns, &format!("selector = \"{name}\"\nkeys = {keys:?}")).dkim
    };
    let (old, new) = (own("old"), own("new"));
    let keeper = Keeper::new(folder.path().to_path_buf());
    let now = UnixMillis(0);
    for own in old.iter().chain(&new) {
        let _ = keeper.told(own, now).unwrap();
    }
    let before = keeper.cell(MessageId(1), now, &old);
    keeper.forget(&new);
    // It has the old configuration in its hands, and signs by it.
    let late = keeper.sign(old.first().unwrap(), &read(), now).await.unwrap();
    assert!(late.contains("s=old"), "{late}");
    let late = keeper.cell(MessageId(1), now, &old);
    let signed = keeper.sign(new.first().unwrap(), &read(), now).await.unwrap();
    assert!(signed.contains("s=new"), "{signed}");
    let cell = keeper.cell(MessageId(1), now, &new);
    assert!(!Arc::ptr_eq(&cell, &before) && !Arc::ptr_eq(&cell, &late));
    assert!(Arc::ptr_eq(&cell, &keeper.cell(MessageId(1), now, &new)));
}

#[tokio::test]
async fn a_message_makes_no_keys_and_none_are_made_where_the_folder_is_missing() {
    let (dns, folder) = (TestDns::start(), tempfile::tempdir().unwrap());
    let keys = folder.path().join("keys");
    let own = config(&dns, &format!("keys = {keys:?}")).dkim;
    let first = own.first().unwrap();
    let keeper = Keeper::new(folder.path().to_path_buf());
    keeper.prepare(&own, UnixMillis(0));
    assert!(keeper.told(first, UnixMillis(0)).is_err() && !keys.exists(), "a disk that is not there");
    std::fs::create_dir(&keys).unwrap();
    let error = keeper.sign(first, &read(), UnixMillis(0)).await.unwrap_err();
    assert!(error.contains("there are no keys") && !keys.join("a.test").exists(), "{error}");
    keeper.prepare(&own, UnixMillis(0));
    assert!(keeper.sign(first, &read(), UnixMillis(0)).await.is_ok());
}
