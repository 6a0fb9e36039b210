//! Links as only cheats write them: points for what is odd about the worst one, and for more different ones than lists can be asked about.
//!
//! Promise: a message without an odd link has no points, and one with a hundred of the same kind no more than with one, so that a newsletter that
//! is written clumsily is not taken for worse than it is. When it cannot know (the text of the message was not read to its end): that
//! has points of its own, since strangers choose what is read first, and the trail says so.

use postern_mail::link::{LinkFacts, OddLink, Trick};
use postern_mail::{Effect, Finding, Reply, RuleName};

/// As it stands in configuration and trail.
pub const LINKS: RuleName = "links";

/// Tenths of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// For each trick, in the order of [`Trick::ALL`].
    pub tricks: [i16; Trick::ALL.len()],
    /// For more places than lists are asked about.
    pub crowd: i16,
}

impl Default for Weights {
    fn default() -> Self {
        Self { tricks: Trick::ALL.map(Trick::tenths), crowd: CROWD_TENTHS }
    }
}

/// Unless told otherwise.
pub const CROWD_TENTHS: i16 = 20;

impl Weights {
    fn of(&self, link: &OddLink) -> i16 {
        Trick::ALL
            .iter()
            .zip(self.tricks)
            .filter(|(trick, _)| link.tricks.has(**trick))
            .fold(0, |sum, (_, tenths)| sum.saturating_add(tenths))
    }
}

/// Judges the links of a message.
#[must_use]
pub fn judge(facts: &LinkFacts, weights: &Weights) -> Finding {
    let rest = if facts.is_whole { "" } else { "; the message was not read to its end" };
    // Of equals the first, as everywhere.
    let worst = facts.odd.iter().rev().max_by_key(|link| weights.of(link)).filter(|link| weights.of(link) > 0);
    // What was not read may hide as much as what nobody asked about.
    let (crowd, unasked) = match facts.unasked {
        0 if facts.is_whole => (0, String::new()),
        0 => (weights.crowd, String::new()),
        many => (weights.crowd, format!("; links lead to {many} more places than lists are asked about")),
    };
    let Some(worst) = worst else {
        let because = format!("no odd links{unasked}{rest}");
        if crowd == 0 {
            return Finding::pass(LINKS, because);
        }
        let reply = if facts.unasked > 0 { Reply::too_many_places() } else { Reply::not_read_to_its_end() };
        return Finding { rule: LINKS, says: Effect::Points(crowd), because, reply: Some(reply) };
    };
    let tricks: Vec<&str> = worst.tricks.iter().map(Trick::as_str).collect();
    let because =
        format!("link to {} is odd: {}; {} odd links in all{unasked}{rest}", worst.name(), tricks.join(", "), facts.odd.len());
    let says = Effect::Points(weights.of(worst).saturating_add(crowd));
    Finding { rule: LINKS, says, because, reply: Some(Reply::odd_link(worst)) }
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

    fn facts(odd: Vec<OddLink>) -> LinkFacts {
        LinkFacts { odd, is_whole: true, unasked: 0 }
    }

    #[test]
    fn the_worst_link_counts_and_the_refusal_names_it_so_that_nobody_can_click_it() {
        let odd = vec![odd("192.0.2.1", &[Trick::Literal]), odd("bad.example", &[Trick::ShownOther, Trick::Credentials])];
        let finding = judge(&facts(odd), &Weights::default());
        assert_eq!(finding.says, Effect::Points(50));
        let reply = finding.reply.unwrap();
        assert_eq!(reply.code.0, 550);
        assert!(reply.text().contains("bad[.]example") && reply.text().contains("another domain"), "{}", reply.text());
    }

    #[test]
    fn a_message_without_odd_links_has_no_points_and_one_that_was_not_read_to_its_end_has_those_of_many_places() {
        assert_eq!(judge(&facts(Vec::new()), &Weights::default()).says, Effect::Wants(Decision::Pass));
        let finding = judge(&LinkFacts { is_whole: false, ..facts(Vec::new()) }, &Weights::default());
        assert_eq!(finding.says, Effect::Points(20));
        assert!(finding.because.contains("not read to its end"));
        assert_eq!(finding.reply, Some(Reply::not_read_to_its_end()));
    }

    #[test]
    fn more_places_than_lists_are_asked_about_have_points_of_their_own() {
        let few = judge(&LinkFacts { unasked: 1, ..facts(Vec::new()) }, &Weights::default());
        assert_eq!(few.says, Effect::Points(20));
        assert!(few.because.contains("1 more places") && few.reply == Some(Reply::too_many_places()), "{few:?}");
        let odd = vec![odd("192.0.2.1", &[Trick::Literal])];
        assert_eq!(judge(&LinkFacts { unasked: 400, ..facts(odd) }, &Weights::default()).says, Effect::Points(30));
    }

    #[test]
    fn every_trick_has_points_and_they_are_a_setting() {
        let mut weights = Weights::default();
        assert!(Trick::ALL.into_iter().all(|trick| weights.of(&odd("x", &[trick])) > 0));
        weights.tricks = Trick::ALL.map(|trick| if trick == Trick::Literal { 0 } else { 7 });
        assert_eq!(judge(&facts(vec![odd("x", &[Trick::Literal])]), &weights).says, Effect::Wants(Decision::Pass));
        assert_eq!(judge(&facts(vec![odd("x", &[Trick::Literal, Trick::Hidden])]), &weights).says, Effect::Points(7));
    }
}
