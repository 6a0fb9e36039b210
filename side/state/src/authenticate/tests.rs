//! Logging in by each mechanism, and that nobody can tell an unknown account from a wrong password.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use postern_smtp::sasl::scram::{ClientBinding, ScramClient};
use tempfile::TempDir;

use super::*;
use crate::accounts::NewAccount;
use crate::guard::Unguarded;
use crate::password::tests::Counted;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const ALICE: &str = "alice@example.org";
const PASSPHRASE: &str = "a plain sentence";

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn later(seconds: u64) -> UnixMillis {
    UnixMillis(NOW.0 + seconds * 1000)
}

struct Desk {
    _folder: TempDir,
    accounts: Arc<Accounts>,
    hashing: Arc<Counted>,
    authenticator: Arc<Authenticator>,
}

/// One account, alice's.
fn desk() -> Desk {
    desk_with(AuthenticationSettings::default())
}

fn desk_with(settings: AuthenticationSettings) -> Desk {
    desk_guarded(settings, Arc::new(Unguarded))
}

fn desk_guarded(settings: AuthenticationSettings, guard: Arc<dyn Guard>) -> Desk {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let hashing = Arc::new(Counted::default());
    let accounts = Arc::new(Accounts::open(&store, Arc::clone(&hashing) as Arc<dyn Hashing>).unwrap());
    let new = NewAccount { name: ALICE, password: Some(secret(PASSPHRASE)), addresses: None };
    accounts.add(NOW, new).unwrap();
    let authenticator =
        Authenticator::new(&store, Arc::clone(&accounts), Arc::clone(&hashing) as Arc<dyn Hashing>, guard, settings).unwrap();
    Desk { _folder: folder, accounts, hashing, authenticator }
}

fn begin(mechanism: Mechanism, initial: Option<&[u8]>) -> Start {
    let initial = initial.map(|bytes| Secret::new(bytes.to_vec()));
    Start { client: CLIENT, mechanism, initial, exporter: None, offered_plus: false, certificate: None }
}

async fn plain_at(authenticator: &Arc<Authenticator>, now: UnixMillis, user: &str, password: &str) -> Step {
    let message = plain::encode(user, &secret(password));
    authenticator.start(now, begin(Mechanism::Plain, Some(message.expose()))).await.1
}

impl Desk {
    async fn plain(&self, user: &str, password: &str) -> Step {
        plain_at(&self.authenticator, NOW, user, password).await
    }

    /// The whole exchange; gives the salt the client saw and how it ended.
    async fn scram(&self, now: UnixMillis, user: &str, password: &str) -> (String, Step) {
        let client = ScramClient::new(user, secret(password), "clientnonce", ClientBinding::Unable).unwrap();
        let start = begin(Mechanism::ScramSha256, Some(&client.first()));
        let (mut exchange, step) = self.authenticator.start(now, start).await;
        let Step::Challenge(server_first) = step else { panic!("{step:?}") };
        let salt = String::from_utf8(server_first.clone()).unwrap().split_once(",s=").unwrap().1.to_owned();
        let (client_final, proof) = client.last(&server_first).unwrap();
        match exchange.next(now, &Secret::new(client_final)).await {
            Step::Challenge(server_final) => {
                assert!(proof.fits(&server_final), "the server proves itself too");
                (salt, exchange.next(now, &secret("")).await)
            }
            other => (salt, other),
        }
    }
}

/// Lets the others run until something is so, and gives up after a while.
async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

fn who(step: &Step) -> Option<(&str, &str)> {
    match step {
        Step::Authenticated(who) => Some((who.account(), who.credential())),
        _ => None,
    }
}

#[tokio::test]
async fn plain_lets_the_right_password_in_and_no_other() {
    let desk = desk();
    assert_eq!(who(&desk.plain(ALICE, PASSPHRASE).await), Some((ALICE, PASSWORD)));
    for wrong in ["a plain sentenc", "A plain sentence", "a plain sentence "] {
        assert_eq!(desk.plain(ALICE, wrong).await, Step::Denied, "{wrong}");
    }
    assert_eq!(desk.plain("bob@example.org", PASSPHRASE).await, Step::Denied);
}

#[tokio::test]
async fn the_user_name_is_taken_in_any_case() {
    let desk = desk();
    assert_eq!(who(&desk.plain("Alice@EXAMPLE.org", PASSPHRASE).await), Some((ALICE, PASSWORD)));
    assert_eq!(who(&desk.scram(NOW, "ALICE@example.ORG", PASSPHRASE).await.1), Some((ALICE, PASSWORD)));
}

#[tokio::test]
async fn plain_without_an_initial_response_gets_an_empty_challenge() {
    let desk = desk();
    let (mut exchange, step) = desk.authenticator.start(NOW, begin(Mechanism::Plain, None)).await;
    assert_eq!((step, exchange.user()), (Step::Challenge(Vec::new()), None));
    let step = exchange.next(NOW, &plain::encode(ALICE, &secret(PASSPHRASE))).await;
    assert_eq!((who(&step), exchange.user()), (Some((ALICE, PASSWORD)), Some(ALICE)));
    assert_eq!(exchange.next(NOW, &plain::encode(ALICE, &secret(PASSPHRASE))).await, Step::Denied, "it is over");
}

#[tokio::test]
async fn login_asks_for_name_and_password() {
    let desk = desk();
    for initial in [None, Some(ALICE.as_bytes())] {
        let (mut exchange, mut step) = desk.authenticator.start(NOW, begin(Mechanism::Login, initial)).await;
        if initial.is_none() {
            assert_eq!(step, Step::Challenge(b"Username:".to_vec()));
            step = exchange.next(NOW, &secret(ALICE)).await;
        }
        assert_eq!(step, Step::Challenge(b"Password:".to_vec()));
        assert_eq!(who(&exchange.next(NOW, &secret(PASSPHRASE)).await), Some((ALICE, PASSWORD)));
    }
}

#[tokio::test]
async fn nobody_acts_for_another() {
    let desk = desk();
    let with_authzid = |authzid: &str| format!("{authzid}\0{ALICE}\0{PASSPHRASE}").into_bytes();
    for (authzid, is_let_in) in [("", true), (ALICE, true), ("ALICE@example.org", true), ("root@example.org", false)] {
        let start = begin(Mechanism::Plain, Some(&with_authzid(authzid)));
        let (_, step) = desk.authenticator.start(NOW, start).await;
        assert_eq!(who(&step).is_some(), is_let_in, "{authzid}");
    }
}

#[tokio::test]
async fn what_is_no_message_of_the_mechanism_is_denied_without_work() {
    let desk = desk();
    let all = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha256Plus];
    for mechanism in all {
        for message in [&b""[..], b"\0\0\0\0", b"\xff\xfe", b"n,,n=,r=", b"y", &[b'a'; 9000]] {
            let (_, step) = desk.authenticator.start(NOW, begin(mechanism, Some(message))).await;
            assert_eq!(step, Step::Denied, "{mechanism:?} {message:?}");
        }
    }
    assert_eq!(desk.hashing.compared(), 0);
}

#[tokio::test]
async fn an_attempt_costs_one_slow_hash_whoever_it_is_about() {
    let desk = desk();
    for number in 0..5 {
        desk.accounts.add_app_password(NOW, ALICE, &format!("app {number}"), None).unwrap();
    }
    let new = NewAccount { name: "off@example.org", password: Some(secret(PASSPHRASE)), addresses: None };
    desk.accounts.add(NOW, new).unwrap();
    desk.accounts.disable("off@example.org").unwrap();
    let app_shaped = "abcd-efgh-jkmn-pqrs-tvwx-yz01-2345-6789";
    let mut costs = Vec::new();
    for user in [ALICE, "nobody@example.org", "not an address", "off@example.org"] {
        for password in ["wrong password", app_shaped] {
            let before = desk.hashing.compared();
            assert_eq!(desk.plain(user, password).await, Step::Denied, "{user}");
            costs.push(desk.hashing.compared() - before);
        }
    }
    assert_eq!(costs, [1; 8]);
}

#[tokio::test]
async fn a_disabled_account_is_denied_at_the_same_cost() {
    let desk = desk();
    desk.accounts.disable(ALICE).unwrap();
    assert_eq!(desk.plain(ALICE, PASSPHRASE).await, Step::Denied);
    assert_eq!(desk.hashing.compared(), 1);
    assert_eq!(desk.scram(NOW, ALICE, PASSPHRASE).await.1, Step::Denied);
    desk.accounts.enable(UnixMillis(1), ALICE).unwrap();
    assert_eq!(who(&desk.plain(ALICE, PASSPHRASE).await), Some((ALICE, PASSWORD)));
}

#[tokio::test]
async fn an_app_password_is_good_until_its_end_and_says_its_name() {
    let desk = desk();
    let phone = desk.accounts.add_app_password(NOW, ALICE, "phone", Some(later(100))).unwrap();
    let phone = String::from_utf8(phone.expose().to_vec()).unwrap();
    // The end also holds for what is still remembered.
    for (seconds, expected) in [(0, Some((ALICE, "phone"))), (99, Some((ALICE, "phone"))), (100, None), (200, None)] {
        let by_plain = plain_at(&desk.authenticator, later(seconds), ALICE, &phone).await;
        assert_eq!(who(&by_plain), expected, "PLAIN after {seconds} s");
        let (_, by_scram) = desk.scram(later(seconds), ALICE, &phone).await;
        assert_eq!(who(&by_scram), expected, "SCRAM after {seconds} s");
    }
    desk.accounts.remove_app_password(ALICE, "phone").unwrap();
    assert_eq!(desk.plain(ALICE, &phone).await, Step::Denied);
}

#[tokio::test]
async fn a_good_password_is_remembered_for_a_minute() {
    let desk = desk();
    for (seconds, hashes) in [(0, 1), (1, 1), (59, 1), (60, 2), (61, 2)] {
        assert!(who(&plain_at(&desk.authenticator, later(seconds), ALICE, PASSPHRASE).await).is_some());
        assert_eq!(desk.hashing.compared(), hashes, "after {seconds} s");
    }
    assert_eq!(plain_at(&desk.authenticator, later(61), ALICE, "wrong password").await, Step::Denied);
    assert_eq!(desk.hashing.compared(), 3, "a wrong one is not");
}

#[tokio::test]
async fn nothing_is_remembered_where_the_time_for_it_is_zero() {
    let desk = desk_with(AuthenticationSettings { remember_for: Duration::ZERO, ..Default::default() });
    for hashes in 1..=3 {
        assert!(who(&desk.plain(ALICE, PASSPHRASE).await).is_some());
        assert_eq!(desk.hashing.compared(), hashes);
    }
}

#[tokio::test]
async fn any_change_of_the_account_makes_its_passwords_forgotten() {
    let desk = desk();
    let remember = || desk.plain(ALICE, PASSPHRASE);
    assert!(who(&remember().await).is_some());
    desk.accounts.disable(ALICE).unwrap();
    assert_eq!(remember().await, Step::Denied);
    desk.accounts.enable(UnixMillis(1), ALICE).unwrap();
    assert!(who(&remember().await).is_some());
    desk.accounts.set_password(NOW, ALICE, Some(secret("another sentence"))).unwrap();
    assert_eq!(remember().await, Step::Denied);
    assert!(who(&desk.plain(ALICE, "another sentence").await).is_some());
    desk.accounts.remove(ALICE).unwrap();
    assert_eq!(desk.plain(ALICE, "another sentence").await, Step::Denied);
    let new = NewAccount { name: ALICE, password: Some(secret("a third sentence")), addresses: None };
    desk.accounts.add(NOW, new).unwrap();
    assert_eq!(desk.plain(ALICE, "another sentence").await, Step::Denied, "a new account of the old name");
}

#[tokio::test]
async fn scram_proves_both_sides_with_each_of_the_accounts_passwords() {
    let desk = desk();
    let phone = desk.accounts.add_app_password(NOW, ALICE, "phone", None).unwrap();
    let phone = String::from_utf8(phone.expose().to_vec()).unwrap();
    assert_eq!(who(&desk.scram(NOW, ALICE, PASSPHRASE).await.1), Some((ALICE, PASSWORD)));
    assert_eq!(who(&desk.scram(NOW, ALICE, &phone).await.1), Some((ALICE, "phone")));
    assert_eq!(desk.scram(NOW, ALICE, "wrong password").await.1, Step::Denied);
    assert_eq!(desk.hashing.compared(), 0, "SCRAM needs no slow hash of ours");
}

#[tokio::test]
async fn scram_shows_the_same_salt_before_an_account_exists_and_after() {
    let desk = desk();
    let bob = "Bob@example.org";
    let (stranger, denied) = desk.scram(NOW, bob, PASSPHRASE).await;
    assert_eq!(denied, Step::Denied);
    assert_eq!(desk.scram(NOW, bob, PASSPHRASE).await.0, stranger, "asked twice");
    assert_ne!(desk.scram(NOW, "carol@example.org", PASSPHRASE).await.0, stranger);
    let new = NewAccount { name: bob, password: Some(secret(PASSPHRASE)), addresses: None };
    desk.accounts.add(NOW, new).unwrap();
    let (known, step) = desk.scram(NOW, bob, PASSPHRASE).await;
    assert_eq!((known, who(&step)), (stranger, Some(("bob@example.org", PASSWORD))));
}

#[tokio::test]
async fn scram_plus_is_bound_to_its_connection() {
    let desk = desk();
    for (servers, clients, is_let_in) in [([7; 32], [7; 32], true), ([7; 32], [8; 32], false)] {
        let client = ScramClient::new(ALICE, secret(PASSPHRASE), "nonce", ClientBinding::Exporter(clients)).unwrap();
        let start = Start {
            client: CLIENT,
            mechanism: Mechanism::ScramSha256Plus,
            initial: Some(Secret::new(client.first())),
            exporter: Some(Box::new(servers)),
            certificate: None,
            offered_plus: true,
        };
        let (mut exchange, step) = desk.authenticator.start(NOW, start).await;
        let Step::Challenge(server_first) = step else { panic!("{step:?}") };
        let (client_final, _) = client.last(&server_first).unwrap();
        let step = exchange.next(NOW, &Secret::new(client_final)).await;
        assert_eq!(matches!(step, Step::Challenge(_)), is_let_in);
    }
}

#[tokio::test]
async fn a_client_that_was_not_shown_plus_though_it_was_offered_is_denied() {
    let desk = desk();
    let client = ScramClient::new(ALICE, secret(PASSPHRASE), "nonce", ClientBinding::NotOffered).unwrap();
    for (offered_plus, is_denied) in [(true, true), (false, false)] {
        let initial = Some(Secret::new(client.first()));
        let start =
            Start { client: CLIENT, mechanism: Mechanism::ScramSha256, initial, exporter: None, offered_plus, certificate: None };
        let (_, step) = desk.authenticator.start(NOW, start).await;
        assert_eq!(step == Step::Denied, is_denied);
    }
}

#[tokio::test]
async fn scram_ends_only_after_the_clients_empty_answer() {
    let desk = desk();
    let client = ScramClient::new(ALICE, secret(PASSPHRASE), "nonce", ClientBinding::Unable).unwrap();
    let (mut exchange, step) = desk.authenticator.start(NOW, begin(Mechanism::ScramSha256, None)).await;
    assert_eq!(step, Step::Challenge(Vec::new()));
    let Step::Challenge(server_first) = exchange.next(NOW, &Secret::new(client.first())).await else { panic!("no challenge") };
    let (client_final, _) = client.last(&server_first).unwrap();
    assert!(matches!(exchange.next(NOW, &Secret::new(client_final)).await, Step::Challenge(_)));
    assert_eq!(exchange.next(NOW, &secret("more")).await, Step::Denied);
    assert_eq!(exchange.next(NOW, &secret("")).await, Step::Denied, "it is over");
}

#[tokio::test]
async fn a_right_password_is_not_yet_a_use_since_its_scope_may_refuse_it() {
    let desk = desk();
    assert!(who(&desk.plain(ALICE, PASSPHRASE).await).is_some());
    desk.accounts.note_used(NOW, "bob@example.org", "password");
    assert_eq!(desk.accounts.find(ALICE).unwrap().credentials[0].last_used, None);
}

/// A hash that says when it has begun and waits until it is let go.
struct Held {
    begun: Mutex<mpsc::SyncSender<()>>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl Hashing for Held {
    fn hash(&self, _: &[u8]) -> String {
        String::new()
    }

    fn matches(&self, _: &[u8], _: &str) -> bool {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).send(()).unwrap();
        self.go.lock().unwrap_or_else(PoisonError::into_inner).recv().is_err()
    }
}

fn held(settings: AuthenticationSettings) -> (Desk, mpsc::Receiver<()>, mpsc::SyncSender<()>) {
    held_guarded(settings, Arc::new(Unguarded))
}

fn held_guarded(settings: AuthenticationSettings, guard: Arc<dyn Guard>) -> (Desk, mpsc::Receiver<()>, mpsc::SyncSender<()>) {
    let desk = desk();
    let (begun, has_begun) = mpsc::sync_channel(9);
    let (let_go, go) = mpsc::sync_channel(9);
    let hashing = Arc::new(Held { begun: Mutex::new(begun), go: Mutex::new(go) });
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let authenticator = Authenticator::new(&store, Arc::clone(&desk.accounts), hashing, guard, settings).unwrap();
    (Desk { authenticator, ..desk }, has_begun, let_go)
}

#[tokio::test]
async fn when_too_many_wait_the_next_is_told_to_come_again() {
    let settings =
        AuthenticationSettings { argon2_concurrency: 1, waiting_max: 1, wait: Duration::from_secs(600), ..Default::default() };
    let (desk, has_begun, let_go) = held(settings);
    let spawn = |user: &'static str| {
        let authenticator = Arc::clone(&desk.authenticator);
        tokio::spawn(async move { plain_at(&authenticator, NOW, user, "some password").await })
    };
    let running = spawn("one@example.org");
    until(|| has_begun.try_recv().is_ok()).await;
    let waiting = spawn("two@example.org");
    until(|| desk.authenticator.turns.waiting() == 1).await;
    assert_eq!(desk.plain("three@example.org", "some password").await, Step::Unavailable(CROWDED));
    let_go.send(()).unwrap();
    let_go.send(()).unwrap();
    assert_eq!((running.await.unwrap(), waiting.await.unwrap()), (Step::Denied, Step::Denied));
    assert_eq!(desk.authenticator.turns.waiting(), 0);
}

#[tokio::test]
async fn who_has_waited_long_enough_is_told_to_come_again() {
    let settings = AuthenticationSettings { argon2_concurrency: 1, wait: Duration::ZERO, ..Default::default() };
    let (desk, has_begun, let_go) = held(settings);
    let authenticator = Arc::clone(&desk.authenticator);
    let running = tokio::spawn(async move { plain_at(&authenticator, NOW, ALICE, "some password").await });
    until(|| has_begun.try_recv().is_ok()).await;
    assert_eq!(desk.plain("two@example.org", "some password").await, Step::Unavailable(CROWDED));
    let_go.send(()).unwrap();
    assert_eq!(running.await.unwrap(), Step::Denied);
}

async fn external(desk: &Desk, certificate: Option<ClientCertificate>, authzid: &str) -> Step {
    let initial = Some(secret(authzid));
    let certificate = certificate.map(Box::new);
    let start =
        Start { client: CLIENT, mechanism: Mechanism::External, initial, exporter: None, offered_plus: false, certificate };
    desk.authenticator.start(NOW, start).await.1
}

#[tokio::test]
async fn a_certificate_is_good_for_the_one_account_it_was_noted_for_or_names() {
    let desk = desk();
    desk.accounts.add(NOW, NewAccount { name: "bob@example.org", password: None, addresses: None }).unwrap();
    let shown = |print: u8, address: Option<&str>| {
        let addresses = address.map(|text| Mailbox::parse(text).unwrap()).into_iter().collect();
        Some(ClientCertificate { fingerprint: [print; 32], addresses, until: later(60), epoch: 3 })
    };
    assert_eq!(external(&desk, None, "").await, Step::Denied);
    assert_eq!(external(&desk, shown(1, None), ALICE).await, Step::Denied);
    assert_eq!(who(&external(&desk, shown(1, Some("Alice@Example.org")), "").await), Some((ALICE, CERTIFICATE)));
    desk.accounts.add_certificate(NOW, ALICE, [1; 32]).unwrap();
    for authzid in ["", ALICE, "ALICE@example.ORG"] {
        assert_eq!(who(&external(&desk, shown(1, None), authzid).await), Some((ALICE, CERTIFICATE)), "{authzid}");
    }
    assert_eq!(external(&desk, shown(1, None), "bob@example.org").await, Step::Denied);
    desk.accounts.add_certificate(NOW, "bob@example.org", [1; 32]).unwrap();
    assert_eq!(external(&desk, shown(1, None), "").await, Step::Denied, "one that is two accounts' must be told which");
    assert_eq!(who(&external(&desk, shown(1, None), ALICE).await), Some((ALICE, CERTIFICATE)));
    desk.accounts.remove("bob@example.org").unwrap();
    assert_eq!(who(&external(&desk, shown(1, None), "").await), Some((ALICE, CERTIFICATE)), "now it is one account's");
    desk.accounts.disable(ALICE).unwrap();
    assert_eq!(external(&desk, shown(1, None), ALICE).await, Step::Denied);
    desk.accounts.enable(NOW, ALICE).unwrap();
    desk.accounts.remove_certificate(ALICE, [1; 32]).unwrap();
    assert_eq!(external(&desk, shown(1, None), ALICE).await, Step::Denied);
}

#[tokio::test]
async fn a_proof_by_certificate_says_which_and_how_and_until_when() {
    let desk = desk();
    let addresses = vec![Mailbox::parse(ALICE).unwrap()];
    let shown = |until| Some(ClientCertificate { fingerprint: [7; 32], addresses: addresses.clone(), until, epoch: 3 });
    for is_noted in [false, true] {
        let Step::Authenticated(who) = external(&desk, shown(later(60)), "").await else { panic!("denied") };
        assert_eq!(who.means(), Some(&Means::Certificate { fingerprint: [7; 32], is_noted, epoch: 3 }));
        assert_eq!((who.until(), who.password()), (Some(later(60)), None));
        assert_eq!(external(&desk, shown(NOW), "").await, Step::Denied, "it has ended since the handshake");
        desk.accounts.add_certificate(NOW, ALICE, [7; 32]).unwrap();
    }
    let Step::Authenticated(who) = desk.plain(ALICE, PASSPHRASE).await else { panic!("denied") };
    assert_eq!((who.password().map(|name| &**name), who.until()), (Some(PASSWORD), None));
}

#[tokio::test]
async fn a_certificate_that_was_disabled_since_nobody_used_it_is_refused_and_the_log_says_why() {
    let desk = desk();
    desk.accounts.add_certificate(NOW, ALICE, [7; 32]).unwrap();
    let day = |days: u64| UnixMillis(NOW.0 + days * 86_400_000);
    let shown = || ClientCertificate {
        fingerprint: [7; 32],
        addresses: vec![Mailbox::parse(ALICE).unwrap()],
        until: day(1000),
        epoch: 0,
    };
    assert!(who(&external(&desk, Some(shown()), "").await).is_some());
    for at in [100, 101] {
        let done = desk.accounts.disable_unused(day(at), Duration::from_secs(86_400), Duration::ZERO).unwrap();
        assert_eq!(done.len(), 2, "its password as well");
    }
    let mut why = None;
    let step = desk.authenticator.verify_certificate(day(102), CLIENT, Some(&shown()), None, &mut why).await;
    assert_eq!(step, Step::Denied);
    assert!(why.unwrap().ends_with("is disabled, since nobody used it"));
}

#[tokio::test]
async fn an_address_in_a_certificate_that_only_folds_into_an_account_is_not_that_account() {
    let desk = desk();
    desk.accounts.add(NOW, NewAccount { name: "kim@example.org", password: None, addresses: None }).unwrap();
    for (name, is_let_in) in [("kim@example.org", true), ("KIM@example.org", true), ("\u{212a}im@example.org", false)] {
        let addresses = vec![Mailbox::parse(name).unwrap()];
        let shown = Some(ClientCertificate { fingerprint: [7; 32], addresses, until: later(60), epoch: 3 });
        assert_eq!(who(&external(&desk, shown, "").await).is_some(), is_let_in, "{name}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_nobodys_is_one_fault_of_its_address_whomever_it_names() {
    let clerk = Clerk::letting_through(2);
    let desk = desk_guarded(AuthenticationSettings::default(), Arc::clone(&clerk) as Arc<dyn Guard>);
    let shown = || Some(ClientCertificate { fingerprint: [7; 32], addresses: Vec::new(), until: later(60), epoch: 3 });
    for authzid in [ALICE, "bob@example.org"] {
        assert_eq!(external(&desk, shown(), authzid).await, Step::Denied);
    }
    assert_eq!(clerk.endings(), [(false, Ending::Wrong); 2]);
    assert_eq!(external(&desk, shown(), ALICE).await, Step::Refused(Unheard::Account));
    desk.accounts.add_certificate(NOW, ALICE, [7; 32]).unwrap();
    assert!(who(&external(&desk, shown(), ALICE).await).is_some(), "whoever has the right one is heard in any case");
}

#[tokio::test]
async fn a_refused_token_is_told_within_the_exchange_and_then_in_plain() {
    let desk = desk();
    let message = b"n,,\x01auth=Bearer a.b.c\x01\x01";
    let (mut exchange, step) = desk.authenticator.start(NOW, begin(Mechanism::OauthBearer, Some(message))).await;
    assert_eq!(step, Step::Challenge(oauthbearer::REFUSED.to_vec()));
    assert!(exchange.is_denied_within());
    assert_eq!(exchange.why(), Some("the token is not good: its header does not read"));
    assert_eq!(exchange.next(NOW, &secret("\u{1}")).await, Step::Denied);
    assert_eq!(exchange.next(NOW, &Secret::new(message.to_vec())).await, Step::Denied, "it is over");
}

#[tokio::test]
async fn no_app_password_takes_the_name_of_a_token_or_a_certificate() {
    let desk = desk();
    for taken in [PASSWORD, TOKEN, CERTIFICATE] {
        assert!(desk.accounts.add_app_password(NOW, ALICE, taken, None).is_err(), "{taken}");
    }
}

/// Refuses what is left after `left` claims, and writes down how they ended.
struct Clerk {
    left: Mutex<u32>,
    endings: Mutex<Vec<(bool, Ending)>>,
}

impl Clerk {
    fn letting_through(left: u32) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(left), endings: Mutex::new(Vec::new()) })
    }

    fn endings(&self) -> Vec<(bool, Ending)> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Guard for Clerk {
    fn before(&self, _: UnixMillis, _: &Guess) -> GuessRuling {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(less) = left.checked_sub(1) else { return GuessRuling::Refuse(Unheard::Account) };
        *left = less;
        GuessRuling::Verify { after: Duration::ZERO }
    }

    fn after(&self, _: UnixMillis, guess: &Guess, ending: Ending) {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner).push((guess.is_familiar, ending));
    }
}

#[tokio::test]
async fn the_guard_is_told_once_how_each_claim_ended_and_a_proven_network_is_familiar() {
    let clerk = Clerk::letting_through(5);
    let settings = AuthenticationSettings { remember_for: Duration::ZERO, ..Default::default() };
    let desk = desk_guarded(settings, Arc::clone(&clerk) as Arc<dyn Guard>);
    assert_eq!(desk.plain(ALICE, "wrong password").await, Step::Denied);
    assert_eq!(desk.plain("nobody@example.org", PASSPHRASE).await, Step::Denied);
    assert!(who(&desk.plain(ALICE, PASSPHRASE).await).is_some());
    desk.authenticator.at_home(NOW, CLIENT, ALICE);
    assert_eq!(desk.scram(NOW, ALICE, "wrong password").await.1, Step::Denied);
    assert!(who(&desk.scram(NOW, ALICE, PASSPHRASE).await.1).is_some());
    let expected =
        [(false, Ending::Wrong), (false, Ending::Wrong), (false, Ending::Right), (true, Ending::Wrong), (true, Ending::Right)];
    assert_eq!(clerk.endings(), expected);
}

#[tokio::test]
async fn what_the_guard_refuses_is_not_verified_by_any_mechanism() {
    let clerk = Clerk::letting_through(0);
    let desk = desk_guarded(AuthenticationSettings::default(), Arc::clone(&clerk) as Arc<dyn Guard>);
    assert_eq!(desk.plain(ALICE, PASSPHRASE).await, Step::Refused(Unheard::Account));
    assert_eq!(desk.scram(NOW, ALICE, PASSPHRASE).await.1, Step::Refused(Unheard::Account));
    assert_eq!((desk.hashing.compared(), clerk.endings()), (0, Vec::new()));
}

#[tokio::test]
async fn a_password_that_is_remembered_is_no_guess() {
    let clerk = Clerk::letting_through(1);
    let desk = desk_guarded(AuthenticationSettings::default(), Arc::clone(&clerk) as Arc<dyn Guard>);
    for _ in 0..3 {
        assert!(who(&desk.plain(ALICE, PASSPHRASE).await).is_some());
    }
    assert_eq!(clerk.endings().len(), 1);
}

#[tokio::test]
async fn a_password_that_is_remembered_in_one_network_is_a_guess_from_any_other() {
    let clerk = Clerk::letting_through(1);
    let desk = desk_guarded(AuthenticationSettings::default(), Arc::clone(&clerk) as Arc<dyn Guard>);
    assert!(who(&desk.plain(ALICE, PASSPHRASE).await).is_some());
    let elsewhere = async |address: &str| {
        let message = plain::encode(ALICE, &secret(PASSPHRASE));
        let start = Start { client: address.parse().unwrap(), ..begin(Mechanism::Plain, Some(message.expose())) };
        desk.authenticator.start(NOW, start).await.1
    };
    assert_eq!(elsewhere("198.51.100.1").await, Step::Refused(Unheard::Account));
    assert!(who(&elsewhere("192.0.2.200").await).is_some(), "beside the owner it is remembered");
}

#[tokio::test]
async fn equal_claims_at_once_are_one_slow_hash_and_share_what_came_of_it() {
    let clerk = Clerk::letting_through(14);
    let settings =
        AuthenticationSettings { argon2_concurrency: 1, waiting_max: 1, remember_for: Duration::ZERO, ..Default::default() };
    for (password, is_right) in [(PASSPHRASE, true), ("some other password", false)] {
        let (desk, has_begun, let_go) = held_guarded(settings.clone(), Arc::clone(&clerk) as Arc<dyn Guard>);
        let spawn = || {
            let authenticator = Arc::clone(&desk.authenticator);
            tokio::spawn(async move { plain_at(&authenticator, NOW, ALICE, password).await })
        };
        let claims: Vec<_> = (0..12).map(|_| spawn()).collect();
        until(|| has_begun.try_recv().is_ok()).await;
        until(|| desk.authenticator.together.waiting() == 11).await;
        // A hash that nobody holds any more says that it fits; one that is let go, that it does not.
        if is_right {
            drop(let_go);
        } else {
            let_go.send(()).unwrap();
        }
        for claim in claims {
            assert_eq!(who(&claim.await.unwrap()).is_some(), is_right);
        }
        assert!(has_begun.try_recv().is_err(), "none was hashed again");
    }
    // One right, then one fault and its repeats.
    assert_eq!(clerk.endings().len(), 1 + 12);
}

#[tokio::test]
async fn when_the_one_that_is_verified_goes_away_an_equal_one_takes_its_place() {
    let settings = AuthenticationSettings { argon2_concurrency: 1, wait: Duration::from_secs(600), ..Default::default() };
    let (desk, has_begun, let_go) = held(settings);
    let spawn = |user: &'static str| {
        let authenticator = Arc::clone(&desk.authenticator);
        tokio::spawn(async move { plain_at(&authenticator, NOW, user, PASSPHRASE).await })
    };
    let running = spawn("one@example.org");
    until(|| has_begun.try_recv().is_ok()).await;
    let first = spawn(ALICE);
    until(|| desk.authenticator.turns.waiting() == 1).await;
    let second = spawn(ALICE);
    until(|| desk.authenticator.together.waiting() == 1).await;
    first.abort();
    until(|| desk.authenticator.together.waiting() == 0 && desk.authenticator.turns.waiting() == 1).await;
    drop(let_go);
    assert_eq!(running.await.unwrap(), Step::Denied);
    assert!(who(&second.await.unwrap()).is_some());
}

#[tokio::test]
async fn a_claim_whose_client_leaves_while_it_waits_is_told_of_as_unverified() {
    let clerk = Clerk::letting_through(2);
    let (desk, has_begun, let_go) = held_guarded(
        AuthenticationSettings { argon2_concurrency: 1, wait: Duration::from_secs(600), ..Default::default() },
        Arc::clone(&clerk) as Arc<dyn Guard>,
    );
    let spawn = |user: &'static str| {
        let authenticator = Arc::clone(&desk.authenticator);
        tokio::spawn(async move { plain_at(&authenticator, NOW, user, "some password").await })
    };
    let running = spawn("one@example.org");
    until(|| has_begun.try_recv().is_ok()).await;
    let waiting = spawn("two@example.org");
    until(|| desk.authenticator.turns.waiting() == 1).await;
    waiting.abort();
    until(|| desk.authenticator.turns.waiting() == 0).await;
    let_go.send(()).unwrap();
    assert_eq!(running.await.unwrap(), Step::Denied);
    assert_eq!(clerk.endings(), [(false, Ending::Unverified), (false, Ending::Wrong)]);
}

/// Takes some tenths of a millisecond, the same for each: less than a slow hash, so that what stands around it shows more.
struct Busy;

impl Hashing for Busy {
    fn hash(&self, password: &[u8]) -> String {
        format!("busy:{}", String::from_utf8_lossy(password))
    }

    fn matches(&self, password: &[u8], hash: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"busy");
        let mut spent = hmac::sign(&key, password);
        for _ in 0..500 {
            spent = hmac::sign(&key, spent.as_ref());
        }
        std::hint::black_box(&spent);
        hash.strip_prefix("busy:").is_some_and(|rest| rest.as_bytes() == password)
    }
}

/// How many standard deviations the rank sum of `a` is from what it would be if both came from one distribution (Mann-Whitney).
fn rank_distance(a: &[Duration], b: &[Duration]) -> f64 {
    let count = |slice: &[Duration]| f64::from(u32::try_from(slice.len()).unwrap());
    let wins = |x: &Duration| {
        b.iter()
            .map(|y| {
                if x > y {
                    1.0
                } else if x == y {
                    0.5
                } else {
                    0.0
                }
            })
            .sum::<f64>()
    };
    let (m, n) = (count(a), count(b));
    let u: f64 = a.iter().map(wins).sum();
    (u - m * n / 2.0) / (m * n * (m + n + 1.0) / 12.0).sqrt()
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "what is measured is time")]
async fn the_time_an_attempt_takes_tells_nobody_whether_there_is_an_account() {
    const ROUNDS: usize = 150;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let accounts = Arc::new(Accounts::open(&store, Arc::new(Busy)).unwrap());
    for name in [ALICE, "off@example.org", "recalled@example.org"] {
        accounts.add(NOW, NewAccount { name, password: Some(secret(PASSPHRASE)), addresses: None }).unwrap();
    }
    accounts.disable("off@example.org").unwrap();
    let settings = AuthenticationSettings::default();
    let authenticator = Authenticator::new(&store, accounts, Arc::new(Busy), Arc::new(Unguarded), settings).unwrap();
    plain_at(&authenticator, NOW, "recalled@example.org", PASSPHRASE).await;
    // The last one is remembered and costs no hash: it shows that a path which skips the hash would be seen.
    let kinds = [
        (ALICE, "wrong password"),
        ("nobody@example.org", "wrong password"),
        ("off@example.org", "wrong password"),
        ("recalled@example.org", PASSPHRASE),
    ];
    let mut times = [const { Vec::new() }; 4];
    let mut chance = 0x5eed_0001_u64;
    for _ in 0..ROUNDS {
        // Each round in an order of its own: what an attempt follows changes how long it takes.
        let mut order = [0, 1, 2, 3];
        for place in (1..order.len()).rev() {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            order.swap(place, usize::try_from(chance >> 8).unwrap() % (place + 1));
        }
        for kind in order {
            let began = std::time::Instant::now();
            plain_at(&authenticator, NOW, kinds[kind].0, kinds[kind].1).await;
            times[kind].push(began.elapsed());
        }
    }
    let [known, unknown, disabled, skipped] = times;
    for (what, other) in [("unknown", &unknown), ("disabled", &disabled)] {
        let distance = rank_distance(&known, other);
        println!("{what}: {distance} standard deviations");
        assert!(distance.abs() < 5.0, "{what}: {distance} standard deviations");
    }
    let distance = rank_distance(&known, &skipped);
    assert!(distance > 10.0, "the measurement sees nothing: {distance}");
}

#[tokio::test]
async fn a_network_is_known_once_somebody_was_let_in_from_there_and_a_right_password_alone_is_not_enough() {
    let desk = desk();
    assert!(matches!(desk.plain(ALICE, PASSPHRASE).await, Step::Authenticated(_)));
    assert!(!desk.authenticator.is_somebodys_home(NOW, CLIENT), "its scope may keep it out");
    desk.authenticator.at_home(NOW, CLIENT, ALICE);
    assert!(desk.authenticator.is_somebodys_home(NOW, CLIENT));
    desk.authenticator.forget_homes("Alice@EXAMPLE.org");
    assert!(!desk.authenticator.is_somebodys_home(NOW, CLIENT));
}
