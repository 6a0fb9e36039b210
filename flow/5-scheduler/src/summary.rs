//! The queue as an operator wants to see it. Promise: the answer is as short as was asked for.

use std::cmp::Reverse;
use std::collections::HashMap;

use postern_mail::envelope::UnixMillis;

use crate::scheduler::Scheduler;
use crate::store::Slot;
use crate::ticket::State;
use crate::words::{Counts, LaneSummary};

impl Scheduler {
    /// The fullest lanes first, at most `most` of them; among equals those with trouble. Looks at the whole queue (about 20 ms at a
    /// million tickets), so it is for a person or a minute's timer.
    #[must_use]
    pub fn summary(&self, now: UnixMillis, most: usize) -> Vec<LaneSummary> {
        let mut fullest: Vec<(Slot, u32, bool)> =
            self.lanes.iter().map(|(slot, lane)| (slot, lane.tickets(), lane.trouble.is_some())).collect();
        fullest.sort_unstable_by_key(|(slot, tickets, has_trouble)| (Reverse(*tickets), Reverse(*has_trouble), *slot));
        fullest.truncate(most);

        let places: HashMap<Slot, usize> = fullest.iter().enumerate().map(|(at, (slot, ..))| (*slot, at)).collect();
        let mut tallies = vec![(Counts::default(), None::<UnixMillis>); fullest.len()];
        for (_, ticket) in self.tickets.cells.iter() {
            let Some((counts, oldest)) = places.get(&ticket.lane).and_then(|at| tallies.get_mut(*at)) else { continue };
            match ticket.state {
                State::Waiting => counts.waiting += 1,
                State::Deferred => counts.deferred += 1,
                State::Active => counts.active += 1,
                State::Held => counts.held += 1,
            }
            *oldest = Some(oldest.map_or(ticket.received, |oldest| oldest.min(ticket.received)));
        }

        let lanes = fullest.iter().filter_map(|(slot, ..)| self.lanes.get(*slot));
        lanes
            .zip(tallies)
            .map(|(lane, (counts, oldest))| {
                let group = self.lanes.groups.get(lane.group);
                let shared = group.map_or(UnixMillis(0), |group| group.window.blocked_until());
                LaneSummary {
                    destination: lane.destination.clone(),
                    provider: group.and_then(|group| group.name().cloned()),
                    counts,
                    window: group.map_or(u16::MAX, |group| group.window.limit()).min(lane.window.limit()),
                    blocked_until: Some(lane.window.blocked_until().max(shared)).filter(|until| *until > now),
                    oldest,
                    trouble: group
                        .and_then(|group| group.trouble)
                        .into_iter()
                        .chain(lane.trouble)
                        .max_by_key(|trouble| trouble.at),
                }
            })
            .collect()
    }
}
