//! The command line: noun, then verb. Exit 0 done, 1 failed, 2 wrong use, 3 nothing matched.

/// Prints a line. Unlike the standard library's, it does not panic when nobody reads any more, as behind `| head`: then there is nothing left to do.
macro_rules! say {
    ($($line:tt)*) => { $crate::cli::print_line(format_args!($($line)*)) };
}

mod ask;
mod bans;
mod config;
mod dkim;
mod dns;
mod dnsbl;
mod explain;
mod greylist;
mod held;
mod lists;
mod mirror;
mod policy;
mod print;
mod reports;
mod reputation;
mod scope;
mod suppression;

use std::fmt;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::scope::{ScopeArgs, ScopeParts, rehearsed};
use crate::control::{AccountOrder, Change, MESSAGES_DEFAULT, Order, QueueOrder, Selection};
use crate::offline::Source;
use crate::serve;

/// A hardened SMTP server in one binary.
#[derive(Parser)]
#[command(name = "postern", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// See `say!`.
fn print_line(line: fmt::Arguments<'_>) {
    if writeln!(std::io::stdout().lock(), "{line}").is_err() {
        std::process::exit(0);
    }
}

#[derive(Args)]
struct Where {
    /// The configuration; without it, the development default.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Print JSON for machines.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server in the foreground.
    Serve {
        /// The configuration; without it, the development default, which prints where it listens and how to try it.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check, show or compare configurations.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
        #[command(flatten)]
        at: Where,
    },
    /// How the running server is.
    Status {
        #[command(flatten)]
        at: Where,
    },
    /// Make the running server take up its configuration file, all of it or nothing.
    Reload {
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Only say whether it could: `config check`.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        at: Where,
    },
    /// Who may submit mail.
    Account {
        #[command(subcommand)]
        verb: AccountVerb,
        /// Why, for the audit log.
        #[arg(long, global = true, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        at: Where,
    },
    /// Networks, AS numbers and countries that are turned away, let in or given points.
    List {
        #[command(subcommand)]
        verb: lists::ListVerb,
        #[command(flatten)]
        at: Where,
    },
    /// What another configuration would have decided, and in what its rules differ.
    Policy {
        #[command(subcommand)]
        verb: policy::PolicyVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Mail that waits.
    Queue {
        #[command(subcommand)]
        verb: QueueVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Messages that are held for a person: by a rule, or by hand.
    Held {
        #[command(subcommand)]
        verb: held::HeldVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Why something was decided, and what would have changed it: by the reference of a refusal, by a message id, or for facts you make up.
    Explain {
        #[command(flatten)]
        asked: explain::Asked,
        #[command(flatten)]
        at: Where,
    },
    /// Who did what to this server. Read from its file, so the server need not run.
    Audit {
        #[command(subcommand)]
        verb: explain::AuditVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Keys that sign mail, and the records that publish them.
    Dkim {
        #[command(subcommand)]
        verb: dkim::DkimVerb,
        #[command(flatten)]
        at: Where,
    },
    /// What to publish for a domain, and whether it is.
    Dns {
        #[command(subcommand)]
        verb: dns::DnsVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Lists that are asked by DNS.
    Dnsbl {
        #[command(subcommand)]
        verb: dnsbl::DnsblVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Reports of DMARC and complaints: what others have sent, and our own to others.
    Reports {
        #[command(subcommand)]
        verb: reports::ReportsVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Who was told to come again because nothing was known of him.
    Greylist {
        #[command(subcommand)]
        verb: greylist::GreyVerb,
        #[command(flatten)]
        at: Where,
    },
    /// Addresses that are not written to: they bounced, complained, unsubscribed, or a person wants it so.
    Suppression {
        #[command(subcommand)]
        verb: suppression::SuppressionVerb,
        #[command(flatten)]
        at: Where,
    },
    /// How accounts stand: what each did against its own past, and what is done about it.
    Reputation {
        #[command(subcommand)]
        verb: reputation::ReputationVerb,
        /// Why, for the audit log.
        #[arg(long, global = true, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        at: Where,
    },
    /// Who is not let in.
    Ban {
        #[command(subcommand)]
        verb: bans::BanVerb,
        #[command(flatten)]
        at: Where,
    },
    /// The whole story of a message, from connection to outcome, by its id or an address.
    Trace {
        /// A message id or an address.
        what: String,
        /// Messages of an address at most.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        at: Where,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigVerb {
    /// Read it and say all that is wrong.
    Check,
    /// Every effective value, its default, and where it came from; and who can reach what.
    Show {
        /// Only what is not the default.
        #[arg(long)]
        changed: bool,
    },
    /// What would change with another file.
    Diff {
        /// The other file.
        new: PathBuf,
    },
}

#[derive(Subcommand)]
enum AccountVerb {
    /// Make one; without --password-stdin a password is made and printed once.
    Add {
        /// Its address; it logs in with it and may send as it.
        address: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        /// An address or domain it may send as; repeat for more. Without any: its own address.
        #[arg(long = "may-send-as", value_name = "ADDRESS|DOMAIN")]
        addresses: Vec<String>,
    },
    /// All of them.
    List,
    /// One of them.
    Show {
        /// Its address.
        address: String,
    },
    /// Show or change what it may do: without anything to change, show it. `any` lifts a restriction.
    Scope(Box<ScopeArgs>),
    /// Who can send as whom, when and from where that was last used, and what to take away.
    Review,
    /// A new password; without --password-stdin one is made and printed once.
    Password {
        /// Its address.
        address: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// One more password, for one program; it is printed once.
    AppPassword {
        /// Its address.
        address: String,
        /// What the program is called.
        label: String,
        /// It ends after this long, such as 90d.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Take this app password away instead.
        #[arg(long)]
        remove: bool,
        /// What it may do, within what the account may, from its first moment on.
        #[command(flatten)]
        parts: Box<ScopeParts>,
    },
    /// Certificates that are good for it, by their SHA-256 fingerprints (AUTH EXTERNAL).
    Certificate {
        /// Its address.
        address: String,
        #[command(subcommand)]
        verb: CertificateVerb,
    },
    /// Nobody can log in as it; nothing is forgotten.
    Disable {
        /// Its address.
        address: String,
        /// Only say what would come of it.
        #[arg(long)]
        dry_run: bool,
    },
    /// Take `disable` back.
    Enable {
        /// Its address.
        address: String,
        /// Only say what would come of it.
        #[arg(long)]
        dry_run: bool,
    },
    /// Forget it.
    Remove {
        /// Its address.
        address: String,
        /// Only say what would come of it.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Subcommand)]
enum CertificateVerb {
    /// One more.
    Add {
        /// As `openssl x509 -noout -fingerprint -sha256` prints it.
        fingerprint: String,
    },
    /// All of them.
    List,
    /// One less; sessions that logged in by it end.
    Remove {
        /// As it is listed.
        fingerprint: String,
    },
}

#[derive(Args)]
struct Which {
    /// Message ids.
    ids: Vec<String>,
    /// Submitted by this account.
    #[arg(long)]
    account: Option<String>,
    /// With an open recipient in this domain.
    #[arg(long)]
    domain: Option<String>,
    /// From this address; `<>` for reports.
    #[arg(long)]
    from: Option<String>,
    /// Accepted longer ago than this, such as 2h.
    #[arg(long, value_name = "TIME")]
    older_than: Option<String>,
    /// Whose last reason, or the one they are held for, has this text.
    #[arg(long, value_name = "TEXT")]
    reason_like: Option<String>,
    /// Held ones only.
    #[arg(long)]
    held: bool,
    /// At most so many.
    #[arg(long, default_value_t = MESSAGES_DEFAULT)]
    limit: usize,
}

#[derive(Args)]
struct Changing {
    #[command(flatten)]
    which: Which,
    /// Why, for the history of each message.
    #[arg(long, default_value = "")]
    reason: String,
    /// Only say which messages it would be.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum QueueVerb {
    /// Messages, oldest first.
    List(Which),
    /// One message, with everything that is known of it.
    Show {
        /// Its id.
        id: String,
    },
    /// Destinations, the fullest first.
    Summary {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Keep messages back.
    Hold(Changing),
    /// Let held messages go on.
    Release(Changing),
    /// Try messages now.
    Retry(Changing),
    /// Give messages up and tell their senders.
    Bounce(Changing),
    /// Forget messages and tell nobody.
    Drop(Changing),
}

/// What ends a command early: an exit code and words.
pub(crate) struct Stop(pub(crate) u8, pub(crate) String);

impl From<String> for Stop {
    fn from(words: String) -> Self {
        Self(1, words)
    }
}

fn seconds(text: Option<&str>) -> Result<Option<u64>, Stop> {
    let Some(text) = text else { return Ok(None) };
    match postern_config::parse_duration(text) {
        Ok(duration) => Ok(Some(duration.as_secs())),
        Err(why) => Err(Stop(2, format!("{text:?} is no time: {why}; such as 90s, 10m, 2h, 7d"))),
    }
}

impl Which {
    fn selection(self) -> Result<Selection, Stop> {
        Ok(Selection {
            older_than: seconds(self.older_than.as_deref())?,
            ids: self.ids,
            account: self.account,
            domain: self.domain,
            from: self.from,
            reason: self.reason_like,
            held: self.held,
            limit: self.limit,
        })
    }

    fn is_everything(&self) -> bool {
        self.ids.is_empty()
            && self.account.is_none()
            && self.domain.is_none()
            && self.from.is_none()
            && self.older_than.is_none()
            && self.reason_like.is_none()
            && !self.held
    }
}

impl Changing {
    fn order(self, what: Change) -> Result<Order, Stop> {
        if self.which.is_everything() {
            return Err(Stop(
                2,
                format!(
                    "which messages? Give ids, or one of --account, --domain, --from, --older-than, --reason-like, --held to {} them",
                    what.as_str()
                ),
            ));
        }
        let which = self.which.selection()?;
        Ok(Order::Queue(QueueOrder::Change { what, which, reason: self.reason, dry_run: self.dry_run }))
    }
}

fn password(from_stdin: bool) -> Result<Option<String>, Stop> {
    if !from_stdin {
        return Ok(None);
    }
    if std::io::stdin().is_terminal() {
        eprintln!("Type the password and Enter (it is shown; better: pipe it in).");
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("standard input: {error}"))?;
    let password = line.trim_end_matches(['\n', '\r']).to_owned();
    if password.is_empty() { Err(Stop(2, "no password came on standard input".to_owned())) } else { Ok(Some(password)) }
}

impl AccountVerb {
    fn order(self) -> Result<AccountOrder, Stop> {
        Ok(match self {
            Self::Add { address, password_stdin, addresses } => {
                AccountOrder::Add { name: address, password: password(password_stdin)?, addresses }
            }
            Self::List => AccountOrder::List,
            Self::Show { address } => AccountOrder::Show { name: address },
            Self::Scope(args) => args.order()?,
            Self::Review => AccountOrder::Review,
            Self::Password { address, password_stdin } => {
                AccountOrder::Password { name: address, password: password(password_stdin)? }
            }
            Self::AppPassword { address, label, remove: true, expires, parts } => {
                if expires.is_some() || !parts.given().is_empty() {
                    return Err(Stop(
                        2,
                        "--remove takes an app password away: there is nothing to say of what it may do".to_owned(),
                    ));
                }
                AccountOrder::RemoveAppPassword { name: address, label }
            }
            Self::AppPassword { address, label, expires, remove: false, parts } => {
                let after = seconds(expires.as_deref())?;
                let expires = after.map(|seconds| crate::wire::clock().0.saturating_add(seconds.saturating_mul(1000)));
                AccountOrder::AppPassword { name: address, label, expires, parts: parts.given() }
            }
            Self::Certificate { address: name, verb } => match verb {
                CertificateVerb::Add { fingerprint } => AccountOrder::AddCertificate { name, fingerprint },
                CertificateVerb::List => AccountOrder::Show { name },
                CertificateVerb::Remove { fingerprint } => AccountOrder::RemoveCertificate { name, fingerprint },
            },
            Self::Disable { address, dry_run } => rehearsed(AccountOrder::Disable { name: address }, dry_run),
            Self::Enable { address, dry_run } => rehearsed(AccountOrder::Enable { name: address }, dry_run),
            Self::Remove { address, dry_run } => rehearsed(AccountOrder::Remove { name: address }, dry_run),
        })
    }
}

impl QueueVerb {
    fn order(self) -> Result<Order, Stop> {
        match self {
            Self::List(which) => Ok(Order::Queue(QueueOrder::List(which.selection()?))),
            Self::Show { id } => Ok(Order::Queue(QueueOrder::Show { id })),
            Self::Summary { limit } => Ok(Order::Queue(QueueOrder::Summary { limit })),
            Self::Hold(changing) => changing.order(Change::Hold),
            Self::Release(changing) => changing.order(Change::Release),
            Self::Retry(changing) => changing.order(Change::Retry),
            Self::Bounce(changing) => changing.order(Change::Bounce),
            Self::Drop(changing) => changing.order(Change::Drop),
        }
    }
}

fn because(reason: Option<String>, order: Order) -> Order {
    match reason {
        Some(reason) => Order::Because { reason, order: Box::new(order) },
        None => order,
    }
}

fn carry_out(command: Command) -> Result<(), Stop> {
    let (order, at) = match command {
        Command::Serve { config } => return Ok(serve::run(Source::named(config))?),
        Command::Config { verb, at } => return config::run(&verb, Source::named(at.config), at.json),
        Command::Status { at } => (Order::Status, at),
        Command::Reload { dry_run: true, at, .. } => {
            return config::run(&ConfigVerb::Check, Source::named(at.config), at.json);
        }
        Command::Reload { reason, dry_run: false, at } => (because(reason, Order::Reload), at),
        Command::Account { verb, reason, at } => (because(reason, Order::Account(verb.order()?)), at),
        Command::Explain { asked, at } => (asked.order(&Source::named(at.config.clone()))?, at),
        Command::List { verb, at } => return lists::run(verb, &Source::named(at.config), at.json),
        Command::Policy { verb, at } => return policy::run(&verb, at.config, at.json),
        Command::Audit { verb, at } => return explain::audit(&verb, &Source::named(at.config), at.json),
        Command::Queue { verb, at } => (verb.order()?, at),
        Command::Held { verb, at } => (verb.order()?, at),
        Command::Ban { verb: bans::BanVerb::Mirror { table, once, dry_run }, at } => {
            return mirror::run(&Source::named(at.config), &mirror::Mirror { table, once, dry_run });
        }
        Command::Dnsbl { verb: dnsbl::DnsblVerb::Status, at } => (Order::DnsLists, at),
        Command::Dkim { verb, at } => (verb.order(), at),
        Command::Dns { verb, at } => (verb.order(), at),
        Command::Reports { verb: reports::ReportsVerb::Read { files }, at } => return reports::files(&files, at.json),
        Command::Reports { verb, at } => match verb.order() {
            Some(order) => (order, at),
            None => return Ok(()),
        },
        Command::Greylist { verb, at } => (verb.order(), at),
        Command::Reputation { verb, reason, at } => (because(reason, verb.order()?), at),
        Command::Ban { verb, at } => (verb.order()?, at),
        Command::Suppression { verb, at } => return suppression::run(verb, &Source::named(at.config), at.json),
        Command::Trace { what, limit, at } => (Order::Trace { what, limit }, at),
    };
    let answer = ask::ask(&Source::named(at.config), order)?;
    print::print(answer, at.json)
}

/// Reads the arguments and does what they say.
pub(crate) fn run() -> ExitCode {
    match carry_out(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop(code, words)) => {
            if !words.is_empty() {
                eprintln!("postern: {words}");
            }
            ExitCode::from(code)
        }
    }
}
