//! Offences, orders, the door and open sessions, without sockets.

use postern_mail::client::ListenerKind;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;
use crate::control::Answer;
use crate::telemetry::log::tests::Page;
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
        town.server.bans.hello(clock(), ip("172.17.0.1"), &HeloName::parse(&format!("mx{n}.example")).unwrap());
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

#[tokio::test]
async fn a_ban_that_is_removed_takes_the_faults_of_the_client_with_it_and_a_refused_network_is_listed_and_let_in() {
    use crate::wire::strangers;
    use postern_smtp::machine::Conduct;

    let town = Town::new("[limits]\nfaults_per_hour = 3\nnetwork_factor = 1");
    let server = &town.server;
    let fault_of = |client: &str| strangers::behaved(server, &facts(client), Conduct { syntax: 1, ..Conduct::default() });
    let fault = || fault_of("198.51.100.7");
    let order = |network: &str, dry_run| {
        let network = network.to_owned();
        carry_out(server, BanOrder::Remove { network, within: false, reason: String::new(), dry_run })
    };
    let remove = |network| order(network, false);
    (0..4).for_each(|_| fault());
    assert!(is_shut(server, "198.51.100.7"));
    // What a host does beyond its own limit is not its network's doing; a neighbour's fault is.
    assert_eq!(strangers::door(server, &facts("198.51.100.8")), Door::Open);
    fault_of("198.51.100.9");
    for client in ["198.51.100.7", "198.51.100.8"] {
        let Door::Shut(Some(told)) = strangers::door(server, &facts(client)) else { panic!("{client} is let in") };
        assert!(told.text().ends_with(&format!("(ref {client}/32)")), "{told:?}");
    }
    let Answer::BanExplained(explained) = carry_out(server, BanOrder::Explain { what: "198.51.100.7".to_owned() }).await else {
        panic!("no explanation")
    };
    assert!(explained.held.iter().any(|held| held == "4 faults of 198.51.100.7/32 within an hour"), "{:?}", explained.held);
    let Answer::Bans(listed) = carry_out(server, BanOrder::List { limit: 10 }).await else { panic!("no list") };
    assert_eq!(listed.refused.len(), 1, "{listed:?}");
    assert_eq!(listed.refused[0].network, "198.51.100.0/24");
    assert!(listed.refused[0].evidence.contains("4 faults") && listed.refused[0].until > clock().0, "{listed:?}");
    assert!(matches!(remove("198.51.100.7").await, Answer::Bans(_)));
    for (dry_run, words) in [(true, "would no longer"), (true, "would no longer"), (false, "is no longer")] {
        let answer = order("198.51.100.0/24", dry_run).await;
        assert!(matches!(&answer, Answer::Done { text } if text.contains(words)), "{answer:?}");
    }
    assert_eq!(strangers::door(server, &facts("198.51.100.7")), Door::Open);
    fault();
    assert!(!is_shut(server, "198.51.100.7"), "it begins anew");
    assert!(matches!(remove("198.51.100.0/24").await, Answer::Failed { .. }), "it is neither banned nor refused");
}

#[tokio::test]
async fn a_person_hears_why_a_guesser_is_not_banned() {
    let town = Town::new("");
    let unbanned = async |what: &str| {
        let Answer::BanExplained(explained) = carry_out(&town.server, BanOrder::Explain { what: what.to_owned() }).await else {
            panic!("no explanation")
        };
        explained.unbanned
    };
    let why = unbanned("172.17.0.1").await;
    assert!(why.is_some_and(|why| why.contains("everybody may come from there")));
    assert_eq!(unbanned("198.51.100.7").await, None);
}

#[tokio::test]
async fn the_ehlo_of_a_public_client_waits_for_nobody() {
    let town = Town::new("");
    let bans = Arc::clone(&town.server.bans);
    let crowd = lock(&town.server.bans.crowd);
    let (done, waiting) = std::sync::mpsc::sync_channel(1);
    let greeting = std::thread::spawn(move || {
        bans.hello(clock(), ip("198.51.100.7"), &HeloName::parse("mx.there.test").unwrap());
        done.send(())
    });
    assert!(waiting.recv_timeout(Duration::from_secs(10)).is_ok(), "it takes the lock");
    drop(crowd);
    greeting.join().unwrap().unwrap();
    assert!(guess(&town.server, "172.17.0.1"), "and was seen");
}

/// Keeps nothing.
struct FullStore;

impl BanStore for FullStore {
    fn load(&self) -> Result<Vec<Ban>, postern_state::StateFailure> {
        Ok(Vec::new())
    }

    fn keep(&self, changes: &[BanChange]) -> Result<(), postern_state::StateFailure> {
        if changes.is_empty() { Ok(()) } else { Err(postern_state::StateFailure::Disk("full".to_owned())) }
    }
}

#[test]
fn a_store_that_fails_is_complained_of_once_a_minute_and_tried_again_each_time() {
    let machine = postern_config::Machine::named("mx.here.test");
    let config = postern_config::load("", "f", &machine).unwrap();
    let keeper = Keeper::open(Box::new(FullStore), &config, &[]).unwrap();
    let page = Page::default();
    let to = page.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let of: Subnet = "198.51.100.7".parse().unwrap();
        lock(&keeper.book).pending.insert(of, BanChange::Forget(of));
        for _ in 0..5 {
            assert!(!keeper.write());
            assert_eq!(lock(&keeper.book).pending.len(), 1, "it is still to be written");
        }
        assert_eq!(page.text().matches("could not be kept").count(), 1, "{}", page.text());
        keeper.complained.store(clock().0 - 60_000, Ordering::Relaxed);
        assert!(!keeper.write());
    });
    assert_eq!(page.text().matches("could not be kept").count(), 2, "{}", page.text());
}
