//! Greylisting on a clock of its own: who is delayed, who is known, what is bounded, what a restart keeps.

use super::*;

const SETTINGS: GreySettings = GreySettings {
    delay: Duration::from_secs(300),
    window: Duration::from_secs(86_400),
    known_for: Duration::from_secs(30 * 86_400),
    memory: 1 << 20,
};
const SECOND: u64 = 1_000;
const DAY: u64 = 86_400 * SECOND;

fn at(millis: u64) -> UnixMillis {
    UnixMillis(1_800_000_000_000 + millis)
}

fn who(client: &str, sender: &'static str) -> GreyKey<'static> {
    GreyKey { client: client.parse().unwrap(), sender, recipient: "alice@here.test" }
}

fn new() -> Greylist {
    Greylist::restored(7, [])
}

#[test]
fn who_comes_back_in_time_is_let_in_and_its_network_is_not_delayed_again() {
    let mut book = new();
    let mut attempt = |millis, client, sender| book.attempt(at(millis), &SETTINGS, who(client, sender));
    assert_eq!(attempt(0, "192.0.2.1", "a@x.test"), GreySaid::Wait(SETTINGS.delay));
    assert_eq!(attempt(100 * SECOND, "192.0.2.1", "a@x.test"), GreySaid::Wait(Duration::from_secs(200)), "too soon");
    assert_eq!(attempt(400 * SECOND, "192.0.2.1", "b@x.test"), GreySaid::Wait(SETTINGS.delay), "another sender");
    assert_eq!(attempt(400 * SECOND, "192.0.3.1", "a@x.test"), GreySaid::Wait(SETTINGS.delay), "another network");
    assert_eq!(attempt(400 * SECOND, "192.0.2.200", "A@X.test"), GreySaid::Back(Duration::from_secs(400)), "another host of it");
    assert_eq!(attempt(401 * SECOND, "192.0.2.9", "c@y.test"), GreySaid::Known);
    assert_eq!(attempt(20 * DAY, "192.0.2.9", "c@y.test"), GreySaid::Known);
    assert_eq!(attempt(49 * DAY, "192.0.2.9", "d@y.test"), GreySaid::Known, "it was seen within the time");
    assert_eq!(attempt(80 * DAY, "192.0.2.9", "d@y.test"), GreySaid::Wait(SETTINGS.delay), "it was not");
}

#[test]
fn who_comes_back_too_late_comes_for_the_first_time_and_ipv6_hosts_of_one_network_are_one() {
    let mut book = new();
    let mut attempt = |millis, client| book.attempt(at(millis), &SETTINGS, who(client, "a@x.test"));
    assert_eq!(attempt(0, "2001:db8::1"), GreySaid::Wait(SETTINGS.delay));
    assert_eq!(attempt(DAY + SECOND, "2001:db8::1"), GreySaid::Wait(SETTINGS.delay));
    assert!(matches!(attempt(DAY + 400 * SECOND, "2001:db8::2"), GreySaid::Back(_)));
    assert_eq!(attempt(DAY + 400 * SECOND, "2001:db8:0:1::1"), GreySaid::Wait(SETTINGS.delay));
}

#[test]
fn a_flood_of_one_network_pushes_nobody_else_out_and_one_of_all_networks_stays_within_its_memory() {
    let mut book = new();
    assert_eq!(book.attempt(at(0), &SETTINGS, who("192.0.2.1", "good@x.test")), GreySaid::Wait(SETTINGS.delay));
    for number in 0..50_000_u32 {
        let sender = format!("{number}@spam.test");
        let key = GreyKey { client: "198.51.100.1".parse().unwrap(), sender: &sender, recipient: "alice@here.test" };
        assert_eq!(book.attempt(at(1), &SETTINGS, key), GreySaid::Wait(SETTINGS.delay));
    }
    assert_eq!(book.counts(), (1 + WAITING_PER_NETWORK_MAX as usize, 0));
    assert!(matches!(book.attempt(at(300 * SECOND), &SETTINGS, who("192.0.2.1", "good@x.test")), GreySaid::Back(_)));
    for number in 0..100_000_u32 {
        let key = GreyKey { client: std::net::Ipv4Addr::from(number << 8).into(), sender: "a@x.test", recipient: "b@here.test" };
        let _ = book.attempt(at(301 * SECOND), &SETTINGS, key);
        let _ = book.attempt(
            at(301 * SECOND + SETTINGS.delay.as_secs() * SECOND),
            &GreySettings { delay: Duration::ZERO, ..SETTINGS },
            key,
        );
        let _ = book.take_changes();
    }
    let (waiting, known) = book.counts();
    let most = SETTINGS.memory / 2;
    assert!(waiting <= most / WAITING_BYTES && known <= most / KNOWN_BYTES, "{waiting} {known}");
    let line = |entries: usize| 2 * entries + LINE_SLACK + 1;
    assert!(book.came.len() <= line(waiting) && book.noted.len() <= line(known), "what is gone is not kept in line");
}

#[test]
fn the_changes_of_rows_make_the_same_book_again() {
    let mut book = new();
    let mut rows: HashMap<String, GreyRow> = HashMap::new();
    for minute in 0..2_000_u64 {
        let client = format!("192.0.{}.1", minute * 7 % 50);
        let _ = book.attempt(at(minute * 60 * SECOND), &SETTINGS, who(&client, "a@x.test"));
        for change in book.take_changes() {
            let key = |row: GreyRow| match row {
                GreyRow::Waiting(key, ..) => format!("w{key}"),
                GreyRow::Known(of, _) => format!("k{of}"),
            };
            match change {
                GreyChange::Put(row) => rows.insert(key(row), row),
                GreyChange::Forget(row) => rows.remove(&key(row)),
            };
        }
    }
    let mut again = Greylist::restored(7, rows.into_values());
    assert_eq!(again.counts(), book.counts());
    for third in 0..60_u8 {
        let client = format!("192.0.{third}.1");
        let now = at(2_000 * 60 * SECOND);
        assert_eq!(
            again.attempt(now, &SETTINGS, who(&client, "a@x.test")),
            book.attempt(now, &SETTINGS, who(&client, "a@x.test")),
            "{client}"
        );
    }
}

#[test]
fn a_network_that_is_forgotten_comes_for_the_first_time_again_and_others_do_not() {
    let mut book = new();
    for (client, sender) in [("192.0.2.1", "a@x.test"), ("192.0.2.1", "b@x.test"), ("192.0.3.1", "a@x.test")] {
        assert!(matches!(book.attempt(at(0), &SETTINGS, who(client, sender)), GreySaid::Wait(_)));
    }
    assert!(matches!(book.attempt(at(400 * SECOND), &SETTINGS, who("192.0.2.1", "a@x.test")), GreySaid::Back(_)));
    assert!(matches!(book.attempt(at(400 * SECOND), &SETTINGS, who("192.0.3.1", "a@x.test")), GreySaid::Back(_)));
    assert_eq!((book.rows(2).len(), book.rows(9).len(), book.counts()), (2, 3, (1, 2)));
    let _ = book.take_changes();
    assert_eq!((book.forget_network("192.0.2.77".parse().unwrap()), book.take_changes().len()), (2, 2));
    assert_eq!(book.forget_network("192.0.2.77".parse().unwrap()), 0);
    assert_eq!(book.attempt(at(500 * SECOND), &SETTINGS, who("192.0.2.1", "a@x.test")), GreySaid::Wait(SETTINGS.delay));
    assert_eq!(book.attempt(at(500 * SECOND), &SETTINGS, who("192.0.3.1", "z@x.test")), GreySaid::Known);
}
