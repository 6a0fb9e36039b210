//! A decision in words, for people and for `--json`: which rules ran, what they saw, what decided, and what would have changed it. Decides nothing:
//! all of it comes out of a record, or out of the rules themselves.

use postern_config::Config;
use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientFacts, Fact};
use postern_mail::message::headers::Headers;
use postern_mail::netset::{AskedName, Listed, NameKind};
use postern_mail::scope::AccountScope;
use postern_mail::suppression::Suppressed;
use postern_mail::{
    Decision, DnsSaid, Effect, Envelope, HeloName, Mailbox, MessageId, Recipient, Reply, ReversePath, RuleName, Scored, Verdict,
    rule,
};
use postern_policy::explain::{is_waived, what_would_change, word};
use postern_policy::facts::{ConnectFacts, Found, Identity, MessageFacts, OwnedAddresses, RecipientFacts, SenderFacts};
use postern_policy::record::{Facts, Judged, Record, What};
use postern_policy::{Policy, Stage};
use serde::{Deserialize, Serialize};

use crate::control::Answer;
use crate::wire::directory::Directory;

/// A session, a message, or a question of "what if", with every decision about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Explained {
    /// The session's reference.
    pub session: Option<String>,
    /// The messages that were taken.
    pub messages: Vec<String>,
    /// The client's address.
    pub client: String,
    /// Which kind of listener.
    pub listener: String,
    /// Milliseconds since 1970.
    pub began: Option<u64>,
    /// Which configuration was asked, where nothing has happened yet.
    #[serde(default)]
    pub by: Option<String>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Milliseconds since 1970.
    pub at: Option<u64>,
    /// `hello`, `auth`, `sender`, `recipient`, `message`, or the command of a refusal no rule was asked about.
    pub stage: String,
    /// What it was about, as it came.
    pub about: String,
    /// `pass`, `hold`, `defer`, `refuse`, `hang up`.
    pub decision: String,
    /// The rule that decided.
    pub decided_by: Option<String>,
    /// What was said.
    pub reply: Option<String>,
    /// Every rule that ran.
    pub rules: Vec<Ruled>,
    /// What would have led to another decision.
    pub would_change: Vec<Changed>,
    /// What a person can do about it.
    pub helps: Option<String>,
    /// What the rules of today would decide, where that is something else.
    pub today: Option<String>,
    /// Made again from the record with the rules of today, the whole verdict is the same: decision, findings, evidence and reply.
    pub same_today: Option<bool>,
}

/// What a rule said.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ruled {
    /// Which.
    pub rule: String,
    /// What it wanted.
    pub says: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Another rule took it back.
    pub waived: bool,
    /// Values and limits, as they came.
    pub because: String,
}

/// A change that would have led to another decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// These rules, all of them together.
    pub rules: Vec<String>,
    /// Had they been this.
    pub mode: String,
    /// This would have been decided.
    pub decision: String,
    /// Why a rule of them is always enforced.
    pub guards: Option<String>,
}

fn reply_text(reply: &Reply) -> String {
    let status = reply.status.map(|status| format!("{status} ")).unwrap_or_default();
    format!("{} {status}{}", reply.code.0, reply.text())
}

fn says(effect: Effect) -> String {
    match effect {
        Effect::Wants(decision) => word(decision).to_owned(),
        Effect::Points(tenths) => format!("{:+.1} points", f32::from(tenths) / 10.0),
        Effect::Waives(rule) => format!("waives {rule}"),
    }
}

fn guards(rules: &[RuleName]) -> Option<String> {
    rules.iter().find_map(|name| rule::rule(name)?.guards).map(str::to_owned)
}

/// A decision in words.
pub(crate) fn step(at: Option<UnixMillis>, stage: Stage, about: String, verdict: &Verdict) -> Step {
    let against = verdict.decision() != Decision::Pass;
    let decided = verdict.decided_by().filter(|_| against);
    let mode = |rule| if verdict.is_observed(rule) { "observe" } else { "enforce" };
    Step {
        at: at.map(|at| at.0),
        stage: stage.to_string(),
        about,
        decision: word(verdict.decision()).to_owned(),
        decided_by: decided.map(|finding| finding.rule.to_owned()),
        reply: verdict.reply().filter(|_| against).map(reply_text),
        rules: verdict
            .trail()
            .iter()
            .map(|finding| Ruled {
                rule: finding.rule.to_owned(),
                says: says(finding.says),
                mode: mode(finding.rule).to_owned(),
                waived: is_waived(verdict, finding.rule),
                because: finding.because.clone(),
            })
            .collect(),
        would_change: what_would_change(verdict)
            .into_iter()
            .map(|change| Changed {
                guards: guards(&change.rules),
                rules: change.rules.iter().map(ToString::to_string).collect(),
                mode: change.mode.as_str().to_owned(),
                decision: word(change.decision).to_owned(),
            })
            .collect(),
        helps: decided.and_then(|finding| rule::rule(finding.rule)).map(|rule| rule.helps.to_owned()),
        today: None,
        same_today: None,
    }
}

pub(crate) fn about(facts: &Facts, client: &ClientFacts) -> String {
    match facts {
        Facts::Connect { .. } => client.address.to_string(),
        Facts::Sender { from, .. } => from.to_string(),
        Facts::Recipient { to, .. } => format!("<{to}>"),
        Facts::Message { envelope, size, .. } => format!("{}, {size} octets", envelope.from),
    }
}

fn told(what: &What, client: &ClientFacts, policy: &Policy) -> Step {
    let plain = |stage: &str, about: String, decision: &str| Step {
        stage: stage.to_owned(),
        about,
        decision: decision.to_owned(),
        ..Step::default()
    };
    match what {
        What::Hello(name) => plain("hello", name.to_string(), "pass"),
        What::Login { user, result } => plain("auth", user.as_deref().unwrap_or_default().to_owned(), result),
        What::Told { at, reply, because } => {
            let decision = if reply.code.is_permanent() { "refuse" } else { "defer" };
            Step { reply: Some(reply_text(reply)), ..plain(at, because.to_string(), decision) }
        }
        What::Accepted(id) => plain("accepted", id.to_string(), "pass"),
        What::Cut => plain("cut", "more happened from here on than is kept: history.trail_size_max".to_owned(), ""),
        What::Judged(judged) => {
            let Judged { facts, verdict } = &**judged;
            let again = facts.judge(client, policy);
            let same_today = again.as_ref().map(|today| today == verdict);
            let today = again.filter(|today| today.decision() != verdict.decision());
            let today = today.map(|today| word(today.decision()).to_owned());
            Step { today, same_today, ..step(None, facts.stage(), about(facts, client), verdict) }
        }
    }
}

/// A session's record, in words. The rules of today are asked as well.
#[must_use]
pub(crate) fn session(record: &Record, policy: &Policy) -> Explained {
    let accepted = |what: &What| match what {
        What::Accepted(id) => Some(id.to_string()),
        _ => None,
    };
    let steps = record.entries.iter().map(|entry| Step { at: Some(entry.at.0), ..told(&entry.what, &record.client, policy) });
    Explained {
        session: Some(record.session.to_string()),
        messages: record.entries.iter().filter_map(|entry| accepted(&entry.what)).collect(),
        client: record.client.address.to_string(),
        listener: record.client.listener.to_string(),
        began: Some(record.began.0),
        by: None,
        steps: steps.collect(),
    }
}

/// Pieces of a session as one record; only what is about one message, where one is named. `None` where nothing reads, or nothing is kept of it.
#[must_use]
pub(crate) fn joined(pieces: &[Vec<u8>], message: Option<MessageId>) -> Option<Record> {
    let mut records = pieces.iter().filter_map(|piece| Record::read(piece));
    let mut first = records.next()?;
    for record in records {
        first.entries.extend(record.entries);
    }
    match message {
        Some(id) => first.about(id),
        None => Some(first),
    }
}

/// What is decided before any rule is asked: who is banned is hung up on.
pub(crate) fn with_bans(mut explained: Explained, bans: &Answer) -> Explained {
    if matches!(bans, Answer::BanExplained(known) if known.banned) {
        let step = Step {
            stage: Stage::Connect.to_string(),
            about: explained.client.clone(),
            decision: word(Decision::Hangup).to_owned(),
            decided_by: Some("bans".to_owned()),
            helps: Some(format!("postern ban explain {}", explained.client)),
            ..Step::default()
        };
        explained.steps.insert(0, step);
    }
    explained
}

/// What is asked when nothing has happened yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WhatIf {
    /// MAIL FROM; empty for the null sender.
    pub from: String,
    /// RCPT TO.
    pub to: Vec<String>,
    /// The client's address.
    pub ip: String,
    /// Which kind of listener.
    pub listener: String,
    /// Logged in as it.
    pub account: Option<String>,
    /// Octets.
    pub size: Option<u64>,
    /// The beginning of the message.
    pub header: Option<String>,
    /// All of the message, in base64, as a client would send it.
    #[serde(default)]
    pub message: Option<String>,
    /// What the client calls itself.
    #[serde(default)]
    pub helo: Option<String>,
    /// Name and text of the configuration that is asked; none: the one in force.
    #[serde(default)]
    pub config: Option<(String, String)>,
}

/// What was looked up for it, by a running server.
#[derive(Default)]
pub(crate) struct Looked {
    /// At MAIL.
    pub sender: DnsSaid,
    /// At the end of the message.
    pub message: Found,
    /// Which of the recipients, as they were named, are not written to.
    pub suppressed: Vec<(String, Suppressed)>,
}

/// Who it would come from.
///
/// # Errors
/// In words: which of them is none.
pub(crate) fn client_and_sender(asked: &WhatIf) -> Result<(ClientFacts, ReversePath), String> {
    let listener = ListenerKind::parse(&asked.listener)?;
    let address = asked.ip.parse().map_err(|_| format!("{:?} is no IP address", asked.ip))?;
    let bare = asked.from.trim_start_matches('<').trim_end_matches('>');
    let from = if bare.is_empty() { ReversePath::Null } else { ReversePath::Mailbox(mailbox(bare)?) };
    Ok((ClientFacts { address, port: 0, listener }, from))
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let bare = text.trim_start_matches('<').trim_end_matches('>');
    Mailbox::parse(bare).map_err(|fault| format!("{text:?} is no address: {fault}"))
}

/// Runs the rules on facts that somebody made up.
///
/// # Errors
/// In words: which of them is no fact.
pub(crate) fn what_if(
    config: &Config,
    policy: &Policy,
    account: impl FnOnce(&str) -> (Fact<OwnedAddresses>, AccountScope),
    listed: impl Fn(&ClientFacts, Option<&[AskedName]>) -> Vec<Listed>,
    (asked, looked): (&WhatIf, &Looked),
) -> Result<Explained, String> {
    use postern_mail::envelope::DsnRequest;
    use postern_mail::scope::Narrowed;
    use postern_policy::rules::scope::Scopes;

    use crate::wire::{clock, names};

    let (client, from) = client_and_sender(asked)?;
    let (address, listener) = (client.address, client.listener);
    let name = asked.account.as_deref().map(Into::into).or_else(|| policy.network_account(address));
    let found = name.as_deref().map(account);
    let scopes =
        found.as_ref().map(|(_, scope)| Scopes { narrowed: Narrowed { account: scope, credential: None }, now: clock() });
    let who = asked.account.as_deref().map(postern_policy::record::somebody);
    let identity = who.as_ref().zip(found.as_ref()).map(|(who, (owned, _))| Identity { who, owned });
    let mut steps = Vec::new();
    let of_client = listed(&client, None);
    let mut earlier: Vec<Scored> = Vec::new();
    if !of_client.is_empty() {
        let verdict = policy.connect(&ConnectFacts { client: &client, listed: &of_client });
        earlier.extend(verdict.scored());
        steps.push(step(None, Stage::Connect, address.to_string(), &verdict));
    }
    let helo = asked.helo.as_deref().map(HeloName::parse).transpose().map_err(|fault| format!("--helo: {fault}"))?;
    let of_sender = listed(&client, Some(&names::asked_of_sender(helo.as_ref(), &from)));
    let scope = scopes.map(|scopes| scopes.sender(&client, &from, asked.size, None));
    let facts = SenderFacts {
        client: &client,
        from: &from,
        identity,
        size: asked.size,
        scope: scope.as_ref(),
        earlier: &earlier,
        dns: &looked.sender,
        listed: &of_sender,
    };
    let verdict = policy.sender(&facts);
    earlier.extend(verdict.scored());
    steps.push(step(None, Stage::Sender, from.to_string(), &verdict));
    let mut recipients = Vec::new();
    for text in &asked.to {
        let to = mailbox(text)?;
        let scope = scopes.map(|scopes| scopes.recipient(&client, &to, None));
        let of_recipient = listed(&client, Some(&[AskedName::address(NameKind::Recipient, &to)]));
        let facts = RecipientFacts {
            client: &client,
            to: &to,
            who: who.as_ref(),
            scope: scope.as_ref(),
            listed: &of_recipient,
            greylist: None,
            suppressed: looked.suppressed.iter().find(|(named, _)| named == text).map(|(_, said)| *said),
        };
        let (verdict, admission) = policy.recipient(&facts, &Directory(config));
        if admission.is_some() {
            earlier.extend(verdict.scored());
        }
        steps.push(step(None, Stage::Recipient, format!("<{to}>"), &verdict));
        recipients.extend(admission.map(|admission| Recipient::admitted(to, &admission, DsnRequest::default())));
    }
    if let Some(header) = &asked.header {
        let envelope = Envelope { client: Some(address), ..Envelope::plain(from.clone(), recipients) };
        let (headers, size) = (Headers::parse(header.as_bytes()), asked.size.unwrap_or(0));
        let scope = scopes.map(|scopes| scopes.message(&client, &headers, size));
        let scope = scope.as_ref();
        let mut found = looked.message.clone();
        found.is_for_postmaster = postern_policy::facts::is_for_postmaster(&envelope);
        if found.listed.is_empty() {
            found.listed = listed(&client, Some(&names::asked_of_authors(&headers)));
        }
        let facts = MessageFacts {
            client: &client,
            envelope: &envelope,
            identity,
            headers: &headers,
            size,
            scope,
            earlier: &earlier,
            found: &found,
        };
        steps.push(step(None, Stage::Message, format!("{from}, {size} octets"), &policy.message(&facts)));
    }
    let (client, listener) = (address.to_string(), listener.to_string());
    Ok(Explained { session: None, messages: Vec::new(), client, listener, began: None, by: None, steps })
}
