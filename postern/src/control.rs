//! The words of the control socket: what a person may ask of the server, and what it answers. One JSON object a line, one order a
//! connection. The same answers are what `--json` prints, so they only grow.

pub(crate) mod bans;
pub(crate) mod dkim;
pub(crate) mod dns;
pub(crate) mod dnsbl;
pub(crate) mod greylist;
pub(crate) mod reports;
pub(crate) mod reputation;
pub(crate) mod suppression;

use std::time::Duration;

use postern_state::ScopeRow;
use serde::{Deserialize, Serialize};

use crate::explained::{Explained, WhatIf};
use crate::lists::{ListEntry, ListOrder, ListState, Tested};
use crate::replay::PolicyOrder;
use crate::scopes::{self, Habits, Review, Used};

/// Longest order; one with more is refused. A message to be explained is the longest thing in one.
pub(crate) const ORDER_BYTES_MAX: usize = 12 * 1024 * 1024;
/// For the whole of an order, from connecting to its answer.
pub(crate) const ORDER_TIMEOUT: Duration = Duration::from_secs(60);
/// Messages one order lists or changes, unless it says otherwise.
pub(crate) const MESSAGES_DEFAULT: usize = 1000;

/// What is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// How it is.
    Status,
    /// Take up the configuration file as it is now.
    Reload,
    /// Something of accounts.
    Account(AccountOrder),
    /// Something of local lists.
    List(ListOrder),
    /// Something of the queue.
    Queue(QueueOrder),
    /// The same, and why it is ordered.
    Because {
        /// For the audit log.
        reason: String,
        /// What.
        order: Box<Order>,
    },
    /// Why something was decided.
    Explain {
        /// A session's reference or a message id.
        id: String,
    },
    /// What would be decided.
    WhatIf(WhatIf),
    /// Something of policy.
    Policy(PolicyOrder),
    /// Something of bans.
    Ban(bans::BanOrder),
    /// How DNS lists are.
    DnsLists,
    /// Something of keys that sign.
    Dkim(dkim::DkimOrder),
    /// What to publish for a domain, and whether it is.
    Dns(dns::DnsOrder),
    /// Something of reports to others.
    Reports(reports::ReportsOrder),
    /// Something of greylisting.
    Greylist(greylist::GreyOrder),
    /// Something of addresses that are not written to.
    Suppression(suppression::SuppressionOrder),
    /// Something of how accounts stand.
    Reputation(reputation::ReputationOrder),
    /// The story of a message, or the messages of an address.
    Trace {
        /// An id or an address.
        what: String,
        /// Messages at most.
        limit: usize,
    },
}

/// Something of accounts.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AccountOrder {
    /// A new one.
    Add {
        /// Its address.
        name: String,
        /// `None`: make one and tell it.
        password: Option<String>,
        /// What it may send as; empty: its own address.
        addresses: Vec<String>,
    },
    /// All of them.
    List,
    /// One.
    Show {
        /// Its address.
        name: String,
    },
    /// A new password.
    Password {
        /// Its address.
        name: String,
        /// `None`: make one and tell it.
        password: Option<String>,
    },
    /// One more app password.
    AppPassword {
        /// Its address.
        name: String,
        /// What the app password is called.
        label: String,
        /// Milliseconds since 1970.
        expires: Option<u64>,
        /// What it may do, within what the account may: names of parts, and what they are set to.
        #[serde(default)]
        parts: Vec<(String, String)>,
    },
    /// One app password less.
    RemoveAppPassword {
        /// Its address.
        name: String,
        /// What the app password is called.
        label: String,
    },
    /// What it may send as.
    Addresses {
        /// Its address.
        name: String,
        /// Addresses and domains.
        addresses: Vec<String>,
    },
    /// One more certificate that is good for it.
    AddCertificate {
        /// Its address.
        name: String,
        /// SHA-256, in hexadecimal digits.
        fingerprint: String,
    },
    /// One less.
    RemoveCertificate {
        /// Its address.
        name: String,
        /// SHA-256, in hexadecimal digits.
        fingerprint: String,
    },
    /// What it, or one of its credentials, may do; without a change: show it.
    Scope {
        /// Its address, or `network:` and a relay network.
        name: String,
        /// `password` or an app password; none for the account.
        label: Option<String>,
        /// Begin from no restriction at all.
        clear: bool,
        /// Names of parts, and what they are set to.
        parts: Vec<(String, String)>,
    },
    /// Who can send as whom, and what to look at.
    Review,
    /// Nobody can log in as it.
    Disable {
        /// Its address.
        name: String,
    },
    /// Take that back.
    Enable {
        /// Its address.
        name: String,
    },
    /// Forget it.
    Remove {
        /// Its address.
        name: String,
    },
    /// Only say what would come of it.
    DryRun(Box<AccountOrder>),
}

impl std::fmt::Debug for AccountOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Passwords are in some of them.
        f.write_str("AccountOrder(..)")
    }
}

/// Which messages. Everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Selection {
    /// These.
    pub ids: Vec<String>,
    /// Submitted by this account.
    pub account: Option<String>,
    /// With an open recipient in this domain.
    pub domain: Option<String>,
    /// From this address; `<>` for reports.
    pub from: Option<String>,
    /// Accepted longer ago than this, in seconds.
    pub older_than: Option<u64>,
    /// Whose last reason holds this text.
    pub reason: Option<String>,
    /// Held ones.
    pub held: bool,
    /// At most so many.
    pub limit: usize,
}

/// What is done to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// Keep them back.
    Hold,
    /// Let them go on.
    Release,
    /// Try them now.
    Retry,
    /// Give up, and tell the sender.
    Bounce,
    /// Forget them, and tell nobody.
    Drop,
}

impl Change {
    /// For log and history.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Bounce => "bounce",
            Self::Drop => "drop",
        }
    }
}

/// Something of the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueueOrder {
    /// Which messages there are.
    List(Selection),
    /// One, with everything that is known of it.
    Show {
        /// Its id.
        id: String,
    },
    /// Lanes.
    Summary {
        /// At most so many, the fullest first.
        limit: usize,
    },
    /// Change some.
    Change {
        /// How.
        what: Change,
        /// Which.
        which: Selection,
        /// Why, for the history.
        reason: String,
        /// Only say which.
        dry_run: bool,
    },
}

/// What comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// Done, and this is to be said.
    Done {
        /// In words.
        text: String,
    },
    /// A password was made; it is shown this once.
    Password {
        /// Whose.
        account: String,
        /// `password`, or what the app password is called.
        label: String,
        /// To be kept by its owner.
        password: String,
    },
    /// How the server is.
    Status(Box<Status>),
    /// Accounts.
    Accounts {
        /// By name.
        accounts: Vec<Account>,
    },
    /// Who can send as whom.
    Reviews {
        /// By account.
        reviews: Vec<Review>,
        /// Ways to log in that no row tells of, a sentence each.
        #[serde(default)]
        beside: Vec<String>,
    },
    /// Messages.
    Messages {
        /// Oldest first.
        messages: Vec<Message>,
        /// There are more than these.
        more: bool,
    },
    /// Lanes.
    Lanes {
        /// Fullest first.
        lanes: Vec<Lane>,
    },
    /// What happened.
    Stories {
        /// One for each message.
        stories: Vec<Story>,
        /// Refusals, as `postern trace` keeps them.
        refusals: Vec<serde_json::Value>,
    },
    /// Why, and what would have changed it.
    Explained(Box<Explained>),
    /// Addresses that are not written to.
    Suppressions(suppression::Suppressions),
    /// Entries of a list.
    ListEntries {
        /// In their order.
        entries: Vec<ListEntry>,
        /// There are more than these.
        more: bool,
    },
    /// What lists say of a client.
    ListTest(Box<Tested>),
    /// Which lists there are.
    Lists {
        /// The one of commands first.
        lists: Vec<ListState>,
        /// What can never be found.
        warnings: Vec<String>,
    },
    /// Records of decisions.
    Records {
        /// In base 64.
        records: Vec<String>,
        /// Where the next ones begin, in base 64.
        next: Option<String>,
    },
    /// The settings in force that policy is made of.
    PolicySettings {
        /// Path and value.
        settings: Vec<(String, String)>,
    },
    /// Bans.
    Bans(bans::Bans),
    /// What is known of an address.
    BanExplained(Box<bans::Explained>),
    /// All that is to be dropped, for a mirror.
    BanMirror(bans::Mirrored),
    /// DNS lists.
    DnsLists(dnsbl::DnsLists),
    /// Keys that sign.
    DkimKeys(Box<dkim::DkimKeys>),
    /// What to publish for a domain, and whether it is.
    DnsPlan(Box<dns::DnsPlan>),
    /// Reports to others.
    ReportsSent(reports::ReportsSent),
    /// Reports of others.
    ReportsRead(reports::ReportsRead),
    /// What greylisting remembers.
    Greylist(greylist::Remembered),
    /// How accounts stand.
    Reputation {
        /// Those on the strictest step first.
        accounts: Vec<reputation::Standing>,
    },
    /// It was not done.
    Failed {
        /// Exit status of the command: 1 failed, 2 wrong use, 3 nothing matched.
        exit: u8,
        /// In words.
        error: String,
    },
}

impl Answer {
    /// With what accounts have sent.
    pub(crate) fn fill_used(&mut self, used: impl Fn(&str) -> Used) {
        match self {
            Self::Accounts { accounts } => accounts.iter_mut().for_each(|account| account.used = Some(used(&account.name))),
            Self::Reviews { reviews, .. } => reviews.iter_mut().for_each(|review| review.used = Some(used(&review.account))),
            _ => {}
        }
    }

    /// It was not done.
    #[must_use]
    pub(crate) fn failed(error: impl Into<String>) -> Self {
        Self::Failed { exit: 1, error: error.into() }
    }

    /// There is nothing of the kind.
    #[must_use]
    pub(crate) fn nothing(error: impl Into<String>) -> Self {
        Self::Failed { exit: 3, error: error.into() }
    }
}

/// How the server is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// What it calls itself.
    pub hostname: String,
    /// Seconds since it began.
    pub uptime_seconds: u64,
    /// `kind address` of each listener.
    pub listeners: Vec<String>,
    /// Connections open now.
    pub connections: usize,
    /// Messages in the spool.
    pub messages: usize,
    /// Of these: waiting for their turn.
    pub waiting: usize,
    /// Waiting for another try.
    pub deferred: usize,
    /// Being tried.
    pub active: usize,
    /// Kept back.
    pub held: usize,
    /// Octets of live messages in the log.
    pub live_bytes: u64,
    /// Octets free on the disk of the spool.
    pub free_bytes: u64,
    /// Whether mail is taken now, or why not.
    pub accepting: String,
    /// Landlock.
    pub landlock: String,
    /// The system call filter.
    pub seccomp: bool,
    /// Networks banned now.
    #[serde(default)]
    pub bans: usize,
    /// What an operator should see to.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    /// Its address.
    pub name: String,
    /// Nobody can log in as it.
    pub disabled: bool,
    /// What it may send as.
    pub addresses: Vec<String>,
    /// What it has sent, where a server runs.
    #[serde(default)]
    pub used: Option<Used>,
    /// What it may do.
    #[serde(default)]
    pub scope: ScopeRow,
    /// Its password, its app passwords and, as `certificate FINGERPRINT`, the certificates noted for it.
    pub credentials: Vec<Credential>,
    /// SHA-256 of the certificates noted for it.
    #[serde(default)]
    pub certificates: Vec<String>,
}

/// A credential of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// `password`, what the app password is called, or `certificate FINGERPRINT`.
    pub label: String,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Milliseconds since 1970.
    pub expires: Option<u64>,
    /// Milliseconds since 1970, to the hour.
    pub last_used: Option<u64>,
    /// What it may do, within what its account may.
    #[serde(default)]
    pub scope: ScopeRow,
    /// Since when it is refused because nobody used it, in milliseconds since 1970.
    #[serde(default)]
    pub disabled: Option<u64>,
}

/// A message in the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Its id.
    pub id: String,
    /// With angle brackets.
    pub from: String,
    /// By whom.
    pub account: Option<String>,
    /// Octets.
    pub size: u64,
    /// Milliseconds since 1970.
    pub received: u64,
    /// Attempts so far.
    pub attempts: u16,
    /// Milliseconds since 1970.
    pub due: u64,
    /// Kept back, and why.
    pub held: Option<String>,
    /// To whom.
    pub recipients: Vec<Recipient>,
}

/// A recipient of a message in the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recipient {
    /// Its address.
    pub address: String,
    /// `open`, `delivered`, `bounced`, `expired` or `dropped`.
    pub state: String,
    /// Where it goes.
    pub destination: String,
    /// What was said last.
    pub reason: Option<String>,
}

/// A lane of the scheduler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lane {
    /// Where it leads.
    pub destination: String,
    /// The provider whose window it shares, where that is known by name.
    #[serde(default)]
    pub provider: Option<String>,
    /// Waiting for their turn.
    pub waiting: usize,
    /// Waiting for another try.
    pub deferred: usize,
    /// Being tried.
    pub active: usize,
    /// Kept back.
    pub held: usize,
    /// How many at once.
    pub window: u16,
    /// Nothing is tried before this; milliseconds since 1970.
    pub paused_until: Option<u64>,
    /// The oldest message; milliseconds since 1970.
    pub oldest: Option<u64>,
    /// The last trouble.
    pub trouble: Option<String>,
}

impl Lane {
    /// Its destination, with whose window it shares.
    pub(crate) fn leads_to(&self) -> String {
        match &self.provider {
            Some(provider) => format!("{} ({provider})", self.destination),
            None => self.destination.clone(),
        }
    }
}

/// The story of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Story {
    /// Its id.
    pub id: String,
    /// What happened, oldest first.
    pub entries: Vec<serde_json::Value>,
    /// It is still in the queue.
    pub queued: bool,
}

impl AccountOrder {
    /// The account that is no more when this is done.
    pub(crate) fn removes(&self) -> Option<&str> {
        match self {
            Self::Remove { name } => Some(name),
            _ => None,
        }
    }

    /// The account that is another's, or may have been, before this is done: where it was proven from counts no more.
    pub(crate) fn makes_strange(&self) -> Option<&str> {
        match self {
            Self::Password { name, .. } | Self::Remove { name } => Some(name),
            _ => None,
        }
    }
}

/// Carries out an order about accounts; works with and without a running server.
#[must_use]
pub(crate) fn carry_out_account(
    accounts: &postern_state::Accounts,
    now: postern_mail::envelope::UnixMillis,
    habits: &Habits,
    order: AccountOrder,
) -> Answer {
    let secret = |password: Option<String>| password.map(|text| postern_mail::Secret::new(text.into_bytes()));
    let told = |account: &str, label: &str, made: Option<postern_mail::Secret>, text: &str| match made {
        Some(password) => Answer::Password {
            account: account.to_owned(),
            label: label.to_owned(),
            password: String::from_utf8_lossy(password.expose()).into_owned(),
        },
        None => Answer::Done { text: format!("{account}: {text}") },
    };
    let done = |name: &str, text: &str| Answer::Done { text: format!("{name}: {text}") };
    if let AccountOrder::DryRun(order) = order {
        return dry_run(accounts, now, habits, *order);
    }
    let changes = match &order {
        AccountOrder::Scope { name, clear, parts, .. } => Some(name).filter(|_| *clear || !parts.is_empty()),
        AccountOrder::Addresses { name, .. } | AccountOrder::Disable { name } | AccountOrder::Enable { name } => Some(name),
        _ => None,
    };
    if let Some(Err(why)) = changes.map(|name| habits.is_somebody(accounts, name)) {
        return Answer::Failed { exit: 2, error: why };
    }
    let result = match order {
        AccountOrder::Add { name, password, addresses } => match owned(&addresses) {
            Err(error) => return Answer::Failed { exit: 2, error },
            Ok(addresses) => {
                let new = postern_state::NewAccount { name: &name, password: secret(password), addresses };
                accounts.add(now, new).map(|made| told(&name, "password", made, "added"))
            }
        },
        AccountOrder::List => Ok(Answer::Accounts { accounts: accounts.list().iter().map(|account| view(account)).collect() }),
        AccountOrder::Show { name } => accounts.show(&name).map(|account| Answer::Accounts { accounts: vec![view(&account)] }),
        AccountOrder::Password { name, password } => {
            accounts.set_password(now, &name, secret(password)).map(|made| told(&name, "password", made, "password changed"))
        }
        AccountOrder::AppPassword { name, label, expires, parts } => {
            let mut scope = postern_mail::scope::AccountScope::default();
            if let Err(error) = scopes::change(&mut scope, now, false, &parts) {
                return Answer::Failed { exit: 2, error };
            }
            accounts
                .add_app_password_within(now, &name, (&label, expires.map(postern_mail::envelope::UnixMillis)), scope)
                .map(|made| told(&name, &label, Some(made), ""))
        }
        AccountOrder::RemoveAppPassword { name, label } => {
            accounts.remove_app_password(&name, &label).map(|()| done(&name, "app password removed"))
        }
        AccountOrder::Addresses { name, addresses } => match owned(&addresses) {
            Err(error) => return Answer::Failed { exit: 2, error },
            Ok(addresses) => {
                accounts.set_addresses(&name, addresses.unwrap_or_default()).map(|()| done(&name, "addresses changed"))
            }
        },
        AccountOrder::AddCertificate { name, fingerprint } => match postern_state::account::parse_fingerprint(&fingerprint) {
            None => return Answer::Failed { exit: 2, error: no_fingerprint(&fingerprint) },
            Some(print) => accounts.add_certificate(now, &name, print).map(|()| done(&name, "certificate added")),
        },
        AccountOrder::RemoveCertificate { name, fingerprint } => match postern_state::account::parse_fingerprint(&fingerprint) {
            None => return Answer::Failed { exit: 2, error: no_fingerprint(&fingerprint) },
            Some(print) => accounts.remove_certificate(&name, print).map(|()| done(&name, CERTIFICATE_REMOVED)),
        },
        AccountOrder::Scope { name, label, clear, parts } => {
            let changing = clear || !parts.is_empty();
            let changed = if changing {
                accounts.set_scope(&name, label.as_deref(), |scope| scopes::change(scope, now, clear, &parts))
            } else {
                Ok(())
            };
            changed.and_then(|()| accounts.show(&name)).map(|account| Answer::Accounts { accounts: vec![view(&account)] })
        }
        AccountOrder::Review => {
            Ok(Answer::Reviews { reviews: scopes::review(accounts, now, habits), beside: habits.beside.clone() })
        }
        AccountOrder::Disable { name } => accounts.disable(&name).map(|()| done(&name, "disabled")),
        AccountOrder::Enable { name } => accounts.enable(now, &name).map(|()| done(&name, "enabled")),
        AccountOrder::Remove { name } => accounts.remove(&name).map(|()| done(&name, "removed")),
        AccountOrder::DryRun(_) => return Answer::Failed { exit: 2, error: "an order is rehearsed once".to_owned() },
    };
    result.unwrap_or_else(|failure| match failure {
        postern_state::AccountFailure::Unknown
        | postern_state::AccountFailure::UnknownLabel
        | postern_state::AccountFailure::UnknownCertificate => Answer::nothing(failure.to_string()),
        postern_state::AccountFailure::BadScope(why) => Answer::Failed { exit: 2, error: why },
        other => Answer::failed(other.to_string()),
    })
}

/// All is checked and done as it would be, on accounts of which nothing is kept.
fn dry_run(
    accounts: &postern_state::Accounts,
    now: postern_mail::envelope::UnixMillis,
    habits: &Habits,
    order: AccountOrder,
) -> Answer {
    match order {
        AccountOrder::Scope { .. }
        | AccountOrder::Addresses { .. }
        | AccountOrder::Disable { .. }
        | AccountOrder::Enable { .. }
        | AccountOrder::Remove { .. } => match carry_out_account(&accounts.rehearsal(), now, habits, order) {
            Answer::Done { text } => Answer::Done { text: format!("nothing is changed; without --dry-run: {text}") },
            answer => answer,
        },
        _ => Answer::Failed { exit: 2, error: "only scope, disable, enable and remove can be rehearsed".to_owned() },
    }
}

/// What is taken back is what was noted; that an authority is believed is a matter of the configuration.
const CERTIFICATE_REMOVED: &str = "certificate removed; with [tls] client_identity = \"address\" it is still good for the account whose address it names, until it is revoked or ends";

fn no_fingerprint(text: &str) -> String {
    format!(
        "{} is no SHA-256 fingerprint of 64 hexadecimal digits; openssl x509 -in FILE -noout -fingerprint -sha256 prints one",
        postern_mail::Quoted::text(text)
    )
}

fn owned(texts: &[String]) -> Result<Option<Vec<postern_state::Owned>>, String> {
    if texts.is_empty() {
        return Ok(None);
    }
    let parse = |text: &String| {
        postern_state::Owned::parse(text).map_err(|fault| format!("{text:?} is neither an address nor a domain: {fault}"))
    };
    texts.iter().map(parse).collect::<Result<_, _>>().map(Some)
}

fn view(account: &postern_state::Account) -> Account {
    Account {
        name: account.name.to_string(),
        disabled: account.disabled,
        used: None,
        addresses: account.addresses.iter().map(ToString::to_string).collect(),
        scope: ScopeRow::of(&account.scope),
        credentials: account
            .ways()
            .map(|(name, way)| Credential {
                label: name.to_string(),
                created: way.created.0,
                expires: way.expires.map(|at| at.0),
                last_used: way.last_used.map(|at| at.0),
                scope: ScopeRow::of(&way.standing.scope),
                disabled: way.standing.disabled.map(|at| at.0),
            })
            .collect(),
        certificates: account
            .certificates
            .iter()
            .map(|certificate| postern_state::account::print_fingerprint(&certificate.fingerprint))
            .collect(),
    }
}
