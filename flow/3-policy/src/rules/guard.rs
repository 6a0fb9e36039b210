//! An account that suddenly sends otherwise than it ever did: its mail is taken, and held for a person.
//!
//! Promise: it never refuses anything, so nothing of an owner is lost by it; and its words are the evidence, signal by signal. When it cannot know (an account
//! without a past) the head that counts has allowances that are small in absolute numbers, so there is always an answer.

use postern_mail::guard::{GuardLimits, GuardSaid, GuardStep};
use postern_mail::{Decision, Effect, Finding, RuleName};

/// As it stands in trails.
pub const GUARD: RuleName = "guard";

/// The step that its points and its standing come to.
#[must_use]
pub fn step(said: &GuardSaid, limits: &GuardLimits) -> GuardStep {
    limits.step(said.points).max(said.standing)
}

/// Judges what was found.
#[must_use]
pub fn judge(said: &GuardSaid, limits: &GuardLimits) -> Finding {
    let step = step(said, limits);
    let standing = if said.standing == GuardStep::None { String::new() } else { format!(", it stands on {}", said.standing) };
    let because = match step {
        GuardStep::None => format!("{} points, slowed down at {}: {}", said.points, limits.slow, said.because),
        GuardStep::Slow => format!("slowed down with {} points at {}{standing}: {}", said.points, limits.slow, said.because),
        GuardStep::Hold | GuardStep::Suspend => {
            format!("held with {} points at {}{standing}: {}", said.points, limits.hold, said.because)
        }
    };
    let decision = if step >= GuardStep::Hold { Decision::Hold } else { Decision::Pass };
    Finding { rule: GUARD, says: Effect::Wants(decision), because, reply: None }
}

#[cfg(test)]
mod tests {
    use postern_mail::Points;

    use super::*;

    #[test]
    fn from_its_limit_on_or_while_the_account_stands_there_a_message_is_held_and_never_refused() {
        let limits = GuardLimits::default();
        let said = |tenths, standing| GuardSaid { points: Points(tenths), standing, because: "41 strangers".to_owned() };
        for (tenths, standing, held) in [
            (0, GuardStep::None, false),
            (59, GuardStep::Slow, false),
            (60, GuardStep::None, true),
            (0, GuardStep::Hold, true),
            (0, GuardStep::Suspend, true),
            (i16::MAX, GuardStep::None, true),
        ] {
            let finding = judge(&said(tenths, standing), &limits);
            let expected = if held { Decision::Hold } else { Decision::Pass };
            assert_eq!(finding.says, Effect::Wants(expected), "{tenths} {standing}");
            assert!(finding.because.contains("41 strangers") && finding.reply.is_none());
        }
    }
}
