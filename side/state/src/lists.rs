//! Lists of networks, AS numbers and countries: from files, and from commands. What they say of a client is a fact; what is made of it is not decided
//! here.
//!
//! Promise: whoever asks is answered from whole lists, the old or the new, never from one that is being read; a file with a mistake changes nothing;
//! what a command says it has done is on disk.
//!
//! Entries of commands are rows of the store, one for each subject: `192.0.2.0/24` and the line of our own text that says it again, with its action,
//! reason and end. A whole set is made of them anew with every change, which takes some milliseconds; a list of millions belongs into a file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use postern_mail::client::ListenerKind;
use postern_mail::envelope::UnixMillis;
use postern_mail::list::{self, Entry, Format};
use postern_mail::netset::{Action, Found, Listed, NetSet, NetSetBuilder, Subject};
use postern_mail::{Mode, Quoted};

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::geo::Geo;
use crate::store::Store;
use crate::trouble::StateFailure;

/// Entries made by commands.
pub const OWN_ENTRIES_MAX: usize = 100_000;
/// What the list of commands is called.
pub const OWN: &str = "postern list";
/// Octets of a file; a million entries with reasons have some sixty million.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// A list in a file, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSettings {
    /// Where.
    pub file: PathBuf,
    /// How it is written.
    pub format: Format,
    /// What an entry does that does not say it.
    pub action: Action,
    /// Whether it counts.
    pub mode: Mode,
    /// Where it is looked at.
    pub listeners: Vec<ListenerKind>,
}

/// Files to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSettings {
    /// The lists.
    pub lists: Vec<ListSettings>,
    /// The database of AS numbers.
    pub asns: Option<PathBuf>,
    /// The database of countries.
    pub countries: Option<PathBuf>,
    /// Entries of all lists together.
    pub entries_max: usize,
}

/// What tells one content of a file from another.
type Seen = Option<(SystemTime, u64, u64)>;

fn seen(path: &Path) -> Seen {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// A list that was read.
pub struct FileList {
    /// As it was configured.
    pub settings: ListSettings,
    /// What is in it.
    pub set: NetSet,
    name: Arc<str>,
    seen: Seen,
}

/// All files, read.
#[derive(Default)]
pub struct Files {
    lists: Vec<Arc<FileList>>,
    geo: Arc<Geo>,
    geo_seen: (Seen, Seen),
    settings: FileSettings,
}

impl Files {
    /// Reads everything. Blocks on the disk.
    ///
    /// # Errors
    /// All that is wrong, a line each: file, line, column, and what would be right.
    pub fn read(settings: FileSettings) -> Result<Self, String> {
        Self::read_beside(settings, None)
    }

    /// The same, where what has not changed is taken over.
    fn read_beside(settings: FileSettings, old: Option<&Self>) -> Result<Self, String> {
        let mut wrong = Vec::new();
        let mut lists = Vec::new();
        let mut left = settings.entries_max;
        for one in settings.lists.iter().filter(|one| one.mode != Mode::Off) {
            let kept = old.and_then(|old| old.lists.iter().find(|list| list.settings == *one && list.seen == seen(&one.file)));
            let read = match kept {
                Some(kept) => Ok(Arc::clone(kept)),
                None => read(one, left).map(Arc::new),
            };
            match read {
                Ok(list) => {
                    left = left.saturating_sub(list.set.len());
                    lists.push(list);
                }
                Err(why) => wrong.push(why),
            }
        }
        let look = |path: &Option<PathBuf>| path.as_deref().and_then(seen);
        let geo_seen = (look(&settings.asns), look(&settings.countries));
        let same = |old: &&Self| {
            old.geo_seen == geo_seen && old.settings.asns == settings.asns && old.settings.countries == settings.countries
        };
        let geo = match old.filter(same) {
            Some(old) => Ok(Arc::clone(&old.geo)),
            None => Geo::open(settings.asns.as_deref(), settings.countries.as_deref()).map(Arc::new),
        };
        match geo {
            Ok(geo) if wrong.is_empty() => Ok(Self { lists, geo, geo_seen, settings }),
            Ok(_) => Err(wrong.join("\n")),
            Err(why) => {
                wrong.push(why);
                Err(wrong.join("\n"))
            }
        }
    }

    /// True when a file is not what it was.
    fn changed(&self) -> bool {
        let look = |path: &Option<PathBuf>| path.as_deref().and_then(seen);
        self.lists.iter().any(|list| seen(&list.settings.file) != list.seen)
            || self.geo_seen != (look(&self.settings.asns), look(&self.settings.countries))
    }

    /// The lists.
    #[must_use]
    pub fn lists(&self) -> &[Arc<FileList>] {
        &self.lists
    }

    /// Entries that can never be found, since there is no database for them; a sentence for each list.
    #[must_use]
    pub fn blind_spots(&self) -> Vec<String> {
        let own = self.lists.iter().flat_map(|list| blind_spots(&list.name, &list.set, &self.geo));
        own.collect()
    }
}

fn blind_spots(name: &str, set: &NetSet, geo: &Geo) -> Vec<String> {
    let mut sentences = Vec::new();
    if set.has_asns() && !geo.knows_asns() {
        sentences.push(format!("{name}: has AS numbers, which are never found: policy.asn_file is not set"));
    }
    if set.has_countries() && !geo.knows_countries() {
        sentences.push(format!("{name}: has countries, which are never found: policy.country_file is not set"));
    }
    sentences
}

fn read(settings: &ListSettings, entries_max: usize) -> Result<FileList, String> {
    let name = settings.file.display().to_string();
    // Looked at before it is read: a change while it is read is a change.
    let seen = seen(&settings.file);
    let mut bytes = Vec::new();
    let file = File::open(&settings.file).map_err(|error| format!("{name}: {error}"))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{name}: it has more than {FILE_BYTES_MAX} octets"));
    }
    let set = set(settings.format, &bytes, settings.action, entries_max).map_err(|error| match error {
        Unread::Faults(faults) => faults.words(&name),
        Unread::TooMany => {
            format!("{name}: with it there are more entries than policy.list_entries_max allows for all lists together")
        }
    })?;
    Ok(FileList { settings: settings.clone(), set, name: name.into(), seen })
}

/// Why a list was not read.
#[derive(Debug)]
pub enum Unread {
    /// Mistakes in it.
    Faults(list::Faults),
    /// More entries than there may be.
    TooMany,
}

/// Reads a list into a set.
///
/// # Errors
/// [`Unread`].
pub fn set(format: Format, bytes: &[u8], action: Action, entries_max: usize) -> Result<NetSet, Unread> {
    let mut builder = NetSetBuilder::new();
    let mut too_many = false;
    let read = list::read(format, bytes, |entry| {
        if builder.len() >= entries_max {
            too_many = true;
        } else {
            builder.add(entry.subject, entry.action.unwrap_or(action), &entry.reason, entry.until);
        }
    });
    match read {
        Err(faults) => Err(Unread::Faults(faults)),
        Ok(()) if too_many => Err(Unread::TooMany),
        Ok(()) => Ok(builder.build()),
    }
}

/// A command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ListFailure {
    /// A limit of [`OWN_ENTRIES_MAX`].
    #[error(
        "there can be at most {OWN_ENTRIES_MAX} entries made by commands; put longer lists into a file, named by [[policy.list]]"
    )]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    State(#[from] StateFailure),
}

/// An entry of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEntry {
    /// What is done.
    pub action: Action,
    /// Why.
    pub reason: Box<str>,
    /// Until when.
    pub until: Option<UnixMillis>,
}

impl OwnEntry {
    /// As an entry of a list.
    #[must_use]
    pub fn about(&self, subject: Subject) -> Entry<'_> {
        Entry { subject, action: Some(self.action), reason: (&*self.reason).into(), until: self.until }
    }
}

/// What a list holds, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSummary {
    /// The file, or [`OWN`].
    pub name: String,
    /// Entries.
    pub entries: usize,
    /// Octets of memory.
    pub bytes: usize,
    /// Whether it counts.
    pub mode: Mode,
    /// Where it is looked at.
    pub listeners: Vec<ListenerKind>,
}

/// All lists in force.
pub struct Lists {
    backend: Arc<dyn Backend>,
    files: ArcSwap<Files>,
    own: ArcSwap<NetSet>,
    own_name: Arc<str>,
    /// Held while a command changes something.
    entries: Mutex<BTreeMap<Subject, OwnEntry>>,
}

impl Lists {
    /// Reads the entries of commands; files come with [`Lists::put`]. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk fails or a row does not read.
    pub fn open(store: &Store) -> Result<Self, StateFailure> {
        let backend = Arc::clone(store.backend());
        let mut entries = BTreeMap::new();
        for (key, row) in backend.scan(Keyspace::Lists, b"", None, Order::Ascending, OWN_ENTRIES_MAX)? {
            let corrupt = |why: String| StateFailure::Corrupt(format!("list entry {}: {why}", Quoted(&key)));
            let line = std::str::from_utf8(&row).map_err(|error| corrupt(error.to_string()))?;
            let Entry { subject, action, reason, until } = list::parse(line).map_err(corrupt)?;
            let action = action.unwrap_or(Action::Block);
            entries.insert(subject, OwnEntry { action, reason: reason.into(), until });
        }
        let own = own_set(&entries);
        Ok(Self {
            backend,
            files: ArcSwap::default(),
            own: ArcSwap::from_pointee(own),
            own_name: OWN.into(),
            entries: Mutex::new(entries),
        })
    }

    /// Puts files that were read in force.
    pub fn put(&self, files: Files) {
        self.files.store(Arc::new(files));
    }

    /// Takes up files that have changed; what has not is not read again. `None`: none has. What is wrong with one leaves all as they were.
    ///
    /// # Errors
    /// As [`Files::read`].
    pub fn renew(&self) -> Option<Result<Vec<String>, String>> {
        let old = self.files.load_full();
        if !old.changed() {
            return None;
        }
        Some(Files::read_beside(old.settings.clone(), Some(&old)).map(|new| {
            let is_new = |list: &&Arc<FileList>| !old.lists.iter().any(|before| Arc::ptr_eq(before, list));
            let sentence = |list: &Arc<FileList>| format!("{}: {} entries", list.name, list.set.len());
            let sentences = new.lists.iter().filter(is_new).map(sentence).collect();
            // Unless a reload came between, whose files are newer.
            let before = self.files.compare_and_swap(&old, Arc::new(new));
            if Arc::ptr_eq(&before, &old) { sentences } else { Vec::new() }
        }))
    }

    /// The files as they are on disk now, to tell a mistake that was told from a new one.
    #[must_use]
    pub fn fingerprint(&self) -> Vec<Option<(SystemTime, u64, u64)>> {
        let files = self.files.load();
        let paths = files.lists.iter().map(|list| &list.settings.file);
        paths.chain(&files.settings.asns).chain(&files.settings.countries).map(|path| seen(path)).collect()
    }

    /// What lists say of a client; nothing of most, and then nothing is allocated.
    #[must_use]
    pub fn listed(&self, address: IpAddr, listener: ListenerKind, now: UnixMillis) -> Vec<Listed> {
        let files = self.files.load();
        let own = self.own.load();
        let mut place = Place { address, now, geo: &files.geo, asn: None, country: None };
        let mut listed = Vec::new();
        if let Some(found) = place.find(&own) {
            listed.push(place.told(&self.own_name, found, Mode::Enforce));
        }
        for list in files.lists.iter().filter(|list| list.settings.listeners.contains(&listener)) {
            if let Some(found) = place.find(&list.set) {
                listed.push(place.told(&list.name, found, list.settings.mode));
            }
        }
        listed
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, OwnEntry>> {
        // Whoever died holding it had changed the disk or not; the next start reads it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds entries, each over an older one of the same subject. All or none; on disk when this returns.
    ///
    /// # Errors
    /// When there are too many, or the store fails.
    pub fn add(&self, now: UnixMillis, new: Vec<(Subject, OwnEntry)>) -> Result<(), ListFailure> {
        let mut entries = self.lock();
        let mut changes = Vec::with_capacity(new.len());
        let mut after = entries.clone();
        for (subject, entry) in new {
            let row = list::line(&entry.about(subject)).into_bytes();
            changes.push(Change::Put(Keyspace::Lists, subject.to_string().into_bytes(), row));
            after.insert(subject, entry);
        }
        if after.len() > OWN_ENTRIES_MAX {
            // Ended ones make room first.
            after.retain(|subject, entry| {
                let stays = entry.until.is_none_or(|until| until > now);
                if !stays {
                    changes.push(Change::Remove(Keyspace::Lists, subject.to_string().into_bytes()));
                }
                stays
            });
        }
        if after.len() > OWN_ENTRIES_MAX {
            return Err(ListFailure::TooMany);
        }
        self.keep(&mut entries, after, changes)
    }

    /// Removes entries, and gives the number of those that were there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remove(&self, subjects: &[Subject]) -> Result<usize, ListFailure> {
        let mut entries = self.lock();
        let mut after = entries.clone();
        let there: Vec<_> = subjects.iter().filter(|subject| after.remove(subject).is_some()).collect();
        let changes = there.iter().map(|subject| Change::Remove(Keyspace::Lists, subject.to_string().into_bytes()));
        self.keep(&mut entries, after, changes.collect())?;
        Ok(there.len())
    }

    /// Disk first, then memory: what a reader sees is never more than what is kept.
    fn keep(
        &self,
        entries: &mut BTreeMap<Subject, OwnEntry>,
        after: BTreeMap<Subject, OwnEntry>,
        changes: Vec<Change>,
    ) -> Result<(), ListFailure> {
        if !changes.is_empty() {
            self.backend.write(changes, Durability::Synced)?;
            self.own.store(Arc::new(own_set(&after)));
            *entries = after;
        }
        Ok(())
    }

    /// Entries of commands behind a subject, in their order, at most so many; and whether there are more.
    #[must_use]
    pub fn own(&self, after: Option<Subject>, limit: usize) -> (Vec<(Subject, OwnEntry)>, bool) {
        use std::ops::Bound;
        let entries = self.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = entries.range((from, Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(limit).map(|(subject, entry)| (*subject, entry.clone())).collect();
        (page, rest.next().is_some())
    }

    /// One entry of a command.
    #[must_use]
    pub fn own_entry(&self, subject: &Subject) -> Option<OwnEntry> {
        self.lock().get(subject).cloned()
    }

    /// Every list in force.
    #[must_use]
    pub fn summary(&self) -> Vec<ListSummary> {
        let own = self.own.load();
        let all = vec![ListenerKind::Mx, ListenerKind::Submission, ListenerKind::Submissions];
        let first =
            ListSummary { name: OWN.to_owned(), entries: own.len(), bytes: own.bytes(), mode: Mode::Enforce, listeners: all };
        let files = self.files.load();
        let rest = files.lists.iter().map(|list| ListSummary {
            name: list.name.to_string(),
            entries: list.set.len(),
            bytes: list.set.bytes(),
            mode: list.settings.mode,
            listeners: list.settings.listeners.clone(),
        });
        std::iter::once(first).chain(rest).collect()
    }

    /// As [`Files::blind_spots`], entries of commands included.
    #[must_use]
    pub fn blind_spots(&self) -> Vec<String> {
        let files = self.files.load();
        let mut sentences = blind_spots(OWN, &self.own.load(), &files.geo);
        sentences.extend(files.blind_spots());
        sentences
    }
}

fn own_set(entries: &BTreeMap<Subject, OwnEntry>) -> NetSet {
    let mut builder = NetSetBuilder::new();
    for (subject, entry) in entries {
        builder.add(*subject, entry.action, &entry.reason, entry.until);
    }
    builder.build()
}

/// A client, and what databases say of it, each asked once and only when a list wants to know.
struct Place<'a> {
    address: IpAddr,
    now: UnixMillis,
    geo: &'a Geo,
    asn: Option<Option<u32>>,
    country: Option<Option<postern_mail::netset::Country>>,
}

impl Place<'_> {
    fn find<'a>(&mut self, set: &'a NetSet) -> Option<Found<'a>> {
        let (address, geo, now) = (self.address, self.geo, self.now);
        let network = set.find(address, now);
        if network.is_some() {
            return network;
        }
        if set.has_asns()
            && let Some(asn) = *self.asn.get_or_insert_with(|| geo.asn(address))
            && let Some(found) = set.find_asn(asn, now)
        {
            return Some(found);
        }
        if !set.has_countries() {
            return None;
        }
        let country = *self.country.get_or_insert_with(|| geo.country(address));
        set.find_country(country?, now)
    }

    fn told(&self, list: &Arc<str>, found: Found<'_>, mode: Mode) -> Listed {
        Listed {
            list: Arc::clone(list),
            subject: found.subject,
            action: found.action,
            reason: list::told(found.reason(), self.address.to_canonical()).into(),
            until: found.until,
            observed: mode == Mode::Observe,
        }
    }
}

#[cfg(test)]
mod tests;
