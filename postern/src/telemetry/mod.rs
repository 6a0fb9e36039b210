//! What operators see: the log and the metrics. Both are fed from [`Event`](postern_mail::event::Event)s.

pub mod log;
pub mod metrics;
