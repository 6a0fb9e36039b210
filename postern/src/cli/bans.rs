//! `postern ban`: what is asked, and the answers for people.

use clap::Subcommand;
use postern_mail::Quoted;

use crate::cli::print::{how_long, table, when};
use crate::cli::{Stop, seconds};
use crate::control::Order;
use crate::control::bans::{BanOrder, Bans, Explained, View};
use crate::wire::clock;

#[derive(Subcommand)]
pub(crate) enum BanVerb {
    /// Bans in force, by address, and networks that are refused for their faults.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Ban an address or a network. Its open connections end, except where somebody has logged in.
    Add {
        /// An address or a network. Of IPv6, an address stands for its /64.
        network: String,
        /// For this long, such as 2h or 7d; without it, until it is lifted.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<String>,
        /// Why; it is shown wherever the ban is.
        #[arg(long, default_value = "")]
        reason: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Lift a ban, and forget that it was and what was counted; or let in a network that is refused for its faults.
    Remove {
        /// The address or network that is banned.
        network: String,
        /// Lift all bans within it as well.
        #[arg(long)]
        within: bool,
        /// Why, for the history.
        #[arg(long, default_value = "")]
        reason: String,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Whether an address is banned, why, since when, until when, how often before, and how to lift it.
    Explain {
        /// An address, or the reference from a refusal.
        address: String,
    },
    /// Follow the server and keep sets of nftables in step, so that the kernel drops banned clients. Needs CAP_NET_ADMIN and the program nft.
    Mirror {
        /// The table that is made and kept; it must be nobody else's.
        #[arg(long, default_value = "postern")]
        table: String,
        /// Bring it in step once, and end.
        #[arg(long)]
        once: bool,
        /// Print what nft would be given, once, and do nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

impl BanVerb {
    /// The order for the server. A mirror gives many, and is no single one.
    pub(crate) fn order(self) -> Result<Order, Stop> {
        Ok(Order::Ban(match self {
            Self::List { limit } => BanOrder::List { limit },
            Self::Add { network, length, reason, dry_run } => {
                BanOrder::Add { network, length: seconds(length.as_deref())?, reason, dry_run }
            }
            Self::Remove { network, within, reason, dry_run } => BanOrder::Remove { network, within, reason, dry_run },
            Self::Explain { address } => BanOrder::Explain { what: address },
            Self::Mirror { .. } => BanOrder::Mirror { after: None },
        }))
    }
}

/// How long from now, or ago.
fn left(until: Option<u64>) -> String {
    match until {
        None => "lifted by hand".to_owned(),
        Some(until) => format!("{} ({} left)", when(until), how_long(until.saturating_sub(clock().0) / 1000)),
    }
}

pub(crate) fn print_bans(answer: &Bans) {
    if let Some(did) = &answer.did {
        for ban in &answer.bans {
            let until =
                if did.ends_with("lift") || did == "lifted" { String::new() } else { format!(" until {}", left(ban.until)) };
            say!("{did}: {}{until}", ban.network);
        }
        return;
    }
    if answer.bans.is_empty() {
        say!("nobody is banned");
    } else {
        print_table(answer);
    }
    if !answer.refused.is_empty() {
        say!("refused for the faults of the whole network, without a ban; postern ban remove lets it in:");
        let mut table = table(&["network", "until", "evidence"]);
        for refused in &answer.refused {
            table.add_row([refused.network.clone(), left(Some(refused.until)), refused.evidence.clone()]);
        }
        say!("{table}");
    }
}

fn print_table(answer: &Bans) {
    let mut table = table(&["network", "cause", "since", "until", "times", "refused", "evidence"]);
    for ban in &answer.bans {
        table.add_row([
            ban.network.clone(),
            ban.cause.clone(),
            when(ban.since),
            left(ban.until),
            ban.times.to_string(),
            ban.refused.to_string(),
            Quoted::text(&ban.evidence).to_string(),
        ]);
    }
    say!("{table}");
    if answer.more {
        say!("... and more; give --limit");
    }
}

fn print_view(ban: &View) {
    let state = if ban.active { "banned" } else { "was banned" };
    say!("  {} {state} by {}, for {}", ban.network, if ban.by == "person" { "a person" } else { "the server" }, ban.cause);
    say!("    evidence  {}", Quoted::text(&ban.evidence));
    say!("    since     {}", when(ban.since));
    if ban.active {
        say!("    until     {}", left(ban.until));
        say!("    refused   {} connections", ban.refused);
    } else {
        say!("    until     {}", ban.until.map_or_else(String::new, when));
    }
    let before = ban.times.saturating_sub(1);
    say!("    before    {}", if before == 0 { "never, as far as is remembered".to_owned() } else { format!("{before} times") });
    if ban.active {
        say!("    lift      postern ban remove {}", ban.network);
    }
}

pub(crate) fn print_explained(explained: &Explained) {
    let address = &explained.address;
    match (&explained.spared, explained.banned) {
        (Some(why), _) => say!("{address} is not banned and never will be: it is {why}"),
        (None, true) => say!("{address} is banned"),
        (None, false) => say!("{address} is not banned"),
    }
    if explained.shared {
        say!("  everybody seems to come from it, so it is not banned automatically; see: postern status");
    }
    if let Some(why) = explained.unbanned.as_ref().filter(|_| explained.spared.is_none() && !explained.shared) {
        say!("  it is not banned for guessing passwords: {why}");
    }
    if explained.open > 0 {
        say!("  {} connections are open from it that nobody has logged in on", explained.open);
    }
    for held in &explained.held {
        say!("  counted   {held}");
    }
    for turned_away in &explained.turned_away {
        say!("  turned away before a greeting: {turned_away}");
    }
    for listed in &explained.listed {
        say!("  listed    {listed}");
    }
    for ban in &explained.bans {
        print_view(ban);
    }
    if explained.spared.is_none() {
        say!("  never to ban it: add it to [server] trusted_networks and reload");
    }
}
