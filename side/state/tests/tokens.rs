//! Tokens and the keys of their issuer over time: the issuer is a real one, the clock is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is a failed test")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use postern_mail::Secret;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::Mechanism;
use postern_mail::guess::{Ending, Guess, GuessRuling};
use postern_state::password::Argon2id;
use postern_state::{
    Accounts, AuthenticationSettings, Authenticator, Guard, Issuers, NewAccount, OidcSettings, Start, Step, Store, TokenClaim,
};
use postern_testkit::issuer::{Mood, TestIssuer, seconds};
use serde_json::json;

const ALICE: &str = "alice@example.org";

/// Lets everything be verified.
struct Unguarded;

impl Guard for Unguarded {
    fn before(&self, _: UnixMillis, _: &Guess) -> GuessRuling {
        GuessRuling::Verify { after: Duration::ZERO }
    }

    fn after(&self, _: UnixMillis, _: &Guess, _: Ending) {}
}

struct Desk {
    folder: tempfile::TempDir,
    issuer: TestIssuer,
    authenticator: Arc<Authenticator>,
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
        let authenticator = Authenticator::new(&store, accounts, hashing, Arc::new(Unguarded), settings).unwrap();
        let desk = Self { folder, issuer, authenticator };
        desk.trust();
        desk
    }

    /// As a start and each reload do.
    fn trust(&self) {
        let settings = OidcSettings {
            issuer: self.issuer.name(),
            audience: "postern".to_owned(),
            claim: TokenClaim::Email,
            authorities: Some(std::fs::read(self.folder.path().join("issuer-ca.pem")).unwrap()),
        };
        self.authenticator.trust(&Issuers::new(vec![settings]).unwrap());
    }

    fn token(&self) -> String {
        self.issuer.token(ALICE, &json!({ "exp": seconds() + 200_000 }))
    }

    /// How logging in ends, so many seconds from now.
    async fn login(&self, after: u64, token: &str) -> &'static str {
        let now = UnixMillis((seconds() + after) * 1000);
        let initial = Some(Secret::new(format!("n,,\x01auth=Bearer {token}\x01\x01").into_bytes()));
        let start = Start {
            client: Ipv4Addr::LOCALHOST.into(),
            mechanism: Mechanism::OauthBearer,
            initial,
            exporter: None,
            offered_plus: false,
            certificate: None,
        };
        match self.authenticator.start(now, start).await.1 {
            Step::Authenticated(who) => {
                assert_eq!((&**who.account(), &**who.credential()), (ALICE, "token"));
                "in"
            }
            Step::Challenge(_) | Step::Denied => "denied",
            Step::Refused(_) | Step::Unavailable => "come again",
        }
    }
}

#[tokio::test]
async fn a_key_that_was_turned_over_is_fetched_a_minute_later_and_the_old_one_is_forgotten() {
    let desk = Desk::new();
    let old = desk.token();
    assert_eq!(desk.login(0, &old).await, "in");
    desk.issuer.turn_key(1);
    let new = desk.token();
    assert_eq!(desk.login(30, &new).await, "denied");
    assert_eq!(desk.login(61, &new).await, "in");
    assert_eq!(desk.login(62, &old).await, "denied");
}

#[tokio::test]
async fn while_the_issuer_is_away_its_last_keys_are_used_for_a_day_also_after_a_reload() {
    let desk = Desk::new();
    let old = desk.token();
    assert_eq!(desk.login(0, &old).await, "in");
    desk.issuer.feel(Mood::Away);
    desk.trust();
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
