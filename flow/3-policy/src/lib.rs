//! Facts in, verdict out, with the trail of reasons.
