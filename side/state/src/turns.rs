//! Waiting for a turn to hash, as [`Line`] decides. Promise: a turn that is over, or was given to somebody who has gone, is given on.

mod line;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_mail::client::Subnet;
use tokio::sync::oneshot;

pub(crate) use self::line::Class;
use self::line::{Entered, Line};

struct Hall {
    line: Line,
    /// Of those who wait.
    doors: HashMap<u64, oneshot::Sender<()>>,
    last_ticket: u64,
}

impl Hall {
    fn call_next(&mut self) {
        while let Some(ticket) = self.line.next() {
            if let Some(door) = self.doors.remove(&ticket) {
                // Who has gone in between gives it back when his place is dropped.
                let _ = door.send(());
            }
        }
    }
}

/// All turns.
pub(crate) struct Turns(Mutex<Hall>);

/// A turn; over when it is dropped.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    class: Class,
}

/// A place in the line.
struct Place {
    turns: Arc<Turns>,
    class: Class,
    network: Subnet,
    ticket: u64,
    is_done: bool,
}

impl Turns {
    /// So many at once, and so many of each class that wait.
    pub(crate) fn new(at_once: usize, waiting_max: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Hall { line: Line::new(at_once, waiting_max), doors: HashMap::new(), last_ticket: 0 })))
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.hall().line.waiting()
    }

    fn enter(self: &Arc<Self>, class: Class, network: Subnet) -> (Entered, Place, oneshot::Receiver<()>) {
        let (door, opened) = oneshot::channel();
        let mut hall = self.hall();
        hall.last_ticket += 1;
        let ticket = hall.last_ticket;
        let entered = hall.line.enter(class, network, ticket);
        if entered == Entered::Waits {
            hall.doors.insert(ticket, door);
        }
        (entered, Place { turns: Arc::clone(self), class, network, ticket, is_done: entered == Entered::Full }, opened)
    }

    /// Waits for a turn; `None` when that would take too long.
    pub(crate) async fn take(self: &Arc<Self>, class: Class, network: Subnet, wait: Duration) -> Option<Turn> {
        let (entered, place, opened) = self.enter(class, network);
        match entered {
            Entered::Full => None,
            Entered::Now => Some(place.into_turn()),
            Entered::Waits => match tokio::time::timeout(wait, opened).await {
                Ok(Ok(())) => Some(place.into_turn()),
                _ => None,
            },
        }
    }
}

impl Place {
    fn into_turn(mut self) -> Turn {
        self.is_done = true;
        Turn { turns: Arc::clone(&self.turns), class: self.class }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut hall = self.turns.hall();
        if hall.doors.remove(&self.ticket).is_some() {
            hall.line.forsake(self.class, self.network, self.ticket);
        } else {
            // It was called while it was leaving.
            hall.line.leave(self.class);
        }
        hall.call_next();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut hall = self.turns.hall();
        hall.line.leave(self.class);
        hall.call_next();
    }
}
