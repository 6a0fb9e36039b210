//! Judgement: what rules say, and what came of it. Promise: a [`Verdict`] can only be built from findings, so there is always a trail.

use std::fmt;

use crate::reply::Reply;

/// Strictest wins. The order of the variants is the order of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Go on.
    Pass,
    /// Take it, and keep it back for a person.
    Hold,
    /// 4yz: come again.
    Defer,
    /// 5yz.
    Refuse,
    /// 5yz or 4yz, and the connection ends.
    Hangup,
}

/// A rule's name, as it stands in configuration, trail and metrics.
pub type RuleName = &'static str;

/// What a rule wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A decision of its own.
    Wants(Decision),
    /// Tenths of a point towards a sum.
    Points(i16),
    /// Takes back what another rule said. The waived finding stays in the trail, marked.
    Waives(RuleName),
}

/// Tenths of a point, printed as points: `4.5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Points(pub i16);

impl Points {
    /// The most there are, as many as three digits before the point say.
    pub const MAX: f64 = 999.0;

    /// Of a number as a person writes it, to the nearest tenth; one beyond [`MAX`](Self::MAX) is taken for that.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "ten times 999 fits")]
    pub fn nearest(points: f64) -> Self {
        Self((points.clamp(-Self::MAX, Self::MAX) * 10.0).round() as i16)
    }
}

impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{}", self.0.unsigned_abs() / 10, self.0.unsigned_abs() % 10)
    }
}

/// Points that count, and the rule that found them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// Who found them.
    pub rule: RuleName,
    /// How many; fewer than none speak for the message.
    pub points: Points,
}

/// What one rule says, and the evidence an operator would want to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Who says it.
    pub rule: RuleName,
    /// What it wants.
    pub says: Effect,
    /// Why, in words.
    pub because: String,
    /// How the peer is told, should this finding decide. Without one the stage has a general reply.
    pub reply: Option<Reply>,
}

impl Finding {
    /// The rule looked, and has nothing against it.
    #[must_use]
    pub fn pass(rule: RuleName, because: impl Into<String>) -> Self {
        Self { rule, says: Effect::Wants(Decision::Pass), because: because.into(), reply: None }
    }

    /// The rule wants a refusal, told in `reply`.
    #[must_use]
    pub fn refuse(rule: RuleName, because: impl Into<String>, reply: Reply) -> Self {
        Self { rule, says: Effect::Wants(Decision::Refuse), because: because.into(), reply: Some(reply) }
    }

    /// The rule wants the peer to come again, told in `reply`.
    #[must_use]
    pub fn defer(rule: RuleName, because: impl Into<String>, reply: Reply) -> Self {
        Self { rule, says: Effect::Wants(Decision::Defer), because: because.into(), reply: Some(reply) }
    }
}

/// What becomes of what a rule finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// It counts.
    #[default]
    Enforce,
    /// It is in the trail and has no effect.
    Observe,
    /// The rule does not run.
    Off,
}

impl Mode {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }
}

/// The mode of each rule. Promise: a rule that guards the server itself, and one that nobody knows, is enforced whatever was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes {
    /// Rules that are not enforced. They are asked for many times a message, so what was set is looked through once.
    others: Vec<(RuleName, Mode)>,
}

impl Default for Modes {
    fn default() -> Self {
        Self::new(Mode::default(), Vec::new())
    }
}

impl Modes {
    /// A mode for all rules, and those of single ones.
    #[must_use]
    pub fn new(general: Mode, rules: Vec<(RuleName, Mode)>) -> Self {
        let free = crate::rule::RULES.iter().filter(|rule| rule.guards.is_none());
        let mut others: Vec<_> = free.map(|rule| (rule.name, crate::rule::unasked(rule.name, general))).collect();
        // The first that is said of a rule counts.
        for (name, mode) in rules.into_iter().rev() {
            others.iter_mut().filter(|(own, _)| *own == name).for_each(|(_, own)| *own = mode);
        }
        others.retain(|(_, mode)| *mode != Mode::Enforce);
        Self { others }
    }

    /// How a rule is taken.
    #[must_use]
    pub fn of(&self, name: RuleName) -> Mode {
        self.others.iter().find(|(own, _)| *own == name).map_or(Mode::Enforce, |(_, mode)| *mode)
    }
}

/// All findings of a stage, and what they come to.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    decision: Decision,
    trail: Vec<Finding>,
    observed: Vec<RuleName>,
}

impl Verdict {
    /// The strictest finding that is not waived decides; of equals the first.
    pub fn of(trail: Vec<Finding>) -> Self {
        Self::observing(trail, Vec::new())
    }

    /// The same, where what these rules found has no effect.
    pub fn observing(trail: Vec<Finding>, observed: Vec<RuleName>) -> Self {
        let decision = Self::deciding(&trail, &|rule| observed.contains(&rule)).map_or(Decision::Pass, |(decision, _)| decision);
        Self { decision, trail, observed }
    }

    /// The findings, and whose have no effect.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Finding>, Vec<RuleName>) {
        (self.trail, self.observed)
    }

    fn deciding<'a>(trail: &'a [Finding], observed: &dyn Fn(RuleName) -> bool) -> Option<(Decision, &'a Finding)> {
        let waived = Self::waived(trail, observed);
        let mut strictest: Option<(Decision, &Finding)> = None;
        for finding in trail.iter().filter(|f| !waived(f.rule) && !observed(f.rule)) {
            if let Effect::Wants(decision) = finding.says
                && strictest.is_none_or(|(so_far, _)| decision > so_far)
            {
                strictest = Some((decision, finding));
            }
        }
        strictest
    }

    fn waived(trail: &[Finding], observed: &dyn Fn(RuleName) -> bool) -> impl Fn(RuleName) -> bool + use<> {
        let waives = |finding: &Finding| match finding.says {
            Effect::Waives(rule) if !observed(finding.rule) => Some(rule),
            _ => None,
        };
        let waived: Vec<RuleName> = trail.iter().filter_map(waives).collect();
        move |rule| waived.contains(&rule)
    }

    /// The points that count.
    pub fn scored(&self) -> impl Iterator<Item = Scored> {
        let waived = Self::waived(&self.trail, &|rule| self.is_observed(rule));
        self.trail.iter().filter_map(move |finding| match finding.says {
            Effect::Points(tenths) if !waived(finding.rule) && !self.is_observed(finding.rule) => {
                Some(Scored { rule: finding.rule, points: Points(tenths) })
            }
            _ => None,
        })
    }

    /// True when the rule ran and what it found has no effect.
    #[must_use]
    pub fn is_observed(&self, rule: RuleName) -> bool {
        self.observed.contains(&rule)
    }

    /// What would have been decided, had these rules been observed that were not, and these been enforced that were.
    #[must_use]
    pub fn decision_with(&self, observed: &[RuleName], enforced: &[RuleName]) -> Decision {
        let without = |rule| observed.contains(&rule) || (self.is_observed(rule) && !enforced.contains(&rule));
        Self::deciding(&self.trail, &without).map_or(Decision::Pass, |(decision, _)| decision)
    }

    /// What was decided.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// Everything that was found, in the order the rules ran.
    #[must_use]
    pub fn trail(&self) -> &[Finding] {
        &self.trail
    }

    /// The finding that decided.
    #[must_use]
    pub fn decided_by(&self) -> Option<&Finding> {
        Self::deciding(&self.trail, &|rule| self.is_observed(rule)).map(|(_, finding)| finding)
    }

    /// The reply of the deciding finding, for decisions that end in a refusal.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        self.decided_by().and_then(|finding| finding.reply.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(rule: RuleName, decision: Decision) -> Finding {
        Finding { rule, says: Effect::Wants(decision), because: String::new(), reply: None }
    }

    #[test]
    fn the_strictest_finding_decides_and_the_trail_is_kept() {
        let verdict = Verdict::of(vec![wants("a", Decision::Pass), wants("b", Decision::Refuse), wants("c", Decision::Defer)]);
        assert_eq!(verdict.decision(), Decision::Refuse);
        assert_eq!(verdict.decided_by().unwrap().rule, "b");
        assert_eq!(verdict.trail().len(), 3);
    }

    #[test]
    fn a_waived_finding_stays_in_the_trail_and_does_not_decide() {
        let waiver = Finding { rule: "allow", says: Effect::Waives("b"), because: String::new(), reply: None };
        let verdict = Verdict::of(vec![wants("b", Decision::Refuse), waiver]);
        assert_eq!(verdict.decision(), Decision::Pass);
        assert_eq!(verdict.trail().len(), 2);
    }

    #[test]
    fn what_is_observed_is_in_the_trail_and_has_no_effect() {
        let trail = vec![wants("a", Decision::Pass), wants("b", Decision::Refuse)];
        let verdict = Verdict::observing(trail, vec!["b"]);
        assert_eq!(verdict.decision(), Decision::Pass);
        assert_eq!(verdict.trail().len(), 2);
        assert_eq!(verdict.decision_with(&[], &["b"]), Decision::Refuse);
        let waiver = Finding { rule: "allow", says: Effect::Waives("b"), because: String::new(), reply: None };
        let verdict = Verdict::observing(vec![wants("b", Decision::Refuse), waiver], vec!["allow"]);
        assert_eq!(verdict.decision(), Decision::Refuse, "an observed waiver waives nothing");
    }

    #[test]
    fn what_guards_the_server_is_enforced_whatever_was_set() {
        let modes = Modes::new(Mode::Off, vec![("relay", Mode::Off), ("sender_identity", Mode::Observe)]);
        assert_eq!(modes.of("relay"), Mode::Enforce);
        assert_eq!(modes.of("nobody knows it"), Mode::Enforce);
        assert_eq!(modes.of("sender_identity"), Mode::Observe);
        assert_eq!(Modes::new(Mode::Observe, Vec::new()).of("sender_identity"), Mode::Observe);
        assert_eq!(Modes::new(Mode::Enforce, Vec::new()).of("greylist"), Mode::Off, "not unless it is asked for");
        assert_eq!(Modes::new(Mode::Off, vec![("greylist", Mode::Enforce)]).of("greylist"), Mode::Enforce);
        assert_eq!(Modes::default().of("mistyped"), Mode::Observe);
        let twice = Modes::new(Mode::Enforce, vec![("score", Mode::Off), ("score", Mode::Enforce)]);
        assert_eq!(twice.of("score"), Mode::Off, "the first counts");
        let said = Modes::new(Mode::Enforce, vec![("score", Mode::Enforce), ("relay", Mode::Off)]);
        assert_eq!(said, Modes::default(), "what would be so anyway costs no question");
    }
}
