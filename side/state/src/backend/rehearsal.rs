//! Head: an engine that keeps nothing, for whoever wants to know what a change would come to. Promise: no row of it is ever read or written.

use super::{Backend, Change, Durability, Keyspace, Order, Row};
use crate::trouble::StateFailure;

pub(crate) struct Rehearsal;

impl Backend for Rehearsal {
    fn read(&self, _: Keyspace, _: &[u8]) -> Result<Option<Vec<u8>>, StateFailure> {
        Ok(None)
    }

    fn scan(&self, _: Keyspace, _: &[u8], _: Option<&[u8]>, _: Order, _: usize) -> Result<Vec<Row>, StateFailure> {
        Ok(Vec::new())
    }

    fn write(&self, _: Vec<Change>, _: Durability) -> Result<(), StateFailure> {
        Ok(())
    }
}
