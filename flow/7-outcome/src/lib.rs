//! What happened, and what it teaches policy and scheduler.
