//! What filters of others said of a message.
//!
//! Promise: what each said is in the trail with its name, and a filter that is only observed has no effect. A message that a filter wants thrown
//! away is held: we say 250 for what we keep. When it cannot know (the filter is down, slow or lies): what the filter's `on_failure` says, by
//! default nothing against the sender.

use postern_mail::filter::{FilterSaid, FilterWord, OnFailure};
use postern_mail::{Decision, Effect, Finding, Reply, RuleName};

use crate::decide::Panel;

/// What a filter wants.
pub const FILTER: RuleName = "filter";
/// What it would have wanted.
pub const FILTER_OBSERVED: RuleName = "filter_observed";

/// Judges what they said. Without a word from them nothing is found.
#[must_use]
pub fn judge<'a>(panel: Panel<'a>, filters: &[FilterSaid]) -> Panel<'a> {
    filters.iter().fold(panel, |panel, said| {
        if said.observed {
            panel.observed(FILTER_OBSERVED, || finding(FILTER_OBSERVED, said))
        } else {
            panel.rule(FILTER, || finding(FILTER, said))
        }
    })
}

fn finding(rule: RuleName, said: &FilterSaid) -> Finding {
    let because = match said.word {
        FilterWord::Down(_) => format!("{} could not be asked: {}", said.filter, said.words),
        FilterWord::Discard => format!("{} wants it thrown away: {}", said.filter, said.words),
        _ => format!("{}: {}", said.filter, said.words),
    };
    match &said.word {
        FilterWord::Pass | FilterWord::Down(OnFailure::Accept) => Finding::pass(rule, because),
        FilterWord::Refuse(reply) => Finding::refuse(rule, because, reply.clone()),
        FilterWord::Defer(reply) => Finding::defer(rule, because, reply.clone()),
        FilterWord::Hold | FilterWord::Discard => Finding { rule, says: Effect::Wants(Decision::Hold), because, reply: None },
        FilterWord::Points(tenths) => Finding { rule, says: Effect::Points(*tenths), because, reply: None },
        FilterWord::Down(OnFailure::Defer) => Finding::defer(rule, because, Reply::deferred_by_policy()),
        FilterWord::Down(OnFailure::Refuse) => Finding::refuse(rule, because, Reply::refused_by_policy()),
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::{Mode, Modes};

    use super::*;

    fn decided(modes: &Modes, words: &[(FilterWord, bool)]) -> (Decision, usize) {
        let said: Vec<FilterSaid> = words
            .iter()
            .map(|(word, observed)| FilterSaid {
                filter: "f".into(),
                word: word.clone(),
                words: "w".to_owned(),
                observed: *observed,
            })
            .collect();
        let verdict = judge(Panel::new(modes), &said).verdict();
        (verdict.decision(), verdict.trail().len())
    }

    #[test]
    fn each_word_has_its_decision_and_discarding_is_holding() {
        let modes = Modes::default();
        for (word, decision) in [
            (FilterWord::Pass, Decision::Pass),
            (FilterWord::Refuse(Reply::refused_by_policy()), Decision::Refuse),
            (FilterWord::Defer(Reply::deferred_by_policy()), Decision::Defer),
            (FilterWord::Hold, Decision::Hold),
            (FilterWord::Discard, Decision::Hold),
            (FilterWord::Points(200), Decision::Pass),
            (FilterWord::Down(OnFailure::Accept), Decision::Pass),
            (FilterWord::Down(OnFailure::Defer), Decision::Defer),
            (FilterWord::Down(OnFailure::Refuse), Decision::Refuse),
        ] {
            assert_eq!(decided(&modes, &[(FilterWord::Pass, false), (word.clone(), false)]), (decision, 2), "{word:?}");
            assert_eq!(decided(&modes, &[(word, true)]), (Decision::Pass, 1));
        }
    }

    #[test]
    fn the_mode_of_the_rule_goes_for_all_filters() {
        let refusing = [(FilterWord::Refuse(Reply::refused_by_policy()), false)];
        assert_eq!(decided(&Modes::new(Mode::Observe, Vec::new()), &refusing), (Decision::Pass, 1));
        assert_eq!(decided(&Modes::new(Mode::Off, Vec::new()), &refusing), (Decision::Pass, 0));
    }
}
