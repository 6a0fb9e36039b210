//! Orders and answers about bans, and what they do to the book: the same with and without a running server. Promise: an order that is not
//! carried out says what speaks against it, and one with `dry_run` changes nothing.

use std::net::IpAddr;
use std::time::Duration;

use postern_mail::ban::{Ban, BanChange};
use postern_mail::client::{NotANetwork, Subnet};
use postern_mail::envelope::UnixMillis;
use postern_outcome::{OrderRefused, SparedAs};
use serde::{Deserialize, Serialize};

use crate::control::Answer;

/// Networks wider than this are no clients; banning one by a slip of the hand would shut out a part of the world.
const V4_WIDEST: u8 = 8;
const V6_WIDEST: u8 = 19;

/// Something of bans.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BanOrder {
    /// Which there are.
    List {
        /// At most so many.
        limit: usize,
    },
    /// One more.
    Add {
        /// An address or network.
        network: String,
        /// In seconds; `None`: until it is lifted.
        length: Option<u64>,
        /// Why, as its evidence.
        reason: String,
        /// Only say what it would be.
        dry_run: bool,
    },
    /// One less, and it is forgotten that it was.
    Remove {
        /// An address or network.
        network: String,
        /// All bans within it too.
        within: bool,
        /// Why, for the history.
        reason: String,
        /// Only say which it would be.
        dry_run: bool,
    },
    /// What is known of an address.
    Explain {
        /// An address, or the network of a ban.
        what: String,
    },
    /// What a mirror drops, as soon as it is other than at this revision.
    Mirror {
        /// `None`: now.
        after: Option<u64>,
    },
}

impl BanOrder {
    /// For the audit log: what it changes, and why.
    pub(crate) fn act(&self) -> Option<(String, String)> {
        match self {
            Self::Add { network, length, reason, dry_run: false } => {
                let length = length.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
                Some((format!("ban add {network}{length}"), reason.clone()))
            }
            Self::Remove { network, within, reason, dry_run: false } => {
                let within = if *within { " and all within" } else { "" };
                Some((format!("ban remove {network}{within}"), reason.clone()))
            }
            _ => None,
        }
    }
}

/// Bans, as they are or as an order has changed them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bans {
    /// `banned`, `lifted`; with a dry run `would ban`, `would lift`. None where they were only asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<String>,
    /// By address.
    pub bans: Vec<View>,
    /// There are more than these.
    pub more: bool,
    /// Networks that are refused without being banned, for what they did as a whole. Of a list only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedView>,
}

/// A network that is refused for its faults.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RefusedView {
    /// Which.
    pub network: String,
    /// What was counted of it.
    pub evidence: String,
    /// Milliseconds since 1970.
    pub until: u64,
}

/// A ban.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct View {
    /// An address with the length of its prefix.
    pub network: String,
    /// An offence, `neighbours` or `order`.
    pub cause: String,
    /// What was seen, or why a person did.
    pub evidence: String,
    /// `automatic` or `person`.
    pub by: String,
    /// Milliseconds since 1970.
    pub since: u64,
    /// Milliseconds since 1970; none: until it is lifted.
    pub until: Option<u64>,
    /// The how many'th ban of this network, as far as is remembered.
    pub times: u32,
    /// False for one that is over and only remembered.
    pub active: bool,
    /// Connections it has turned away since it began, or since the server did.
    pub refused: u64,
}

/// What is known of an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Explained {
    /// Which.
    pub address: String,
    /// It is turned away now.
    pub banned: bool,
    /// Why it is never banned, if it is not.
    pub spared: Option<String>,
    /// Everybody seems to come from it, so it is not banned automatically.
    #[serde(default)]
    pub shared: bool,
    /// Why it would not be banned if it guessed passwords now, if it would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unbanned: Option<String>,
    /// Bans of it and of the networks it is in, in force or remembered, the widest first.
    pub bans: Vec<View>,
    /// How many connections are open from it that a ban would end.
    #[serde(default)]
    pub open: usize,
    /// What is held against it where passwords are verified, in words.
    #[serde(default)]
    pub held: Vec<String>,
    /// At which ceilings its connections were turned away within the last hour, in words.
    #[serde(default)]
    pub turned_away: Vec<String>,
    /// What lists make of it now, where that is a refusal, in words.
    #[serde(default)]
    pub listed: Vec<String>,
}

/// What is to be dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Mirrored {
    /// Changes with each change of the bans, and is never one that a server before this one gave.
    pub revision: u64,
    /// Networks, none within another, and when each ends in milliseconds since 1970.
    pub banned: Vec<(String, Option<u64>)>,
    /// Networks that are let in whatever else is dropped.
    pub spared: Vec<String>,
    /// Where the server listens.
    pub ports: Vec<u16>,
}

/// What an order is carried out on.
pub(crate) struct Desk<'a> {
    /// The book.
    pub bans: &'a mut postern_outcome::Bans,
    /// The time.
    pub now: UnixMillis,
    /// Connections a ban has turned away.
    pub refused: &'a dyn Fn(Subnet) -> u64,
    /// The address everybody seems to come from.
    pub shared: Option<IpAddr>,
    /// Connections open from an address that a ban would end.
    pub open: &'a dyn Fn(IpAddr) -> usize,
}

fn wrong_use(error: String) -> Answer {
    Answer::Failed { exit: 2, error }
}

fn network(text: &str) -> Result<Subnet, Answer> {
    text.trim().parse().map_err(|fault: NotANetwork| wrong_use(format!("{text:?} is no network: {fault}")))
}

fn told(reason: SparedAs) -> String {
    format!("it is {} and never banned", reason.as_str())
}

impl Desk<'_> {
    fn view(&self, ban: &Ban) -> View {
        View {
            network: ban.of.to_string(),
            cause: ban.cause.to_string(),
            evidence: ban.evidence.clone(),
            by: ban.by().as_str().to_owned(),
            since: ban.since.0,
            until: ban.until.map(|until| until.0),
            times: ban.times,
            active: ban.is_active(self.now),
            refused: (self.refused)(ban.of),
        }
    }

    fn views<'b>(&self, bans: impl IntoIterator<Item = &'b Ban>) -> Vec<View> {
        bans.into_iter().map(|ban| self.view(ban)).collect()
    }

    /// Carries an order out. The changes are for whoever keeps them and acts on them.
    pub(crate) fn carry_out(&mut self, order: &BanOrder) -> (Answer, Vec<BanChange>) {
        let result = match order {
            BanOrder::List { limit } => {
                let bans = self.views(self.bans.list(self.now).take(*limit));
                let more = self.bans.list(self.now).nth(*limit).is_some();
                Ok((Answer::Bans(Bans { did: None, bans, more, refused: Vec::new() }), Vec::new()))
            }
            BanOrder::Add { network: text, length, reason, dry_run } => {
                network(text).and_then(|of| self.add(of, *length, reason, *dry_run))
            }
            BanOrder::Remove { network: text, within, dry_run, .. } => {
                network(text).and_then(|of| self.remove(of, *within, *dry_run))
            }
            BanOrder::Explain { what } => self.explain(what).map(|answer| (answer, Vec::new())),
            BanOrder::Mirror { .. } => Err(Answer::failed("there is nothing to follow without a running server")),
        };
        result.unwrap_or_else(|failed| (failed, Vec::new()))
    }

    fn add(&mut self, of: Subnet, length: Option<u64>, reason: &str, dry_run: bool) -> Result<(Answer, Vec<BanChange>), Answer> {
        let widest = if of.address().is_ipv4() { V4_WIDEST } else { V6_WIDEST };
        if of.prefix() < widest {
            return Err(wrong_use(format!("{of} is wider than /{widest}; ban the networks that are meant, one by one")));
        }
        let length = length.map(Duration::from_secs);
        if length.is_some_and(|length| length.is_zero()) {
            return Err(wrong_use("a ban for no time at all; give a longer one, or none for one without end".to_owned()));
        }
        if dry_run {
            if let Some(reason) = self.bans.spared().iter().find(|spared| spared.network.covers(&of)) {
                return Err(Answer::failed(format!("{of}: {}", told(reason.reason))));
            }
            let until = length.map(|length| self.now.plus(length));
            let cause = postern_mail::ban::Cause::Order;
            let ban = Ban { of, cause, evidence: reason.to_owned(), since: self.now, until, times: 1 };
            let bans = vec![self.view(&ban)];
            return Ok((
                Answer::Bans(Bans { did: Some("would ban".to_owned()), bans, more: false, refused: Vec::new() }),
                Vec::new(),
            ));
        }
        match self.bans.order(self.now, of, length, reason.to_owned()) {
            Ok((ban, changes)) => {
                let bans = vec![self.view(&ban)];
                Ok((Answer::Bans(Bans { did: Some("banned".to_owned()), bans, more: false, refused: Vec::new() }), changes))
            }
            Err(OrderRefused::Spared(spared)) => Err(Answer::failed(format!("{of}: {}", told(spared.reason)))),
            Err(OrderRefused::TooMany(most)) => Err(Answer::failed(format!(
                "there are {most} bans by order, which is half of [auth] bans_max and the most there may be"
            ))),
        }
    }

    fn remove(&mut self, of: Subnet, within: bool, dry_run: bool) -> Result<(Answer, Vec<BanChange>), Answer> {
        let lifted = self.bans.liftable(self.now, of, within);
        if lifted.is_empty() {
            return Err(Answer::nothing(match self.bans.active(self.now, of.address()) {
                Some(wider) if wider.of.covers(&of) => format!("{of} itself is not banned, but {} is; lift that one", wider.of),
                _ if !self.bans.liftable(self.now, of, true).is_empty() => {
                    format!("{of} itself is not banned, but networks within it are; --within lifts those")
                }
                _ => format!("{of} is not banned"),
            }));
        }
        let bans = self.views(&lifted);
        if dry_run {
            return Ok((
                Answer::Bans(Bans { did: Some("would lift".to_owned()), bans, more: false, refused: Vec::new() }),
                Vec::new(),
            ));
        }
        let changes = lifted.iter().flat_map(|ban| self.bans.lift(ban.of)).collect();
        Ok((Answer::Bans(Bans { did: Some("lifted".to_owned()), bans, more: false, refused: Vec::new() }), changes))
    }

    fn explain(&self, what: &str) -> Result<Answer, Answer> {
        // A reference from a refusal is the network of the ban; its first address is as good as any.
        let address = match what.trim().parse::<IpAddr>() {
            Ok(address) => address.to_canonical(),
            Err(_) => network(what)?.address(),
        };
        let spared = self.bans.spares(address);
        let explained = Explained {
            address: address.to_string(),
            banned: spared.is_none() && self.bans.active(self.now, address).is_some(),
            spared: spared.map(|reason| reason.as_str().to_owned()),
            shared: self.shared == Some(address),
            unbanned: None,
            bans: self.views(self.bans.about(address)),
            open: (self.open)(address),
            held: Vec::new(),
            turned_away: Vec::new(),
            listed: Vec::new(),
        };
        Ok(Answer::BanExplained(Box::new(explained)))
    }
}

/// Networks of bans without those that lie within another, each with its end. What is within a wider one comes back when that one ends, since its
/// end is a change.
#[must_use]
pub(crate) fn widest<'a>(bans: impl Iterator<Item = &'a Ban>) -> Vec<(String, Option<u64>)> {
    let mut last: Option<Subnet> = None;
    let mut widest = Vec::new();
    // By address, and of one address the widest first: what covers a network comes before it.
    for ban in bans {
        if last.is_none_or(|last| !last.covers(&ban.of)) {
            last = Some(ban.of);
            widest.push((ban.of.to_string(), ban.until.map(|until| until.0)));
        }
    }
    widest
}

#[cfg(test)]
mod tests {
    use postern_outcome::{BanSettings, Spared};

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn book() -> postern_outcome::Bans {
        let (first, longest) = (Duration::from_secs(600), Duration::from_secs(3600));
        let settings = BanSettings { first, factor: 2.0, longest, memory: longest, widen_at: 8, bans_max: 100 };
        let trusted = Spared { network: "192.0.2.0/24".parse().unwrap(), reason: SparedAs::Trusted };
        postern_outcome::Bans::new(settings, vec![trusted])
    }

    fn order(bans: &mut postern_outcome::Bans, order: BanOrder) -> (Answer, Vec<BanChange>) {
        Desk { bans, now: NOW, refused: &|_| 0, shared: None, open: &|_| 0 }.carry_out(&order)
    }

    fn add(network: &str, dry_run: bool) -> BanOrder {
        BanOrder::Add { network: network.to_owned(), length: None, reason: "because".to_owned(), dry_run }
    }

    fn remove(network: &str, within: bool, dry_run: bool) -> BanOrder {
        BanOrder::Remove { network: network.to_owned(), within, reason: String::new(), dry_run }
    }

    fn exit((answer, changes): (Answer, Vec<BanChange>)) -> u8 {
        match answer {
            Answer::Failed { exit, error } => {
                assert!(changes.is_empty() && !error.is_empty());
                exit
            }
            _ => 0,
        }
    }

    #[test]
    fn orders_end_with_the_status_that_tells_what_was_wrong() {
        let mut bans = book();
        for wrong in ["", "here.test", "10.1.2.3/8", "10.0.0.0/33", "0.0.0.0/0", "::/0", "10.0.0.0/7"] {
            assert_eq!(exit(order(&mut bans, add(wrong, false))), 2, "{wrong}");
        }
        assert_eq!(exit(order(&mut bans, add("192.0.2.7", false))), 1, "trusted");
        assert_eq!(exit(order(&mut bans, add("192.0.2.7", true))), 1, "trusted");
        assert_eq!(exit(order(&mut bans, remove("198.51.100.0/24", false, false))), 3);
        assert_eq!(exit(order(&mut bans, add("198.51.100.7", false))), 0);
        assert_eq!(exit(order(&mut bans, remove("198.51.100.0/24", false, false))), 3);
        assert_eq!(exit(order(&mut bans, remove("198.51.100.0/24", true, false))), 0);
        assert!(bans.is_empty());
    }

    #[test]
    fn a_dry_run_changes_nothing() {
        let mut bans = book();
        assert!(order(&mut bans, add("198.51.100.7", true)).1.is_empty());
        assert!(bans.is_empty());
        order(&mut bans, add("198.51.100.7", false));
        assert!(order(&mut bans, remove("198.51.100.7", false, true)).1.is_empty());
        assert_eq!(bans.len(), 1);
    }

    #[test]
    fn a_mirror_is_given_no_network_twice() {
        let mut bans = book();
        for network in ["198.51.100.7", "198.51.100.0/24", "198.51.101.7", "2001:db8::/64", "2001:db8::/48", "198.51.96.0/20"] {
            order(&mut bans, add(network, false));
        }
        let widest: Vec<String> = widest(bans.list(NOW)).into_iter().map(|(network, _)| network).collect();
        assert_eq!(widest, ["198.51.96.0/20", "2001:db8::/48"]);
    }
}
