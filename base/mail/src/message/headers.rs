//! Reading a header section (RFC 5322 §2.2) without trusting it.
