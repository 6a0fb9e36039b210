//! The `given` lines of a transcript: what is true around the session.

use std::collections::HashMap;
use std::time::Duration;

use postern_mail::client::ListenerKind;
use postern_mail::fact::Mechanism;
use postern_mail::proof::Authenticated;
use postern_mail::{Domain, Outage, Reply};

use crate::{Hurry, SessionSettings};

/// What the answerer says.
#[derive(Clone, Debug)]
pub(super) enum Say {
    Pass,
    Relay,
    Refuse(Reply),
    Hangup(Reply),
    Challenge(Vec<u8>),
    Authenticated(Authenticated),
    Denied,
}

/// What is true around the session.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) listener: ListenerKind,
    pub(super) settings: SessionSettings,
    /// TLS is on before anything is said.
    pub(super) tls: bool,
    pub(super) exporter: bool,
    pub(super) handshake_stalls: bool,
    pub(super) connect: Option<Say>,
    pub(super) hello: HashMap<String, Say>,
    pub(super) senders: HashMap<String, Say>,
    /// Who is not named is unknown.
    pub(super) recipients: HashMap<String, Say>,
    pub(super) message: Option<Say>,
    pub(super) commit_fails: Option<Outage>,
    /// One for each step of AUTH.
    pub(super) auth: Vec<Say>,
    /// What is said when an exchange is given up.
    pub(super) abort: Option<Say>,
    /// Said before the transcript begins; their replies are not shown.
    pub(super) prelude: Vec<String>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            listener: ListenerKind::Mx,
            settings: SessionSettings {
                hostname: Domain::parse("here.example").unwrap(),
                message_size: 100_000,
                recipients_per_message: 100,
                recipients_per_submission: 200,
                messages_per_connection: 50,
                faults_per_session: 10,
                recipients_unknown_per_session: 10,
                idle_commands_per_session: 100,
                hurry: Hurry {
                    command_timeout: Duration::from_secs(10),
                    data_timeout: Duration::from_secs(30),
                    faults_per_session: 1,
                },
                command_timeout: Duration::from_secs(60),
                data_timeout: Duration::from_secs(180),
                transaction_timeout: Duration::from_secs(600),
                session_timeout: Duration::from_secs(3600),
                tls_available: true,
                mechanisms: vec![Mechanism::ScramSha256Plus, Mechanism::ScramSha256, Mechanism::Plain, Mechanism::Login],
            },
            tls: false,
            exporter: true,
            handshake_stalls: false,
            connect: None,
            hello: HashMap::new(),
            senders: HashMap::new(),
            recipients: HashMap::new(),
            message: None,
            commit_fails: None,
            auth: Vec::new(),
            abort: None,
            prelude: Vec::new(),
        }
    }

    /// Reads what stands behind `given`.
    pub(super) fn given(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["listener", "mx"] => self.listener = ListenerKind::Mx,
            ["listener", "submission"] => self.listener = ListenerKind::Submission,
            ["listener", "submissions"] => (self.listener, self.tls) = (ListenerKind::Submissions, true),
            ["tls"] => self.tls = true,
            ["tls", "without", "exporter"] => (self.tls, self.exporter) = (true, false),
            ["tls", "unavailable"] => self.settings.tls_available = false,
            ["mechanisms", names @ ..] => {
                self.settings.mechanisms = names.iter().map(|name| Mechanism::by_name(name).unwrap()).collect();
            }
            ["handshake", "stalls"] => self.handshake_stalls = true,
            ["after", rest @ ..] => self.prelude.push(rest.join(" ")),
            ["limit", name, value] => self.limit(name, value),
            ["connect", say @ ..] => self.connect = Some(saying(say)),
            ["hello", name, say @ ..] => drop(self.hello.insert((*name).to_owned(), saying(say))),
            ["sender", path, say @ ..] => drop(self.senders.insert((*path).to_owned(), saying(say))),
            ["recipient", mailbox, say @ ..] => drop(self.recipients.insert((*mailbox).to_owned(), saying(say))),
            ["message", say @ ..] => self.message = Some(saying(say)),
            ["commit", "fails", "full"] => self.commit_fails = Some(Outage::DiskFull),
            ["commit", "fails", "disk"] => self.commit_fails = Some(Outage::Disk("no".to_owned())),
            ["abort", say @ ..] => self.abort = Some(saying(say)),
            ["auth", say @ ..] => self.auth.push(saying(say)),
            other => panic!("given {other:?}"),
        }
    }

    fn limit(&mut self, name: &str, value: &str) {
        let settings = &mut self.settings;
        match name {
            "message_size" => settings.message_size = value.parse().unwrap(),
            "recipients" => settings.recipients_per_message = value.parse().unwrap(),
            "submission_recipients" => settings.recipients_per_submission = value.parse().unwrap(),
            "messages" => settings.messages_per_connection = value.parse().unwrap(),
            "faults" => settings.faults_per_session = value.parse().unwrap(),
            "idle" => settings.idle_commands_per_session = value.parse().unwrap(),
            "unknown" => settings.recipients_unknown_per_session = value.parse().unwrap(),
            other => panic!("limit {other}"),
        }
    }
}

fn saying(words: &[&str]) -> Say {
    match words {
        ["passes"] => Say::Pass,
        ["relayed"] => Say::Relay,
        ["refused", name] => Say::Refuse(named_reply(name)),
        ["hangup", name] => Say::Hangup(named_reply(name)),
        ["challenge"] => Say::Challenge(Vec::new()),
        ["challenge", text] => Say::Challenge(text.as_bytes().to_vec()),
        ["ok", account] => Say::Authenticated(Authenticated::mint_after_verification((*account).into(), "password".into())),
        ["denied"] => Say::Denied,
        other => panic!("answer {other:?}"),
    }
}

/// Replies by the name of their constructor.
fn named_reply(name: &str) -> Reply {
    match name {
        "no_service" => Reply::no_service("here.example"),
        "too_many_connections" => Reply::too_many_connections("here.example", [192, 0, 2, 7].into()),
        "relay_denied" => Reply::relay_denied(),
        "no_such_recipient" => Reply::no_such_recipient("x"),
        "no_space" => Reply::no_space(),
        "null_mx" => Reply::null_mx(),
        "loop_detected" => Reply::loop_detected(),
        "bad_header" => Reply::bad_header("header refused"),
        "sender_not_owned" => Reply::sender_not_owned("ann@here.example", "envelope"),
        "dns" => Reply::outage(&Outage::Dns(String::new())),
        "authentication_unavailable" => Reply::authentication_unavailable(),
        other => panic!("reply {other}"),
    }
}
