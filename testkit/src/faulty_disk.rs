//! A disk in memory that loses what a real one may lose. Promise: it is never kinder than POSIX: bytes survive a power cut for certain only
//! after `sync_data`, names only after `sync_dir`, and a failed sync of a file loses its bytes for good while reads still show them.
//!
//! Every operation that changes something has a number. [`FaultyDisk::cut_after`] lets that many happen and then the power goes: every
//! later call fails. [`FaultyDisk::survivors`] is what another computer would then find: unsynced writes are lost, kept, or torn at sectors
//! of 512 octets, and unsynced names happened or did not, each by itself, as a seed decides. Making a directory is durable at once.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use postern_spool::{Disk, DiskFile};

const SECTOR: usize = 512;

/// A small generator for tests (splitmix64): the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.roll() & 1 == 0
    }
}

/// A file's content, as it is in memory and as it is on the platter.
#[derive(Clone, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum Change {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Link(path, _) | Self::Unlink(path) => path.parent() == Some(dir),
            Self::Rename(from, to, _) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

#[derive(Default)]
struct World {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names not synced yet, in order.
    unsynced: Vec<Change>,
    dirs: BTreeSet<PathBuf>,
    locks: HashSet<PathBuf>,
    operations: u64,
    cut_after: Option<u64>,
    syncs: u64,
    failing_sync: Option<u64>,
    writes: u64,
    failing_write: Option<u64>,
    short_writes: bool,
    capacity: Option<u64>,
}

impl World {
    fn power(&self) -> io::Result<()> {
        match self.cut_after {
            Some(after) if self.operations >= after => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    fn operation(&mut self) -> io::Result<()> {
        self.power()?;
        self.operations += 1;
        Ok(())
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|inode| self.inodes.get(*inode)).map(|inode| inode.current.len() as u64).sum()
    }

    fn inode(&mut self, number: usize) -> io::Result<&mut Inode> {
        self.inodes.get_mut(number).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    fn failing(counter: &mut u64, failing: Option<u64>) -> bool {
        *counter += 1;
        failing == Some(*counter)
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultyDisk(Arc<Mutex<World>>);

impl FaultyDisk {
    /// Empty, endless, and without faults so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// Lets operations happen up to number `operation`, and then the power goes.
    pub fn cut_after(&self, operation: u64) {
        self.world().cut_after = Some(operation);
    }

    /// True when the power is off.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.world().power().is_err()
    }

    /// The `count`-th sync from now fails, and loses what it should have kept.
    pub fn fail_sync(&self, count: u64) {
        let mut world = self.world();
        world.failing_sync = Some(world.syncs + count);
    }

    /// The `count`-th write from now fails, with nothing written.
    pub fn fail_write(&self, count: u64) {
        let mut world = self.world();
        world.failing_write = Some(world.writes + count);
    }

    /// Syncs so far, of files and directories, the failed ones included.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// Writes so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.world().writes
    }

    /// Writes write a part of what they are given: at most 1,000 octets.
    pub fn write_short(&self) {
        self.world().short_writes = true;
    }

    /// No more than so many octets in all files together.
    pub fn limit_to(&self, bytes: u64) {
        self.world().capacity = Some(bytes);
    }

    /// Octets in all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.world().used()
    }

    /// What the next process finds after this one was killed: everything, synced or not, with what is synced as it was.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let world = self.world();
        Self(Arc::new(Mutex::new(World {
            inodes: world.inodes.clone(),
            names: world.names.clone(),
            durable_names: world.durable_names.clone(),
            unsynced: world.unsynced.clone(),
            dirs: world.dirs.clone(),
            capacity: world.capacity,
            ..World::default()
        })))
    }

    /// What is left after the power went, one of many possibilities.
    #[must_use]
    pub fn survivors(&self, seed: u64) -> Self {
        let world = self.world();
        let mut dice = Dice(seed);
        // Of four seeds one loses all that was not synced, one keeps it, and two decide piece by piece.
        let mode = seed % 4;
        let mut keep = move || match mode {
            0 => false,
            1 => true,
            _ => dice.coin(),
        };
        let mut names = world.durable_names.clone();
        for change in &world.unsynced {
            if keep() {
                change.apply(&mut names);
            }
        }
        let inodes = world.inodes.iter().map(|inode| {
            let mut bytes = inode.durable.clone();
            if inode.current.len() != inode.durable.len() && keep() {
                bytes.resize(inode.current.len(), 0);
            }
            for sector in &inode.dirty {
                let from = sector * SECTOR;
                let to = (from + SECTOR).min(bytes.len()).min(inode.current.len());
                if keep()
                    && let (Some(old), Some(new)) = (bytes.get_mut(from..to), inode.current.get(from..to))
                {
                    old.copy_from_slice(new);
                }
            }
            Inode { durable: bytes.clone(), current: bytes, dirty: BTreeSet::new() }
        });
        let inodes = inodes.collect();
        let capacity = world.capacity;
        Self(Arc::new(Mutex::new(World {
            inodes,
            durable_names: names.clone(),
            names,
            dirs: world.dirs.clone(),
            capacity,
            ..World::default()
        })))
    }

    /// Changes octets of a file behind everybody's back, as a failing platter does.
    ///
    /// # Panics
    /// When there is no such file or it is shorter.
    #[expect(clippy::indexing_slicing, reason = "a test that asks for what is not there is wrong")]
    pub fn corrupt(&self, path: &Path, offset: usize, bytes: &[u8]) {
        let mut world = self.world();
        let inode = world.names[path];
        let inode = &mut world.inodes[inode];
        inode.current[offset..offset + bytes.len()].copy_from_slice(bytes);
        inode.durable[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// All files and their content as reads show it.
    #[must_use]
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        let content = |inode: &usize| world.inodes.get(*inode).map(|inode| inode.current.clone()).unwrap_or_default();
        world.names.iter().map(|(path, inode)| (path.clone(), content(inode))).collect()
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut world = self.world();
        let number = world.inodes.len();
        world.inodes.push(Inode { durable: bytes.clone(), current: bytes, dirty: BTreeSet::new() });
        world.names.insert(path.to_owned(), number);
        world.durable_names.insert(path.to_owned(), number);
        world.dirs.extend(path.ancestors().skip(1).map(Path::to_owned));
    }

    fn handle(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(FaultyFile { disk: self.clone(), inode })
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    inode: usize,
}

struct Lock(FaultyDisk, PathBuf);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.world().locks.remove(&self.1);
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.power()?;
        world.dirs.insert(path.to_owned());
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.operation()?;
        if !path.parent().is_some_and(|dir| world.dirs.contains(dir)) {
            return Err(ErrorKind::NotFound.into());
        }
        let old = world.names.get(path).copied();
        let inode = match old {
            Some(inode) => {
                let file = world.inode(inode)?;
                file.current.clear();
                file.dirty.clear();
                inode
            }
            None => {
                world.inodes.push(Inode::default());
                let inode = world.inodes.len() - 1;
                world.change(Change::Link(path.to_owned(), inode));
                inode
            }
        };
        drop(world);
        Ok(self.handle(inode))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.world();
        world.power()?;
        let inode = *world.names.get(path).ok_or(ErrorKind::NotFound)?;
        drop(world);
        Ok(self.handle(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operation()?;
        let inode = *world.names.get(from).ok_or(ErrorKind::NotFound)?;
        world.change(Change::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operation()?;
        if !world.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        world.change(Change::Unlink(path.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        world.power()?;
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.operation()?;
        let world = &mut *world;
        if World::failing(&mut world.syncs, world.failing_sync) {
            // Names stay as uncertain as they were. File systems that cannot write their own records stop altogether, so unlike a file's
            // pages these are not forgotten behind a later sync that succeeds.
            return Err(io::Error::other("the directory could not be synced"));
        }
        for change in world.unsynced.extract_if(.., |change| change.is_in(dir)) {
            change.apply(&mut world.durable_names);
        }
        Ok(())
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let world = self.world();
        world.power()?;
        Ok(world.capacity.map_or(1 << 50, |capacity| capacity.saturating_sub(world.used())))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut world = self.world();
        world.power()?;
        let free = world.locks.insert(path.to_owned());
        drop(world);
        Ok(if free { Some(Box::new(Lock(self.clone(), path.to_owned()))) } else { None })
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        world.operation()?;
        {
            let world = &mut *world;
            if World::failing(&mut world.writes, world.failing_write) {
                return Err(io::Error::other("a bad sector"));
            }
        }
        let bytes = if world.short_writes { bytes.get(..1_000).unwrap_or(bytes) } else { bytes };
        let from = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        let to = from + bytes.len();
        let (used, capacity) = (world.used(), world.capacity);
        let inode = world.inode(self.inode)?;
        let grows = to.saturating_sub(inode.current.len());
        if capacity.is_some_and(|capacity| used + grows as u64 > capacity) {
            return Err(ErrorKind::StorageFull.into());
        }
        if grows > 0 {
            inode.current.resize(to, 0);
        }
        inode.current.get_mut(from..to).ok_or(ErrorKind::InvalidInput)?.copy_from_slice(bytes);
        inode.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
        Ok(bytes.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        world.power()?;
        let from = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        let rest = world.inode(self.inode)?.current.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        world.operation()?;
        let failing = {
            let world = &mut *world;
            World::failing(&mut world.syncs, world.failing_sync)
        };
        let inode = world.inode(self.inode)?;
        if failing {
            // The pages count as clean from here on, and a later sync will not write them: what real systems do.
            inode.dirty.clear();
            return Err(io::Error::other("a write could not be completed"));
        }
        inode.durable.resize(inode.current.len(), 0);
        for sector in std::mem::take(&mut inode.dirty) {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(inode.current.len());
            if let (Some(old), Some(new)) = (inode.durable.get_mut(from..to), inode.current.get(from..to)) {
                old.copy_from_slice(new);
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let mut world = self.disk.world();
        world.power()?;
        Ok(world.inode(self.inode)?.current.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (FaultyDisk, PathBuf) {
        let disk = FaultyDisk::new();
        disk.create_dir(Path::new("/d")).unwrap();
        (disk, PathBuf::from("/d/file"))
    }

    #[test]
    fn unsynced_bytes_and_names_may_be_lost() {
        let (disk, path) = disk();
        let file = disk.create(&path).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[2; 1024], 0).unwrap();
        let seen: BTreeSet<Vec<u8>> = (0..64).map(|seed| disk.survivors(seed).files().remove(&path).unwrap()).collect();
        assert_eq!(seen.len(), 4, "each of two sectors old or new");
        disk.remove(&path).unwrap();
        let there: BTreeSet<bool> = (0..16).map(|seed| disk.survivors(seed).files().contains_key(&path)).collect();
        assert_eq!(there.len(), 2);
    }

    #[test]
    fn a_failed_sync_loses_its_bytes_even_when_the_next_one_succeeds() {
        let (disk, path) = disk();
        let file = disk.create(&path).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_at(&[1; 512], 0).unwrap();
        disk.fail_sync(1);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(disk.files()[&path], [1; 512]);
        assert_eq!(disk.survivors(1).files()[&path], [0; 512]);
    }

    #[test]
    fn nothing_happens_after_the_power_went() {
        let (disk, path) = disk();
        disk.cut_after(1);
        let file = disk.create(&path).unwrap();
        assert!(file.write_at(b"x", 0).is_err() && disk.is_cut());
        assert!(disk.list(Path::new("/d")).is_err());
    }
}
