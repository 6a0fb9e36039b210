//! Final delivery into Maildirs: written to `tmp/`, synced, moved to `new/`, synced. Promise: `Delivered` is said only when a power cut
//! could no longer take the message, and no address, however written, leaves the folder its template gives it.
//!
//! Exposure: the local part is a stranger's text and becomes a folder's name; a folder's owner may put symbolic links where we are about to
//! write. Hence [`safe_component`], and one `openat` with `O_NOFOLLOW` per component behind the part of the path the operator wrote.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use postern_mail::outcome::Evidence;
use postern_mail::{Domain, Host, Mailbox, Outcome, Scope, Status};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use tokio::sync::Semaphore;

use crate::classify::evidence;
use crate::final_header::take_out_return_path;
use crate::next_hop::Message;

/// One part of a path component.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Domain,
    Local,
}

/// Where mailboxes are: a path with `{domain}` and `{local}` in it, as `/var/mail/{domain}/{local}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// What the operator wrote up to the first component with a placeholder; links in it are the operator's own.
    base: PathBuf,
    components: Vec<Vec<Piece>>,
}

/// Why a template is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateFault {
    /// A placeholder other than `{domain}`, `{local}`, and `{data_dir}` at the start.
    Placeholder(Box<str>),
    /// `..` in it.
    Parent,
    /// Nothing in it.
    Empty,
}

impl std::fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Placeholder(name) => {
                write!(f, "{{{name}}} is no placeholder; there are {{domain}}, {{local}} and {{data_dir}}")
            }
            Self::Parent => f.write_str("a Maildir path must not hold \"..\""),
            Self::Empty => f.write_str("a Maildir path must not be empty"),
        }
    }
}

impl std::error::Error for TemplateFault {}

impl Template {
    /// Reads a template. `{data_dir}` stands at its start or nowhere.
    ///
    /// # Errors
    /// [`TemplateFault`].
    pub fn parse(text: &str, data_dir: &Path) -> Result<Self, TemplateFault> {
        let (mut base, rest) = match text.strip_prefix("{data_dir}") {
            Some(rest) => (data_dir.to_owned(), rest),
            None if text.starts_with('/') => (PathBuf::from("/"), text),
            None => (PathBuf::new(), text),
        };
        if text.is_empty() {
            return Err(TemplateFault::Empty);
        }
        let mut components = Vec::new();
        for part in rest.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                return Err(TemplateFault::Parent);
            }
            let pieces = pieces(part)?;
            match pieces.as_slice() {
                [Piece::Text(plain)] if components.is_empty() => base.push(&**plain),
                _ => components.push(pieces),
            }
        }
        Ok(Self { base, components })
    }

    /// The components of a mailbox's folder behind the operator's part.
    fn expand(&self, mailbox: &Mailbox) -> Vec<String> {
        let fill = |piece: &Piece| match piece {
            Piece::Text(text) => text.to_string(),
            Piece::Domain => match &mailbox.host {
                Host::Name(domain) => Domain::as_str(domain).to_owned(),
                literal => safe_component(&literal.to_string()),
            },
            Piece::Local => safe_component(mailbox.local.as_str()),
        };
        self.components.iter().map(|pieces| pieces.iter().map(fill).collect()).collect()
    }

    /// The folder of a mailbox.
    #[must_use]
    pub fn path(&self, mailbox: &Mailbox) -> PathBuf {
        let mut path = self.base.clone();
        path.extend(self.expand(mailbox));
        path
    }
}

fn pieces(part: &str) -> Result<Vec<Piece>, TemplateFault> {
    let mut pieces = Vec::new();
    let mut rest = part;
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').ok_or_else(|| TemplateFault::Placeholder(behind.into()))?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(match name {
            "domain" => Piece::Domain,
            "local" => Piece::Local,
            other => return Err(TemplateFault::Placeholder(other.into())),
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

/// A local part as one component of a path: lower case, everything but `[a-z0-9._+=-]` percent-encoded, and a dot at the start too.
/// Two local parts get the same component only when they differ in case alone.
#[must_use]
pub fn safe_component(text: &str) -> String {
    // RFC 5321 §2.3.11: the host that owns a mailbox decides whether case matters; here it does not.
    let lower = text.to_lowercase();
    let mut out = String::with_capacity(lower.len());
    for (at, byte) in lower.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'=' | b'-') || (byte == b'.' && at > 0);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    // The empty local part `""` is a mailbox too; a lone percent sign is what no other one gets.
    if out.is_empty() { "%".to_owned() } else { out }
}

/// Files messages into Maildirs, on a bounded number of threads.
#[derive(Clone, Debug)]
pub struct Maildirs {
    hostname: Arc<str>,
    threads: Arc<Semaphore>,
    counter: Arc<AtomicU64>,
}

/// Octets gathered before a thread is asked to write them.
const WRITE_BYTES: usize = 256 * 1024;

impl Maildirs {
    /// `hostname` goes into the files' names; at most `threads_max` writes, syncs and moves run at once.
    #[must_use]
    pub fn new(hostname: &str, threads_max: usize) -> Self {
        // The convention: `/` and `:` of a host name are written as octal escapes.
        let hostname = hostname.replace('/', "\\057").replace(':', "\\072");
        Self { hostname: hostname.into(), threads: Arc::new(Semaphore::new(threads_max.max(1))), counter: Arc::default() }
    }

    /// Files a message for each of its recipients. One outcome per recipient, in their order.
    pub async fn deliver(&self, template: &Template, message: Message<'_>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(message.recipients.len());
        for recipient in message.recipients {
            outcomes.push(self.file(template, message, recipient.address()).await);
        }
        outcomes
    }

    async fn file(&self, template: &Template, message: Message<'_>, mailbox: &Mailbox) -> Outcome {
        let path = template.path(mailbox).display().to_string();
        match self.try_file(template, message, mailbox).await {
            Ok(name) => {
                let text = format!("filed as new/{name}");
                Outcome::Delivered { evidence: Evidence { by: path.into(), text: text.into() }, dsn_passed_on: false }
            }
            Err(error) => deferred(&path, &error),
        }
    }

    async fn try_file(&self, template: &Template, message: Message<'_>, mailbox: &Mailbox) -> io::Result<String> {
        let name = self.unique_name();
        let (base, components, file_name) = (template.base.clone(), template.expand(mailbox), name.clone());
        // RFC 5321 §4.4: final delivery puts the reverse path into the message, in front of everything, and takes out what
        // came along.
        let mut buffer = format!("Return-Path: {}\r\nDelivered-To: {mailbox}\r\n", message.envelope.from).into_bytes();
        let mut pieces = message.body.open().await?;
        let ours = buffer.len();
        let mut more = fill(&mut *pieces, &mut buffer).await?;
        take_out_return_path(&mut buffer, ours);
        let first = std::mem::take(&mut buffer);
        // A small message takes one trip to a thread for everything.
        let mut draft = self
            .on_thread(move || {
                let mut draft = Draft::create(&base, &components, file_name)?;
                draft.write(first)?;
                if more { Ok(Some(draft)) } else { draft.publish().map(|()| None) }
            })
            .await?;
        while let Some(mut open) = draft {
            let mut next = Vec::new();
            more = fill(&mut *pieces, &mut next).await?;
            draft = self
                .on_thread(move || {
                    open.write(next)?;
                    if more { Ok(Some(open)) } else { open.publish().map(|()| None) }
                })
                .await?;
        }
        Ok(name)
    }

    async fn on_thread<T: Send + 'static>(&self, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
        let permit = Arc::clone(&self.threads).acquire_owned().await.map_err(io::Error::other)?;
        let work = move || {
            let done = work();
            drop(permit);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// By the Maildir convention: seconds, then what makes it unique in this second on this host, then the host.
    fn unique_name(&self) -> String {
        #[expect(clippy::disallowed_methods, reason = "a Maildir's unique names hold the time")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let (seconds, micros) = (since.as_secs(), since.subsec_micros());
        format!("{seconds}.M{micros}P{}Q{count}.{}", std::process::id(), self.hostname)
    }
}

/// Reads pieces until enough is gathered; false when the body has ended.
async fn fill(pieces: &mut dyn crate::body::BodyPieces, buffer: &mut Vec<u8>) -> io::Result<bool> {
    while buffer.len() < WRITE_BYTES {
        if pieces.append_next(buffer).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file in `tmp/`, removed again unless it is published.
struct Draft {
    maildir: OwnedFd,
    tmp: OwnedFd,
    file: File,
    name: String,
    published: bool,
}

impl Draft {
    fn create(base: &Path, components: &[String], name: String) -> io::Result<Self> {
        create_base(base)?;
        let mut folder = rustix::fs::open(base, FOLDER, Mode::empty())?;
        for component in components {
            folder = enter(&folder, component)?;
        }
        // Readers expect all three.
        let tmp = enter(&folder, "tmp")?;
        enter(&folder, "new")?;
        enter(&folder, "cur")?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&tmp, &*name, flags, Mode::RUSR | Mode::WUSR)?);
        Ok(Self { maildir: folder, tmp, file, name, published: false })
    }

    /// Writes with the line ends of files: readers of Maildirs expect a lone LF. Nothing is lost, since every CR of a clean body is part of a
    /// CRLF.
    fn write(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        bytes.retain(|byte| *byte != b'\r');
        self.file.write_all(&bytes)
    }

    fn publish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let new = enter(&self.maildir, "new")?;
        match rustix::fs::renameat_with(&self.tmp, &*self.name, &new, &*self.name, RenameFlags::NOREPLACE) {
            // Some file systems do not know the flag; the name is unique without it.
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(&self.tmp, &*self.name, &new, &*self.name)?,
            done => done?,
        }
        self.published = true;
        rustix::fs::fsync(&new)?;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: what stays behind in tmp/ is removed by readers after 36 hours, as the convention says.
            let _ = rustix::fs::unlinkat(&self.tmp, &*self.name, AtFlags::empty());
        }
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Makes the operator's part of the path, if it is not there yet.
fn create_base(base: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if base.as_os_str().is_empty() || base.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(base)?;
    // The entry in the parent must survive a power cut with the message.
    if let Some(parent) = base.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Opens a folder inside another, making it where it is missing; never through a link.
fn enter(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let open = || rustix::fs::openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty());
    match open() {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                // Another thread was faster.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            rustix::fs::fsync(parent)?;
            Ok(open()?)
        }
        other => Ok(other?),
    }
}

/// Nothing about a disk is ever the sender's fault, so nothing bounces here.
fn deferred(path: &str, error: &io::Error) -> Outcome {
    // RFC 3463 §3.3: 2.2 mailbox full. §3.4: 3.0 other, 3.1 system full, 3.5 system incorrectly configured.
    let (scope, subject, detail) = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::DQUOT) => (Scope::Recipient, 2, 2),
        Some(Errno::NOSPC) => (Scope::Host, 3, 1),
        Some(Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG) => (Scope::Recipient, 3, 5),
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => (Scope::Host, 3, 5),
        _ => (Scope::Host, 3, 0),
    };
    Outcome::Deferred { scope, status: Status::new(4, subject, detail), evidence: evidence(path, &error.to_string()) }
}

/// Delivers to nowhere: what `discard` is for.
#[must_use]
pub fn discard(message: Message<'_>) -> Vec<Outcome> {
    let gone = Outcome::Delivered { evidence: evidence("discard", "thrown away, as configured"), dsn_passed_on: false };
    vec![gone; message.recipients.len()]
}

#[cfg(test)]
mod tests;
