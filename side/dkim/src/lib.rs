//! DKIM on mail that leaves (RFC 6376, RFC 8463): what is signed and how, keys and when they take turns, and the records that publish them.
//!
//! Promise: a signature covers exactly the octets that were shown, a body is hashed as it streams by, and no key signs that is not the one in force.
//!
//! Head: no clock, no file, no name server, no chance. Keys are bytes that were read, the time is an argument.

#![warn(missing_docs)]

mod canon;
mod key;
mod record;
mod ring;
mod sign;

pub use canon::BodyHash;
pub use key::{Algorithm, BadKey, Key};
pub use record::{Published, Record, published, quoted};
pub use ring::{Pair, Ring, State};
pub use sign::{Read, Reader, Signer};
