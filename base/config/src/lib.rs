//! Every setting: its type, its default, and the reason for the default.
//!
//! Text goes in, a [`Config`] or all of its errors come out; nothing here reads a file, the environment or a clock. Promise:
//! nothing in a configuration is silently ignored, and an empty one is valid and safe.

#![warn(missing_docs)]

mod arc;
mod auth;
mod authenticity;
mod check;
mod delivery;
mod dkim;
mod dns;
mod dnsbl;
mod domain;
mod error;
mod filter;
mod greylist;
mod guard;
mod history;
mod http;
mod hygiene;
mod links;
mod list;
mod listener;
mod load;
mod log;
mod markdown;
mod next_hop;
mod oidc;
mod policy;
mod read;
mod reports;
mod route;
mod salvage;
mod scheduler;
mod server;
mod session;
mod show;
mod spool;
mod table;
mod tls;
mod units;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use postern_mail::fact::Mechanism;
use postern_mail::{Domain, Host, Mailbox};

pub use arc::Arc;
pub use auth::{Auth, BanReply};
pub use authenticity::{Authenticity, DmarcQuarantine};
pub use delivery::{Egress, MtaSts, Outbound, Timeouts};
pub use dkim::Dkim;
pub use dns::Dns;
pub use dnsbl::{BitPoints, CodePoints, Dnsbl, TestPointSetting, Uribl};
pub use domain::{Aliases, CallAhead, Deliver, HostedDomain, Recipients, Resolution, Separator, StsMode, WebhookUrl, WhenDown};
pub use error::{ConfigError, Position, Warning};
pub use filter::{Clamav, FilterAddress, Milter, OnFound, Rspamd, RspamdUse};
pub use history::History;
pub use http::Http;
pub use hygiene::{Hygiene, Suppression, Verp};
pub use list::{List, ListAction, ListFile};
pub use listener::Listener;
pub use load::{DEVELOPMENT, Machine, load};
pub use log::{Log, LogFormat, LogLevel};
pub use markdown::markdown;
pub use next_hop::{Credentials, LmtpAddress, Password, Target, TlsMode};
pub use oidc::{AccountClaim, IssuerUrl, Oidc};
pub use policy::{Policy, RuleModes};
pub use reports::Reports;
pub use route::{Pattern, Route};
pub use salvage::data_dir_of_broken;
pub use scheduler::{Lanes, Provider, Retry};
pub use server::Server;
pub use session::Limits;
pub use show::{Change, Origin, Setting, diff, show};
pub use spool::Spool;
pub use table::{Key, Kind, Later, Table};
pub use tls::{Acme, ClientIdentity, Tls, TlsVersion};
pub use units::{Rate, Size, parse_duration, print_duration};

use crate::table::section;

section! {
    /// Everything there is to set. An empty file is a valid configuration, and a safe one.
    pub struct Config {
        /// Who this server is.
        #[key(example = "", why = "see its keys")]
        pub server: Server;
        /// Where mail comes in.
        #[key(example = "", why = "reached by nobody but this machine, and needs no root", name = "listener", restart = true)]
        pub listeners: Vec<Listener> = Listener::development_set();
        /// The certificate.
        #[key(example = "", why = "see its keys")]
        pub tls: Tls;
        /// Who is asked for names.
        #[key(example = "", why = "see its keys")]
        pub dns: Dns;
        /// Metrics and pages.
        #[key(example = "", why = "see its keys")]
        pub http: Http;
        /// Mail we take in.
        #[key(example = "", why = "only you know your domains", name = "domain")]
        pub domains: Vec<HostedDomain> = Vec::new();
        /// Mail we send out.
        #[key(example = "", why = "without a route, mail goes to its mail exchangers", name = "route")]
        pub routes: Vec<Route> = Vec::new();
        /// How much a client may have.
        #[key(example = "", why = "see its keys")]
        pub limits: Limits;
        /// How clients prove who they are.
        #[key(example = "", why = "see its keys")]
        pub auth: Auth;
        /// What the rules on mail have to say.
        #[key(example = "", why = "see its keys")]
        pub policy: Policy;
        /// Seals on mail that goes on.
        #[key(example = "", why = "see its keys")]
        pub arc: Arc;
        /// Signatures on mail that leaves.
        #[key(example = "", why = "a signature takes records in the DNS, which only you can publish")]
        pub dkim: Vec<Dkim> = Vec::new();
        /// How mail leaves.
        #[key(example = "", why = "see its keys")]
        pub outbound: Outbound;
        /// How mail is kept.
        #[key(example = "", why = "see its keys")]
        pub spool: Spool;
        /// What is told to others about their mail.
        #[key(example = "", why = "see its keys")]
        pub reports: Reports;
        /// How long stories are kept.
        #[key(example = "", why = "see its keys")]
        pub history: History;
        /// What is logged.
        #[key(example = "", why = "see its keys")]
        pub log: Log;
        later "form" = "web forms";
        later "cluster" = "several nodes as one";
        keeps file: String;
        keeps positions: BTreeMap<String, Position>;
        keeps index: HashMap<Domain, usize>;
        keeps warnings: Vec<Warning>;
    }
}

impl Config {
    /// What `postern serve` without a file uses: loopback only, mail for `localhost` into Maildirs, and nothing leaves the
    /// machine.
    ///
    /// # Errors
    /// As [`load`]; for a machine with a usable name there are none.
    pub fn development(machine: &Machine) -> Result<Self, Vec<ConfigError>> {
        load(DEVELOPMENT, "the development default", machine)
    }

    /// What works and is probably not meant.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The mechanisms something can come of: tokens where there is an issuer, certificates where there is an authority.
    pub fn usable_mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let is_set_up = |mechanism: &Mechanism| match mechanism {
            Mechanism::OauthBearer | Mechanism::Xoauth2 => !self.auth.oidc.is_empty(),
            Mechanism::External => self.tls.client_ca.is_some(),
            _ => true,
        };
        self.auth.mechanisms.iter().copied().filter(is_set_up)
    }

    /// A domain we take mail for.
    #[must_use]
    pub fn domain(&self, name: &Domain) -> Option<&HostedDomain> {
        self.index.get(name).and_then(|index| self.domains.get(*index))
    }

    /// The hosted domain of a mailbox.
    #[must_use]
    pub fn domain_of(&self, mailbox: &Mailbox) -> Option<&HostedDomain> {
        mailbox.domain().and_then(|name| self.domain(name))
    }

    /// The route for mail to a host; `None`: its mail exchangers. Hosted domains do not come here.
    #[must_use]
    pub fn route_for(&self, host: &Host) -> Option<&Route> {
        route::route_for(&self.routes, host)
    }

    /// Who a recipient is in the end, all aliases followed, and `postmaster` given to somebody (RFC 5321 §4.5.1). `None`: not
    /// ours.
    #[must_use]
    pub fn resolve(&self, mailbox: &Mailbox) -> Option<Resolution> {
        let expansion = domain::expand(self, mailbox)?;
        Some(match expansion.targets.as_slice() {
            // Mail is not refused for good because of what we failed to read.
            [] if expansion.unavailable => Resolution::Unavailable,
            [] => Resolution::Unknown,
            [one] if self.domain_of(one).is_some_and(|domain| Some(&domain.name) == mailbox.domain()) => {
                Resolution::Deliver(one.clone())
            }
            _ => Resolution::Alias(expansion.targets),
        })
    }

    /// The files with recipients that the caller is to read, each for its domain.
    pub fn recipient_files(&self) -> impl Iterator<Item = (&Domain, &Path)> {
        self.domains.iter().filter_map(|domain| match &domain.recipients {
            Recipients::File { path, .. } => Some((&domain.name, path.as_path())),
            _ => None,
        })
    }

    /// Takes the text of a file of recipients: one name or address a line, `#` before a remark. Without it the domain's
    /// recipients are [`Resolution::Unavailable`].
    ///
    /// # Errors
    /// One for each line that is no name of this domain; the names are then left as they were.
    pub fn fill_recipients(&mut self, domain: &Domain, text: &str) -> Result<(), Vec<ConfigError>> {
        let Some(hosted) = self.index.get(domain).copied().and_then(|index| self.domains.get_mut(index)) else {
            return Ok(());
        };
        load::fill_recipients(hosted, text)
    }

    /// Where the file sets something.
    pub(crate) fn position(&self, path: &str) -> Option<Position> {
        self.positions.get(path).copied()
    }
}

#[cfg(test)]
mod tests;
