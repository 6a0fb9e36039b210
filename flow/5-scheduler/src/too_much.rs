//! Whether a reply says that we send too much. Promise: what a host says of one mailbox never slows mail for its others.

use postern_mail::Status;

const PHRASES: &str = include_str!("../data/too_much.txt");

/// A host that refused for now meant all our mail.
pub(crate) fn is_too_much(status: Status, text: &str) -> bool {
    match (status.class, status.subject, status.detail) {
        (4, 1 | 2, _) => false,
        (4, 7, 28) => true,
        (4, ..) => {
            let text = text.to_ascii_lowercase();
            phrases().any(|phrase| text.contains(phrase))
        }
        _ => false,
    }
}

fn phrases() -> impl Iterator<Item = &'static str> {
    PHRASES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_about_all_our_mail_are_told_from_those_about_one_mailbox() {
        for (status, text) in [
            ((4, 7, 28), "Our system has detected something"),
            ((4, 7, 0), "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume"),
            ((4, 3, 2), "421 4.3.2 Too many concurrent connections"),
            ((4, 7, 1), "450 4.7.1 Rate limit exceeded, slow down"),
            ((4, 0, 0), "421 RP-001 (BAY) Unfortunately, some messages from 192.0.2.1 weren't sent"),
        ] {
            assert!(is_too_much(Status::new(status.0, status.1, status.2), text), "{text}");
        }
        for (status, text) in [
            ((4, 2, 1), "450 4.2.1 The user you are trying to contact is receiving mail at a rate that; rate limit"),
            ((4, 2, 2), "452 4.2.2 Mailbox full, too many messages"),
            ((4, 7, 1), "450 4.7.1 Greylisted, try again later"),
            ((5, 7, 28), "550 5.7.28 rate limit"),
        ] {
            assert!(!is_too_much(Status::new(status.0, status.1, status.2), text), "{text}");
        }
    }

    #[test]
    fn phrases_are_in_small_letters() {
        assert!(phrases().count() > 15 && phrases().all(|phrase| phrase == phrase.to_ascii_lowercase()));
    }
}
