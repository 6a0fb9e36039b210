//! Links as only cheats write them: points for what is odd about the worst one.
//!
//! Promise: a message without an odd link has no points, and one with a hundred of the same kind no more than with one, so that a newsletter that
//! is written clumsily is not taken for worse than it is. When it cannot know (the message was not read to its end): nothing is held against what was
//! not seen, and the trail says so.

use postern_mail::link::{LinkFacts, OddLink, Trick};
use postern_mail::{Effect, Finding, Reply, RuleName};

/// As it stands in configuration and trail.
pub const LINKS: RuleName = "links";

/// Tenths of a point for a trick. What honest mail has now and then has few; what nobody does by mistake has many.
const fn tenths(trick: Trick) -> i16 {
    match trick {
        Trick::Literal | Trick::Private => 10,
        Trick::Invalid => 15,
        Trick::ShownOther | Trick::Hidden => 20,
        Trick::MixedScript | Trick::Credentials | Trick::Embedded => 30,
        Trick::LookAlike | Trick::OddLiteral => 50,
    }
}

fn weight(link: &OddLink) -> i16 {
    link.tricks.iter().fold(0, |sum, trick| sum.saturating_add(tenths(trick)))
}

/// Judges the links of a message.
#[must_use]
pub fn judge(facts: &LinkFacts) -> Finding {
    let rest = if facts.is_whole { "" } else { "; the message was not read to its end" };
    // Of equals the first, as everywhere.
    let worst = facts.odd.iter().rev().max_by_key(|link| weight(link)).filter(|link| weight(link) > 0);
    let Some(worst) = worst else { return Finding::pass(LINKS, format!("no odd links{rest}")) };
    let tricks: Vec<&str> = worst.tricks.iter().map(Trick::as_str).collect();
    let because = format!("link to {} is odd: {}; {} odd links in all{rest}", worst.name(), tricks.join(", "), facts.odd.len());
    Finding { rule: LINKS, says: Effect::Points(weight(worst)), because, reply: Some(Reply::odd_link(worst)) }
}

#[cfg(test)]
mod tests {
    use postern_mail::Decision;
    use postern_mail::link::Tricks;

    use super::*;

    fn odd(host: &str, tricks: &[Trick]) -> OddLink {
        let mut set = Tricks::default();
        tricks.iter().for_each(|trick| set.add(*trick));
        OddLink::new(host, set)
    }

    #[test]
    fn the_worst_link_counts_and_the_refusal_names_it_so_that_nobody_can_click_it() {
        let odd = vec![odd("192.0.2.1", &[Trick::Literal]), odd("bad.example", &[Trick::ShownOther, Trick::Credentials])];
        let finding = judge(&LinkFacts { odd, is_whole: true });
        assert_eq!(finding.says, Effect::Points(50));
        let reply = finding.reply.unwrap();
        assert_eq!(reply.code.0, 550);
        assert!(reply.text().contains("bad[.]example") && reply.text().contains("another domain"), "{}", reply.text());
    }

    #[test]
    fn a_message_without_odd_links_has_no_points_and_what_was_not_read_is_said() {
        let finding = judge(&LinkFacts { odd: Vec::new(), is_whole: false });
        assert_eq!(finding.says, Effect::Wants(Decision::Pass));
        assert!(finding.because.contains("not read to its end"));
    }

    #[test]
    fn every_trick_has_points() {
        assert!(Trick::ALL.into_iter().all(|trick| weight(&odd("x", &[trick])) > 0));
    }
}
