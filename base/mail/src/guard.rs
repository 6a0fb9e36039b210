//! What the guard of accounts says of a message: how unlike its account's own past it is, and what was done about it. Promise: points stand beside
//! the words they come from, so that nobody is held for a number.

use std::fmt;

use crate::verdict::Points;

/// What is done with an account, from mild to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuardStep {
    /// Nothing.
    #[default]
    None,
    /// Its messages leave one after the other, with time between them.
    Slow,
    /// Its messages are taken and wait for a person.
    Hold,
    /// It can log in no more, and its sessions have ended.
    Suspend,
}

impl GuardStep {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::None, Self::Slow, Self::Hold, Self::Suspend];

    /// As it stands in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slow => "slow",
            Self::Hold => "hold",
            Self::Suspend => "suspend",
        }
    }
}

impl fmt::Display for GuardStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardSaid {
    /// All signals together.
    pub points: Points,
    /// The step it had been put on before and has not left yet, whatever the points are by now.
    pub standing: GuardStep,
    /// The evidence, signal by signal, in words.
    pub because: String,
}

/// From how many points on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardLimits {
    /// `outbound.guard.slow_at`.
    pub slow: Points,
    /// `outbound.guard.hold_at`.
    pub hold: Points,
    /// `outbound.guard.suspend_at`.
    pub suspend: Points,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self { slow: Points(40), hold: Points(60), suspend: Points(100) }
    }
}

impl GuardLimits {
    /// The step for so many points.
    #[must_use]
    pub fn step(&self, points: Points) -> GuardStep {
        if points >= self.suspend {
            GuardStep::Suspend
        } else if points >= self.hold {
            GuardStep::Hold
        } else if points >= self.slow {
            GuardStep::Slow
        } else {
            GuardStep::None
        }
    }
}
