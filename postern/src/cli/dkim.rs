//! `postern dkim`: the records of keys that sign mail, and new keys.

use clap::Subcommand;

use crate::cli::print::{table, when};
use crate::control::Order;
use crate::control::dkim::{DkimKeys, DkimOrder};

#[derive(Subcommand)]
pub(crate) enum DkimVerb {
    /// The records to publish, and whether they are; keys that wait for theirs sign once these are seen.
    Show {
        /// Of this domain only.
        domain: Option<String>,
    },
    /// Make new keys and print their records; they sign once these are seen published.
    Rotate {
        /// For this domain.
        domain: String,
        /// They sign at once, whether their records are seen or not: when the old keys are in wrong hands.
        #[arg(long)]
        unseen: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

impl DkimVerb {
    /// What the server is asked.
    pub(crate) fn order(self) -> Order {
        match self {
            Self::Show { domain } => Order::Dkim(DkimOrder::Show { domain }),
            Self::Rotate { domain, unseen, dry_run, reason } => {
                super::because(reason, Order::Dkim(DkimOrder::Rotate { domain, unseen, dry_run }))
            }
        }
    }
}

/// Shows them.
pub(crate) fn print(answer: &DkimKeys) {
    if let Some(done) = &answer.done {
        say!("{done}");
    }
    for domain in &answer.domains {
        say!("{}", domain.domain);
        let mut shown = table(&["selector", "algorithm", "state", "since", "record"]);
        for key in &domain.keys {
            let since = key.retired.or(key.signs_since).unwrap_or(key.made);
            let published = key.published.clone().unwrap_or_else(|| "unknown".to_owned());
            shown.add_row([key.selector.clone(), key.algorithm.clone(), key.state.clone(), when(since), published]);
        }
        say!("{shown}");
        for key in &domain.keys {
            if key.state == "over" && key.advice.is_none() {
                continue;
            }
            say!("\nname   {}", key.name);
            say!("type   TXT");
            say!("value  {}", key.quoted);
            say!("zone   {}", key.zone_line);
            if let Some(advice) = &key.advice {
                say!("  ->   {advice}");
            }
        }
    }
}
