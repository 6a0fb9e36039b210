//! Recorded decisions, made again by the rules of another configuration. Promise: nothing is changed, neither on disk nor in a running server; what cannot
//! be made again is counted, never guessed; and whatever comes behind a new refusal in its session is not counted as a change of its own.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use postern_config::{Config, Recipients, show};
use postern_mail::fact::ClientFacts;
use postern_mail::netset::{Action, AskedName, Listed, NameKind};
use postern_mail::{Decision, HeloName, Mode, RuleName, SessionId, Verdict};
use postern_policy::explain::word;
use postern_policy::facts::Directory as _;
use postern_policy::record::{Facts, Judged, Record, What};
use postern_policy::rules::score::Gathered;
use postern_policy::{ConnectFacts, Policy, Stage};
use postern_state::history::trails::Batch;
use postern_state::{Files, History, lists};
use serde::{Deserialize, Serialize};

use crate::control::Answer;
use crate::explained;
use crate::wire::directory::Directory;
use crate::wire::live::is_of_policy;
use crate::wire::names;

/// Something of policy. None of it changes anything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PolicyOrder {
    /// Some of the records of decisions.
    Records {
        /// From this place on, in base 64.
        from: String,
        /// Up to, and without, this session.
        before: u64,
    },
    /// The settings in force that policy is made of.
    Settings,
}

/// Carries out an order; blocks on the disk.
pub(crate) fn carry_out(history: &History, config: &Config, order: &PolicyOrder) -> Answer {
    match order {
        PolicyOrder::Settings => Answer::PolicySettings { settings: settings(config) },
        PolicyOrder::Records { from, before } => {
            let Ok(from) = BASE64_STANDARD.decode(from) else {
                return Answer::Failed { exit: 2, error: "that is no place among the records".to_owned() };
            };
            match history.batch(&from, SessionId(*before)) {
                Ok(batch) => Answer::Records {
                    records: batch.records.iter().map(|bytes| BASE64_STANDARD.encode(bytes)).collect(),
                    next: batch.next.map(|next| BASE64_STANDARD.encode(next)),
                },
                Err(failure) => Answer::failed(failure.to_string()),
            }
        }
    }
}

/// The settings of policy, and their values as they are shown.
pub(crate) fn settings(config: &Config) -> Vec<(String, String)> {
    let all = show(config).into_iter().filter(|setting| is_of_policy(&setting.path));
    all.map(|setting| (setting.path, setting.value)).collect()
}

/// An answer's records, as they were before they became one; `None` where it is none.
pub(crate) fn unpacked(answer: Answer) -> Option<Batch> {
    let Answer::Records { records, next } = answer else { return None };
    let records = records.iter().map(|text| BASE64_STANDARD.decode(text).ok()).collect::<Option<_>>()?;
    Some(Batch { records, next: next.map(|text| BASE64_STANDARD.decode(text)).transpose().ok()? })
}

/// The order for the records from a place on.
pub(crate) fn order(from: &[u8], before: SessionId) -> PolicyOrder {
    PolicyOrder::Records { from: BASE64_STANDARD.encode(from), before: before.0 }
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Sessions with a record.
    pub sessions: u64,
    /// Decisions made again.
    pub decisions: u64,
    /// Of these: the whole verdict is the same.
    pub same: u64,
    /// The same decision by the same rule, but other findings beside it.
    pub found_more_or_less: u64,
    /// The same decision by another rule.
    pub by_another_rule: u64,
    /// Another decision.
    pub changed: u64,
    /// Messages that were taken.
    pub messages: u64,
    /// Of these: they would have been turned away.
    pub messages_turned_away: u64,
    /// What could not be tried.
    pub not_tried: NotTried,
    /// By stage, from what to what.
    #[serde(skip)]
    groups: BTreeMap<Key, Change>,
}

/// What could not be tried, and why.
#[derive(Debug, Default, Serialize)]
pub(crate) struct NotTried {
    /// Decisions behind one that would have ended their transaction or session.
    pub not_reached: u64,
    /// Records of another version.
    pub unreadable_records: u64,
    /// Records that hold only the beginning, since more happened than is kept.
    pub cut_records: u64,
    /// Decisions at a stage this version has no rules for.
    pub unknown_stages: u64,
    /// Refusals no rule was asked about: a full disk, a rate.
    pub refused_without_a_rule: u64,
    /// Recipients of whom the new configuration's domains say something else than was said then. They were judged by what was said then.
    pub recipients_known_otherwise: u64,
}

type Key = (Stage, Decision, RuleName, Decision, RuleName);

/// Decisions that would be others, all in the same way.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    /// At which stage.
    pub stage: String,
    /// What was decided.
    pub was: Side,
    /// What would be.
    pub would_be: Side,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// A decision and its rule; none for what passed.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    /// `pass`, `hold`, `defer`, `refuse`, `hang up`.
    pub decision: &'static str,
    /// By which rule.
    pub rule: Option<RuleName>,
}

/// One of the decisions.
#[derive(Debug, Serialize)]
pub(crate) struct Example {
    /// The session's reference, for `postern explain`.
    pub session: String,
    /// Milliseconds since 1970.
    pub at: u64,
    /// Address.
    pub client: String,
    /// MAIL FROM, where it had been said.
    pub from: Option<String>,
    /// What it was about: an address, or a message.
    pub about: String,
    /// Why it was.
    pub was_because: String,
    /// Why it would be.
    pub would_be_because: String,
}

/// What is known of the session that is being gone through.
#[derive(Debug, Default)]
struct Session {
    id: Option<SessionId>,
    /// It would have been ended.
    hung_up: bool,
    /// This transaction would have come to nothing.
    lost: bool,
    admitted_then: u32,
    admitted_now: u32,
    points: Gathered,
    helo: Option<HeloName>,
    /// A list lets the client in by its address.
    allowed: bool,
}

/// Goes through records.
pub(crate) struct Replay<'a> {
    policy: &'a Policy,
    config: &'a Config,
    files: &'a Files,
    has_names: bool,
    examples_max: usize,
    session: Session,
    report: Report,
}

/// What is told of a decision.
#[derive(Clone, Copy)]
struct Place<'a> {
    record: &'a Record,
    /// Which entry of it.
    index: usize,
    facts: Option<&'a Facts>,
}

const fn is_taken(decision: Decision) -> bool {
    matches!(decision, Decision::Pass | Decision::Hold)
}

fn rule_of(verdict: &Verdict) -> RuleName {
    let decided = verdict.decided_by().filter(|_| verdict.decision() != Decision::Pass);
    decided.map_or("", |finding| finding.rule)
}

/// The evidence of what decided; of what passed, that of the rule that decides on the other side.
fn because(verdict: &Verdict, others: RuleName) -> String {
    let own = rule_of(verdict);
    let rule = if own.is_empty() { others } else { own };
    let found = verdict.trail().iter().find(|finding| finding.rule == rule);
    found.map_or_else(String::new, |finding| {
        let observed = if verdict.is_observed(rule) { ", observed only" } else { "" };
        format!("{}{observed}", finding.because)
    })
}

fn side(decision: Decision, rule: RuleName) -> Side {
    Side { decision: word(decision), rule: Some(rule).filter(|rule| !rule.is_empty()) }
}

impl<'a> Replay<'a> {
    /// Nothing has been gone through yet.
    pub(crate) fn new(policy: &'a Policy, config: &'a Config, files: &'a Files, examples_max: usize) -> Self {
        let has_names = files.lists().iter().any(|list| list.set.has_names());
        Self { policy, config, files, has_names, examples_max, session: Session::default(), report: Report::default() }
    }

    /// Goes through one record. Those of one session come one after another. Gives its session.
    pub(crate) fn record(&mut self, bytes: &[u8]) -> Option<SessionId> {
        let Some(record) = Record::read(bytes) else {
            self.report.not_tried.unreadable_records += 1;
            return None;
        };
        if self.session.id != Some(record.session) {
            self.session = Session { id: Some(record.session), ..Session::default() };
            self.report.sessions += 1;
            self.connect(&record);
        }
        for (index, entry) in record.entries.iter().enumerate() {
            match &entry.what {
                What::Judged(judged) => self.judged(&record, index, judged),
                What::Accepted(_) => {
                    self.report.messages += 1;
                    if self.session.hung_up || self.session.lost {
                        self.report.messages_turned_away += 1;
                    }
                }
                What::Told { .. } => self.report.not_tried.refused_without_a_rule += 1,
                What::Cut => self.report.not_tried.cut_records += 1,
                What::Hello(name) => self.session.helo = Some(name.clone()),
                What::Login { .. } => {}
            }
        }
        Some(record.session)
    }

    /// How many have been gone through.
    pub(crate) const fn sessions(&self) -> u64 {
        self.report.sessions
    }

    /// All of it.
    pub(crate) fn report(self) -> (Report, Vec<Change>) {
        let mut report = self.report;
        let mut changes: Vec<Change> = std::mem::take(&mut report.groups).into_values().collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.count));
        (report, changes)
    }

    /// Entries of commands are taken as they were then, and files as the new configuration has them, with what had not ended then.
    fn connect(&mut self, record: &Record) {
        let ClientFacts { address, listener, .. } = record.client;
        let mut listed = self.files.listed(address, listener, record.began);
        let then = record.entries.iter().enumerate().find_map(|(index, entry)| match &entry.what {
            What::Judged(judged) => match &judged.facts {
                Facts::Connect { listed } => Some((index, &**judged, listed)),
                _ => None,
            },
            _ => None,
        });
        if let Some((_, _, then)) = then {
            // In the order in which the server asks: commands first.
            let own = then.iter().filter(|listed| &*listed.list == lists::OWN).cloned();
            listed = own.chain(listed).collect::<Vec<Listed>>();
        }
        self.session.allowed = listed.iter().any(|listed| !listed.observed && listed.action == Action::Allow);
        if then.is_none() && listed.is_empty() {
            return;
        }
        let now = self.policy.connect(&ConnectFacts { client: &record.client, listed: &listed });
        self.session.points.of_session(&now);
        let unheard = Verdict::of(Vec::new());
        let (index, facts, was) =
            then.map_or((0, None, &unheard), |(index, judged, _)| (index, Some(&judged.facts), &judged.verdict));
        self.compare(Place { record, index, facts }, Stage::Connect, was, &now);
    }

    /// The same facts with what the new configuration's files say of names, as far as the names are in the record. Links and what clients are called
    /// are not: of these is taken what was said then, by lists that there are still. `None`: nothing is or was said.
    fn named_again(&self, record: &Record, facts: &Facts) -> Option<Facts> {
        let then = match facts {
            Facts::Connect { .. } => return None,
            Facts::Sender { listed, .. } | Facts::Recipient { listed, .. } => listed,
            Facts::Message { found, .. } => &found.listed,
        };
        if then.is_empty() && !self.has_names {
            return None;
        }
        let asked = match facts {
            Facts::Sender { from, .. } => {
                names::asked_of_sender(self.session.helo.as_ref().filter(|_| !self.session.allowed), from)
            }
            Facts::Recipient { to, .. } => vec![AskedName::address(NameKind::Recipient, to)],
            Facts::Message { headers, .. } => names::asked_of_authors(headers),
            Facts::Connect { .. } => Vec::new(),
        };
        let mut said = self.files.named(&asked, record.client.listener, record.began);
        let is_asked = |about: &str| asked.iter().any(|asked| asked.words() == about);
        let again = |then: &Listed| {
            if &*then.list == lists::OWN {
                return Some(then.clone());
            }
            if let Some(at) = said.iter().position(|now| now.list == then.list && now.about == then.about) {
                return Some(said.remove(at));
            }
            let mode = self.files.mode_of(&then.list).filter(|_| !is_asked(&then.about))?;
            Some(Listed { observed: mode == Mode::Observe, ..then.clone() })
        };
        let mut listed: Vec<Listed> = then.iter().filter_map(again).collect();
        listed.append(&mut said);
        let mut again = facts.clone();
        match &mut again {
            Facts::Connect { .. } => {}
            Facts::Sender { listed: place, .. } | Facts::Recipient { listed: place, .. } => *place = listed,
            Facts::Message { found, .. } => found.listed = listed,
        }
        Some(again)
    }

    fn judged(&mut self, record: &Record, index: usize, judged: &Judged) {
        let Judged { facts, verdict: was } = judged;
        match facts {
            // Once for a session, at its beginning.
            Facts::Connect { .. } => return,
            Facts::Sender { .. } => {
                let Session { id, hung_up, mut points, helo, allowed, .. } = std::mem::take(&mut self.session);
                points.begin_transaction();
                self.session = Session { id, hung_up, points, helo, allowed, ..Session::default() };
            }
            Facts::Recipient { to, hosted, .. } => {
                let asked = self.config.domain_of(to).is_some_and(|domain| matches!(domain.recipients, Recipients::CallAhead(_)));
                // What a host said then is not asked of it again.
                if !asked && Directory(self.config).hosted(to) != *hosted {
                    self.report.not_tried.recipients_known_otherwise += 1;
                }
            }
            Facts::Message { .. } => {
                // The last recipient is gone, so there is no DATA.
                self.session.lost |= self.session.admitted_then > 0 && self.session.admitted_now == 0;
            }
        }
        if self.session.hung_up || self.session.lost {
            self.report.not_tried.not_reached += 1;
            return;
        }
        let again = self.named_again(record, facts);
        let facts = again.as_ref().unwrap_or(facts);
        let Some(now) = facts.judge_after(&record.client, self.policy, self.session.points.all()) else {
            self.report.not_tried.unknown_stages += 1;
            return;
        };
        if matches!(facts, Facts::Sender { .. }) {
            self.session.points.of_transaction(&now);
        }
        if matches!(facts, Facts::Recipient { .. }) {
            self.session.admitted_then += u32::from(is_taken(was.decision()));
            self.session.admitted_now += u32::from(is_taken(now.decision()));
            if is_taken(now.decision()) {
                self.session.points.of_transaction(&now);
            }
        }
        self.compare(Place { record, index, facts: Some(facts) }, facts.stage(), was, &now);
    }

    fn compare(&mut self, place: Place<'_>, stage: Stage, was: &Verdict, now: &Verdict) {
        let report = &mut self.report;
        report.decisions += 1;
        if was == now {
            report.same += 1;
            return;
        }
        let key = (stage, was.decision(), rule_of(was), now.decision(), rule_of(now));
        if (key.1, key.2) == (key.3, key.4) {
            report.found_more_or_less += 1;
            return;
        }
        if key.1 == key.3 {
            report.by_another_rule += 1;
        } else {
            report.changed += 1;
        }
        if is_taken(key.1) && !is_taken(key.3) {
            self.session.hung_up |= key.3 == Decision::Hangup || stage == Stage::Connect;
            self.session.lost |= stage != Stage::Recipient;
        }
        let change = report.groups.entry(key).or_insert_with(|| Change {
            stage: stage.to_string(),
            was: side(key.1, key.2),
            would_be: side(key.3, key.4),
            count: 0,
            examples: Vec::new(),
        });
        change.count += 1;
        if change.examples.len() < self.examples_max {
            change.examples.push(place.example(was, now));
        }
    }
}

impl Place<'_> {
    fn example(self, was: &Verdict, now: &Verdict) -> Example {
        let Self { record, index, facts } = self;
        let sender = record.entries.iter().take(index + 1).rev().find_map(|entry| match &entry.what {
            What::Judged(judged) => match &judged.facts {
                Facts::Sender { from, .. } => Some(from.to_string()),
                _ => None,
            },
            _ => None,
        });
        let about = facts.map_or_else(|| record.client.address.to_string(), |facts| explained::about(facts, &record.client));
        Example {
            session: record.session.to_string(),
            at: record.entries.get(index).map_or(record.began.0, |entry| entry.at.0),
            client: record.client.address.to_string(),
            from: sender,
            about,
            was_because: because(was, rule_of(now)),
            would_be_because: because(now, rule_of(was)),
        }
    }
}
