//! Against a model: whatever is done in whatever order, no ticket is lost, none is there twice, and the counts are right.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::admit::Admission;
use crate::providers::{Provider, Providers};

const LANES: u8 = 4;

#[derive(Clone, Debug)]
enum Step {
    Insert { id: u8, lane: u8, account: u8, delay: u16, is_bulk: bool },
    Due,
    Admit { which: Index, hosts: u8 },
    Finish { which: Index, how: u8 },
    Hold(u8),
    Release(u8),
    Retry(u8),
    RetryLane(u8),
    Remove(u8),
    Pass { seconds: u32 },
    Notices,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..40_u8, 0..LANES, 0..3_u8, 0..600_u16, any::<bool>()).prop_map(|(id, lane, account, delay, is_bulk)| Step::Insert { id, lane, account, delay, is_bulk }),
        6 => Just(Step::Due),
        8 => (any::<Index>(), 0..4_u8).prop_map(|(which, hosts)| Step::Admit { which, hosts }),
        8 => (any::<Index>(), 0..9_u8).prop_map(|(which, how)| Step::Finish { which, how }),
        1 => (0..40_u8).prop_map(Step::Hold),
        1 => (0..40_u8).prop_map(Step::Release),
        1 => (0..40_u8).prop_map(Step::Retry),
        1 => (0..LANES).prop_map(Step::RetryLane),
        1 => (0..40_u8).prop_map(Step::Remove),
        4 => prop_oneof![4 => 0..900_u32, 1 => 0..100_000_u32].prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Notices),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Queued,
    Held,
    Out,
    OutToBeHeld,
    OutToBeRemoved,
}

fn lane(n: u8) -> Destination {
    mx(&format!("d{n}.example"))
}

struct Model {
    scheduler: Scheduler,
    now: UnixMillis,
    seen: BTreeMap<(u64, Destination), Seen>,
    out: Vec<Attempt>,
}

impl Model {
    fn of(&mut self, id: u8) -> impl Iterator<Item = &mut Seen> {
        self.seen.iter_mut().filter(move |((of, _), _)| *of == u64::from(id)).map(|(_, seen)| seen)
    }

    fn due(&mut self) -> Result<(), TestCaseError> {
        for attempt in due(&mut self.scheduler, self.now) {
            let was = self.seen.insert((attempt.id.0, attempt.destination.clone()), Seen::Out);
            prop_assert_eq!(was, Some(Seen::Queued), "handed out once, and only what is queued");
            self.out.push(attempt);
        }
        Ok(())
    }

    fn finish(&mut self, attempt: &Attempt, report: Report) -> Result<(), TestCaseError> {
        let key = (attempt.id.0, attempt.destination.clone());
        let seen = self.seen[&key];
        match self.scheduler.finished(self.now, attempt, report) {
            Disposition::Done => prop_assert!(!report.deferred),
            Disposition::Expired => prop_assert!(self.now >= attempt.received.plus(HOURS(120))),
            Disposition::Removed => prop_assert_eq!(seen, Seen::OutToBeRemoved),
            Disposition::Held { number } => {
                prop_assert_eq!((seen, number), (Seen::OutToBeHeld, attempt.number));
                self.seen.insert(key, Seen::Held);
                return Ok(());
            }
            Disposition::Again { due, number, .. } => {
                prop_assert!(due > self.now && number == attempt.number && seen == Seen::Out);
                self.seen.insert(key, Seen::Queued);
                return Ok(());
            }
            Disposition::Unknown => prop_assert!(false, "an attempt that was out was not known"),
        }
        self.seen.remove(&key);
        Ok(())
    }

    /// Hosts of a provider by name, the same ones as others, hosts of its own, or none that are known.
    fn admit(&mut self, which: usize, hosts: u8) -> Result<(), TestCaseError> {
        let hosts: &[Arc<str>] = &[["mx.p.example"], ["mx.x.example"], ["mx.y.example"]]
            .map(|[name]| Arc::from(name))
            .get(usize::from(hosts))
            .cloned()
            .into_iter()
            .collect::<Vec<_>>();
        let attempt = self.out[which].clone();
        let key = (attempt.id.0, attempt.destination.clone());
        match (self.scheduler.admit(self.now, &attempt, hosts), self.seen[&key]) {
            (Admission::Go, _) => return Ok(()),
            (Admission::Wait, Seen::Out) => self.seen.insert(key, Seen::Queued),
            (Admission::Wait, Seen::OutToBeHeld) => self.seen.insert(key, Seen::Held),
            (Admission::Wait, _) => self.seen.remove(&key),
        };
        self.out.swap_remove(which);
        Ok(())
    }

    fn notices(&mut self) -> Result<(), TestCaseError> {
        let mut notices = Vec::new();
        self.scheduler.notices(self.now, 1_000, &mut notices);
        for notice in notices {
            let key = (notice.id.0, notice.destination);
            prop_assert_eq!(self.seen.get(&key), Some(&Seen::Queued));
            if notice.kind == NoticeKind::Expired {
                prop_assert!(self.now >= notice.received.plus(HOURS(120)));
                self.seen.remove(&key);
            }
        }
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Insert { id, lane: number, account, delay, is_bulk } => {
                let account = (account > 0).then(|| Arc::from(format!("account {account}")));
                let due = self.now.plus(Duration::from_secs(delay.saturating_sub(300).into()));
                let ticket = Ticket { account, received: self.now, due, is_bulk, ..ticket(id.into(), &lane(number)) };
                let is_new = !self.seen.contains_key(&(id.into(), lane(number)));
                prop_assert_eq!(self.scheduler.insert(self.now, ticket).is_ok(), is_new);
                self.seen.entry((id.into(), lane(number))).or_insert(Seen::Queued);
            }
            Step::Due => self.due()?,
            Step::Finish { which, how } if !self.out.is_empty() => {
                let attempt = self.out.swap_remove(which.index(self.out.len()));
                let reports = [
                    Report::WORKED,
                    Report::WORKED,
                    BOUNCED,
                    GREYLISTED,
                    GREYLISTED,
                    BUSY_HOST,
                    SILENT,
                    NOT_SAFE,
                    GREY_AT_THE_END,
                ];
                self.finish(&attempt, reports[usize::from(how)])?;
            }
            Step::Admit { which, hosts } if !self.out.is_empty() => self.admit(which.index(self.out.len()), hosts)?,
            Step::Finish { .. } | Step::Admit { .. } => {}
            Step::Hold(id) => {
                self.scheduler.hold(self.now, MessageId(id.into()));
                self.of(id).for_each(|seen| match seen {
                    Seen::Queued => *seen = Seen::Held,
                    Seen::Out => *seen = Seen::OutToBeHeld,
                    Seen::Held | Seen::OutToBeHeld | Seen::OutToBeRemoved => {}
                });
            }
            Step::Release(id) => {
                self.scheduler.release(self.now, MessageId(id.into()));
                self.of(id).for_each(|seen| match seen {
                    Seen::Held => *seen = Seen::Queued,
                    Seen::OutToBeHeld => *seen = Seen::Out,
                    Seen::Queued | Seen::Out | Seen::OutToBeRemoved => {}
                });
            }
            Step::Remove(id) => {
                self.scheduler.remove(self.now, MessageId(id.into()));
                self.seen.retain(|(of, _), seen| *of != u64::from(id) || !matches!(seen, Seen::Queued | Seen::Held));
                self.of(id).for_each(|seen| *seen = Seen::OutToBeRemoved);
            }
            Step::Retry(id) => {
                self.scheduler.retry(self.now, MessageId(id.into()));
            }
            Step::RetryLane(number) => {
                self.scheduler.retry_destination(self.now, &lane(number));
            }
            Step::Pass { seconds } => self.now = self.now.plus(Duration::from_secs(seconds.into())),
            Step::Notices => self.notices()?,
        }
        self.agrees()
    }

    fn agrees(&self) -> Result<(), TestCaseError> {
        let counts = self.scheduler.counts();
        let count = |wanted: &[Seen]| self.seen.values().filter(|seen| wanted.contains(seen)).count();
        prop_assert_eq!(counts.waiting + counts.deferred, count(&[Seen::Queued]));
        prop_assert_eq!(counts.held, count(&[Seen::Held]));
        prop_assert_eq!(counts.active, count(&[Seen::Out, Seen::OutToBeHeld, Seen::OutToBeRemoved]));
        prop_assert_eq!((counts.active, counts.total()), (self.out.len(), self.scheduler.len()));
        prop_assert!(counts.active <= self.scheduler.settings.concurrency_total);
        let lanes = self.scheduler.summary(self.now, usize::MAX);
        prop_assert_eq!(lanes.iter().map(|lane| lane.counts.total()).sum::<usize>(), self.scheduler.len());
        for (_, lane) in self.scheduler.lanes.iter() {
            let out = self.out.iter().filter(|attempt| attempt.lane == lane.name).count();
            prop_assert_eq!(out, usize::try_from(lane.active).unwrap());
            prop_assert!(out <= 4);
        }
        let groups = &self.scheduler.lanes.groups;
        for (slot, group) in groups.cells.iter() {
            let out = self.scheduler.counted.values().filter(|of| **of == slot).count();
            prop_assert_eq!(out, usize::try_from(group.active).unwrap());
            prop_assert!(group.name().is_none() || out <= 2, "no more than its window");
        }
        for (slot, group) in &self.scheduler.counted {
            prop_assert!(self.scheduler.tickets.get(*slot).is_some_and(|ticket| ticket.state == State::Active));
            prop_assert!(groups.get(*group).is_some());
        }
        Ok(())
    }

    /// Everything held is released, whatever goes out ends well, and only `next_wakeup` says when to look.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        for id in 0..40 {
            self.take(Step::Release(id))?;
        }
        let mut wakes = 0;
        loop {
            self.due()?;
            self.notices()?;
            let ended = std::mem::take(&mut self.out);
            for attempt in &ended {
                self.finish(attempt, Report::WORKED)?;
            }
            self.agrees()?;
            let Some(wake) = self.scheduler.next_wakeup(self.now) else { break };
            prop_assert!(wake > self.now || !ended.is_empty(), "no wake is for nothing");
            self.now = wake;
            wakes += 1;
            prop_assert!(wakes < 5_000, "the queue drains");
        }
        prop_assert!(self.seen.is_empty(), "left behind: {:?}", self.seen);
        assert_nothing_is_left(&mut self.scheduler, self.now);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_order_of_events_loses_or_doubles_a_ticket(seed: u64, steps in prop::collection::vec(step(), 0..250), pace in 0..3_u32) {
        let shaping = Shaping { window_first: 2, window_max: 4, pace_per_minute: pace * 20 };
        let mut providers = Providers::default();
        providers.set(Provider { name: "p".into(), exchangers: vec!["*.p.example".into()], connections: Some(2), messages_per_minute: Some(30 * pace) });
        let settings = SchedulerSettings { concurrency_total: 9, lanes_max: 2, shaping, providers, ..SchedulerSettings::default() };
        let scheduler = Scheduler::new(settings, seed);
        let mut model = Model { scheduler, now: START, seen: BTreeMap::new(), out: Vec::new() };
        for step in steps {
            model.take(step)?;
        }
        model.drain()?;
    }
}
