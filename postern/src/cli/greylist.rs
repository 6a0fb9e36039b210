//! `postern greylist`: who was told to come again, and who did.

use clap::Subcommand;

use crate::cli::print::{table, when};
use crate::control::Order;
use crate::control::greylist::{GreyOrder, Remembered};

#[derive(Subcommand)]
pub(crate) enum GreyVerb {
    /// Networks that came back and are delayed no more, and those that were told to come again, the newest first. Of senders and recipients only
    /// hashes are kept.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// The network of an address comes for the first time again. Exit 3 when it is not remembered.
    Forget {
        /// The address.
        address: String,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// How many are remembered, and in how much memory.
    Stats,
}

impl GreyVerb {
    /// What the server is asked.
    pub(crate) fn order(self) -> Order {
        match self {
            Self::List { limit } => Order::Greylist(GreyOrder::List { limit }),
            Self::Forget { address, reason } => super::because(reason, Order::Greylist(GreyOrder::Forget { address })),
            Self::Stats => Order::Greylist(GreyOrder::Stats),
        }
    }
}

/// Shows it.
pub(crate) fn print(remembered: &Remembered) {
    if let Some(rows) = &remembered.rows {
        let mut shown = table(&["network", "state", "last seen, or first came"]);
        for row in rows {
            let state = if row.known { "known" } else { "waiting" };
            shown.add_row([row.network.clone(), state.to_owned(), when(row.at)]);
        }
        say!("{shown}");
        if remembered.more {
            say!("there are more; --limit shows them");
        }
        return;
    }
    say!("rule greylist: {}", remembered.mode);
    say!("told to come again: {}", remembered.waiting);
    say!("networks that came back: {}", remembered.known);
    say!("memory: at most {} of {} octets", remembered.octets, remembered.memory);
}
