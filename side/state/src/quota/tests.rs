//! Quotas: exact when many ask at once, the same after a restart, and given back when nothing came of a message.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

fn claim(key: &str, messages: u32, recipients: u32) -> Claim {
    let quota = Quota { messages_per_hour: Some(messages), recipients_per_day: Some(recipients), ..Quota::default() };
    Claim { key: key.into(), quota }
}

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sessions_at_once_get_exactly_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let quotas = Quotas::open(&Store::open(folder.path()).unwrap()).unwrap();
    let (accepted, recipients) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut tasks = Vec::new();
    for number in 0..200_u32 {
        let (quotas, accepted, recipients) = (Arc::clone(&quotas), Arc::clone(&accepted), Arc::clone(&recipients));
        tasks.push(tokio::spawn(async move {
            let claims = [claim("a", 50, 120), claim("a\0phone", 1_000, 1_000)];
            for turn in 0..5_u32 {
                let Ok(mut reservation) = quotas.reserve(NOW, &claims) else { continue };
                for _ in 0..3 {
                    let _full = reservation.recipient(NOW, &claims);
                }
                tokio::task::yield_now().await;
                // A third of the transactions come to nothing, in one of the two ways there are.
                match (number + turn) % 6 {
                    0 => drop(reservation),
                    1 => reservation.count(NOW).await.unwrap().take_back(),
                    _ => {
                        recipients.fetch_add(reservation.recipients(), Ordering::SeqCst);
                        reservation.count(NOW).await.unwrap();
                        accepted.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let (accepted, recipients) = (accepted.load(Ordering::SeqCst), recipients.load(Ordering::SeqCst));
    assert!(accepted <= 50 && recipients <= 120, "{accepted} messages, {recipients} recipients");
    assert_eq!(quotas.used(NOW, "a"), [accepted, accepted, recipients, recipients]);
    // What is left can still be had, to the last one.
    for _ in accepted..50 {
        quotas.reserve(NOW, &[claim("a", 50, 120)]).unwrap().count(NOW).await.unwrap();
    }
    let full = quotas.reserve(NOW, &[claim("a", 50, 120)]).err().unwrap();
    assert_eq!((full.part, full.limit), (Part::MessagesPerHour, 50));
    assert!(full.free_at > NOW);
    quotas.reserve(full.free_at, &[claim("a", 50, 120)]).unwrap();
}

#[tokio::test]
async fn counts_are_on_disk_before_a_message_may_be_and_reservations_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let quotas = Quotas::open(&store).unwrap();
    let claims = [claim("a", 3, 9)];
    let mut reservation = quotas.reserve(NOW, &claims).unwrap();
    reservation.recipient(NOW, &claims).unwrap();
    reservation.recipient(NOW, &claims).unwrap();
    reservation.keep_recipients(1);
    reservation.count(NOW).await.unwrap();
    let _open = quotas.reserve(NOW, &claims).unwrap();
    // As a start after a kill finds it: the first is neither told to stop nor asked for anything.
    let again = Quotas::open(&store).unwrap();
    assert_eq!(again.used(NOW, "a"), [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_credential_with_more_than_its_account_gets_no_more_than_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let quotas = Quotas::open(&Store::open(folder.path()).unwrap()).unwrap();
    let claims = [claim("a", 2, 9), claim("a\0phone", 100, 9)];
    let kept: Vec<_> = (0..5).filter_map(|_| quotas.reserve(NOW, &claims).ok()).collect();
    assert_eq!(kept.len(), 2);
    drop(kept);
    assert!(quotas.reserve(NOW, &claims).is_ok(), "what was given back is there again");
}

#[tokio::test]
async fn what_no_longer_counts_is_forgotten_in_memory_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let quotas = Quotas::open(&store).unwrap();
    quotas.reserve(NOW, &[claim("a", 3, 9)]).unwrap().count(NOW).await.unwrap();
    let later = NOW.plus(Duration::from_secs(2 * 86_400));
    quotas.sweep(later);
    // The next one to wait is written behind it.
    quotas.reserve(later, &[claim("b", 3, 9)]).unwrap().count(later).await.unwrap();
    let rows = store.backend().scan(Keyspace::Quotas, b"", None, Order::Ascending, 10).unwrap();
    assert_eq!(rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), [b"b".to_vec()]);
}

#[test]
fn a_damaged_row_is_an_error_and_not_a_quota_that_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let put = Change::Put(Keyspace::Quotas, b"a".to_vec(), b"{".to_vec());
    store.backend().write(vec![put], Durability::Buffered).unwrap();
    assert!(matches!(Quotas::open(&store), Err(StateFailure::Corrupt(_))));
}

#[tokio::test]
async fn an_account_that_was_counted_under_a_clock_a_year_ahead_can_send_again_and_the_row_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let quotas = Quotas::open(&store).unwrap();
    let claims = [claim("a", 1, 9)];
    let ahead = NOW.plus(Duration::from_secs(365 * 86_400));
    quotas.reserve(ahead, &claims).unwrap().count(ahead).await.unwrap();
    let full = quotas.reserve(NOW, &claims).err().unwrap();
    assert!(full.free_at <= NOW.plus(Duration::from_secs(65 * 60)), "{full:?}");
    // Whoever waits next has it written, so that a restart does not begin the hour anew.
    quotas.reserve(NOW, &[claim("b", 3, 9)]).unwrap().count(NOW).await.unwrap();
    let again = Quotas::open(&store).unwrap();
    assert!(again.reserve(full.free_at, &claims).is_ok());
}

#[tokio::test]
async fn a_limit_that_is_lifted_between_mail_and_rcpt_gives_back_what_was_taken_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let quotas = Quotas::open(&Store::open(folder.path()).unwrap()).unwrap();
    let both = [claim("a", 10, 10), claim("a\0phone", 10, 2)];
    let mut other = quotas.reserve(NOW, &both).unwrap();
    other.recipient(NOW, &both).unwrap();
    other.recipient(NOW, &both).unwrap();
    let mut lifted = quotas.reserve(NOW, &both).unwrap();
    for _ in 0..3 {
        lifted.recipient(NOW, &both[..1]).unwrap();
    }
    drop(lifted);
    let mut third = quotas.reserve(NOW, &both).unwrap();
    assert_eq!(third.recipient(NOW, &both).unwrap_err().part, Part::RecipientsPerDay, "the first still holds its two");
}

/// Fails to write quotas once.
struct FailsOnce {
    inner: Arc<dyn Backend>,
    armed: AtomicBool,
}

impl Backend for FailsOnce {
    fn read(&self, space: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, StateFailure> {
        self.inner.read(space, key)
    }

    fn scan(
        &self,
        space: Keyspace,
        from: &[u8],
        before: Option<&[u8]>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<crate::backend::Row>, StateFailure> {
        self.inner.scan(space, from, before, order, limit)
    }

    fn write(&self, changes: Vec<Change>, durability: Durability) -> Result<(), StateFailure> {
        let quotas = changes.iter().any(|change| matches!(change, Change::Put(Keyspace::Quotas, ..)));
        if quotas && self.armed.swap(false, Ordering::SeqCst) {
            return Err(StateFailure::Disk("full".to_owned()));
        }
        self.inner.write(changes, durability)
    }
}

#[tokio::test]
async fn whoever_is_told_to_be_counted_is_on_disk_although_a_write_with_its_count_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let real = Store::open(folder.path()).unwrap();
    let faulty = FailsOnce { inner: Arc::clone(real.backend()), armed: AtomicBool::new(true) };
    let store = Store::over(Arc::new(faulty), real.secret().clone()).unwrap();
    let quotas = Quotas::open(&store).unwrap();
    // The second has counted, and has not asked yet to be written, when a write for the first takes up what there is.
    let first = quotas.reserve(NOW, &[claim("a", 3, 9)]).unwrap();
    {
        let mut table = quotas.shared.lock();
        table.counters.entry("c".into()).or_default().count(NOW, 1, 0);
        table.dirty.insert("c".into());
    }
    assert!(first.count(NOW).await.is_err());
    let (done, written) = oneshot::channel();
    quotas.jobs.try_send(Some(done)).unwrap();
    written.await.unwrap().unwrap();
    let again = Quotas::open(&real).unwrap();
    assert_eq!((again.used(NOW, "a")[0], again.used(NOW, "c")[0]), (0, 1));
}
