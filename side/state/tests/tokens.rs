//! Tokens and the keys of their issuer over time: the issuer is a real one, the clock is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is a failed test")]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postern_mail::envelope::UnixMillis;
use postern_mail::fact::Mechanism;
use postern_mail::guess::{Ending, Guess, GuessRuling};
use postern_mail::proof::Means;
use postern_mail::{Domain, Secret};
use postern_state::password::Argon2id;
use postern_state::{
    Accounts, AuthenticationSettings, Authenticator, Guard, Issuers, NewAccount, OidcSettings, Start, Step, Store, TokenClaim,
};
use postern_testkit::issuer::{Mood, TestIssuer, seconds};
use serde_json::json;

const ALICE: &str = "alice@example.org";

/// Lets everything be verified, and writes down what it was told of.
#[derive(Default)]
struct Clerk(Mutex<Vec<(Guess, Ending)>>);

impl Clerk {
    fn told(&self) -> Vec<(Guess, Ending)> {
        self.0.lock().unwrap().clone()
    }
}

impl Guard for Clerk {
    fn before(&self, _: UnixMillis, _: &Guess) -> GuessRuling {
        GuessRuling::Verify { after: Duration::ZERO }
    }

    fn after(&self, _: UnixMillis, guess: &Guess, ending: Ending) {
        self.0.lock().unwrap().push((*guess, ending));
    }
}

struct Desk {
    folder: tempfile::TempDir,
    issuer: TestIssuer,
    authenticator: Arc<Authenticator>,
    clerk: Arc<Clerk>,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = TestIssuer::start(folder.path());
        let store = Store::open(folder.path()).unwrap();
        let hashing = Arc::new(Argon2id::default());
        let accounts = Arc::new(Accounts::open(&store, Arc::clone(&hashing) as Arc<_>).unwrap());
        accounts.add(UnixMillis(0), NewAccount { name: ALICE, password: None, addresses: None }).unwrap();
        let settings = AuthenticationSettings::default();
        let clerk = Arc::new(Clerk::default());
        let guard = Arc::clone(&clerk) as Arc<_>;
        let authenticator = Authenticator::new(&store, accounts, hashing, guard, settings).unwrap();
        let desk = Self { folder, issuer, authenticator, clerk };
        desk.trust(&[]);
        desk
    }

    /// As a start and each reload do.
    fn trust(&self, domains: &[&str]) {
        let settings = OidcSettings {
            issuer: self.issuer.name(),
            audience: "postern".to_owned(),
            claim: TokenClaim::Email,
            domains: domains.iter().map(|domain| Domain::parse(domain).unwrap()).collect(),
            authorities: Some(std::fs::read(self.folder.path().join("issuer-ca.pem")).unwrap()),
        };
        self.authenticator.trust(&Issuers::new(vec![settings]).unwrap());
    }

    fn token(&self) -> String {
        self.issuer.token(ALICE, &json!({ "exp": seconds() + 200_000 }))
    }

    /// How logging in ends, so many seconds from now.
    async fn login(&self, after: u64, token: &str) -> &'static str {
        match self.step(after, "", token).await {
            Step::Authenticated(who) => {
                assert_eq!((&**who.account(), &**who.credential(), who.password()), (ALICE, "token", None));
                "in"
            }
            Step::Challenge(_) | Step::Denied => "denied",
            Step::Refused(_) | Step::Unavailable(_) => "come again",
        }
    }

    /// What is said to it, with this for whom to act.
    async fn step(&self, after: u64, authzid: &str, token: &str) -> Step {
        let now = UnixMillis((seconds() + after) * 1000);
        let initial = Some(Secret::new(format!("n,{authzid},\x01auth=Bearer {token}\x01\x01").into_bytes()));
        let start = Start {
            client: Ipv4Addr::LOCALHOST.into(),
            mechanism: Mechanism::OauthBearer,
            initial,
            exporter: None,
            offered_plus: false,
            certificate: None,
        };
        self.authenticator.start(now, start).await.1
    }
}

#[tokio::test]
async fn a_key_that_was_turned_over_is_fetched_a_minute_later_and_the_old_one_is_forgotten() {
    let desk = Desk::new();
    let old = desk.token();
    assert_eq!(desk.login(0, &old).await, "in");
    desk.issuer.turn_key(1);
    let new = desk.token();
    assert_eq!(desk.login(30, &new).await, "come again", "nobody has asked for it since it is new");
    assert_eq!(desk.login(61, &new).await, "in");
    assert_eq!(desk.login(62, &old).await, "come again");
    assert_eq!(desk.login(122, &old).await, "denied", "it was asked just now, and has it no more");
}

#[tokio::test]
async fn while_the_issuer_is_away_its_last_keys_are_used_for_a_day_also_after_a_reload() {
    let desk = Desk::new();
    let old = desk.token();
    assert_eq!(desk.login(0, &old).await, "in");
    desk.issuer.feel(Mood::Away);
    desk.trust(&[]);
    assert_eq!(desk.login(7200, &old).await, "in");
    desk.issuer.turn_key(1);
    let new = desk.token();
    assert_eq!(desk.login(7300, &new).await, "come again", "nobody knows whether it is good");
    assert_eq!(desk.login(90_000, &old).await, "come again");
    desk.issuer.feel(Mood::Well);
    assert_eq!(desk.login(90_100, &new).await, "in");
}

#[tokio::test]
async fn many_tokens_at_once_ask_the_issuer_once() {
    let desk = Desk::new();
    let token = desk.token();
    let (one, two, three, four) =
        tokio::join!(desk.login(0, &token), desk.login(0, &token), desk.login(0, &token), desk.login(0, &token));
    assert_eq!([one, two, three, four], ["in"; 4]);
    assert_eq!(desk.issuer.asked(), 2, "one for each document");
}

#[tokio::test]
async fn an_issuer_that_is_trusted_no_longer_lets_nobody_in() {
    let desk = Desk::new();
    let token = desk.token();
    assert_eq!(desk.login(0, &token).await, "in");
    desk.authenticator.trust(&Issuers::default());
    assert_eq!(desk.login(0, &token).await, "denied");
}

#[tokio::test]
async fn a_forged_token_is_a_fault_of_its_address_and_of_no_account_and_an_expired_one_of_nobody() {
    let desk = Desk::new();
    let good = desk.token();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.AAAA");
    for authzid in ["", "a=alice@example.org", "a=bob@example.org"] {
        assert!(matches!(desk.step(0, authzid, &forged).await, Step::Challenge(_)));
    }
    let told = desk.clerk.told();
    assert_eq!(told.len(), 3);
    for (guess, ending) in &told {
        assert_eq!((guess, *ending), (&told[0].0, Ending::Wrong), "whom it names makes no difference, and it is the same fault");
        assert!(!guess.is_familiar && guess.password.is_some());
    }
    for unfit in [json!({ "exp": seconds() - 60 }), json!({ "aud": "other" }), json!({ "email": "bob@example.org" })] {
        assert_eq!(desk.login(0, &desk.issuer.token(ALICE, &unfit)).await, "denied", "{unfit}");
    }
    assert_eq!(desk.login(0, &good).await, "in");
    assert_eq!(desk.clerk.told().len(), 3, "a signature is no guess");
}

#[tokio::test]
async fn an_issuer_names_only_accounts_of_the_domains_it_is_believed_for() {
    let desk = Desk::new();
    desk.trust(&["elsewhere.example"]);
    let token = desk.token();
    assert_eq!(desk.login(0, &token).await, "denied");
    assert!(!desk.authenticator.trusts(&desk.issuer.name(), ALICE));
    desk.trust(&["elsewhere.example", "example.org"]);
    assert_eq!(desk.login(0, &token).await, "in");
    assert!(desk.authenticator.trusts(&desk.issuer.name(), ALICE) && !desk.authenticator.trusts("https://id.example", ALICE));
}

#[tokio::test]
async fn a_proof_by_token_says_whose_it_is_and_when_it_ends() {
    let desk = Desk::new();
    let end = seconds() + 60;
    let Step::Authenticated(who) = desk.step(0, "", &desk.issuer.token(ALICE, &json!({ "exp": end }))).await else {
        panic!("denied")
    };
    assert_eq!(who.means(), Some(&Means::Token { issuer: desk.issuer.name().into() }));
    assert_eq!(who.until(), Some(UnixMillis((end + 30) * 1000)));
}

#[tokio::test]
async fn while_one_waits_for_a_silent_issuer_the_others_go_on_with_the_keys_that_are_known() {
    let desk = Arc::new(Desk::new());
    let token = desk.token();
    assert_eq!(desk.login(0, &token).await, "in");
    desk.issuer.feel(Mood::Silent);
    let asked = desk.issuer.asked();
    let (waits, its_token) = (Arc::clone(&desk), token.clone());
    let waiting = tokio::spawn(async move { waits.login(7200, &its_token).await });
    while desk.issuer.asked() == asked {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.login(7200, &token).await, "in");
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn an_issuer_that_is_taken_out_while_it_is_asked_lets_nobody_in() {
    let desk = Arc::new(Desk::new());
    let token = desk.token();
    desk.issuer.feel(Mood::Silent);
    let waits = Arc::clone(&desk);
    let waiting = tokio::spawn(async move { waits.login(0, &token).await });
    while desk.issuer.asked() == 0 {
        tokio::task::yield_now().await;
    }
    desk.authenticator.trust(&Issuers::default());
    desk.issuer.feel(Mood::Well);
    assert_eq!(waiting.await.unwrap(), "denied");
}
