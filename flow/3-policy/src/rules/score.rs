//! The sum of all points, of this stage and of those before it in the session, made into a decision.
//!
//! Promise: what decides is a finding with all that was added up in its words, so the sum is explained like everything else; a trusted network is
//! never held or refused for points, nor is mail to those who are written to about abuse. It has nothing to find out, so it always knows.

use postern_mail::{Decision, Effect, Finding, Points, Reply, RuleName, Scored, Verdict};

/// The sum.
pub const SCORE: RuleName = "score";

/// From how many points on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A message is marked for whoever reads it.
    pub mark: Points,
    /// A message is kept back for a person.
    pub hold: Points,
    /// Refused.
    pub refuse: Points,
}

impl Default for Limits {
    /// `policy.tag_at`, `policy.hold_at`, `policy.refuse_at`.
    fn default() -> Self {
        Self { mark: Points(40), hold: Points(60), refuse: Points(100) }
    }
}

/// What the sum is judged for. Before there is a message there is nothing that could be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// There is a message.
    Possible,
    /// Not yet.
    TooEarly,
}

/// Points that the stages so far found: first those of the session, behind them those of the transaction under way.
#[derive(Debug, Default)]
pub struct Gathered {
    scored: Vec<Scored>,
    of_session: usize,
}

impl Gathered {
    /// Found before any transaction.
    pub fn of_session(&mut self, verdict: &Verdict) {
        self.scored.extend(verdict.scored());
        self.of_session = self.scored.len();
    }

    /// MAIL: what another transaction found is forgotten.
    pub fn begin_transaction(&mut self) {
        self.scored.truncate(self.of_session);
    }

    /// Found in this transaction.
    pub fn of_transaction(&mut self, verdict: &Verdict) {
        self.scored.extend(verdict.scored());
    }

    /// All that counts now.
    #[must_use]
    pub fn all(&self) -> &[Scored] {
        &self.scored
    }
}

/// The fields that say what came of the points, for whoever sorts mail by them. Those of strangers are taken out.
pub const MARKS: [&str; 2] = ["X-Spam-Flag", "X-Spam-Score"];

/// The fields of [`MARKS`] for this sum.
#[must_use]
pub fn marks(sum: Points) -> Vec<u8> {
    let [flag, score] = MARKS;
    format!("{flag}: YES\r\n{score}: {sum}\r\n").into_bytes()
}

/// All points together.
#[must_use]
pub fn sum(scored: &[Scored]) -> Points {
    Points(scored.iter().fold(0, |sum: i16, one| sum.saturating_add(one.points.0)))
}

/// Whose points do not count, in words.
pub const TRUSTED: &str = "in a trusted network";
/// The same.
pub const POSTMASTER: &str = "for postmaster and abuse";

/// Judges the sum. Without points there is nothing to say; with an excuse they decide nothing.
#[must_use]
pub fn judge(scored: &[Scored], limits: Limits, holding: Holding, excused: Option<&str>) -> Option<Finding> {
    if scored.is_empty() {
        return None;
    }
    let sum = sum(scored);
    let added = words(scored);
    let over = |limit: Points, what: &str| format!("{sum} points, {what} at {limit}: {added}");
    Some(if let Some(excuse) = excused {
        Finding::pass(SCORE, format!("{sum} points, which do not count {excuse}: {added}"))
    } else if sum >= limits.refuse {
        let mut heaviest: Vec<&Scored> = scored.iter().filter(|one| one.points.0 > 0).collect();
        heaviest.sort_by_key(|one| std::cmp::Reverse(one.points));
        let mut names: Vec<&str> = Vec::new();
        for one in heaviest {
            if !names.contains(&one.rule) {
                names.push(one.rule);
            }
        }
        Finding::refuse(SCORE, over(limits.refuse, "refused"), Reply::too_many_points(&names.join(", ")))
    } else if sum >= limits.hold && holding == Holding::Possible {
        Finding { rule: SCORE, says: Effect::Wants(Decision::Hold), because: over(limits.hold, "held"), reply: None }
    } else {
        Finding::pass(SCORE, over(limits.hold, "held"))
    })
}

/// `dnsbl 4.0, list_score -1.0`.
#[must_use]
pub fn words(scored: &[Scored]) -> String {
    scored.iter().map(|one| format!("{} {}", one.rule, one.points)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(tenths: &[i16]) -> Vec<Scored> {
        let rules = ["list_score", "score", "size", "loops"];
        tenths.iter().zip(rules).map(|(tenths, rule)| Scored { rule, points: Points(*tenths) }).collect()
    }

    fn decision(tenths: &[i16], holding: Holding) -> Option<Decision> {
        judge(&scored(tenths), Limits::default(), holding, None).map(|finding| match finding.says {
            Effect::Wants(decision) => decision,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn points_are_added_up_and_decide_from_their_limits_on() {
        for (tenths, expected) in [
            (vec![], None),
            (vec![59], Some(Decision::Pass)),
            (vec![30, 30], Some(Decision::Hold)),
            (vec![99], Some(Decision::Hold)),
            (vec![60, 40], Some(Decision::Refuse)),
            (vec![100, -41], Some(Decision::Pass)),
            (vec![i16::MAX, i16::MAX], Some(Decision::Refuse)),
        ] {
            assert_eq!(decision(&tenths, Holding::Possible), expected, "{tenths:?}");
        }
        assert_eq!(decision(&[99], Holding::TooEarly), Some(Decision::Pass), "there is no message to hold yet");
        assert_eq!(decision(&[100], Holding::TooEarly), Some(Decision::Refuse));
    }

    #[test]
    fn a_refusal_names_the_rules_heaviest_first_and_the_trail_the_sum() {
        let finding = judge(&scored(&[40, 70, -5]), Limits::default(), Holding::Possible, None).unwrap();
        assert_eq!(finding.because, "10.5 points, refused at 10.0: list_score 4.0, score 7.0, size -0.5");
        assert!(finding.reply.unwrap().text().ends_with(": score, list_score"));
    }

    #[test]
    fn points_do_not_count_in_a_trusted_network() {
        let finding = judge(&scored(&[200]), Limits::default(), Holding::Possible, Some(TRUSTED)).unwrap();
        assert_eq!(finding.says, Effect::Wants(Decision::Pass));
        assert!(finding.because.contains("20.0 points"), "{}", finding.because);
    }
}
