//! The guard of accounts, by single promises; what it does over months is in testkit/src/guard_sim.rs.
