//! The words of `postern reputation` on the control socket, and how its orders are carried out.

use std::sync::Arc;

use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::control::{Answer, Change, Selection};
use crate::wire::{Server, clock, control, guard};

/// Something of how accounts stand.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReputationOrder {
    /// How one stands, or all.
    Show {
        /// Its name; none for all.
        account: Option<String>,
    },
    /// It is well: forget what is held against it.
    Clear {
        /// Its name.
        account: String,
        /// Let go so many of its messages that the guard holds, the oldest first; none: none of them.
        release: Option<usize>,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// It may send much for a while.
    Trust {
        /// Its name.
        account: String,
        /// In seconds.
        lasting: u64,
        /// Only say what would be done.
        dry_run: bool,
    },
}

impl ReputationOrder {
    /// What is done, where anything is.
    #[must_use]
    pub(crate) fn act(&self) -> Option<String> {
        match self {
            Self::Show { .. } | Self::Clear { dry_run: true, .. } | Self::Trust { dry_run: true, .. } => None,
            Self::Clear { account, release: None, .. } => Some(format!("reputation clear {account}")),
            Self::Clear { account, release: Some(most), .. } if *most == usize::MAX => {
                Some(format!("reputation clear {account} --release"))
            }
            Self::Clear { account, release: Some(most), .. } => {
                Some(format!("reputation clear {account} --release --at-most {most}"))
            }
            Self::Trust { account, lasting, .. } => Some(format!("reputation trust {account} for {lasting} s")),
        }
    }
}

/// How an account stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// Which.
    pub account: String,
    /// `none`, `slow`, `hold` or `suspend`.
    pub step: String,
    /// Milliseconds since 1970.
    pub since: u64,
    /// All signals together, as `4.5`.
    pub points: String,
    /// The evidence.
    pub signals: Vec<Signal>,
    /// The most recipients in an hour and in a day, and the most strangers in both, on usual days.
    pub usual: [u64; 4],
    /// The same of late.
    pub of_late: [u64; 4],
    /// Recipients it is known to write to.
    pub known: u32,
    /// Days on which it sent.
    pub days: u32,
    /// A person vouches for it until then; milliseconds since 1970.
    pub trusted_until: Option<u64>,
}

/// Something that speaks against an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Signal {
    /// What.
    pub name: String,
    /// As `4.5`.
    pub points: String,
    /// In words.
    pub words: String,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts for a person to read")]
fn whole(number: f64) -> u64 {
    number.max(0.0).round() as u64
}

fn view(standing: postern_outcome::guard::Standing) -> Standing {
    Standing {
        account: standing.account.to_string(),
        step: standing.step.to_string(),
        since: standing.since.0,
        points: standing.points.to_string(),
        signals: standing
            .signals
            .into_iter()
            .map(|signal| Signal { name: signal.name.to_owned(), points: format!("{:.1}", signal.points), words: signal.words })
            .collect(),
        usual: standing.usual.map(whole),
        of_late: standing.of_late.map(whole),
        known: standing.known,
        days: standing.days,
        trusted_until: standing.trusted_until.map(|until| until.0),
    }
}

/// Those the guard holds.
fn held(account: &str, most: usize) -> Selection {
    let reason = Some("guard: held".to_owned());
    Selection { account: Some(account.to_owned()), held: true, reason, limit: most, ..Selection::default() }
}

/// Carries one out.
pub(crate) async fn carry_out(server: &Arc<Server>, order: ReputationOrder, reason: &str) -> Answer {
    let live = server.live.load_full();
    let nothing = |account: &str| Answer::nothing(format!("nothing is known of {account}; it has not sent anything yet"));
    match order {
        ReputationOrder::Show { account } => match guard::standings(server, &live, account.as_deref()).await {
            Ok(standings) if standings.is_empty() && account.is_some() => nothing(&account.unwrap_or_default()),
            Ok(standings) => Answer::Reputation { accounts: standings.into_iter().map(view).collect() },
            Err(error) => Answer::failed(error),
        },
        ReputationOrder::Clear { account, release, dry_run } => {
            let name: Arc<str> = account.as_str().into();
            if !guard::is_kept(server, &name).await {
                return nothing(&account);
            }
            let which = held(&account, release.unwrap_or(usize::MAX));
            let (messages, more) = match control::select(server, &which).await {
                Ok(found) => found,
                Err(answer) => return answer,
            };
            let count = messages.len();
            if dry_run {
                let what = if release.is_some() { "let go" } else { "left held" };
                return Answer::Done { text: format!("{account} would be cleared, and {count} of its messages {what}") };
            }
            // Whom a person lets it write to is no stranger to it.
            let released = messages.iter().filter(|_| release.is_some());
            let known: Vec<Mailbox> = released
                .flat_map(|(_, message)| message.recipients.iter().filter_map(|to| Mailbox::parse(&to.address).ok()))
                .collect();
            let before = match guard::clear(server, &live, &name, &known).await {
                Ok(before) => before,
                Err(error) => return Answer::failed(error),
            };
            let rest = match (release, count) {
                (_, 0) => "none of its messages is held".to_owned(),
                (None, count) => format!("{count} of its messages are still held: postern held release --account {account}"),
                (Some(_), count) => {
                    let words = if reason.is_empty() { "reputation clear" } else { reason };
                    if let answer @ Answer::Failed { .. } = control::change(server, Change::Release, &which, words, false).await {
                        return answer;
                    }
                    format!("{count} messages are let go{}", if more { ", and more are held" } else { "" })
                }
            };
            Answer::Done { text: format!("{account} is cleared, it stood on {before}; {rest}") }
        }
        ReputationOrder::Trust { account, lasting, dry_run } => {
            if server.accounts.find(&account).is_none() && !account.starts_with("network:") {
                return Answer::nothing(format!("there is no account {account}"));
            }
            let until = UnixMillis(clock().0.saturating_add(lasting.saturating_mul(1000)));
            if !dry_run {
                guard::trust(server, &live, &account.as_str().into(), until).await;
            }
            let would = if dry_run { "would be" } else { "is" };
            Answer::Done {
                text: format!(
                    "{account} {would} trusted for {lasting} s: how much it sends, and to how many strangers, is not held against it; what receivers say is"
                ),
            }
        }
    }
}
