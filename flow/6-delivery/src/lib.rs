//! Connects, talks SMTP and LMTP as a client, reports an outcome per recipient.
