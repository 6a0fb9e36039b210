//! Every setting: its type, its default, and the reason for the default.
