//! The joined server without sockets: a spool, accounts and a history in a folder of their own, and the scheduler's orders to look at.

use std::path::Path;

use postern_config::{Config, Machine};
use postern_listener::{Conversations as _, Host as _};
use postern_mail::attempt::{Attempt, Destination, LaneId};
use postern_mail::envelope::DsnRequest;
use postern_mail::fact::{Answer, ClientFacts, Question};
use postern_mail::outcome::Evidence;
use postern_mail::proof::{Authenticated, Means};
use postern_mail::{Domain, Mailbox, Outcome, Recipient, Reply, ReversePath, Scope, Secret, Status};
use postern_outcome::{DelayNotice, Ended, Reach, reports_due};
use postern_scheduler::{Disposition, Notice, NoticeKind};
use postern_spool::{RealDisk, RecipientState, Spool};
use postern_state::password::Argon2id;
use postern_state::{AuthenticationSettings, BanRows, HistorySettings, NewAccount, ReportRows, Store};
use tempfile::TempDir;

use super::*;
use crate::certs;
use crate::offline::Source;

/// A server, and what it says to its scheduler.
pub(crate) struct Town {
    pub(crate) server: Arc<Server>,
    pub(crate) orders: mpsc::Receiver<Order>,
    folder: TempDir,
}

pub(crate) fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

/// Octets that are free on every disk, and octets that are free on none.
const LITTLE: &str = "1MiB";
const MORE_THAN_THERE_IS: &str = "1024TiB";

impl Town {
    pub(crate) fn new(toml: &str) -> Self {
        Self::open(tempfile::tempdir().unwrap(), toml, LITTLE)
    }

    fn open(folder: TempDir, toml: &str, free_space_min: &str) -> Self {
        let toml = &format!("spool.free_space_min = \"{free_space_min}\"\n{toml}");
        let config = Self::config(folder.path(), toml);
        let (spool, _) = Spool::open(live::spool(&config), Arc::new(RealDisk), &mut |_| {}).unwrap();
        let store = Store::open(folder.path()).unwrap();
        let hashing = Arc::new(Argon2id::default());
        let accounts = Arc::new(Accounts::open(&store, Arc::clone(&hashing) as Arc<_>).unwrap());
        let auth_guard = Arc::new(auth_guard::AuthGuard::new(&config));
        let guard = Arc::clone(&auth_guard) as Arc<_>;
        let settings = AuthenticationSettings::default();
        let authenticator = Authenticator::new(&store, Arc::clone(&accounts), hashing, guard, settings).unwrap();
        let quotas = Quotas::open(&store).unwrap();
        let history = History::start(&store, &HistorySettings::default(), |_| {}).unwrap();
        let bans = Arc::new(bans::Keeper::open(Box::new(BanRows::of(&store)), &config, &[]).unwrap());
        let certificate = certs::self_signed(folder.path(), "mx.here.test").unwrap().load().unwrap();
        let certificate = Arc::new(CertificateSlot::new(certificate));
        let oldest = postern_listener::OldestVersion::Tls12;
        let plain = postern_listener::server_config(Arc::clone(&certificate), oldest).unwrap();
        let tls = login::TlsByKind::new(&config, plain, Arc::clone(&certificate), oldest).unwrap();
        let (dispatcher, orders) = mpsc::channel(64);
        let server = Arc::new(Server {
            live: ArcSwap::from_pointee(Live::new(config, Vec::new()).unwrap()),
            spool,
            accounts,
            authenticator,
            lists: Arc::new(Lists::open(&store).unwrap()),
            auth_guard,
            dnsbl: dnsbl::Keeper::new(&Self::config(folder.path(), toml)).unwrap(),
            bans,
            quotas,
            signing: crate::wire::signing::Keeper::new(folder.path().to_path_buf()),
            reports: reports::Reporting::open(ReportRows::of(&store), &Self::config(folder.path(), toml)).unwrap().0,
            sts: sts::Policies::open(ReportRows::of_tls(&store), &Self::config(folder.path(), toml)).unwrap(),
            tls_reports: tls_reports::TlsReports::open(ReportRows::of_tls(&store)).unwrap(),
            greylist: greylist::Keeper::open(&store).unwrap(),
            returns: Arc::new(postern_state::Returns::open(&store).unwrap()),
            suppression: suppression::Keeper::open(&store).unwrap(),
            guard: guard::Keeper::open(&store).unwrap(),
            history,
            session_ids: SessionIds::default(),
            audit: Arc::new(Audit::open(folder.path(), clock(), postern_state::audit::Keep::default()).unwrap()),
            dispatcher,
            maildirs: Maildirs::new("mx.here.test", 1),
            tls,
            certificate,
            ceiling: Ceiling::new(live::ceiling(&Self::config(folder.path(), toml), 1024)),
            strangers: strangers::Strangers::new(&Self::config(folder.path(), toml)),
            metrics: Metrics::default(),
            progress_locks: progress_locks(),
            confinement: Confinement::none(),
            open_files_max: 1024,
            began: now(),
            listeners: vec![(ListenerKind::Mx, "127.0.0.1:25".parse().unwrap())],
        });
        Self { server, orders, folder }
    }

    fn config(folder: &Path, toml: &str) -> Config {
        postern_config::load(&Self::text(folder, toml), "f", &Machine::named("mx.here.test"))
            .unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    fn text(folder: &Path, toml: &str) -> String {
        format!("server.hostname = \"mx.here.test\"\nserver.data_dir = \"{}\"\n{toml}", folder.display())
    }

    /// Changes the configuration file and takes it up.
    pub(crate) async fn reload(&self, toml: &str) -> Result<(), String> {
        let file = self.folder.path().join("postern.toml");
        std::fs::write(&file, Self::text(self.folder.path(), toml)).unwrap();
        let folder = self.folder.path().to_path_buf();
        let reloader = reload::Reloader::new(Source::File(file), Arc::clone(&self.server), Vec::new(), folder);
        reloader.reload().await.map(drop)
    }

    /// Where everything of it is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A message in the spool.
    async fn stored(&self, from: &str, recipients: Vec<Recipient>) -> (MessageId, Envelope) {
        store(&self.server.spool, from, recipients).await
    }

    /// Everybody in the queue a message other than `id` goes to.
    async fn others(&self, id: MessageId) -> Vec<String> {
        let mut to = Vec::new();
        for other in self.server.spool.ids().into_iter().filter(|other| *other != id) {
            let (envelope, _, _) = self.server.spool.load_envelope(other).await.unwrap();
            assert_eq!(envelope.from, ReversePath::Null);
            to.extend(envelope.recipients.iter().map(|recipient| recipient.address().to_string()));
        }
        to
    }
}

async fn store(spool: &Spool, from: &str, recipients: Vec<Recipient>) -> (MessageId, Envelope) {
    let from = if from.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(from)) };
    let envelope = Envelope { received: clock(), ..Envelope::plain(from, recipients) };
    let mut writer = spool.begin().unwrap();
    writer.write(b"Subject: x\r\n\r\nx\r\n").await.unwrap();
    let id = writer.commit(&envelope).await.unwrap().id();
    (id, envelope)
}

#[expect(clippy::disallowed_methods, reason = "a server has begun at some time")]
fn now() -> Instant {
    Instant::now()
}

fn recipient(address: &str) -> Recipient {
    Recipient::restored_from_spool(mailbox(address), true, DsnRequest::default())
}

fn bounced() -> Outcome {
    let evidence = Evidence { by: "mx.there.test".into(), text: "550 no".into() };
    Outcome::Bounced { scope: Scope::Recipient, status: Status::new(5, 1, 1), evidence }
}

const HERE: &str = "[[domain]]\nname = \"here.test\"\nrecipients = [\"alice\", \"bob\"]\naliases = { info = [\"alice@here.test\", \"bob@here.test\"] }\n";

async fn report_about(town: &Town, from: &str) -> Vec<String> {
    let (id, _) = town.stored(from, vec![recipient("x@there.test")]).await;
    let stored = town.server.spool.load(id).await.unwrap();
    let outcome = bounced();
    let ended = [Ended { recipient: &stored.envelope.recipients[0], outcome: &outcome, reach: Reach::NextHop }];
    let due = reports_due(&stored.envelope, &ended, DelayNotice::NotDue).unwrap();
    let live = town.server.live.load_full();
    report::send(&town.server, &live, id, &stored, &due).await.unwrap();
    town.others(id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_right_and_ended_while_it_was_verified_is_refused_at_the_log_in() {
    let town = Town::new(HERE);
    let name = "alice@here.test";
    let password = Secret::new(b"a plain sentence".to_vec());
    town.server.accounts.add(clock(), NewAccount { name, password: Some(password), addresses: None }).unwrap();
    let client = ClientFacts { address: [127, 0, 0, 1].into(), port: 40_000, listener: ListenerKind::Submission };
    let account = town.server.accounts.find(name).unwrap();
    let means = Means::Password { mark: account.credential("password").unwrap().mark() };
    let who = Authenticated::mint_after_verification(name.into(), "password".into()).by(means, None);
    assert_eq!(scope::login_refused(&town.server, &client, &who), None);
    town.server.accounts.disable(name).unwrap();
    let (reply, because) = scope::login_refused(&town.server, &client, &who).unwrap();
    assert_eq!(
        (reply, &*because),
        (Reply::authentication_failed(), "the credential password is right, but the account is disabled")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_to_a_sender_nobody_here_has_makes_no_mailbox() {
    let town = Town::new(HERE);
    assert_eq!(report_about(&town, "made-up-by-a-stranger@here.test").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_to_an_alias_goes_to_whom_the_alias_names() {
    let town = Town::new(HERE);
    assert_eq!(report_about(&town, "Info@here.test").await, ["alice@here.test", "bob@here.test"]);
    let town = Town::new(HERE);
    assert_eq!(report_about(&town, "Alice+shop@here.test").await, ["alice@here.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_account_owns_no_addresses_any_more() {
    let town = Town::new(HERE);
    let accounts = &town.server.accounts;
    accounts.add(clock(), NewAccount { name: "alice@here.test", password: None, addresses: None }).unwrap();
    let may_send = || match town.server.owned_addresses("alice@here.test") {
        Fact::Known(owned) => owned.contains(&mailbox("alice@here.test")),
        Fact::Unavailable(outage) => panic!("{outage}"),
    };
    assert!(may_send());
    accounts.disable("alice@here.test").unwrap();
    assert!(!may_send(), "a session that logged in before must not go on sending");
}

/// A message for Alice and Bob, and Bob's mailbox can never be made; the disk is full.
async fn with_a_full_disk() -> (Town, Attempt) {
    let folder = tempfile::tempdir().unwrap();
    let config = Town::config(folder.path(), HERE);
    let (spool, _) = Spool::open(live::spool(&config), Arc::new(RealDisk), &mut |_| {}).unwrap();
    let (id, envelope) = store(&spool, "sender@there.test", vec![recipient("alice@here.test"), recipient("bob@here.test")]).await;
    spool.close();
    std::fs::create_dir_all(folder.path().join("mail/here.test")).unwrap();
    std::fs::write(folder.path().join("mail/here.test/bob"), "").unwrap();
    let destination = Destination::Hosted(Domain::parse("here.test").unwrap());
    let attempt = Attempt { id, lane: LaneId(1), destination, received: envelope.received, number: 1 };
    (Town::open(folder, HERE, MORE_THAN_THERE_IS), attempt)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_message_does_not_get_it_again_because_a_report_about_others_cannot_be_stored() {
    let (mut town, attempt) = with_a_full_disk().await;
    let id = attempt.id;
    let delivering = tokio::spawn(deliver::attempt(Arc::clone(&town.server), attempt));
    // The time for trying is over, so Bob's deferral is a failure that the sender must be told of.
    let Some(Order::Finished { answer, report, .. }) = town.orders.recv().await else { panic!("no end of the attempt") };
    assert!(report.deferred);
    answer.send(Disposition::Expired).unwrap();
    let Some(Order::Insert(tickets)) = town.orders.recv().await else { panic!("it is not taken up again") };
    assert_eq!((tickets.len(), tickets[0].id), (1, id));
    delivering.await.unwrap();
    let (_, progress, _) = town.server.spool.load_envelope(id).await.unwrap();
    let states: Vec<_> = progress.recipients.iter().map(|recipient| recipient.state).collect();
    assert_eq!(states, [RecipientState::Delivered, RecipientState::Open]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_panics_is_given_back_and_its_message_tried_again() {
    for (disposition, taken_up_again) in [(Disposition::Done, false), (Disposition::Unknown, true), (Disposition::Expired, true)]
    {
        let mut town = Town::new(HERE);
        let (id, envelope) = town.stored("sender@there.test", vec![recipient("alice@here.test")]).await;
        let destination = Destination::Hosted(Domain::parse("here.test").unwrap());
        let attempt = Attempt { id, lane: LaneId(1), destination, received: envelope.received, number: 1 };
        let work = async { panic!("on purpose") };
        let failed = tokio::spawn(deliver::guarded(Arc::clone(&town.server), attempt, work)).await;
        assert!(failed.unwrap_err().is_panic());
        let Some(Order::Finished { attempt, answer, report }) = town.orders.recv().await else { panic!("it is not given back") };
        assert!(attempt.id == id && report.deferred && report.trouble.is_none());
        answer.send(disposition).unwrap();
        if taken_up_again {
            let Some(Order::Insert(tickets)) = town.orders.recv().await else { panic!("it is not taken up again") };
            assert_eq!((tickets.len(), tickets[0].id), (1, id));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_grew_too_old_while_its_report_cannot_be_stored_is_taken_up_again() {
    let (mut town, attempt) = with_a_full_disk().await;
    let Attempt { id, lane, destination, received, number } = attempt;
    let notice = Notice { id, lane, destination, received, attempts: number, kind: NoticeKind::Expired };
    deliver::notice(Arc::clone(&town.server), notice).await;
    let Some(Order::Insert(tickets)) = town.orders.recv().await else { panic!("it is not taken up again") };
    assert_eq!((tickets.len(), tickets[0].id), (1, id));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_refused_at_the_door_when_the_queue_is_full() {
    let town = Town::new(&format!("spool.messages_max = 1\n{HERE}"));
    let client = ClientFacts { address: "192.0.2.1".parse().unwrap(), port: 1, listener: ListenerKind::Mx };
    let gate = inbound::Gate(Arc::clone(&town.server));
    let ask = async || {
        let (_, mut inbound) = gate.begin(&client);
        let from = ReversePath::Mailbox(mailbox("a@there.test"));
        inbound.ask(Question::Sender { from, who: None, size: None }).await
    };
    assert!(matches!(ask().await, Answer::Pass));
    town.stored("a@there.test", vec![recipient("alice@here.test")]).await;
    let answer = ask().await;
    assert!(matches!(&answer, Answer::Refuse(reply) if reply.code.0 == 452), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_could_not_be_committed_leaves_nothing_of_the_quota_reserved() {
    let town = Town::new("server.relay_networks = [\"192.0.2.0/24\"]\noutbound.messages_per_hour = 1");
    let client = ClientFacts { address: "192.0.2.1".parse().unwrap(), port: 1, listener: ListenerKind::Mx };
    let gate = inbound::Gate(Arc::clone(&town.server));
    let (_, mut holder) = gate.begin(&client);
    let (_, mut other) = gate.begin(&client);
    let from = ReversePath::Mailbox(mailbox("a@there.test"));
    let mail = || Question::Sender { from: from.clone(), who: None, size: None };
    assert!(matches!(holder.ask(mail()).await, Answer::Pass));
    assert!(matches!(other.ask(mail()).await, Answer::Refuse(_)), "the one message of this hour is under way");
    assert!(holder.commit().await.is_err(), "it never came");
    assert!(matches!(other.ask(mail()).await, Answer::Pass));
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_mail_follows_a_route_that_a_reload_moves() {
    let route = |to: &str, port: u16| format!("[[route]]\nto = [{to}]\nhost = \"192.0.2.9\"\nport = {port}\n");
    let mut town = Town::new(&route("\"a.test\", \"b.test\"", 1));
    let (id, _) = town.stored("x@there.test", vec![recipient("x@a.test"), recipient("x@b.test")]).await;
    let moved = route("\"a.test\"", 1) + &route("\"b.test\"", 2);
    town.reload(&moved).await.unwrap();
    // One ticket is in the lane of port 1; without another, nobody would ever try what is for b.test.
    let tickets = loop {
        match town.orders.recv().await {
            Some(Order::Insert(tickets)) => break tickets,
            Some(_) => {}
            None => panic!("no ticket"),
        }
    };
    let found: Vec<_> = tickets.iter().map(|ticket| (ticket.id, ticket.destination.to_string())).collect();
    assert_eq!(found, [(id, "route:192.0.2.9:2".to_owned())]);
}
