//! Faulty disk, two-ended conversation, real peers; only ever a dev-dependency.

pub mod faulty_disk;
