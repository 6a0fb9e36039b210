//! Whether name servers answer anything at all. Promise: what strangers' zones do or leave is never taken for it, since what is asked is the root, which
//! every resolver knows; and name servers that are back are believed by the next message.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::resolver::Resolver;

/// A message that has waited this long makes us ask. Most are done long before.
const FIRST: Duration = Duration::from_secs(1);

/// What is known from the messages before. Clones know the same.
#[derive(Clone, Default)]
pub(super) struct Pulse {
    is_silent: Arc<AtomicBool>,
}

impl Pulse {
    /// Ends when name servers have turned out to be silent, so that nobody waits for them any longer; else never.
    pub(super) async fn stops(&self, resolver: &Resolver) {
        if !self.is_silent.load(Ordering::Relaxed) {
            sleep(FIRST).await;
        }
        let answers = resolver.answers().await;
        self.is_silent.store(!answers, Ordering::Relaxed);
        if answers {
            pending::<()>().await;
        }
    }
}
