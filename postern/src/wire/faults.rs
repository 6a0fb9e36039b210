//! Where it is told that a client has done too much wrong. Promise: one place for all who count, so that whoever bans has one to listen at.

use std::net::IpAddr;

use postern_mail::envelope::UnixMillis;
use postern_mail::{Offence, Quoted};

use crate::wire::Server;

/// A client has done so much of this that it is not to be let in for a while. False when it is spared all the same. Text of peers in the evidence is raw.
pub(crate) fn report(_server: &Server, _now: UnixMillis, client: IpAddr, offence: Offence, evidence: &str) -> bool {
    tracing::warn!(%client, %offence, evidence = %Quoted::text(evidence), "offence");
    true
}
