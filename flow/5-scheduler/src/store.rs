//! The shelves the scheduler keeps a long queue on. Promise: every operation costs the same at ten tickets and at a million, and
//! memory is given back as the queue shrinks.
//!
//! A ticket is one cell of a [`Slab`]; everything that orders tickets (turns, times) is a [`List`] threaded through the cells
//! themselves, so that ordering costs eight octets a ticket and nothing is ever copied or searched.

mod calendar;
mod index;
mod list;
mod slab;

pub(crate) use calendar::Calendar;
pub(crate) use index::{Index, spread};
pub(crate) use list::{Link, List, Threaded};
pub(crate) use slab::{NOWHERE, Slab, Slot};
