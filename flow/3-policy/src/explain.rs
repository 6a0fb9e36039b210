//! A verdict as one line for the log and for `postern explain`. Promise: one line, however hostile the evidence, and every finding is
//! in it.

use std::fmt::Write as _;

use postern_mail::{Decision, Effect, Finding, Mode, Quoted, RuleName, Verdict};

use crate::stage::Stage;

/// `recipient: refuse by relay, 550 5.7.1 "..."; found: recipient pass "...", relay refuse "..."`.
#[must_use]
pub fn explain(stage: Stage, verdict: &Verdict) -> String {
    let mut line = format!("{stage}: {}", word(verdict.decision()));
    // A `String` never refuses what is written into it.
    if let Some(decided) = verdict.decided_by().filter(|_| verdict.decision() != Decision::Pass) {
        let _ = write!(line, " by {}", decided.rule);
    }
    if let Some(reply) = verdict.reply() {
        let _ = write!(line, ", {}", reply.code.0);
        if let Some(status) = reply.status {
            let _ = write!(line, " {status}");
        }
        let _ = write!(line, " {}", Quoted::text(reply.text()));
    }
    line.push_str("; found:");
    for (at, finding) in verdict.trail().iter().enumerate() {
        line.push_str(if at == 0 { " " } else { ", " });
        write_finding(&mut line, finding, verdict);
    }
    line
}

fn write_finding(line: &mut String, finding: &Finding, verdict: &Verdict) {
    let _ = match finding.says {
        Effect::Wants(decision) => write!(line, "{} {}", finding.rule, word(decision)),
        Effect::Points(tenths) => write!(line, "{} {:+.1} points", finding.rule, f32::from(tenths) / 10.0),
        Effect::Waives(rule) => write!(line, "{} waives {rule}", finding.rule),
    };
    if verdict.is_observed(finding.rule) {
        line.push_str(" (observed)");
    }
    if is_waived(verdict, finding.rule) {
        line.push_str(" (waived)");
    }
    if !finding.because.is_empty() {
        let _ = write!(line, " {}", Quoted::text(&finding.because));
    }
}

/// True when another rule took back what this one said.
#[must_use]
pub fn is_waived(verdict: &Verdict, rule: RuleName) -> bool {
    verdict.trail().iter().any(|other| other.says == Effect::Waives(rule) && !verdict.is_observed(other.rule))
}

/// One thing that would have led to another decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// These rules, where one alone would have changed nothing.
    pub rules: Vec<RuleName>,
    /// What they would have been.
    pub mode: Mode,
    /// What would have been decided then.
    pub decision: Decision,
}

/// What would have changed a decision: each rule that flips it by itself when it is not enforced, or when it is; else all the rules
/// together that stand against it.
#[must_use]
pub fn what_would_change(verdict: &Verdict) -> Vec<Change> {
    let now = verdict.decision();
    let mut rules: Vec<RuleName> = verdict.trail().iter().map(|finding| finding.rule).collect();
    rules.dedup();
    let single = |rule: RuleName| {
        let (mode, decision) = if verdict.is_observed(rule) {
            (Mode::Enforce, verdict.decision_with(&[], &[rule]))
        } else {
            (Mode::Observe, verdict.decision_with(&[rule], &[]))
        };
        (decision != now).then(|| Change { rules: vec![rule], mode, decision })
    };
    let changes: Vec<Change> = rules.iter().filter_map(|rule| single(rule)).collect();
    if !changes.is_empty() || now == Decision::Pass {
        return changes;
    }
    let strict = |finding: &&Finding| matches!(finding.says, Effect::Wants(wanted) if wanted > Decision::Pass);
    let mut against: Vec<RuleName> = verdict.trail().iter().filter(strict).map(|finding| finding.rule).collect();
    against.dedup();
    let decision = verdict.decision_with(&against, &[]);
    vec![Change { rules: against, mode: Mode::Observe, decision }]
}

/// A decision as it stands in lines and pages.
#[must_use]
pub const fn word(decision: Decision) -> &'static str {
    match decision {
        Decision::Pass => "pass",
        Decision::Hold => "hold",
        Decision::Defer => "defer",
        Decision::Refuse => "refuse",
        Decision::Hangup => "hang up",
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::Reply;

    use super::*;

    #[test]
    fn the_line_names_the_deciding_rule_and_every_finding() {
        let verdict = Verdict::of(vec![
            Finding::pass("size", "4 of 9 octets"),
            Finding::refuse("loops", "101 times", Reply::loop_detected()),
        ]);
        assert_eq!(
            explain(Stage::Message, &verdict),
            "message: refuse by loops, 554 5.4.6 \"the message has passed too many servers: a loop\"; \
             found: size pass \"4 of 9 octets\", loops refuse \"101 times\""
        );
    }

    #[test]
    fn a_waived_finding_and_points_are_shown() {
        let finding = |rule, says| Finding { rule, says, because: String::new(), reply: None };
        let verdict = Verdict::of(vec![
            finding("a", Effect::Wants(Decision::Refuse)),
            finding("b", Effect::Waives("a")),
            finding("c", Effect::Points(-15)),
        ]);
        assert_eq!(explain(Stage::Sender, &verdict), "sender: pass; found: a refuse (waived), b waives a, c -1.5 points");
    }

    #[test]
    fn the_one_rule_that_flips_a_decision_is_named_and_otherwise_all_that_must_give_way() {
        let refuse = |rule| Finding::refuse(rule, "", Reply::refused_by_policy());
        let one = Verdict::of(vec![Finding::pass("a", ""), refuse("b")]);
        let change = |rules: &[RuleName], mode, decision| Change { rules: rules.to_vec(), mode, decision };
        assert_eq!(what_would_change(&one), [change(&["b"], Mode::Observe, Decision::Pass)]);
        let two = Verdict::of(vec![refuse("a"), refuse("b")]);
        assert_eq!(what_would_change(&two), [change(&["a", "b"], Mode::Observe, Decision::Pass)]);
        let watched = Verdict::observing(vec![refuse("a")], vec!["a"]);
        assert_eq!(what_would_change(&watched), [change(&["a"], Mode::Enforce, Decision::Refuse)]);
        assert_eq!(what_would_change(&Verdict::of(vec![Finding::pass("a", "")])), []);
    }

    #[test]
    fn hostile_evidence_stays_on_the_line() {
        let verdict = Verdict::of(vec![Finding::pass("a", "x\r\n2026 forged: line\u{202e}")]);
        let line = explain(Stage::Recipient, &verdict);
        assert!(!line.contains(['\r', '\n', '\u{202e}']), "{line}");
    }
}
