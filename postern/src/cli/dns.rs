//! `postern dns`: what to publish for a domain, and whether it is.

use clap::Subcommand;
use postern_mail::Quoted;

use crate::cli::Stop;
use crate::control::Order;
use crate::control::dns::{DnsOrder, DnsPlan};

#[derive(Subcommand)]
pub(crate) enum DnsVerb {
    /// All records to publish for a domain.
    Plan {
        /// Which.
        domain: String,
    },
    /// Whether they are published, and what differs. Exit 1 when something is to be done.
    Check {
        /// Which.
        domain: String,
    },
}

impl DnsVerb {
    /// What the server is asked.
    pub(crate) fn order(self) -> Order {
        match self {
            Self::Plan { domain } => Order::Dns(DnsOrder { domain, check: false }),
            Self::Check { domain } => Order::Dns(DnsOrder { domain, check: true }),
        }
    }
}

/// Shows it.
pub(crate) fn print(plan: &DnsPlan) {
    for record in &plan.records {
        let state = record.state.as_deref().map(|state| format!("{state:<10} ")).unwrap_or_default();
        say!("{state}{}", record.zone_line);
        say!("    for  {}", record.why);
        if record.state.as_deref() != Some("published") {
            for found in &record.found {
                say!("  found  {}", Quoted::text(found));
            }
        }
        if let Some(note) = &record.note {
            say!("     ->  {note}");
        }
    }
}

/// How the command ends.
pub(crate) fn ended(plan: &DnsPlan) -> Result<(), Stop> {
    if plan.is_wrong() { Err(Stop(1, String::new())) } else { Ok(()) }
}
