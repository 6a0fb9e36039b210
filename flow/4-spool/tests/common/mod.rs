//! What the tests of the spool share: a small spool, messages, and a ledger of what was promised.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use postern_mail::address::{Mailbox, ReversePath};
use postern_mail::envelope::{BodyKind, DsnRequest, Envelope, Recipient, UnixMillis};
use postern_mail::{MessageId, Outage};
use postern_spool::{Disk, Progress, Recovered, RecoveredMessage, Spool, SpoolError, SpoolSettings};

pub(crate) const ROOT: &str = "/spool";

/// Small enough that a few dozen messages go once around the log.
pub(crate) fn settings() -> SpoolSettings {
    SpoolSettings {
        dir: PathBuf::from(ROOT),
        segment_bytes: 72 << 10,
        group_bytes_max: 16 << 10,
        body_inline_max: 4 << 10,
        free_space_min: 0,
        finished_delay: Duration::ZERO,
        writers: 2,
        readers: 1,
        body_sync_bytes: 8 << 10,
        spare_segments_max: 1,
        ..SpoolSettings::default()
    }
}

pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

pub(crate) fn envelope(recipients: usize) -> Envelope {
    let mailbox = |text: String| Mailbox::parse(&text).unwrap();
    Envelope {
        from: ReversePath::Mailbox(mailbox("sender@example.org".into())),
        recipients: (0..recipients)
            .map(|n| Recipient::restored_from_spool(mailbox(format!("r{n}@example.net")), n % 2 == 0, DsnRequest::default()))
            .collect(),
        body: BodyKind::EightBitMime,
        smtputf8: false,
        require_tls: false,
        ret: None,
        envid: None,
        account: Some("sender@example.org".into()),
        client: None,
        received: UnixMillis(1_800_000_000_000),
    }
}

/// A body that names itself, so that no other can pass for it.
pub(crate) fn body(name: u64, length: usize) -> Vec<u8> {
    let line = format!("message {name} says its name again and again\r\n");
    line.bytes().cycle().take(length).collect()
}

pub(crate) fn open(
    settings: SpoolSettings,
    disk: Arc<dyn Disk>,
) -> Result<(Spool, Recovered, Vec<RecoveredMessage>), SpoolError> {
    let mut messages = Vec::new();
    let (spool, report) = Spool::open(settings, disk, &mut |message| messages.push(message))?;
    Ok((spool, report, messages))
}

pub(crate) async fn accept(spool: &Spool, bytes: &[u8]) -> Result<MessageId, Outage> {
    let mut writer = spool.begin()?;
    for piece in bytes.chunks(1_500) {
        writer.write(piece).await?;
    }
    Ok(writer.commit(&envelope(2)).await?.id())
}

pub(crate) async fn content(spool: &Spool, id: MessageId) -> Vec<u8> {
    let mut body = spool.load(id).await.unwrap().body;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next_piece().await.unwrap() {
        bytes.extend(piece);
    }
    bytes
}

/// What is known of one message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Promise {
    pub(crate) body: Vec<u8>,
    pub(crate) acknowledged: bool,
    /// Attempts recorded last, and recorded before the last flush.
    pub(crate) attempts: (u16, u16),
    pub(crate) finished: bool,
    pub(crate) finish_flushed: bool,
}

/// Everything that was sent and promised.
#[derive(Clone, Default)]
pub(crate) struct Ledger(pub(crate) Arc<Mutex<BTreeMap<MessageId, Promise>>>);

impl Ledger {
    pub(crate) async fn accept(&self, spool: &Spool, name: u64, length: usize) -> Result<MessageId, Outage> {
        let mut writer = spool.begin()?;
        let id = writer.id();
        let body = body(name, length);
        self.0.lock().unwrap().insert(id, Promise { body: body.clone(), ..Promise::default() });
        for piece in body.chunks(1_500) {
            writer.write(piece).await?;
        }
        let receipt = writer.commit(&envelope(2)).await?;
        self.change(receipt.id(), |promise| promise.acknowledged = true);
        Ok(id)
    }

    pub(crate) fn change(&self, id: MessageId, change: impl FnOnce(&mut Promise)) {
        change(self.0.lock().unwrap().get_mut(&id).unwrap());
    }

    pub(crate) async fn record(&self, spool: &Spool, id: MessageId, attempts: u16) -> Result<(), Outage> {
        self.change(id, |promise| promise.attempts.0 = attempts);
        spool.record(id, &Progress { attempts, ..Progress::fresh(2) }).await
    }

    pub(crate) async fn finish(&self, spool: &Spool, id: MessageId) -> Result<(), Outage> {
        self.change(id, |promise| promise.finished = true);
        spool.finish(id).await
    }

    pub(crate) async fn flush(&self, spool: &Spool) -> Result<(), Outage> {
        spool.flush().await?;
        for promise in self.0.lock().unwrap().values_mut() {
            promise.attempts.1 = promise.attempts.0;
            promise.finish_flushed = promise.finished;
        }
        Ok(())
    }

    /// Compares a spool with what was promised.
    pub(crate) async fn check(&self, spool: &Spool, found: &[RecoveredMessage]) {
        let promises = self.0.lock().unwrap().clone();
        let ids = spool.ids();
        assert_eq!(ids.len(), found.len(), "each message is told of once");
        for message in found {
            let id = message.id;
            let promise = promises.get(&id).expect("a message nobody sent");
            assert!(!promise.finish_flushed, "{id} came back though its end was durable");
            assert_eq!(message.envelope, envelope(2));
            assert_eq!(message.size, promise.body.len() as u64);
            let range = promise.attempts.1..=promise.attempts.0;
            assert!(range.contains(&message.progress.attempts), "{id} has {} attempts, not {range:?}", message.progress.attempts);
            assert!(content(spool, id).await == promise.body, "{id} has another body");
            assert_eq!(spool.load_envelope(id).await.unwrap().1, message.progress);
        }
        for (id, promise) in &promises {
            let there = ids.binary_search(id).is_ok();
            assert!(there || !promise.acknowledged || promise.finished, "{id} was acknowledged and is lost");
        }
    }

    /// After a start whatever is not there is over, and what is there is as good as acknowledged.
    pub(crate) fn settle(&self, spool: &Spool, found: &[RecoveredMessage]) {
        let ids = spool.ids();
        let mut promises = self.0.lock().unwrap();
        for (id, promise) in promises.iter_mut() {
            let there = ids.binary_search(id).is_ok();
            promise.acknowledged = there;
            promise.finished = !there;
            promise.finish_flushed = !there;
        }
        for message in found {
            promises.get_mut(&message.id).unwrap().attempts = (message.progress.attempts, message.progress.attempts);
        }
    }
}

/// Bodies on the disk must be exactly those of the large messages in the queue.
pub(crate) fn body_files(files: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let inside = files.keys().filter(|path| path.parent() == Some(Path::new(&format!("{ROOT}/bodies"))));
    inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}
