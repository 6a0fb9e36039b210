//! reply_lines.
