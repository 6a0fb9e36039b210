//! `[[policy.milter]]`, `[[policy.rspamd]]`, `[[policy.clamav]]`: filters of others. Promise: each has an end to the time it may take and to
//! what it is sent, and says what becomes of mail when it is down.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use postern_mail::Mode;
use postern_mail::client::ListenerKind;
use postern_mail::filter::OnFailure;

use crate::next_hop::LmtpAddress;
use crate::table::section;
use crate::units::Size;
use crate::value::{choice, choice_value, text_values};

choice_value!(OnFailure, [OnFailure::Accept, OnFailure::Defer, OnFailure::Refuse]);

/// Where a filter listens: `unix:/path`, `host:port` or `inet:host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterAddress(pub LmtpAddress);

impl FilterAddress {
    fn parse(text: &str) -> Result<Self, String> {
        LmtpAddress::parse(text.strip_prefix("inet:").unwrap_or(text)).map(Self)
    }
}

impl fmt::Display for FilterAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

text_values! {
    FilterAddress, "address of a filter", FilterAddress::parse, ToString::to_string;
}

choice! {
    /// What of rspamd's answer counts.
    pub enum RspamdUse {
        /// Its action: `reject` refuses, `soft reject` defers, `quarantine` and `discard` hold, `add header` adds `X-Spam: Yes`.
        Action = "action",
        /// Its score, as points beside those of the other rules; its action does not.
        Score = "score",
    }
}

choice! {
    /// What is done about mail that something was found in.
    pub enum OnFound {
        /// 554.
        Refuse = "refuse",
        /// Taken, and kept back for a person.
        Hold = "hold",
    }
}

fn everywhere() -> Vec<ListenerKind> {
    vec![ListenerKind::Mx, ListenerKind::Submission, ListenerKind::Submissions]
}

section! {
    /// A filter that speaks the milter protocol, such as OpenDKIM, rspamd's proxy or clamav-milter. It is told everything once the message is
    /// there, and may change it. Filters are asked in the order in which they stand, milters last, each about what the one before it made of
    /// the message; no more than 16.
    ///
    /// It is told the recipients as the client named them, an alias and not its members, and what it wants is about those. By then the client
    /// has been told 250 for each of them: a milter that refuses one recipient refuses the message, for all, since to take that one out would
    /// mean a bounce to a sender who may be forged. A recipient that it adds is one that the client could have named: in the scope of its
    /// account, and counted in its quota. One that is not is left out, and the log says why.
    ///
    /// Where `policy.mode` or the rule `filter` is `observe`, what filters want is only written down, but for this: fields that a milter adds
    /// while its own `mode` is `enforce` are put in, and so is the signature of an rspamd. A policy that is tried out does not leave mail
    /// unsigned.
    pub struct Milter by address {
        /// Where it listens. A socket that is for a group only is within reach when the user of `server.user` is a member of that group in
        /// `/etc/group`.
        #[key(example = "\"unix:/run/opendkim/opendkim.sock\"", why = "there is no filter everybody has")]
        pub address: FilterAddress;
        /// What becomes of mail while it is down or slow.
        #[key(example = "\"defer\"", why = "good mail is not lost to a broken filter")]
        pub on_failure: OnFailure = OnFailure::Accept;
        /// The whole time it may take for a message.
        #[key(
            example = "\"30s\"",
            why = "many ask the DNS themselves, and clients wait ten minutes for the reply to their data",
            within = Duration::from_millis(100)..=Duration::from_secs(300)
        )]
        pub timeout: Duration = Duration::from_secs(30);
        /// Whether it counts (`enforce`), is only written down (`observe`: it changes nothing either), or is not asked (`off`).
        #[key(example = "\"observe\"", why = "a filter that has no effect protects nobody")]
        pub mode: Mode = Mode::Enforce;
        /// For mail of which kinds of listeners it is asked.
        #[key(example = "[\"mx\"]", why = "what leaves is looked at as what comes; signing is about what leaves")]
        pub listeners: Vec<ListenerKind> = everywhere();
        /// Larger messages are not shown to it, and go on as if it had nothing against them; the trail of each says so (`postern explain`).
        #[key(
            example = "\"25MiB\"",
            why = "the whole message is in memory while it is asked",
            within = Size(1_024)..=Size(256 << 20)
        )]
        pub message_size: Size = Size(25 << 20);
    }
}

section! {
    /// An rspamd, asked over HTTP.
    pub struct Rspamd by address {
        /// Where its normal worker listens.
        #[key(example = "\"127.0.0.1:11333\"", why = "there is no filter everybody has")]
        pub address: FilterAddress;
        /// A file whose first line is the password of its worker.
        #[key(example = "\"/etc/postern/rspamd.password\"", why = "a worker on this machine needs none", shown = "none")]
        pub password_file: Option<PathBuf> = None;
        /// What of its answer counts.
        #[key(example = "\"score\"", why = "its own thresholds go with its own scores", name = "use")]
        pub usage: RspamdUse = RspamdUse::Action;
        /// What becomes of mail while it is down or slow.
        #[key(example = "\"defer\"", why = "good mail is not lost to a broken filter")]
        pub on_failure: OnFailure = OnFailure::Accept;
        /// The whole time it may take for a message.
        #[key(example = "\"10s\"", why = "its own limit for a message is 8 s", within = Duration::from_millis(100)..=Duration::from_secs(300))]
        pub timeout: Duration = Duration::from_secs(10);
        /// Whether it counts (`enforce`), is only written down (`observe`: it changes nothing either), or is not asked (`off`).
        #[key(example = "\"observe\"", why = "a filter that has no effect protects nobody")]
        pub mode: Mode = Mode::Enforce;
        /// For mail of which kinds of listeners it is asked.
        #[key(example = "[\"mx\"]", why = "what leaves is looked at as what comes")]
        pub listeners: Vec<ListenerKind> = everywhere();
        /// Larger messages are not shown to it, and go on as if it had nothing against them; the trail of each says so (`postern explain`).
        #[key(
            example = "\"25MiB\"",
            why = "the whole message is in memory while it is asked",
            within = Size(1_024)..=Size(256 << 20)
        )]
        pub message_size: Size = Size(25 << 20);
    }
}

section! {
    /// A clamd, asked for viruses.
    pub struct Clamav by address {
        /// Where it listens.
        #[key(example = "\"unix:/run/clamav/clamd.ctl\"", why = "there is no filter everybody has")]
        pub address: FilterAddress;
        /// What is done about mail that something was found in.
        #[key(example = "\"hold\"", why = "the sender learns of it, and nobody else is bothered")]
        pub found: OnFound = OnFound::Refuse;
        /// What becomes of mail while it is down or slow.
        #[key(example = "\"defer\"", why = "good mail is not lost to a broken filter")]
        pub on_failure: OnFailure = OnFailure::Accept;
        /// The whole time it may take for a message.
        #[key(example = "\"1m\"", why = "archives take a while", within = Duration::from_millis(100)..=Duration::from_secs(300))]
        pub timeout: Duration = Duration::from_secs(60);
        /// Whether it counts (`enforce`), is only written down (`observe`), or is not asked (`off`).
        #[key(example = "\"observe\"", why = "a filter that has no effect protects nobody")]
        pub mode: Mode = Mode::Enforce;
        /// For mail of which kinds of listeners it is asked.
        #[key(example = "[\"mx\"]", why = "what leaves is looked at as what comes")]
        pub listeners: Vec<ListenerKind> = everywhere();
        /// Larger messages are not shown to it, and go on as if it had nothing against them; the trail of each says so (`postern explain`). Its own `StreamMaxLength` must not be less.
        #[key(
            example = "\"25MiB\"",
            why = "the whole message is in memory while it is asked",
            within = Size(1_024)..=Size(256 << 20)
        )]
        pub message_size: Size = Size(25 << 20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Machine, load};

    #[test]
    fn a_filter_needs_an_address_and_nothing_else() {
        let text = "[[policy.milter]]\naddress = \"inet:127.0.0.1:8891\"\n[[policy.rspamd]]\naddress = \"127.0.0.1:11333\"\nuse = \"score\"\n\
                    [[policy.clamav]]\naddress = \"unix:/run/clamav/clamd.ctl\"\non_failure = \"defer\"\n";
        let config = load(text, "f", &Machine::named("mx.example")).unwrap();
        assert_eq!(config.policy.milters[0].address.to_string(), "127.0.0.1:8891");
        assert_eq!(config.policy.milters[0].on_failure, OnFailure::Accept);
        assert_eq!(config.policy.rspamd[0].usage, RspamdUse::Score);
        assert_eq!(config.policy.clamav[0].on_failure, OnFailure::Defer);
    }

    #[test]
    fn a_wrong_address_and_a_time_without_end_are_errors() {
        for text in [
            "[[policy.milter]]\n",
            "[[policy.milter]]\naddress = \"127.0.0.1\"\n",
            "[[policy.milter]]\naddress = \"127.0.0.1:1\"\ntimeout = \"1h\"\n",
            "[[policy.clamav]]\naddress = \"unix:clamd\"\n",
        ] {
            assert!(load(text, "f", &Machine::named("mx.example")).is_err(), "{text}");
        }
    }
}
