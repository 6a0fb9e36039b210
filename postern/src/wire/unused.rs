//! Looks now and then for credentials that nobody uses: notice first, then they are disabled; and lets go of counts that are over.

use std::sync::Arc;
use std::time::Duration;

use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::message::date::MailDate;
use postern_state::Unused;
use postern_state::accounts::{ACCOUNTS_MAX, UNUSED_TOGETHER_MAX};
use tokio::sync::watch;

use crate::wire::{Server, clock, stopped};

const OFTEN: Duration = Duration::from_millis(100);
const SELDOM: Duration = Duration::from_secs(3600);

/// Goes on until the server stops.
pub(crate) async fn run(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    loop {
        let (after, notice) = {
            let live = server.live.load();
            (live.config.auth.unused_after, live.config.auth.unused_notice)
        };
        let looking = Arc::clone(&server);
        let _ = tokio::task::spawn_blocking(move || look(&looking, after, notice)).await;
        // Often enough for short times, which tests have.
        let pause = if after.is_zero() { SELDOM } else { (after.min(notice.max(OFTEN)) / 4).clamp(OFTEN, SELDOM) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

fn look(server: &Server, after: Duration, notice: Duration) {
    let now = clock();
    server.quotas.sweep(now);
    if after.is_zero() {
        return;
    }
    // As often as it takes, and no more, whatever the clock does meanwhile.
    for _ in 0..=ACCOUNTS_MAX / UNUSED_TOGETHER_MAX {
        match server.accounts.disable_unused(now, after, notice) {
            Ok(done) if done.is_empty() => return,
            Ok(done) => tell(server, done, (now, after, notice)),
            Err(failure) => return tracing::error!(%failure, "unused credentials could not be disabled"),
        }
    }
}

fn tell(server: &Server, done: Vec<Unused>, (now, after, notice): (UnixMillis, Duration, Duration)) {
    for unused in done {
        let (what, because) = if unused.disabled {
            let words = "disabled; `postern account enable` takes it back";
            ("unused-disabled", format!("not used since {}: {words}", MailDate(unused.since)))
        } else {
            let end = now.plus(notice).max(unused.since.plus(after));
            ("unused-notice", format!("not used since {}: will be disabled at {}", MailDate(unused.since), MailDate(end)))
        };
        server.emit(Event::Credential { account: unused.account, credential: unused.credential, what, because });
    }
}
