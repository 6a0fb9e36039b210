//! Offences, orders, the door and open sessions, without sockets.

use postern_mail::client::ListenerKind;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::control::Answer;
use crate::wire::tests::Town;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn facts(address: &str) -> ClientFacts {
    ClientFacts { address: ip(address), port: 4711, listener: ListenerKind::Mx }
}

fn is_shut(server: &Server, address: &str) -> bool {
    door(server, &facts(address)) != Door::Open
}

fn guess(server: &Server, address: &str) -> bool {
    server.offence(clock(), ip(address), Offence::AuthGuess, "5 wrong passwords in 15 min".to_owned())
}

#[tokio::test]
async fn an_offence_shuts_the_door_at_once_and_is_kept() {
    let town = Town::new("");
    assert!(!is_shut(&town.server, "198.51.100.7"));
    assert!(guess(&town.server, "198.51.100.7"));
    let Door::Shut(Some(reply)) = door(&town.server, &facts("198.51.100.7")) else { panic!("it is open") };
    assert_eq!((reply.code.0, reply.status.map(|status| status.to_string())), (421, Some("4.7.1".to_owned())));
    assert!(reply.text().contains("198.51.100.7 is banned here, reference 198.51.100.7/32"), "{}", reply.text());
    assert!(!is_shut(&town.server, "198.51.100.8"));
    assert!(town.server.bans.persist().await);
    let kept = town.server.bans.store.load().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].cause.as_str(), "auth_guess");
}

#[tokio::test]
async fn trusted_networks_proxies_and_own_addresses_are_let_in_whatever_they_do() {
    let town = Town::new(
        "server.trusted_networks = [\"198.51.100.0/24\"]\n[[listener]]\nkind = \"mx\"\nbind = [\"127.0.0.1:0\"]\nproxy_protocol_from = [\"203.0.113.7/32\"]\n",
    );
    for address in ["198.51.100.7", "203.0.113.7"] {
        assert!(!guess(&town.server, address));
        assert!(!is_shut(&town.server, address));
    }
    let wide = BanOrder::Add { network: "198.51.0.0/16".to_owned(), length: None, reason: String::new(), dry_run: false };
    assert!(matches!(carry_out(&town.server, wide).await, Answer::Bans(_)));
    assert!(is_shut(&town.server, "198.51.101.1") && !is_shut(&town.server, "198.51.100.7"));
}

#[tokio::test]
async fn sessions_of_a_banned_network_end_unless_somebody_has_logged_in() {
    let town = Town::new("");
    let bans = &town.server.bans;
    let mut stranger = bans.watch(clock(), ip("198.51.100.7"));
    let mut other = bans.watch(clock(), ip("198.51.100.8"));
    let mut customer = bans.watch(clock(), ip("198.51.100.7"));
    let (mut cut, mut spared, mut safe) = (stranger.waiting().unwrap(), customer.waiting().unwrap(), other.waiting().unwrap());
    customer.let_go();
    assert_eq!(bans.open_sessions(ip("198.51.100.7")), 1);
    assert!(guess(&town.server, "198.51.100.7"));
    assert_eq!(cut.try_recv().unwrap().code.0, 421);
    assert_eq!(spared.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(safe.try_recv(), Err(TryRecvError::Empty));
    drop((stranger, other, customer));
    assert!(lock(&bans.sessions).is_empty(), "whoever ends is off the list");
    // One that came in just before the ban ends as well.
    let mut late = bans.watch(clock(), ip("198.51.100.7"));
    assert!(late.waiting().unwrap().try_recv().is_ok());
}

#[tokio::test]
async fn an_address_that_everybody_has_is_not_banned_and_the_operator_hears_of_it() {
    let town = Town::new("");
    assert!(!guess(&town.server, "172.17.0.1"), "nobody knows yet what it stands for");
    let ban = Ban {
        of: "172.17.0.1".parse().unwrap(),
        cause: postern_mail::ban::Cause::Offence(Offence::AuthGuess),
        evidence: String::new(),
        since: clock(),
        until: Some(clock().plus(HOUR)),
        times: 1,
    };
    // As it may stand there from before the last start.
    lock(&town.server.bans.book).bans.load(clock(), [ban]);
    town.server.bans.set.put("172.17.0.1".parse().unwrap(), None);
    for n in 0..8 {
        town.server.bans.hello(clock(), ip("172.17.0.1"), &format!("mx{n}.example"));
    }
    let shared = lock(&town.server.bans.crowd).shared(clock());
    assert_eq!(shared, Some(ip("172.17.0.1")));
    assert_eq!(town.server.bans.lift_automatic(clock(), ip("172.17.0.1"), "").len(), 1);
    assert!(!guess(&town.server, "172.17.0.1"));
    assert!(!is_shut(&town.server, "172.17.0.1"));
    let warnings = town.server.bans.warnings(clock());
    assert!(warnings[0].contains("172.17.0.1") && warnings[0].contains("proxy_protocol_from"), "{warnings:?}");
    assert!(guess(&town.server, "198.51.100.7"), "others are");
    assert!(is_shut(&town.server, "198.51.100.7"));
    assert!(guess(&town.server, "172.17.0.1"), "a public address came to the door, so they are told apart");
}

#[tokio::test]
async fn a_number_of_a_session_that_was_cut_off_is_not_used_again() {
    let town = Town::new("");
    let bans = &town.server.bans;
    let first = bans.watch(clock(), ip("198.51.100.7"));
    bans.set.put("198.51.100.7".parse().unwrap(), None);
    bans.cut_off("198.51.100.7".parse().unwrap());
    bans.set.remove("198.51.100.7".parse().unwrap());
    let _second = bans.watch(clock(), ip("198.51.100.7"));
    drop(first);
    assert_eq!(bans.open_sessions(ip("198.51.100.7")), 1, "the second is still on the list");
}

#[tokio::test]
async fn a_reload_that_changes_who_is_spared_is_news_for_a_mirror() {
    let town = Town::new("");
    let before = *town.server.bans.revision.borrow();
    assert!(before > 1_000_000, "no revision of a server before this one");
    let toml = "server.trusted_networks = [\"198.51.100.0/24\"]";
    let config = postern_config::load(toml, "f", &postern_config::Machine::named("mx.here.test")).unwrap();
    adjust(&town.server, &config, &[]);
    assert!(*town.server.bans.revision.borrow() > before);
}

#[tokio::test]
async fn who_is_let_in_again_is_heard_again() {
    use postern_mail::guess::{Ending, Guess, GuessRuling, Tag};
    use postern_state::Guard as _;

    let town = Town::new("");
    let guard = &town.server.auth_guard;
    guard.report_to(&town.server);
    let client = ip("198.51.100.7");
    let claim = |number| Guess { client, account: Tag::new(number), password: Some(Tag::new(number)), is_familiar: false };
    for number in 0..5 {
        assert!(matches!(guard.before(clock(), &claim(number)), GuessRuling::Verify { .. }));
        guard.after(clock(), &claim(number), Ending::Wrong);
    }
    assert!(is_shut(&town.server, "198.51.100.7"));
    let explain = BanOrder::Explain { what: "198.51.100.7".to_owned() };
    let Answer::BanExplained(explained) = carry_out(&town.server, explain).await else { panic!("no explanation") };
    assert!(explained.held[0].contains("5 wrong passwords"), "{:?}", explained.held);
    assert!(matches!(guard.before(clock(), &claim(9)), GuessRuling::Refuse(_)));
    let remove = BanOrder::Remove { network: "198.51.100.7".to_owned(), within: false, reason: String::new(), dry_run: false };
    carry_out(&town.server, remove).await;
    assert!(!is_shut(&town.server, "198.51.100.7"));
    assert!(matches!(guard.before(clock(), &claim(9)), GuessRuling::Verify { .. }));
}

#[tokio::test]
async fn what_has_ended_is_told_once_and_followers_hear_of_each_change() {
    let town = Town::new("auth.ban_first = \"100ms\"");
    let bans = &town.server.bans;
    let mut revision = bans.revision.subscribe();
    revision.mark_unchanged();
    assert!(guess(&town.server, "198.51.100.7"));
    assert!(revision.has_changed().unwrap());
    revision.mark_unchanged();
    let later = clock().plus(Duration::from_millis(101));
    assert!(matches!(bans.sweep(later).as_slice(), [Event::BanLifted { .. }]));
    assert!(revision.has_changed().unwrap());
    assert!(bans.sweep(later).is_empty());
    assert_eq!(bans.active(), 0);
}

#[tokio::test]
async fn a_network_that_becomes_trusted_is_let_in_by_a_reload() {
    let town = Town::new("");
    assert!(guess(&town.server, "198.51.100.7"));
    let toml = "server.trusted_networks = [\"198.51.100.0/24\"]\nauth.ban_reply = \"554\"";
    let config = postern_config::load(toml, "f", &postern_config::Machine::named("mx.here.test")).unwrap();
    adjust(&town.server, &config, &[]);
    assert!(!is_shut(&town.server, "198.51.100.7"));
    assert!(!guess(&town.server, "198.51.100.8"));
}
