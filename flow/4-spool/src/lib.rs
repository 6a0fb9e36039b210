//! Durable: nothing is acknowledged before it is here.
