//! Head: whether a list can be used. Promise: a list that says what no list may, lists everybody or nobody, or lets us wait again and again is parked:
//! it is not asked, has no say and costs nothing, until a probe finds it right again.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use postern_mail::envelope::UnixMillis;

use super::question::Reading;

/// As many answers in a row that were late, or none, and a list is parked.
const LATE_IN_A_ROW_MAX: u32 = 5;
/// Answers whose times are remembered.
const TIMES: usize = 64;
/// A list that is parked again soon is parked for up to so many times as long.
const STRIKES_MAX: u32 = 16;

/// What a list is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// An answer that takes longer is late.
    pub slow: Duration,
    /// A broken list is looked at again after this long.
    pub park: Duration,
    /// A good one after this long.
    pub probe_interval: Duration,
}

/// Why a list is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyParked {
    /// It has an entry for what no list may have one for.
    ListsEverybody,
    /// It has none for what every list has.
    ListsNobody,
    /// It answered this.
    Unusable(Ipv4Addr),
    /// Its answers come late, or do not come.
    Late,
    /// Its test points could not be asked for.
    NoAnswer,
}

impl fmt::Display for WhyParked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListsEverybody => f.write_str("it lists everybody: it has an entry for the test point that no list may have"),
            Self::ListsNobody => f.write_str("it lists nobody: it has no entry for the test point that every list has"),
            Self::Unusable(code) if code.octets().starts_with(&[127, 255, 255]) => {
                write!(f, "it answers {code}: it does not serve this resolver, was asked too much, or its name is mistyped")
            }
            Self::Unusable(code) => write!(f, "it answers {code}, which no list may"),
            Self::Late => write!(f, "{LATE_IN_A_ROW_MAX} answers in a row were late, or did not come"),
            Self::NoAnswer => f.write_str("its test points could not be asked for"),
        }
    }
}

/// Something has changed for the better or the worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The list's zone, without a key.
    pub zone: std::sync::Arc<str>,
    /// Why it is parked; `None`: it is asked again.
    pub parked: Option<WhyParked>,
}

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Read(Reading),
    Failed,
    Silent,
}

/// Two test points: one that must be listed, one that must not be.
pub(super) struct Pair {
    /// `None`: the list is known to have none.
    pub listed: Option<Ended>,
    pub clean: Ended,
}

/// What probes found: which of the pairs has its entry.
fn found(pairs: &[Pair]) -> Result<(), WhyParked> {
    let all = || pairs.iter().flat_map(|pair| pair.listed.iter().chain([&pair.clean]));
    if let Some(code) = all().find_map(|ended| match ended {
        Ended::Read(Reading::Unusable(code)) => Some(*code),
        _ => None,
    }) {
        return Err(WhyParked::Unusable(code));
    }
    if pairs.iter().any(|pair| matches!(pair.clean, Ended::Read(Reading::Codes(_)))) {
        return Err(WhyParked::ListsEverybody);
    }
    let is_right = |pair: &Pair| {
        matches!(pair.listed, None | Some(Ended::Read(Reading::Codes(_)))) && pair.clean == Ended::Read(Reading::Nothing)
    };
    // RFC 5782 §5: a list of one family of addresses has test points of that family only.
    if pairs.iter().any(is_right) {
        return Ok(());
    }
    let unknown = |ended: &Ended| matches!(ended, Ended::Failed | Ended::Silent);
    if all().any(unknown) { Err(WhyParked::NoAnswer) } else { Err(WhyParked::ListsNobody) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Not probed yet.
    Unproven,
    Usable {
        since: UnixMillis,
    },
    Parked {
        since: UnixMillis,
        until: UnixMillis,
        why: WhyParked,
    },
}

/// What was counted of a list since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Questions that the resolver did not remember the answer of.
    pub asked: u64,
    /// Answers that listed something, remembered ones as well.
    pub listed: u64,
    /// No answer in time.
    pub silent: u64,
    /// The resolver could not find out.
    pub failed: u64,
    /// Answers no list may give.
    pub unusable: u64,
    /// Clients that would have been refused, did what is only observed count.
    pub would_refuse: u64,
    /// Of these, clients known to be good.
    pub known_good: u64,
    /// Of these, clients whose mail was taken in the end.
    pub accepted: u64,
}

/// How a list is, for people.
#[derive(Clone, Debug)]
pub struct View {
    /// `unproven`, `usable`, `parked`.
    pub state: &'static str,
    /// Since when.
    pub since: Option<UnixMillis>,
    /// Until when it is parked, at least.
    pub until: Option<UnixMillis>,
    /// Why it is parked.
    pub why: Option<WhyParked>,
    /// When its test points were asked for, and what that came to.
    pub probed: Option<(UnixMillis, Result<(), WhyParked>)>,
    /// What was counted.
    pub counts: Counts,
    /// Milliseconds of the last answers: in the middle, and the longest.
    pub median_and_slowest: Option<(u32, u32)>,
}

/// The health of one list.
#[derive(Clone, Debug)]
pub(super) struct Health {
    state: State,
    late_in_a_row: u32,
    strikes: u32,
    times: Vec<u32>,
    next_time: usize,
    probed: Option<(UnixMillis, Result<(), WhyParked>)>,
    pub(super) counts: Counts,
}

impl Health {
    pub(super) fn new() -> Self {
        let (state, times) = (State::Unproven, Vec::new());
        Self { state, late_in_a_row: 0, strikes: 0, times, next_time: 0, probed: None, counts: Counts::default() }
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.state, State::Parked { .. })
    }

    /// True once it was probed, whatever that came to.
    pub(super) fn is_proven(&self) -> bool {
        self.state != State::Unproven
    }

    /// When it is to be probed next.
    pub(super) fn due(&self, settings: &HealthSettings) -> UnixMillis {
        match (&self.state, &self.probed) {
            (State::Parked { until, .. }, _) => *until,
            (_, Some((at, _))) => at.plus(settings.probe_interval),
            (_, None) => UnixMillis(0),
        }
    }

    /// A question of a session ended. Gives why it is parked, where that is new.
    pub(super) fn ended(
        &mut self,
        now: UnixMillis,
        took: Duration,
        ended: &Ended,
        settings: &HealthSettings,
    ) -> Option<WhyParked> {
        self.counts.asked += 1;
        let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        match self.times.get_mut(self.next_time) {
            Some(place) => *place = millis,
            None => self.times.push(millis),
        }
        self.next_time = (self.next_time + 1) % TIMES;
        let late = match ended {
            Ended::Read(Reading::Unusable(code)) => {
                self.counts.unusable += 1;
                return self.park(now, WhyParked::Unusable(*code), settings);
            }
            Ended::Read(_) => took > settings.slow,
            Ended::Failed => {
                self.counts.failed += 1;
                true
            }
            Ended::Silent => {
                self.counts.silent += 1;
                true
            }
        };
        self.late_in_a_row = if late { self.late_in_a_row.saturating_add(1) } else { 0 };
        if self.late_in_a_row < LATE_IN_A_ROW_MAX {
            return None;
        }
        self.park(now, WhyParked::Late, settings)
    }

    /// Its test points were asked for. Gives what has changed: parked for this, or usable again.
    pub(super) fn probed(&mut self, now: UnixMillis, pairs: &[Pair], settings: &HealthSettings) -> Option<Option<WhyParked>> {
        let result = found(pairs);
        self.probed = Some((now, result.clone()));
        match result {
            Err(why) => {
                let is_news = !self.is_parked();
                if let State::Parked { since, .. } = self.state {
                    self.strikes = (self.strikes * 2).clamp(1, STRIKES_MAX);
                    let until = now.plus(settings.park.saturating_mul(self.strikes).min(settings.probe_interval));
                    self.state = State::Parked { since, until, why: why.clone() };
                } else {
                    let _ = self.park(now, why.clone(), settings);
                }
                is_news.then_some(Some(why))
            }
            Ok(()) => {
                let was_parked = self.is_parked();
                if !matches!(self.state, State::Usable { .. }) {
                    self.state = State::Usable { since: now };
                    self.late_in_a_row = 0;
                }
                was_parked.then_some(None)
            }
        }
    }

    fn park(&mut self, now: UnixMillis, why: WhyParked, settings: &HealthSettings) -> Option<WhyParked> {
        self.late_in_a_row = 0;
        match self.state {
            // Questions that were on their way when it was parked.
            State::Parked { .. } => return None,
            // Good for a while: it begins anew.
            State::Usable { since } if now.0.saturating_sub(since.0) > millis(settings.probe_interval) => self.strikes = 1,
            _ => self.strikes = (self.strikes * 2).clamp(1, STRIKES_MAX),
        }
        let until = now.plus(settings.park.saturating_mul(self.strikes).min(settings.probe_interval));
        self.state = State::Parked { since: now, until, why: why.clone() };
        Some(why)
    }

    pub(super) fn view(&self) -> View {
        let (state, since, until, why) = match &self.state {
            State::Unproven => ("unproven", None, None, None),
            State::Usable { since } => ("usable", Some(*since), None, None),
            State::Parked { since, until, why } => ("parked", Some(*since), Some(*until), Some(why.clone())),
        };
        let mut times = self.times.clone();
        times.sort_unstable();
        let median_and_slowest = times.get(times.len() / 2).copied().zip(times.last().copied());
        View { state, since, until, why, probed: self.probed.clone(), counts: self.counts, median_and_slowest }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const SETTINGS: HealthSettings =
        HealthSettings { slow: Duration::from_secs(1), park: Duration::from_secs(60), probe_interval: Duration::from_secs(3600) };
    const QUICK: Duration = Duration::from_millis(5);

    fn codes() -> Ended {
        Ended::Read(Reading::Codes(vec![Ipv4Addr::new(127, 0, 0, 2)]))
    }

    fn nothing() -> Ended {
        Ended::Read(Reading::Nothing)
    }

    fn pair(listed: Ended, clean: Ended) -> Pair {
        Pair { listed: Some(listed), clean }
    }

    fn right() -> [Pair; 1] {
        [pair(codes(), nothing())]
    }

    #[test]
    fn test_points_tell_a_right_list_from_one_that_lists_everybody_or_nobody() {
        let blocked = Ipv4Addr::new(127, 255, 255, 254);
        for (pairs, expected) in [
            (vec![pair(codes(), nothing())], Ok(())),
            (vec![pair(codes(), nothing()), pair(nothing(), nothing())], Ok(())),
            (vec![pair(nothing(), nothing()), pair(codes(), nothing())], Ok(())),
            (vec![pair(codes(), nothing()), pair(Ended::Failed, Ended::Failed)], Ok(())),
            (vec![Pair { listed: None, clean: nothing() }], Ok(())),
            (vec![pair(codes(), codes())], Err(WhyParked::ListsEverybody)),
            (vec![pair(codes(), nothing()), pair(codes(), codes())], Err(WhyParked::ListsEverybody)),
            (vec![pair(nothing(), nothing())], Err(WhyParked::ListsNobody)),
            (vec![pair(Ended::Silent, Ended::Silent)], Err(WhyParked::NoAnswer)),
            (vec![pair(codes(), Ended::Silent)], Err(WhyParked::NoAnswer)),
            (vec![pair(codes(), Ended::Read(Reading::Unusable(blocked)))], Err(WhyParked::Unusable(blocked))),
        ] {
            assert_eq!(found(&pairs), expected);
        }
    }

    #[test]
    fn a_parked_list_comes_back_by_a_probe_and_is_parked_longer_when_it_breaks_again() {
        let mut health = Health::new();
        assert!(!health.is_proven());
        assert_eq!(health.probed(NOW, &right(), &SETTINGS), None);
        let code = Ipv4Addr::new(127, 255, 255, 255);
        let unusable = Ended::Read(Reading::Unusable(code));
        assert_eq!(health.ended(NOW, QUICK, &unusable, &SETTINGS), Some(WhyParked::Unusable(code)));
        assert_eq!(health.ended(NOW, QUICK, &unusable, &SETTINGS), None, "told once");
        assert_eq!(health.due(&SETTINGS), NOW.plus(SETTINGS.park));
        assert_eq!(health.probed(health.due(&SETTINGS), &[pair(Ended::Silent, Ended::Silent)], &SETTINGS), None);
        let later = health.due(&SETTINGS);
        assert_eq!(later, NOW.plus(SETTINGS.park * 3), "twice as long");
        assert_eq!(health.probed(later, &right(), &SETTINGS), Some(None));
        assert!(!health.is_parked());
        assert_eq!(health.due(&SETTINGS), later.plus(SETTINGS.probe_interval));
        let _ = health.ended(later, QUICK, &unusable, &SETTINGS);
        assert_eq!(health.due(&SETTINGS), later.plus(SETTINGS.park * 4));
    }

    #[test]
    fn late_answers_in_a_row_park_a_list_and_a_prompt_one_between_them_does_not() {
        let mut health = Health::new();
        health.probed(NOW, &right(), &SETTINGS);
        let late = [
            (Duration::from_secs(2), nothing()),
            (QUICK, Ended::Failed),
            (QUICK, Ended::Silent),
            (Duration::from_secs(2), codes()),
        ];
        for (took, ended) in &late {
            assert_eq!(health.ended(NOW, *took, ended, &SETTINGS), None);
        }
        assert_eq!(health.ended(NOW, QUICK, &nothing(), &SETTINGS), None);
        for (took, ended) in &late {
            assert_eq!(health.ended(NOW, *took, ended, &SETTINGS), None);
        }
        assert_eq!(health.ended(NOW, QUICK, &Ended::Silent, &SETTINGS), Some(WhyParked::Late));
        let view = health.view();
        assert_eq!((view.state, view.counts.asked, view.counts.silent), ("parked", 10, 3));
        assert_eq!(view.median_and_slowest, Some((5, 2000)));
    }

    #[test]
    fn times_of_answers_are_bounded() {
        let mut health = Health::new();
        for _ in 0..1000 {
            let _ = health.ended(NOW, QUICK, &nothing(), &SETTINGS);
        }
        assert_eq!(health.times.len(), TIMES);
    }
}
