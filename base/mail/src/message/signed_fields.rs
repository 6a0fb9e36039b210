//! Which header fields a signature of ours covers (RFC 6376 §5.4). Promise: none is covered that servers on the way add, change or take out.

/// RFC 6376 §5.4.1 and what has proven itself: what a reader sees, or what his program goes by.
pub const DEFAULT: [&str; 21] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Id",
    "List-Help",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
];

/// RFC 6376 §5.4.1: changed or taken out on the way.
const TRACE: [&str; 8] = [
    "Return-Path",
    "Received",
    "Delivered-To",
    "Authentication-Results",
    "Received-SPF",
    "DKIM-Signature",
    "Comments",
    "Keywords",
];

/// True for a field that must not be signed.
#[must_use]
pub fn never(name: &str) -> bool {
    TRACE.iter().any(|trace| trace.eq_ignore_ascii_case(name)) || name.to_ascii_lowercase().starts_with("arc-")
}

/// True for a field that a mailing list puts there of its own: signed where it is, and not kept from being added.
#[must_use]
pub fn may_be_added(name: &str) -> bool {
    name.eq_ignore_ascii_case("Sender") || name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("List-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_fields_are_never_signed() {
        assert!(never("received") && never("ARC-Seal") && never("Return-Path") && !never("From"));
        assert!(DEFAULT.iter().all(|name| !never(name)));
        assert!(may_be_added("list-id") && may_be_added("sender") && !may_be_added("Reply-To") && !may_be_added("Lis"));
    }
}
