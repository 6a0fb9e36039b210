//! From findings to what the session is told. Promise: only a verdict to pass or hold lets anything through, and a refusal always has
//! a reply.

use postern_mail::envelope::Admission;
use postern_mail::fact::Answer;
use postern_mail::{Decision, Effect, Finding, Mode, Modes, Reply, RuleName, Scored, Verdict};

/// The rule behind a recipient without proof. It never has a finding of its own unless a rule forgot to admit.
const ADMISSION: RuleName = "admission";

/// The rules of a stage while they run, each in its mode.
pub struct Panel<'a> {
    modes: &'a Modes,
    trail: Vec<Finding>,
    observed: Vec<RuleName>,
}

impl<'a> Panel<'a> {
    /// Nothing has run yet.
    #[must_use]
    pub fn new(modes: &'a Modes) -> Self {
        Self { modes, trail: Vec::with_capacity(4), observed: Vec::new() }
    }

    /// Runs a rule, unless it is off.
    #[must_use]
    pub fn rule(mut self, name: RuleName, judge: impl FnOnce() -> Finding) -> Self {
        match self.modes.of(name) {
            Mode::Off => return self,
            Mode::Observe => self.observed.push(name),
            Mode::Enforce => {}
        }
        self.trail.push(judge());
        self
    }

    /// Runs a rule whose findings have no effect, unless it is off.
    #[must_use]
    pub fn observed(mut self, name: RuleName, judge: impl FnOnce() -> Finding) -> Self {
        if self.modes.of(name) != Mode::Off {
            self.observed.push(name);
            self.trail.push(judge());
        }
        self
    }

    /// Adds up the points of all rules so far and of the stages before; the last rule of a stage.
    #[must_use]
    pub fn score(self, earlier: &[Scored], judge: impl FnOnce(&[Scored]) -> Option<Finding>) -> Self {
        if earlier.is_empty() && !self.trail.iter().any(|finding| matches!(finding.says, Effect::Points(_))) {
            return self;
        }
        let verdict = Verdict::observing(self.trail, self.observed);
        let scored: Vec<Scored> = earlier.iter().copied().chain(verdict.scored()).collect();
        let (trail, observed) = verdict.into_parts();
        let panel = Self { modes: self.modes, trail, observed };
        match judge(&scored) {
            Some(finding) => panel.rule(finding.rule, || finding),
            None => panel,
        }
    }

    /// What they come to.
    pub fn verdict(self) -> Verdict {
        Verdict::observing(self.trail, self.observed)
    }
}

/// The verdict of a stage that admits a recipient. A finding against it takes the admission away, and without an admission the
/// verdict cannot be to pass.
pub fn admit(mut panel: Panel<'_>, admission: Option<Admission>) -> (Verdict, Option<Admission>) {
    if admission.is_none() {
        let verdict = Verdict::observing(panel.trail.clone(), panel.observed.clone());
        if lets_through(verdict.decision()) {
            panel.trail.push(Finding::refuse(ADMISSION, "no rule admitted this recipient", Reply::relay_denied()));
        }
    }
    let verdict = panel.verdict();
    let admission = admission.filter(|_| lets_through(verdict.decision()));
    (verdict, admission)
}

/// A held message is taken, and kept back later.
fn lets_through(decision: Decision) -> bool {
    matches!(decision, Decision::Pass | Decision::Hold)
}

/// What the session is told. A finding without a reply is told in general words.
#[must_use]
pub fn answer(verdict: &Verdict, admission: Option<Admission>) -> Answer {
    let reply = |general: fn() -> Reply| verdict.reply().cloned().unwrap_or_else(general);
    match verdict.decision() {
        Decision::Pass | Decision::Hold => admission.map_or(Answer::Pass, Answer::Admitted),
        Decision::Defer => Answer::Refuse(reply(Reply::deferred_by_policy)),
        Decision::Refuse => Answer::Refuse(reply(Reply::refused_by_policy)),
        Decision::Hangup => Answer::Hangup(reply(Reply::refused_by_policy)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_admission_nothing_passes() {
        let modes = Modes::default();
        let (verdict, admission) = admit(Panel::new(&modes).rule("x", || Finding::pass("x", "fine")), None);
        assert_eq!(verdict.decision(), Decision::Refuse);
        assert!(admission.is_none());
        assert!(matches!(answer(&verdict, admission), Answer::Refuse(reply) if reply.code.0 == 550));
    }

    #[test]
    fn a_finding_without_words_is_told_in_general_ones() {
        for (decision, code) in [(Decision::Defer, 451), (Decision::Refuse, 550), (Decision::Hangup, 550)] {
            let verdict =
                Verdict::of(vec![Finding { rule: "x", says: Effect::Wants(decision), because: String::new(), reply: None }]);
            match answer(&verdict, None) {
                Answer::Refuse(reply) | Answer::Hangup(reply) => assert_eq!(reply.code.0, code),
                other => panic!("{other:?}"),
            }
        }
    }
}
