//! Owns the keys while the server runs: which pair signs, whether records are out, and signatures that were made a moment ago. Promise: a pair takes over when both
//! of its records were seen, and not before.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postern_config::Dkim;
use postern_dkim::{Algorithm, Key, Published, Read, Record, Ring, Signer, State, published};
use postern_lookup::Resolver;
use postern_mail::envelope::UnixMillis;
use postern_mail::{Domain, MessageId};
use tokio::sync::{OnceCell, Semaphore, watch as watching};
use tokio::task::JoinSet;

use crate::dkim::{self, Keys};
use crate::wire::examine::at_length;
use crate::wire::{Server, clock, stopped};

/// How often it is looked whether records are out.
const LOOK: Duration = Duration::from_secs(3600);
/// Messages whose signatures are remembered.
const REMEMBERED: usize = 1024;
/// For so long.
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

type Cell = Arc<OnceCell<Arc<str>>>;

/// Keys of one domain that were read.
struct Opened {
    keys: Keys,
    /// Those that sign, once they were needed.
    signing: Option<Vec<(String, Arc<Key>)>>,
    /// What was found at the names of records, and when.
    looked: HashMap<String, (Published, u64)>,
}

/// Signatures that were made a moment ago.
#[derive(Default)]
struct Remembered {
    /// The settings they were made by; none before the first.
    by: Option<Vec<Dkim>>,
    cells: VecDeque<(MessageId, UnixMillis, Cell)>,
}

/// A record of a key, and all that is known of it.
pub(crate) struct Told {
    /// What the selectors of the pair begin with.
    pub pair: String,
    /// Of the key.
    pub selector: String,
    /// Of the key.
    pub algorithm: Algorithm,
    /// Of its pair.
    pub state: State,
    /// When the pair was made, began to sign and was retired.
    pub times: (u64, Option<u64>, Option<u64>),
    /// What was found at its name, and when.
    pub looked: Option<(Published, u64)>,
    /// To be published.
    pub record: Record,
}

/// Keys of all domains.
pub(crate) struct Keeper {
    data_dir: PathBuf,
    /// By their folders: an attempt that began before a reload may still ask for those of the old one.
    opened: Mutex<HashMap<PathBuf, Opened>>,
    remembered: Mutex<Remembered>,
    /// Signatures made at the same time; more would only take turns.
    turns: Semaphore,
    /// One at a time makes keys and looks for records.
    changing: tokio::sync::Mutex<()>,
}

impl Keeper {
    /// Reads nothing yet.
    #[must_use]
    pub(crate) fn new(data_dir: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            data_dir,
            opened: Mutex::default(),
            remembered: Mutex::default(),
            turns: Semaphore::new(cores),
            changing: tokio::sync::Mutex::default(),
        }
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<PathBuf, Opened>> {
        // What is changed under it is changed last, and whole.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads keys anew, and signs anew, by settings that are in force already.
    pub(crate) fn forget(&self, by: &[Dkim]) {
        self.opened().clear();
        *self.remembered() = Remembered { by: Some(by.to_vec()), cells: VecDeque::new() };
    }

    /// Where the signatures of a message are, or will be once one of those who ask has made them. What is made by other settings than those in force is not
    /// remembered.
    pub(crate) fn cell(&self, id: MessageId, now: UnixMillis, by: &[Dkim]) -> Cell {
        let mut remembered = self.remembered();
        if remembered.by.get_or_insert_with(|| by.to_vec()) != by {
            return Cell::default();
        }
        let cells = &mut remembered.cells;
        cells.retain(|(_, made, _)| now.since(*made) < REMEMBERED_FOR);
        if let Some((_, _, cell)) = cells.iter().find(|(known, ..)| *known == id) {
            return Arc::clone(cell);
        }
        if cells.len() >= REMEMBERED {
            cells.pop_front();
        }
        let cell = Cell::default();
        cells.push_back((id, now, Arc::clone(&cell)));
        cell
    }

    /// Makes the first keys of domains that have none, before anything is signed. What goes wrong is told, and their mail waits. Blocks.
    pub(crate) fn prepare(&self, all: &[Dkim], now: UnixMillis) {
        for own in all {
            // A reload forgets all and reads anew, so that nothing is held here that it has not been asked for.
            if let Err(why) = at_length(usize::MAX, || Keys::open_or_make(own, &self.data_dir, now.0)) {
                tracing::error!(domain = %own.domain, why, "keys of signatures cannot be used");
            }
        }
    }

    /// Does something with the keys of a domain, which are read, and made, on first use: a person or the clock asks for it. Blocks.
    fn with<T>(&self, own: &Dkim, now: u64, work: impl FnOnce(&mut Opened) -> Result<T, String>) -> Result<T, String> {
        self.with_those(own, || Keys::open_or_make(own, &self.data_dir, now), work)
    }

    fn with_those<T>(
        &self,
        own: &Dkim,
        open: impl FnOnce() -> Result<Keys, String>,
        work: impl FnOnce(&mut Opened) -> Result<T, String>,
    ) -> Result<T, String> {
        let folder = dkim::folder_of(own, &self.data_dir);
        let mut all = self.opened();
        if let Some(opened) = all.get_mut(&folder) {
            return work(opened);
        }
        let keys = open()?;
        let mut opened = Opened { signing: None, keys, looked: HashMap::new() };
        let done = work(&mut opened);
        all.insert(folder, opened);
        done
    }

    /// The signatures of a message. No key is made for it: those that are published may be on a disk that is missing, and mail that nobody can verify is
    /// refused for good.
    ///
    /// # Errors
    /// In words: the keys do not read, or are not there.
    pub(crate) async fn sign(&self, own: &Dkim, read: &Read, now: UnixMillis) -> Result<String, String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        // A signature takes as long as some hundred thousand octets take to be hashed.
        at_length(usize::MAX, || {
            let keys = self.with_those(
                own,
                || Keys::open(own, &self.data_dir),
                |opened| {
                    // What does not read is read again the next time: somebody may have mended it.
                    let keys = opened.signing.take().map_or_else(|| opened.keys.signing(), Ok)?;
                    opened.signing = Some(keys.clone());
                    Ok(keys)
                },
            )?;
            let signer = Signer {
                domain: own.domain.to_string(),
                keys,
                fields: own.headers.clone(),
                expires_after: own.expires_after.as_secs(),
            };
            signer.sign(read, now.0 / 1000).map_err(|error| error.to_string())
        })
    }

    /// One pair more for a domain, which signs once its records are seen. False: there is one already that waits for that.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn rotate(&self, own: &Dkim, now: UnixMillis) -> Result<bool, String> {
        let _turn = self.changing.lock().await;
        at_length(usize::MAX, || {
            self.with(own, now.0, |opened| {
                if opened.keys.ring.next().is_some() {
                    return Ok(false);
                }
                opened.keys.make(own, now.0).map(|()| true)
            })
        })
    }

    /// The pair that waits signs from now on, whether its records were seen or not. False: none waits.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn switch(&self, own: &Dkim, now: UnixMillis) -> Result<bool, String> {
        let _turn = self.changing.lock().await;
        let switched = at_length(usize::MAX, || {
            self.with(own, now.0, |opened| {
                let mut ring = opened.keys.ring.clone();
                if !ring.take_over(now.0) {
                    return Ok(false);
                }
                opened.keys.keep(ring)?;
                opened.signing = None;
                Ok(true)
            })
        })?;
        self.remembered().cells.clear();
        Ok(switched)
    }

    /// All records of a domain and where they stand, as it was when it was last looked.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn told(&self, own: &Dkim, now: UnixMillis) -> Result<Vec<Told>, String> {
        let overlap = u64::try_from(own.overlap.as_millis()).unwrap_or(u64::MAX);
        at_length(usize::MAX, || {
            self.with(own, now.0, |opened| {
                let mut told = Vec::new();
                for pair in &opened.keys.ring.pairs {
                    for (selector, algorithm, record) in Keys::records(own, pair) {
                        let looked = opened.looked.get(&record.name).cloned();
                        let times = (pair.made, pair.signs_since, pair.retired);
                        told.push(Told {
                            pair: pair.name.clone(),
                            selector,
                            algorithm,
                            state: Ring::state(pair, now.0, overlap),
                            times,
                            looked,
                            record,
                        });
                    }
                }
                Ok(told)
            })
        })
    }

    /// Looks for the records of a domain; a pair that waits for them takes over when both are there, and one that nobody needs is destroyed when both are gone.
    /// True when one took over.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn look(&self, own: &Dkim, resolver: &Resolver, now: UnixMillis) -> Result<bool, String> {
        let _turn = self.changing.lock().await;
        let records = self.told(own, now)?;
        let mut asked = JoinSet::new();
        for (number, told) in records.iter().enumerate() {
            let Ok(name) = Domain::parse(&told.record.name) else { continue };
            let resolver = resolver.clone();
            asked.spawn(async move { (number, resolver.texts_now(&name).await) });
        }
        let mut found = Vec::new();
        while let Some(answer) = asked.join_next().await {
            // Who does not answer says nothing.
            if let Ok((number, Ok(texts))) = answer
                && let Some(told) = records.get(number)
            {
                found.push((told, published(&told.record, &texts)));
            }
        }
        at_length(usize::MAX, || {
            self.with(own, now.0, |opened| {
                for (told, what) in &found {
                    opened.looked.insert(told.record.name.clone(), (what.clone(), now.0));
                }
                // Of both records of a pair this is known.
                let holds = |pair: &str, wanted: fn(State, &Published) -> bool| {
                    let of_pair = found.iter().filter(|(told, what)| told.pair == pair && wanted(told.state, what));
                    of_pair.count() == Algorithm::BOTH.len()
                };
                let mut ring = opened.keys.ring.clone();
                let names: Vec<String> = ring.pairs.iter().map(|pair| pair.name.clone()).collect();
                let out = names.iter().filter(|name| holds(name, |_, what| *what == Published::Yes));
                // Each of them is noted.
                let switched = out.filter(|name| ring.seen(name, now.0)).count() > 0;
                let gone =
                    |state, what: &Published| state == State::Over && matches!(what, Published::Missing | Published::Revoked);
                let gone: Vec<&String> = names.iter().filter(|name| holds(name, gone)).collect();
                ring.pairs.retain(|pair| !gone.contains(&&pair.name));
                if ring != opened.keys.ring {
                    opened.keys.keep(ring)?;
                }
                for name in gone {
                    opened.keys.destroy(name);
                }
                if switched {
                    opened.signing = None;
                    self.remembered().cells.clear();
                }
                Ok(switched)
            })
        })
    }
}

/// Looks after the keys of a domain: makes new ones where it is time, and says what a person should do.
async fn look_after(keeper: &Keeper, own: &Dkim, resolver: &Resolver, now: UnixMillis) -> Result<(), String> {
    let domain = &own.domain;
    let after = u64::try_from(own.rotate_after.as_millis()).unwrap_or(u64::MAX);
    let is_due = at_length(usize::MAX, || keeper.with(own, now.0, |opened| Ok(opened.keys.ring.is_due(now.0, after))))?;
    if is_due && keeper.rotate(own, now).await? {
        tracing::warn!(%domain, "new keys were made: publish the records that `postern dkim show` prints");
    }
    if keeper.look(own, resolver, now).await? {
        tracing::info!(%domain, "the records of new keys are out: they sign from now on");
    }
    for told in keeper.told(own, now)? {
        let name = &told.record.name;
        match (told.state, told.looked) {
            (_, None) => {}
            (State::Signing | State::SigningUnseen, Some((what, _))) if what != Published::Yes => {
                tracing::warn!(%domain, record = name, found = what.as_str(), "the record of a key that signs is not out: `postern dkim show` prints it");
            }
            (State::Over, Some((Published::Yes, _))) => {
                tracing::info!(%domain, record = name, "nobody needs the record of this key any more: publish an empty p=, or take it out");
            }
            _ => {}
        }
    }
    Ok(())
}

/// Looks after all keys, at the start and every hour, until the server stops.
pub(crate) async fn watch(server: Arc<Server>, mut stopping: watching::Receiver<bool>) {
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let live = server.live.load_full();
                for own in &live.config.dkim {
                    if let Err(why) = look_after(&server.signing, own, &live.resolver, clock()).await {
                        tracing::error!(domain = %own.domain, why, "keys of signatures cannot be used");
                    }
                }
            }
            () = stopped(&mut stopping) => return,
        }
    }
}

#[cfg(test)]
mod tests;
