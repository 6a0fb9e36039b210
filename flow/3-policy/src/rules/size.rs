//! How big a message may be (RFC 1870 §6.1 at MAIL, §6.3 at the end of the body).
//!
//! Promise: nothing over `limits.message_size` is taken. When it cannot know (a client that does not tell the size): pass, and the
//! body is measured when it comes.

use postern_mail::{Finding, Reply, RuleName};

/// As it stands in trails.
pub const SIZE: RuleName = "size";

/// Judges a size, told or measured, against the limit in octets. RFC 1870 §6.1: a told size over the limit is refused before the body
/// is sent.
#[must_use]
pub fn judge(size: Option<u64>, message_bytes_max: u64) -> Finding {
    match size {
        None => Finding::pass(SIZE, "no size told"),
        Some(size) if size > message_bytes_max => {
            let because = format!("{size} octets, of {message_bytes_max} allowed");
            Finding::refuse(SIZE, because, Reply::too_big(message_bytes_max))
        }
        Some(size) => Finding::pass(SIZE, format!("{size} octets, of {message_bytes_max} allowed")),
    }
}
