//! extension.
