//! Answers policy's question which recipients are ours, from the configuration.

use postern_config::{Config, Resolution};
use postern_mail::Mailbox;
use postern_mail::trouble::Outage;
use postern_policy::facts::{self, HostedAnswer};

/// The hosted domains of a configuration.
pub(crate) struct Directory<'a>(pub &'a Config);

impl facts::Directory for Directory<'_> {
    fn hosted(&self, mailbox: &Mailbox) -> HostedAnswer {
        match self.0.resolve(mailbox) {
            None => HostedAnswer::NotOurs,
            Some(Resolution::Deliver(_) | Resolution::Alias(_)) => HostedAnswer::Exists,
            Some(Resolution::Unknown) => HostedAnswer::Unknown,
            Some(Resolution::Unavailable) => {
                HostedAnswer::Unavailable(Outage::Service("the file with the recipients could not be read".to_owned()))
            }
        }
    }
}
