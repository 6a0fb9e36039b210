//! Lists that are right, silent, blocked or lying, asked over a name server on loopback.

use hickory_resolver::proto::rr::{RData, Record, rdata::TXT};
use postern_mail::dns_list::{CodeRange, HashForm, HashKind, LinkNames};

use super::*;
use crate::test_server::{Says, TestServer, Zone, name};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn list(zone: &str, target: DnsTarget) -> DnsList {
    let code = Ipv4Addr::new(127, 0, 0, 2);
    let scoring = Scoring::Codes(vec![CodeRange { first: code, last: code, tenths: 100 }]);
    DnsList { zone: domain(zone), key: None, target, scoring, test_point: TestPoint::Standard, asking: DnsAsking::default() }
}

fn lists(server: &TestServer, lists: Vec<DnsList>) -> DnsLists {
    let second = Duration::from_secs(1);
    let health = HealthSettings { slow: second, park: second * 60, probe_interval: second * 3600 };
    let settings = DnsListSettings { deadline: Duration::from_millis(300), health };
    DnsLists::new(server.resolver_within(settings.deadline * 4), settings, lists, None)
}

/// A zone with the test point of lists of IPv4 addresses.
fn right(zone: Zone, list: &str) -> Zone {
    zone.a(&format!("2.0.0.127.{list}."), 60, "127.0.0.2")
}

fn client(text: &str) -> [(DnsTarget, Subject); 1] {
    [(DnsTarget::Client, Subject::Address(text.parse().unwrap()))]
}

#[tokio::test]
async fn a_listed_address_is_told_with_its_reason_and_without_the_key() {
    let text = Record::from_rdata(name("9.2.0.192.k3y.bl.test."), 60, RData::TXT(TXT::new(vec!["see https://bl.test/".into()])));
    let zone = right(Zone::new(), "k3y.bl.test")
        .a("9.2.0.192.k3y.bl.test.", 60, "127.0.0.2")
        .a("8.2.0.192.k3y.bl.test.", 60, "127.0.0.3")
        .says("9.2.0.192.k3y.bl.test.", RecordType::TXT, Says::Records(vec![text]));
    let server = TestServer::start(zone).await;
    let lists = lists(&server, vec![DnsList { key: Some("k3y".into()), ..list("bl.test", DnsTarget::Client) }]);
    assert_eq!(lists.probe(NOW).await.0, vec![]);
    let heard = lists.ask(NOW, &client("192.0.2.9")).await;
    let [listed] = heard.said.listed.as_slice() else { panic!("{heard:?}") };
    assert_eq!((&*listed.zone, &*listed.asked, &*listed.text), ("bl.test", "192.0.2.9", "see https://bl.test/"));
    assert!(!format!("{heard:?}").contains("k3y"));
    for other in ["192.0.2.8", "192.0.2.7", "2001:db8::1"] {
        assert!(lists.ask(NOW, &client(other)).await.said.is_empty(), "{other}");
    }
    // The second time it is remembered.
    let _ = lists.ask(NOW, &client("192.0.2.9")).await;
    assert_eq!(server.asked("9.2.0.192.k3y.bl.test.", RecordType::A), 1);
    assert_eq!(server.asked("8.2.0.192.k3y.bl.test.", RecordType::TXT), 0, "no reason is asked for without a listing");
}

#[tokio::test]
async fn broken_lists_are_parked_by_their_first_probe_and_say_nothing() {
    let zone = Zone::new()
        .a("2.0.0.127.world.test.", 60, "127.0.0.2")
        .a("1.0.0.127.world.test.", 60, "127.0.0.2")
        .a("9.2.0.192.world.test.", 60, "127.0.0.2")
        .a("9.2.0.192.nobody.test.", 60, "127.0.0.2")
        .a("2.0.0.127.blocked.test.", 60, "127.255.255.254")
        .a("2.0.0.127.sold.test.", 60, "198.51.100.1")
        .says("2.0.0.127.broken.test.", RecordType::A, Says::ServFail);
    let server = TestServer::start(zone).await;
    let names = ["world.test", "nobody.test", "blocked.test", "sold.test", "broken.test"];
    let lists = lists(&server, names.iter().map(|zone| list(zone, DnsTarget::Client)).collect());
    let (changes, _) = lists.probe(NOW).await;
    let why = |zone: &str| changes.iter().find(|change| &*change.zone == zone).and_then(|change| change.parked.clone());
    assert_eq!(why("world.test"), Some(WhyParked::ListsEverybody));
    assert_eq!(why("nobody.test"), Some(WhyParked::ListsNobody));
    assert_eq!(why("blocked.test"), Some(WhyParked::Unusable(Ipv4Addr::new(127, 255, 255, 254))));
    assert_eq!(why("sold.test"), Some(WhyParked::Unusable(Ipv4Addr::new(198, 51, 100, 1))));
    assert_eq!(why("broken.test"), Some(WhyParked::NoAnswer));
    let said = lists.ask(NOW, &client("192.0.2.9")).await.said;
    assert!(said.listed.is_empty(), "{said:?}");
    assert!(said.unheard.len() == 5 && said.unheard.iter().all(|one| one.why == DnsMute::Parked), "{said:?}");
}

#[tokio::test]
async fn an_unusable_answer_parks_a_list_that_was_right_and_the_next_probe_brings_it_back() {
    let zone = right(Zone::new(), "bl.test").a("9.2.0.192.bl.test.", 60, "127.255.255.255");
    let server = TestServer::start(zone).await;
    let lists = lists(&server, vec![list("bl.test", DnsTarget::Client)]);
    let (_, next) = lists.probe(NOW).await;
    assert_eq!(next, NOW.plus(Duration::from_secs(3600)));
    let heard = lists.ask(NOW, &client("192.0.2.9")).await;
    assert!(heard.said.listed.is_empty() && heard.said.unheard[0].why == DnsMute::Unusable, "{heard:?}");
    assert_eq!(heard.changes.len(), 1);
    assert_eq!(lists.ask(NOW, &client("192.0.2.7")).await.said.unheard[0].why, DnsMute::Parked);
    let (changes, next) = lists.probe(NOW).await;
    assert_eq!((changes.len(), next), (0, NOW.plus(Duration::from_secs(60))), "its time has not come");
    assert_eq!(lists.probe(next).await.0[0].parked, None);
    assert!(lists.ask(next, &client("192.0.2.7")).await.said.is_empty());
}

#[tokio::test]
async fn silent_lists_together_cost_one_deadline_and_a_right_one_is_heard_beside_them() {
    let silent = ["s1.test", "s2.test", "s3.test", "s4.test"];
    let zone = silent.iter().fold(right(Zone::new(), "bl.test").a("9.2.0.192.bl.test.", 60, "127.0.0.2"), |zone, list| {
        right(zone, list).says(&format!("9.2.0.192.{list}."), RecordType::A, Says::Nothing)
    });
    let server = TestServer::start(zone.says("9.2.0.192.bl.test.", RecordType::TXT, Says::Nothing)).await;
    let all = silent.iter().chain(&["bl.test"]).map(|zone| list(zone, DnsTarget::Client)).collect();
    let lists = lists(&server, all);
    lists.probe(NOW).await;
    let began = clock();
    let said = lists.ask(NOW, &client("192.0.2.9")).await.said;
    let took = clock().duration_since(began);
    assert!(took < Duration::from_millis(900), "{took:?}");
    assert!(said.unheard.len() == 4 && said.unheard.iter().all(|one| one.why == DnsMute::Silent), "{said:?}");
    assert_eq!(said.listed.len(), 1, "its reason did not come, and it counts all the same");
    for _ in 1..5 {
        let _ = lists.ask(NOW, &client("192.0.2.9")).await;
    }
    let parked = lists.ask(NOW, &client("192.0.2.9")).await.said.unheard;
    assert!(parked.iter().all(|one| one.why == DnsMute::Parked), "{parked:?}");
}

#[tokio::test]
async fn a_list_of_ipv6_addresses_alone_is_right_and_is_asked_by_nibbles() {
    let mapped = "0.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.v6.test.".replacen('0', "2", 1);
    let listed = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.v6.test.";
    let server = TestServer::start(Zone::new().a(&mapped, 60, "127.0.0.2").a(listed, 60, "127.0.0.2")).await;
    let lists = lists(&server, vec![list("v6.test", DnsTarget::Client)]);
    assert_eq!(lists.probe(NOW).await.0, vec![]);
    assert_eq!(lists.ask(NOW, &client("2001:db8::1")).await.said.listed.len(), 1);
    assert!(lists.ask(NOW, &client("2001:db8::2")).await.said.is_empty());
}

#[tokio::test]
async fn names_are_asked_about_as_they_are_and_the_names_of_an_address_are_found_first() {
    let ptr = hickory_resolver::proto::rr::rdata::PTR(name("host.spam.test."));
    let ptr = Record::from_rdata(name("9.2.0.192.in-addr.arpa."), 60, RData::PTR(ptr));
    let zone = Zone::new()
        .a("test.dbl.test.", 60, "127.0.0.2")
        .a("spam.test.dbl.test.", 60, "127.0.0.2")
        .a("host.spam.test.dbl.test.", 60, "127.0.0.2")
        .says("9.2.0.192.in-addr.arpa.", RecordType::PTR, Says::Records(vec![ptr]));
    let server = TestServer::start(zone).await;
    let lists = lists(&server, vec![list("dbl.test", DnsTarget::MailFrom), list("dbl.test", DnsTarget::Ptr)]);
    assert_eq!(lists.probe(NOW).await.0, vec![]);
    let from = (DnsTarget::MailFrom, name_subject("spam.test").unwrap());
    let ptr = (DnsTarget::Ptr, Subject::NamesOf("192.0.2.9".parse().unwrap()));
    let helo = (DnsTarget::Helo, name_subject("spam.test").unwrap());
    let listed = lists.ask(NOW, &[from, ptr, helo]).await.said.listed;
    let told: Vec<_> = listed.iter().map(|one| (one.target, &*one.asked)).collect();
    assert_eq!(told, [(DnsTarget::Ptr, "host.spam.test"), (DnsTarget::MailFrom, "spam.test")]);
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_a_list() {
    let server = TestServer::start(Zone::new()).await;
    let before = lists(&server, vec![list("bl.test", DnsTarget::Client)]);
    before.probe(NOW).await;
    let after = DnsLists::new(
        server.resolver(),
        before.settings,
        vec![list("bl.test", DnsTarget::Client), list("new.test", DnsTarget::Helo)],
        Some(&before),
    );
    let states: Vec<_> = after.views().map(|(_, view)| view.state).collect();
    assert_eq!(states, ["parked", "unproven"]);
}

fn host(host: &str, registered: &str) -> Subject {
    Subject::Host { host: domain(host), registered: domain(registered) }
}

#[test]
fn a_list_of_links_is_asked_about_the_names_it_knows_each_once_and_about_addresses_only_where_it_may_be() {
    let address = Subject::Address("192.0.2.1".parse().unwrap());
    let all = [host("a.x.test", "x.test"), host("b.x.test", "x.test"), address.clone(), host("x.test", "x.test")];
    let all = all.map(|subject| (DnsTarget::Link, subject));
    let of = |names, has_addresses| {
        let asking = DnsAsking { names, has_addresses, ..DnsAsking::default() };
        Watched::new(DnsList { asking, ..list("uri.test", DnsTarget::Link) }).own(&all)
    };
    let named = |names: &[&str]| names.iter().map(|name| Subject::Name(domain(name))).collect::<Vec<_>>();
    assert_eq!(of(LinkNames::Registered, false), named(&["x.test"]));
    assert_eq!(of(LinkNames::Host, false), named(&["a.x.test", "b.x.test", "x.test"]));
    assert_eq!(of(LinkNames::Both, false), named(&["x.test", "a.x.test", "b.x.test"]));
    assert_eq!(of(LinkNames::Registered, true), [named(&["x.test"]), vec![address]].concat());
    let many: Vec<_> = (0..2000).map(|n| (DnsTarget::Link, host(&format!("h{n}.test"), &format!("h{n}.test")))).collect();
    assert_eq!(Watched::new(list("uri.test", DnsTarget::Link)).own(&many).len(), SUBJECTS_MAX);
}

#[test]
fn hashes_are_those_of_other_programs() {
    let asked = |hash, form, text: &str| {
        let asking = DnsAsking { hash, form, ..DnsAsking::default() };
        question::about_hash(text, &asking, "k3y.hash.test").unwrap().to_string()
    };
    assert_eq!(
        asked(HashKind::Sha1, HashForm::Hex, "spammer@gmail.com"),
        "c1131c54b9ba3f810a375042a0d8016dd120664b.k3y.hash.test"
    );
    assert_eq!(
        asked(HashKind::Sha256, HashForm::Base32, "spammer@gmail.com"),
        "2qlkdkbjrwwmisv3skpf4emqrerwhou3li3wxrno4fa6tsgme2ya.k3y.hash.test"
    );
}

#[tokio::test]
async fn a_question_that_had_little_of_the_time_left_is_not_held_against_the_list() {
    let zone = right(Zone::new(), "bl.test").says("9.2.0.192.bl.test.", RecordType::A, Says::Nothing);
    let server = TestServer::start(zone).await;
    let lists = lists(&server, vec![list("bl.test", DnsTarget::Client)]);
    let subject = client("192.0.2.9");
    // As whoever waits for a slow name of the client: the list is known to be right when most of the time is over.
    let late = async {
        let _ = tokio::time::timeout(Duration::from_millis(220), std::future::pending::<()>()).await;
        lists.probe(NOW).await
    };
    let ask = || lists.ask(NOW, &subject);
    let (_, _, _, _, _, _) = tokio::join!(late, ask(), ask(), ask(), ask(), ask());
    assert!(server.asked("9.2.0.192.bl.test.", RecordType::A) > 0, "it was asked");
    assert_eq!(lists.ask(NOW, &subject).await.said.unheard[0].why, DnsMute::Silent, "it is not parked");
    // With all of the time it is.
    for _ in 0..5 {
        let _ = lists.ask(NOW, &subject).await;
    }
    assert_eq!(lists.ask(NOW, &subject).await.said.unheard[0].why, DnsMute::Parked);
}

#[tokio::test]
async fn a_question_that_waits_behind_our_own_says_nothing_of_the_list() {
    let server = TestServer::start(right(Zone::new(), "bl.test")).await;
    let lists = lists(&server, vec![list("bl.test", DnsTarget::Client)]);
    assert_eq!(lists.probe(NOW).await.0, vec![]);
    let all = u32::try_from(crate::resolver::QUESTIONS_AT_ONCE_MAX).unwrap();
    let held = Arc::clone(&lists.resolver.turns).acquire_many_owned(all).await.unwrap();
    let many: Vec<_> = (0..40).map(|n| (DnsTarget::Client, Subject::Address(Ipv4Addr::new(192, 0, 2, n).into()))).collect();
    let heard = lists.ask(NOW, &many).await;
    assert_eq!((heard.said.unheard.len(), heard.changes), (1, vec![]));
    let (_, view) = lists.views().next().unwrap();
    assert_eq!((view.state, view.counts.silent, view.counts.failed), ("usable", 0, 0));
    drop(held);
    assert!(lists.ask(NOW, &many).await.said.is_empty(), "and then they are asked");
}
