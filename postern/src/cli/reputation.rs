//! `postern reputation`: how accounts stand with the guard, and what a person can do about it.

use clap::Subcommand;
use postern_mail::Quoted;

use crate::cli::print::{table, when};
use crate::cli::{Stop, seconds};
use crate::control::Order;
use crate::control::reputation::{ReputationOrder, Standing};

#[derive(Subcommand)]
pub(crate) enum ReputationVerb {
    /// What speaks against an account, what is usual for it, and the step it stands on; without a name, all accounts.
    Show {
        /// Its address, or `network:` and a relay network.
        account: Option<String>,
    },
    /// Say that an account is well: what is held against it is forgotten, a suspension ends, and with --release its held mail goes on.
    Clear {
        /// Its address.
        account: String,
        /// Let its held mail go.
        #[arg(long)]
        release: bool,
        /// Only so many messages of it, the oldest first.
        #[arg(long, requires = "release", value_name = "NUMBER")]
        at_most: Option<usize>,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Vouch for an account for a while: a newsletter, an invitation, a new list.
    Trust {
        /// Its address.
        account: String,
        /// How long, such as 2h or 1d.
        #[arg(long = "for", value_name = "TIME", default_value = "1d")]
        lasting: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

impl ReputationVerb {
    pub(crate) fn order(self) -> Result<Order, Stop> {
        Ok(Order::Reputation(match self {
            Self::Show { account } => ReputationOrder::Show { account },
            Self::Clear { account, release, at_most, dry_run } => {
                ReputationOrder::Clear { account, release: release.then(|| at_most.unwrap_or(usize::MAX)), dry_run }
            }
            Self::Trust { account, lasting, dry_run } => {
                ReputationOrder::Trust { account, lasting: seconds(Some(&lasting))?.unwrap_or_default(), dry_run }
            }
        }))
    }
}

/// Shows them: one in full, many as a table.
pub(crate) fn print(accounts: &[Standing]) {
    match accounts {
        [] => say!("no account has sent anything yet"),
        [one] => print_one(one),
        many => {
            let mut shown =
                table(&["account", "step", "points", "recipients (hour, day)", "new (hour, day)", "most speaks against it"]);
            for one in many {
                let [hour, day, new_hour, new_day] = one.of_late;
                let most = one.signals.first().map(|signal| signal.words.clone()).unwrap_or_default();
                let account = Quoted::text(&one.account).to_string();
                shown.add_row([
                    account,
                    one.step.clone(),
                    one.points.clone(),
                    format!("{hour}, {day}"),
                    format!("{new_hour}, {new_day}"),
                    most,
                ]);
            }
            say!("{shown}");
        }
    }
}

fn print_one(one: &Standing) {
    let [hour, day, new_hour, new_day] = one.of_late;
    let [usual_hour, usual_day, usual_new_hour, usual_new_day] = one.usual;
    say!("account      {}", Quoted::text(&one.account));
    say!("step         {} since {}", one.step, when(one.since));
    say!("points       {}", one.points);
    for signal in &one.signals {
        say!("  {:>5}  {}: {}", signal.points, signal.name, signal.words);
    }
    say!("recipients   {hour} in the last hour, {day} in the last day; the most on usual days {usual_hour} and {usual_day}");
    say!(
        "new ones     {new_hour} in the last hour, {new_day} in the last day; the most on usual days {usual_new_hour} and {usual_new_day}"
    );
    say!("known        {} recipients, from {} days on which it sent", one.known, one.days);
    if let Some(until) = one.trusted_until {
        say!("trusted      until {}", when(until));
    }
}
