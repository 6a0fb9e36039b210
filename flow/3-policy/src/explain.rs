//! A verdict as one line for the log and for `postern explain`. Promise: one line, however hostile the evidence, and every finding is
//! in it.

use std::fmt::Write as _;

use postern_mail::{Decision, Effect, Finding, Quoted, Verdict};

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
    if verdict.trail().iter().any(|other| other.says == Effect::Waives(finding.rule)) {
        line.push_str(" (waived)");
    }
    if !finding.because.is_empty() {
        let _ = write!(line, " {}", Quoted::text(&finding.because));
    }
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
    fn hostile_evidence_stays_on_the_line() {
        let verdict = Verdict::of(vec![Finding::pass("a", "x\r\n2026 forged: line\u{202e}")]);
        let line = explain(Stage::Recipient, &verdict);
        assert!(!line.contains(['\r', '\n', '\u{202e}']), "{line}");
    }
}
