//! Faulty disk, two-ended conversation, real peers; only ever a dev-dependency.
