//! What most stories begin with.

pub(crate) use postern_testkit::client::{Reply, SmtpClient, message};
pub(crate) use postern_testkit::peers::{Postern, Setup};
pub(crate) use postern_testkit::require;
pub(crate) use postern_testkit::sink::{Behaviour, Say, Sink};
pub(crate) use postern_testkit::wait::{LONG, until};

/// Somebody we know nothing of.
pub(crate) const STRANGER: &str = "stranger@there.test";
/// Somebody of ours.
pub(crate) const ALICE: &str = "alice@here.test";
/// Another one.
pub(crate) const BOB: &str = "bob@here.test";
/// The password of every account.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Starts the server with an account for Alice.
pub(crate) fn with_alice(setup: Setup) -> Postern {
    let mut postern = setup.prepare();
    postern.account(ALICE, PASSWORD);
    postern.start();
    postern
}

/// A stranger hands a message in, and it is taken.
pub(crate) fn from_stranger(postern: &Postern, to: &str, subject: &str) {
    let mut client = postern.stranger();
    let reply = client.mail(STRANGER, &[to], &message(STRANGER, to, subject));
    assert_eq!(reply.code, 250, "{reply:?}\n{}", postern.log());
    client.expect("QUIT", 221);
}

/// Alice's connection, logged in.
pub(crate) fn alice(postern: &Postern) -> SmtpClient {
    SmtpClient::logged_in(postern.submission(), ALICE, PASSWORD)
}

/// Alice hands a message in, and it is taken.
pub(crate) fn from_alice(postern: &Postern, to: &str, subject: &str) {
    let mut client = alice(postern);
    let reply = client.mail(ALICE, &[to], &message(ALICE, to, subject));
    assert_eq!(reply.code, 250, "{reply:?}\n{}", postern.log());
    client.expect("QUIT", 221);
}

/// The id in `queued as ID`.
pub(crate) fn queued_as(reply: &Reply) -> String {
    assert_eq!(reply.code, 250, "{reply:?}");
    let text = reply.text();
    text.rsplit_once("queued as ").expect("an id").1.trim().to_owned()
}
