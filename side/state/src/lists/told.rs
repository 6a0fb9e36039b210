//! Which clients that are turned away are worth a word. Promise: a flood of them costs a bounded number of words a minute, and bounded memory.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::netset::{Listed, Subject};

/// Words in one minute.
const TOLD_MAX: usize = 1_000;
const MINUTE: u64 = 60_000;

/// What was told within this minute.
#[derive(Default)]
pub(super) struct Told(Mutex<(u64, HashSet<(Subnet, Subject)>)>);

impl Told {
    /// True for the first client of its network that this entry is about, in this minute.
    pub(super) fn is_news(&self, now: UnixMillis, client: IpAddr, listed: &[Listed]) -> bool {
        let Some(closest) = listed.iter().map(|listed| &listed.subject).max_by_key(|subject| subject.closeness()) else {
            return false;
        };
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (minute, keys) = &mut *told;
        if *minute != now.0 / MINUTE {
            *minute = now.0 / MINUTE;
            keys.clear();
        }
        keys.len() < TOLD_MAX && keys.insert((Subnet::network(client), closest.clone()))
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::netset::Action;

    use super::*;

    #[test]
    fn a_flood_of_listed_clients_is_told_once_a_minute_for_each_network_and_entry() {
        let told = Told::default();
        let listed = |subject: &str| {
            let subject = Subject::parse(subject).unwrap();
            [Listed {
                list: "l".into(),
                subject,
                action: Action::Block,
                reason: "".into(),
                until: None,
                observed: false,
                about: "".into(),
            }]
        };
        let client = |text: &str| text.parse::<IpAddr>().unwrap();
        let now = UnixMillis(1_800_000_000_000);
        assert!(told.is_news(now, client("192.0.2.1"), &listed("192.0.0.0/16")));
        assert!(!told.is_news(now, client("192.0.2.9"), &listed("192.0.0.0/16")));
        assert!(told.is_news(now, client("192.0.3.1"), &listed("192.0.0.0/16")), "another network");
        assert!(told.is_news(now, client("192.0.2.1"), &listed("AS64500")), "for another reason");
        assert!(
            told.is_news(UnixMillis(now.0 + MINUTE), client("192.0.2.1"), &listed("192.0.0.0/16")),
            "again in the next minute"
        );
        let many =
            (0..100_000_u32).filter(|n| told.is_news(now, std::net::Ipv4Addr::from(n << 8).into(), &listed("AS1"))).count();
        assert_eq!(many, TOLD_MAX);
    }
}
