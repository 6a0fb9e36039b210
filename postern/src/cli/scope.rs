//! `postern account scope` and `postern account review`: reads the words, prints the answers.

use clap::Args;
use postern_mail::Quoted;
use postern_mail::scope::Part;

use crate::cli::Stop;
use crate::cli::print::{table, when};
use crate::control::{Account, AccountOrder};
use crate::scopes::{Review, Used, words};

#[derive(Args)]
pub(super) struct ScopeArgs {
    /// Its address; `network:10.1.2.0/24` for a relay network.
    address: String,
    /// Of this app password, or `password`, within what the account may do.
    #[arg(long, value_name = "LABEL")]
    app_password: Option<String>,
    /// An address or domain it may send as; repeat for more. Replaces those it had.
    #[arg(long = "may-send-as", value_name = "ADDRESS|DOMAIN")]
    addresses: Vec<String>,
    #[command(flatten)]
    parts: ScopeParts,
    /// Lift every restriction first.
    #[arg(long)]
    clear: bool,
    /// Only show what it would be.
    #[arg(long)]
    dry_run: bool,
}

/// What a scope is made of.
#[derive(Args)]
pub(super) struct ScopeParts {
    /// Kinds of listeners: mx, submission, submissions; with commas.
    #[arg(long, value_name = "KINDS")]
    listeners: Option<String>,
    /// Networks of the client, with commas.
    #[arg(long, value_name = "CIDR")]
    networks: Option<String>,
    /// Senders, in the envelope and in From: addresses, domains, *.domains; with commas.
    #[arg(long, value_name = "ADDRESSES")]
    senders: Option<String>,
    /// Recipients: addresses, domains, *.domains; with commas.
    #[arg(long, value_name = "ADDRESSES")]
    recipients: Option<String>,
    /// Messages in any hour, or `unlimited`.
    #[arg(long, value_name = "COUNT")]
    messages_per_hour: Option<String>,
    /// Messages in any day, or `unlimited`.
    #[arg(long, value_name = "COUNT")]
    messages_per_day: Option<String>,
    /// Recipients in any hour, or `unlimited`.
    #[arg(long, value_name = "COUNT")]
    recipients_per_hour: Option<String>,
    /// Recipients in any day, or `unlimited`.
    #[arg(long, value_name = "COUNT")]
    recipients_per_day: Option<String>,
    /// The largest message, such as 10MiB.
    #[arg(long, value_name = "SIZE")]
    message_size: Option<String>,
    /// Not before: a time, or how long from now.
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// Not from then on: a time, or how long from now.
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
}

impl ScopeParts {
    /// Names of parts, and what they are to be set to.
    pub(super) fn given(self) -> Vec<(String, String)> {
        let texts = [
            (Part::Listeners, self.listeners),
            (Part::Networks, self.networks),
            (Part::Senders, self.senders),
            (Part::Recipients, self.recipients),
            (Part::MessagesPerHour, self.messages_per_hour),
            (Part::MessagesPerDay, self.messages_per_day),
            (Part::RecipientsPerHour, self.recipients_per_hour),
            (Part::RecipientsPerDay, self.recipients_per_day),
            (Part::MessageSize, self.message_size),
            (Part::ValidFrom, self.valid_from),
            (Part::ValidUntil, self.valid_until),
        ];
        texts.into_iter().filter_map(|(part, text)| Some((part.as_str().to_owned(), text?))).collect()
    }
}

impl ScopeArgs {
    pub(super) fn order(self) -> Result<AccountOrder, Stop> {
        let Self { address, app_password, addresses, clear, parts, dry_run } = self;
        let parts = parts.given();
        if addresses.is_empty() {
            let order = AccountOrder::Scope { name: address, label: app_password, clear, parts };
            return Ok(rehearsed(order, dry_run));
        }
        // Two changes of a row that are not made together could be half made.
        if clear || app_password.is_some() || !parts.is_empty() {
            return Err(Stop(2, "--may-send-as is about the account as a whole: give it alone".to_owned()));
        }
        Ok(rehearsed(AccountOrder::Addresses { name: address, addresses }, dry_run))
    }
}

/// What it is with `--dry-run`.
pub(super) fn rehearsed(order: AccountOrder, dry_run: bool) -> AccountOrder {
    if dry_run { AccountOrder::DryRun(Box::new(order)) } else { order }
}

/// The scopes of accounts, where there are any.
pub(super) fn print(accounts: &[Account]) {
    for account in accounts {
        let scope = words(&account.scope, when);
        if !scope.is_empty() {
            say!("{}  scope: {scope}", account.name);
        }
        if let Some(used) = account.used.filter(|used| *used != Used::default()) {
            say!("{}  has sent: {}", account.name, sent(&used));
        }
        for credential in &account.credentials {
            let label = Quoted::text(&credential.label);
            let scope = words(&credential.scope, when);
            if !scope.is_empty() {
                say!("{}  {label}  scope: {scope}", account.name);
            }
            if let Some(since) = credential.disabled {
                say!("{}  {label}  disabled since {}, because nobody used it", account.name, when(since));
            }
        }
    }
}

fn sent(used: &Used) -> String {
    let Used { messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day } = used;
    format!(
        "{messages_per_hour} messages in the hour, {messages_per_day} in the day; {recipients_per_hour} recipients in the hour, {recipients_per_day} in the day"
    )
}

pub(super) fn print_reviews(reviews: &[Review]) {
    let mut table =
        table(&["account", "credential", "may send as", "scope", "has sent", "last used", "networks", "look at", "to revoke"]);
    for review in reviews {
        let scopes = [words(&review.scope, when), words(&review.credential_scope, when)];
        table.add_row([
            review.account.clone(),
            review.credential.as_ref().map(|label| Quoted::text(label).to_string()).unwrap_or_default(),
            if review.may_send_as.is_empty() { "nobody".to_owned() } else { review.may_send_as.join(", ") },
            scopes.into_iter().filter(|scope| !scope.is_empty()).collect::<Vec<_>>().join("; "),
            review.used.filter(|used| *used != Used::default()).map(|used| sent(&used)).unwrap_or_default(),
            review.last_used.map_or_else(|| "never".to_owned(), when),
            review.networks.join(", "),
            review.remarks.join("; "),
            review.revoke.clone().unwrap_or_default(),
        ]);
    }
    say!("{table}");
}
