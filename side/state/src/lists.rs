//! Lists of networks, AS numbers, countries and names: from files, and from commands. What they say of a client or a message is a fact; what is made of
//! it is not decided here.
//!
//! Promise: whoever asks is answered from whole lists, the old or the new, never from one that is being read; a file with a mistake, or one that
//! is half written, changes nothing and keeps no other back; what a command says it has done is on disk.
//!
//! Entries of commands are rows of the store, one for each subject: `192.0.2.0/24` and the line of our own text that says it again, with its action,
//! reason and end. A whole set is made of them anew with every change, which takes some milliseconds; a list of millions belongs into a file.

mod told;

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
use postern_mail::netset::{Action, AskedName, Found, Listed, NameKind, NetSet, NetSetBuilder, Subject};
use postern_mail::{Mode, Quoted};
use tokio::sync::Notify;

use crate::backend::{Backend, Change, Durability, Keyspace, Order};
use crate::geo::{self, Database, Geo};
use crate::lists::told::Told;
use crate::store::Store;
use crate::trouble::StateFailure;

/// Entries made by commands.
pub const OWN_ENTRIES_MAX: usize = 100_000;
/// Words of lists about one message that are kept.
pub const NAMED_MAX: usize = 32;
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
    /// What a word in it is the name of that does not say it; none: networks.
    pub of: Option<NameKind>,
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
    geo: Geo,
    geo_seen: (Seen, Seen),
    settings: FileSettings,
    /// What was wrong, and told, as it looked then: it is not read again before it has changed.
    refused: Vec<(PathBuf, Seen)>,
}

/// What a reading has to go by.
#[derive(Clone, Copy, Default)]
struct Beside<'a> {
    /// What is in force.
    old: Option<&'a Files>,
    /// How files looked before. Only who is as it was then is read; `None`: each is, whatever is known of it.
    before: Option<&'a [(PathBuf, Seen)]>,
}

/// What is to be done about a file.
enum Look {
    /// It is in force as it is, or it changes still.
    Leave,
    /// It is known to be wrong as it is.
    Refused,
    /// It is to be read.
    Read,
}

impl Beside<'_> {
    /// For a file that looks so now, and that looked as `kept` when what is in force was read from it.
    fn look(&self, path: &Path, now: Seen, kept: Option<Seen>) -> Look {
        let Some(before) = self.before else { return Look::Read };
        let is = |(other, seen): &(PathBuf, Seen)| other == path && *seen == now;
        if kept == Some(now) {
            Look::Leave
        } else if self.old.is_some_and(|old| old.refused.iter().any(is)) {
            Look::Refused
        } else if before.iter().any(is) {
            Look::Read
        } else {
            Look::Leave
        }
    }
}

/// What came of looking at the files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Lists that were taken up, a sentence each.
    pub taken: Vec<String>,
    /// What is wrong with others, a line each. What was in force of them stays.
    pub wrong: Vec<String>,
    /// Something changes still: to be looked at again soon.
    pub unsettled: bool,
}

/// How files looked when they were last looked at. Of whoever looks at them now and then.
#[derive(Debug, Default)]
pub struct Looks(Vec<(PathBuf, Seen)>);

impl Files {
    /// Reads everything. Blocks on the disk.
    ///
    /// # Errors
    /// All that is wrong, a line each: file, line, column, and what would be right.
    pub fn read(settings: FileSettings) -> Result<Self, String> {
        let (files, wrong) = Self::read_beside(settings, Beside::default());
        if wrong.is_empty() { Ok(files) } else { Err(wrong.join("\n")) }
    }

    /// Reads what can be read, and says what cannot: a provider's broken list is no reason to be without all others. Blocks on the disk.
    #[must_use]
    pub fn read_what_can_be(settings: FileSettings) -> (Self, Vec<String>) {
        Self::read_beside(settings, Beside::default())
    }

    /// Reads everything, and of what is wrong takes over what is in force.
    fn read_beside(settings: FileSettings, beside: Beside<'_>) -> (Self, Vec<String>) {
        let (mut lists, mut refused, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
        let mut left = settings.entries_max;
        // While the others stay in force beside the one that is read, it gets what they leave. A reload replaces all of them or none: there
        // those behind it count as what they will be.
        let in_force = |one: &ListSettings| {
            beside.old.and_then(|old| old.lists.iter().find(|list| list.settings == *one)).map_or(0, |list| list.set.len())
        };
        let mut behind: usize = match beside.before {
            Some(_) => settings.lists.iter().filter(|one| one.mode != Mode::Off).map(in_force).sum(),
            None => 0,
        };
        for one in settings.lists.iter().filter(|one| one.mode != Mode::Off) {
            let kept = beside.old.and_then(|old| old.lists.iter().find(|list| list.settings == *one));
            let now = seen(&one.file);
            behind = behind.saturating_sub(kept.map_or(0, |list| list.set.len()));
            let result = match beside.look(&one.file, now, kept.map(|kept| kept.seen)) {
                Look::Leave => Ok(None),
                Look::Refused => Err(None),
                Look::Read => read(one, left.saturating_sub(behind), beside.old).map(|list| Some(Arc::new(list))).map_err(Some),
            };
            let list = result.unwrap_or_else(|why| {
                wrong.extend(why);
                refused.push((one.file.clone(), now));
                None
            });
            if let Some(list) = list.or_else(|| kept.cloned()) {
                left = left.saturating_sub(list.set.len());
                lists.push(list);
            }
        }
        let mut database =
            |path: &Option<PathBuf>, kept: Option<(Option<Arc<Database>>, Seen)>, read: fn(&Path) -> Result<Database, String>| {
                let Some(path) = path else { return (None, None) };
                let now = seen(path);
                let result = match beside.look(path, now, kept.as_ref().map(|(_, seen)| *seen)) {
                    Look::Leave => Ok(None),
                    Look::Refused => Err(None),
                    Look::Read => read(path).map(|database| Some((Some(Arc::new(database)), now))).map_err(Some),
                };
                let database = result.unwrap_or_else(|why| {
                    wrong.extend(why);
                    refused.push((path.clone(), now));
                    None
                });
                database.or(kept).unwrap_or_default()
            };
        let asns = beside.old.filter(|old| old.settings.asns == settings.asns);
        let asns = database(&settings.asns, asns.map(|old| (old.geo.asns.clone(), old.geo_seen.0)), geo::asns);
        let countries = beside.old.filter(|old| old.settings.countries == settings.countries);
        let countries =
            database(&settings.countries, countries.map(|old| (old.geo.countries.clone(), old.geo_seen.1)), geo::countries);
        let geo_seen = (asns.1, countries.1);
        (Self { lists, geo: Geo { asns: asns.0, countries: countries.0 }, geo_seen, settings, refused }, wrong)
    }

    /// How its files look now.
    fn look(&self) -> Vec<(PathBuf, Seen)> {
        let lists = self.settings.lists.iter().filter(|list| list.mode != Mode::Off).map(|list| &list.file);
        lists.chain(&self.settings.asns).chain(&self.settings.countries).map(|path| (path.clone(), seen(path))).collect()
    }

    /// What is in force of a file, or was told to be wrong with it.
    fn knows(&self, path: &Path, now: Seen) -> bool {
        let is_geo = |named: &Option<PathBuf>, seen: Seen| named.as_deref() == Some(path) && seen == now;
        let mut lists = self.settings.lists.iter().filter(|list| list.mode != Mode::Off && list.file == path).peekable();
        let as_list =
            lists.peek().is_some() && lists.all(|one| self.lists.iter().any(|list| list.settings == *one && list.seen == now));
        as_list
            || is_geo(&self.settings.asns, self.geo_seen.0)
            || is_geo(&self.settings.countries, self.geo_seen.1)
            || self.refused.iter().any(|(other, seen)| other == path && *seen == now)
    }

    fn say(&self, place: &mut Place<'_>, listener: ListenerKind, listed: &mut Vec<Listed>) {
        for list in self.lists.iter().filter(|list| list.settings.listeners.contains(&listener)) {
            if let Some(found) = place.find(&list.set) {
                listed.push(place.told(&list.name, found, list.settings.mode));
            }
        }
    }

    fn say_of(&self, asked: &[AskedName], listener: ListenerKind, now: UnixMillis, listed: &mut Vec<Listed>) {
        for list in self.lists.iter().filter(|list| list.set.has_names() && list.settings.listeners.contains(&listener)) {
            say_of((&list.name, &list.set, list.settings.mode), asked, now, listed);
        }
    }

    /// How a list counts, by the name of its file; `None`: it is none of these.
    #[must_use]
    pub fn mode_of(&self, name: &str) -> Option<Mode> {
        self.lists.iter().find(|list| *list.name == *name).map(|list| list.settings.mode)
    }

    /// What the files say of names, without the entries of commands.
    #[must_use]
    pub fn named(&self, asked: &[AskedName], listener: ListenerKind, now: UnixMillis) -> Vec<Listed> {
        let mut listed = Vec::new();
        self.say_of(asked, listener, now, &mut listed);
        listed
    }

    /// What the files say of a client, without the entries of commands.
    #[must_use]
    pub fn listed(&self, address: IpAddr, listener: ListenerKind, now: UnixMillis) -> Vec<Listed> {
        let mut listed = Vec::new();
        let mut place = Place { address, now, geo: &self.geo, asn: None, country: None };
        self.say(&mut place, listener, &mut listed);
        listed
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

/// Of each entry only the first name that it was found for: a message with a hundred links to one domain has one word against it.
fn say_of((name, set, mode): (&Arc<str>, &NetSet, Mode), asked: &[AskedName], now: UnixMillis, listed: &mut Vec<Listed>) {
    for asked in asked {
        if listed.len() >= NAMED_MAX {
            return;
        }
        if let Some(found) = set.find_name(asked, now)
            && !listed.iter().any(|before| before.subject == found.subject && before.list == *name)
        {
            listed.push(Listed {
                list: Arc::clone(name),
                reason: list::told(found.reason(), asked.text()).into(),
                action: found.action,
                until: found.until,
                observed: mode == Mode::Observe,
                about: asked.words().into(),
                subject: found.subject,
            });
        }
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

/// Reads a list, which is in force already or not.
fn read(settings: &ListSettings, entries_max: usize, old: Option<&Files>) -> Result<FileList, String> {
    let name = settings.file.display().to_string();
    let before = seen(&settings.file);
    let mut bytes = Vec::new();
    let file = File::open(&settings.file).map_err(|error| format!("{name}: {error}"))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{name}: it has more than {FILE_BYTES_MAX} octets"));
    }
    // Whoever writes it in place may be half way. What is in force until then is whole.
    if seen(&settings.file) != before {
        return Err(format!("{name}: it changed while it was read; write it beside, and rename it when it is whole"));
    }
    let had =
        old.and_then(|old| old.lists.iter().find(|list| list.settings.file == settings.file)).map_or(0, |list| list.set.len());
    if had > 0 && bytes.trim_ascii().is_empty() {
        return Err(format!("{name}: it is empty and had {had} entries; where that is meant, write a remark into it: # nobody"));
    }
    list::is_whole(&bytes).map_err(|faults| faults.words(&name))?;
    let set = set(settings.format, settings.of, &bytes, settings.action, entries_max).map_err(|error| match error {
        Unread::Faults(faults) => faults.words(&name),
        Unread::TooMany => {
            format!("{name}: with it there are more entries than policy.list_entries_max allows for all lists together")
        }
    })?;
    Ok(FileList { settings: settings.clone(), set, name: name.into(), seen: before })
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
pub fn set(format: Format, of: Option<NameKind>, bytes: &[u8], action: Action, entries_max: usize) -> Result<NetSet, Unread> {
    let mut builder = NetSetBuilder::new();
    let mut too_many = false;
    let read = list::read(format, of, bytes, |entry| {
        if builder.len() >= entries_max {
            too_many = true;
        } else {
            builder.add(&entry.subject, entry.action.unwrap_or(action), &entry.reason, entry.until);
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
    told: Told,
    replaced: Notify,
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
            told: Told::default(),
            replaced: Notify::new(),
            entries: Mutex::new(entries),
        })
    }

    /// Puts files that were read in force.
    pub fn put(&self, files: Files) {
        self.files.store(Arc::new(files));
        self.replaced.notify_one();
    }

    /// Resolves once files were put in force. For the one who looks at them now and then.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }

    /// Reads all files of a new configuration; none of them is in force yet.
    ///
    /// # Errors
    /// As [`Files::read`].
    pub fn read(&self, settings: FileSettings) -> Result<Files, String> {
        let old = self.files.load_full();
        let (files, wrong) = Files::read_beside(settings, Beside { old: Some(&old), before: None });
        if wrong.is_empty() { Ok(files) } else { Err(wrong.join("\n")) }
    }

    /// Takes up files that have changed since they were read, and not since they were last looked at: one that is being written is left alone
    /// until it is whole. What is wrong with one leaves it as it was, is told once, and keeps no other back. Blocks on the disk.
    pub fn renew(&self, looks: &mut Looks) -> Renewed {
        let old = self.files.load_full();
        let now = old.look();
        let before = std::mem::replace(&mut looks.0, now.clone());
        let mut changed = now.iter().filter(|(path, seen)| !old.knows(path, *seen)).peekable();
        if changed.peek().is_none() {
            return Renewed::default();
        }
        let unsettled = changed.any(|file| !before.contains(file));
        let (new, wrong) = Files::read_beside(old.settings.clone(), Beside { old: Some(&old), before: Some(&before) });
        let is_new = |list: &&Arc<FileList>| !old.lists.iter().any(|before| Arc::ptr_eq(before, list));
        let taken = new.lists.iter().filter(is_new).map(|list| format!("{}: {} entries", list.name, list.set.len())).collect();
        // Unless a reload came between, whose files are newer.
        let replaced = self.files.compare_and_swap(&old, Arc::new(new));
        if Arc::ptr_eq(&replaced, &old) {
            Renewed { taken, wrong, unsettled }
        } else {
            Renewed { unsettled: true, ..Renewed::default() }
        }
    }

    /// In which country an address is, where there is a database of them.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<postern_mail::netset::Country> {
        self.files.load().geo.country(address)
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
        files.say(&mut place, listener, &mut listed);
        listed
    }

    /// True when some list has names. Otherwise nobody needs to be asked about.
    #[must_use]
    pub fn have_names(&self) -> bool {
        self.own.load().has_names() || self.files.load().lists.iter().any(|list| list.set.has_names())
    }

    /// What lists say of names of a message.
    #[must_use]
    pub fn named(&self, asked: &[AskedName], listener: ListenerKind, now: UnixMillis) -> Vec<Listed> {
        let mut listed = Vec::new();
        say_of((&self.own_name, &self.own.load(), Mode::Enforce), asked, now, &mut listed);
        self.files.load().say_of(asked, listener, now, &mut listed);
        listed
    }

    /// True once a minute for a network of clients and what is said of it; more than so many in one minute are not told apart.
    #[must_use]
    pub fn is_news(&self, now: UnixMillis, client: IpAddr, listed: &[Listed]) -> bool {
        self.told.is_news(now, client, listed)
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
            let row = list::line(&entry.about(subject.clone())).into_bytes();
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
        let page: Vec<_> = rest.by_ref().take(limit).map(|(subject, entry)| (subject.clone(), entry.clone())).collect();
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
        builder.add(subject, entry.action, &entry.reason, entry.until);
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
            reason: list::told(found.reason(), self.address.to_canonical()).into(),
            subject: found.subject,
            action: found.action,
            until: found.until,
            observed: mode == Mode::Observe,
            about: Box::default(),
        }
    }
}

#[cfg(test)]
mod tests;
