//! Words of greylisting: what is remembered of somebody unknown, and what it says of his next attempt. Promise: of a sender and a recipient only a hash
//! is kept.

use std::time::Duration;

use crate::client::Subnet;
use crate::envelope::UnixMillis;

/// What is remembered says this of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreySaid {
    /// His network has come back before, as a mail server does.
    Known,
    /// He comes back after so long: from now on his network is known.
    Back(Duration),
    /// He is to come again after so long.
    Wait(Duration),
}

/// A row of what is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreyRow {
    /// Somebody who was told to come again, by the hash of network, sender and recipient; his network; and when he came first.
    Waiting(u64, Subnet, UnixMillis),
    /// A network that came back, and when it last was seen.
    Known(Subnet, UnixMillis),
}

/// A change of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GreyChange {
    /// Written, over an older one of the same key.
    Put(GreyRow),
    /// Not remembered any more.
    Forget(GreyRow),
}
