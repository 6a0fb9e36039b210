//! A milter in a script that changes recipients, in front of a server without sockets.

use postern_listener::Host as _;
use postern_mail::fact::Question;
use postern_mail::scope::Addresses;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::wire::filters::tests::{hand_in, session};
use crate::wire::tests::Town;

const HERE: &str = "server.relay_networks = [\"192.0.2.0/24\"]\n[[domain]]\nname = \"here.test\"\nrecipients = [\"alice\", \"bob\"]\n\
                    aliases = { info = [\"alice@here.test\", \"bob@here.test\"] }\n";

/// A milter for one message: whom it was told of. It wants `+<added>` and `-<removed>`.
async fn milter(listener: &TcpListener, wants: &[&str]) -> Vec<String> {
    // Adds and removes recipients; hears of recipients and the end only, and answers to the end only.
    let negotiated = [b"O".as_slice(), &6_u32.to_be_bytes(), &0xc_u32.to_be_bytes(), &0x8277_u32.to_be_bytes()].concat();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut told = Vec::new();
    loop {
        let mut packet = vec![0; stream.read_u32().await.unwrap() as usize];
        stream.read_exact(&mut packet).await.unwrap();
        let answers = match packet[0] {
            b'O' => vec![negotiated.clone()],
            b'R' => {
                told.push(String::from_utf8_lossy(&packet[1..]).trim_matches(['<', '>', '\0']).to_owned());
                continue;
            }
            b'E' => wants.iter().map(|one| format!("{one}\0").into_bytes()).chain([b"a".to_vec()]).collect(),
            b'Q' => return told,
            _ => continue,
        };
        for answer in answers {
            stream.write_u32(u32::try_from(answer.len()).unwrap()).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        }
    }
}

struct Scene {
    town: Town,
    listener: TcpListener,
}

impl Scene {
    async fn new(toml: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { town: Town::new(&format!("{toml}[[policy.milter]]\naddress = \"{address}\"\n")), listener }
    }

    /// Whom the filter was told of, and whom the message goes to.
    async fn message(&self, to: &[&str], wants: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut inbound = session(&self.town);
        hand_in(&mut inbound, to, b"Subject: x\r\n\r\nx\r\n").await;
        let (_, told) = tokio::join!(inbound.ask(Question::Message), milter(&self.listener, wants));
        let id = inbound.commit().await.unwrap().id();
        let (envelope, _, _) = self.town.server.spool.load_envelope(id).await.unwrap();
        (told, envelope.recipients.iter().map(|to| to.address().to_string()).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_told_who_was_named_and_what_they_want_is_about_those() {
    let scene = Scene::new(HERE).await;
    let (told, left) = scene.message(&["info@here.test", "bob@here.test"], &[]).await;
    assert_eq!(told, ["info@here.test", "bob@here.test"]);
    assert_eq!(left, ["alice@here.test", "bob@here.test"]);
    let (_, left) = scene.message(&["info@here.test", "bob@here.test"], &["-<info@here.test>"]).await;
    assert_eq!(left, ["bob@here.test"], "who was named as well stays");
    let (_, left) = scene.message(&["info@here.test"], &["-<alice@here.test>"]).await;
    assert_eq!(left, ["alice@here.test", "bob@here.test"], "nobody of that name was named");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_reached_by_an_added_alias_as_well_gets_the_message_once() {
    let scene = Scene::new(HERE).await;
    let (_, left) = scene.message(&["alice@here.test"], &["+<info@here.test>", "+<INFO@here.test>"]).await;
    assert_eq!(left, ["alice@here.test", "bob@here.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_adds_to_the_mail_of_an_account_is_counted_and_ends_with_its_quota() {
    let scene = Scene::new(&format!("outbound.recipients_per_day = 4\n{HERE}")).await;
    let used = || scene.town.server.quotas.used(crate::wire::clock(), "network:192.0.2.0/24")[3];
    let (_, left) = scene.message(&["x@there.test"], &["+<y@there.test>"]).await;
    assert_eq!((left.len(), used()), (2, 2));
    let (_, left) = scene.message(&["x@there.test"], &["+<y@there.test>", "+<z@there.test>", "-<x@there.test>"]).await;
    assert_eq!(left, ["y@there.test"], "there was room for one more");
    assert_eq!(used(), 3, "who was taken out is not counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_outside_the_scope_of_an_account_is_not_added_to_its_mail() {
    let scene = Scene::new(HERE).await;
    let accounts = &scene.town.server.accounts;
    let only_there = |scope: &mut postern_mail::scope::AccountScope| {
        scope.recipients = Addresses::parse("there.test").map(|there| vec![there]);
        Ok(())
    };
    accounts.set_scope("network:192.0.2.0/24", None, only_there).unwrap();
    let (_, left) = scene.message(&["x@there.test"], &["+<y@elsewhere.test>", "+<y@there.test>"]).await;
    assert_eq!(left, ["x@there.test", "y@there.test"]);
}

#[test]
fn a_message_without_recipients_is_held_by_the_last_that_had_nothing_against_it() {
    let one = |word, observed| FilterSaid { filter: "f".into(), word, words: String::new(), observed };
    let mut said = [one(FilterWord::Pass, false), one(FilterWord::Pass, true)];
    hold(&mut said);
    assert_eq!((&said[0].word, &said[1].word), (&FilterWord::Hold, &FilterWord::Pass));
}

#[test]
fn what_a_filter_removes_and_is_no_recipient_is_told() {
    let mut envelope = Envelope::plain(ReversePath::Null, Vec::new());
    let mut recipients = Recipients { envelope: &mut envelope, named: &mut None, reservation: None };
    assert_eq!(recipients.remove("<no address>"), Err("that is no address"));
    assert_eq!(recipients.remove("<member@here.test>"), Err("that the client has not named"));
}
