//! Who is next, when, and how many at once.
