//! `[policy.authenticity]`: what is found out about who mail is from, and what it counts. Promise: without a word of configuration DMARC is enforced, and
//! nothing else here refuses mail by itself.

use std::time::Duration;

use crate::table::section;
use crate::value::choice;

choice! {
    /// What becomes of mail whose author's domain asks for quarantine.
    pub enum DmarcQuarantine {
        /// A person looks at it.
        Hold = "hold",
        /// It has points.
        Points = "points",
    }
}

section! {
    /// What is found out about who mail is from: SPF, DKIM, DMARC, ARC and the client's name. Accounts and trusted networks are not asked about.
    pub struct Authenticity: Default {
        /// Whether it is looked up.
        #[key(example = "false", why = "without it anybody can send as anybody")]
        pub enabled: bool = true;
        /// For all of a message, together; SPF, signatures and the client's name have half of it, so that the policies of authors have the rest whatever is slow
        /// there. What is not known by then is held against nobody. Name servers that answer nothing at all are not waited for so long.
        #[key(
            example = "\"5s\"",
            why = "a chain of includes takes some questions one behind the other, and clients wait for minutes",
            within = Duration::from_millis(100)..=Duration::from_secs(120)
        )]
        pub timeout: Duration = Duration::from_secs(10);
        /// Points when SPF says the client may not send for the domain.
        #[key(example = "0.0", why = "forwarded mail fails too, so it is a sign and no proof", within = -999.0..=999.0)]
        pub spf_fail_points: f64 = 3.0;
        /// Points when SPF says so without being sure.
        #[key(example = "0.0", why = "many domains never get further", within = -999.0..=999.0)]
        pub spf_softfail_points: f64 = 1.0;
        /// Points when there are signatures and none of them holds.
        #[key(example = "1.0", why = "RFC 6376 §6.3: no worse than no signature", within = -999.0..=999.0)]
        pub dkim_fail_points: f64 = 0.0;
        /// What becomes of mail whose author's domain asks for quarantine: `hold` or `points`.
        #[key(example = "\"points\"", why = "it is what the domain asks for, and nothing is lost")]
        pub dmarc_quarantine: DmarcQuarantine = DmarcQuarantine::Hold;
        /// Points for it, with `dmarc_quarantine = "points"`.
        #[key(example = "4.0", why = "as much as is held by default", within = -999.0..=999.0)]
        pub dmarc_quarantine_points: f64 = 6.0;
        /// Points when the client's address has no name that has this address.
        #[key(example = "0.0", why = "small: some honest servers have none", within = -999.0..=999.0)]
        pub reverse_dns_points: f64 = 1.0;
    }
}
