//! `recipients = { call_ahead = true }`: the host that gets the mail is asked who exists, while the sender is there. Promise: each question has an end,
//! and what is remembered of the answers has one too.

use std::time::Duration;

use crate::table::section;
use crate::value::choice;

choice! {
    /// What becomes of a recipient while the host does not answer.
    pub enum WhenDown {
        /// 451: the sender comes again.
        Defer = "defer",
        /// It is taken as if it existed; where it does not, its sender gets a bounce.
        Accept = "accept",
    }
}

section! {
    /// Whom the host of the domain takes mail for, by its own word: it is asked with `MAIL FROM:<>` and `RCPT TO` (RFC 5321, RFC 2033), and no message is
    /// sent. A 5yz that speaks of the address means that it does not exist.
    pub struct CallAhead {
        /// `true`: the host named by `deliver` (`lmtp` or `relay`) is asked.
        #[key(example = "true", why = "it says which kind of list this is")]
        pub call_ahead: bool;
        /// How long a recipient that exists is not asked about again.
        #[key(
            example = "\"1d\"",
            why = "mailboxes seldom go away, and mail for one that has is bounced for so long",
            within = Duration::ZERO..=Duration::from_secs(30 * 86_400)
        )]
        pub known_for: Duration = Duration::from_secs(3_600);
        /// How long a recipient that does not exist is not asked about again.
        #[key(
            example = "\"1h\"",
            why = "a new mailbox gets mail soon, and who tries names out does not reach the host with each",
            within = Duration::ZERO..=Duration::from_secs(86_400)
        )]
        pub unknown_for: Duration = Duration::from_secs(300);
        /// How long an answer may take.
        #[key(
            example = "\"5s\"",
            why = "clients wait five minutes for the reply to RCPT, and most are less patient",
            within = Duration::from_millis(100)..=Duration::from_secs(120)
        )]
        pub deadline: Duration = Duration::from_secs(15);
        /// Questions under way at a time; others wait their turn.
        #[key(example = "16", why = "a host that delivers has better things to do", within = 1..=256)]
        pub at_once: u32 = 4;
        /// How long a host that gave no answer is not asked again.
        #[key(
            example = "\"1m\"",
            why = "clients are not held up for what is known to be down",
            within = Duration::ZERO..=Duration::from_secs(3_600)
        )]
        pub pause: Duration = Duration::from_secs(20);
        /// What becomes of recipients that the host gives no answer about: `defer` (451, the sender comes again) or `accept`.
        #[key(example = "\"accept\"", why = "what is accepted for nobody makes backscatter")]
        pub when_down: WhenDown = WhenDown::Defer;
        /// Recipients remembered.
        #[key(example = "100000", why = "about 100 octets each", within = 1..=10_000_000)]
        pub remembered: u32 = 20_000;
    }
}
