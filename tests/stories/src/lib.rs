//! Whole-server tests, one story per file.
