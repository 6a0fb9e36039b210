//! The SMTP server conversation as a state machine.
