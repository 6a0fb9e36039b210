//! What operators see: the log and the metrics. Both are fed from [`Event`](postern_mail::event::Event)s.

pub(crate) mod log;
pub(crate) mod metrics;
