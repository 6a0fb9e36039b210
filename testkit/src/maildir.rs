//! Reading a Maildir, as a mail program would.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::until;

/// A Maildir that need not exist yet.
#[derive(Clone, Debug)]
pub struct Maildir {
    folder: PathBuf,
}

/// A message as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(pub String);

impl Message {
    /// The value of a header field, unfolded; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        self.headers(name).into_iter().next().unwrap_or_default()
    }

    /// All values of a header field, unfolded, from the top.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<String> {
        let text = self.0.replace("\r\n", "\n");
        let head = text.split("\n\n").next().unwrap_or_default().replace("\n\t", " ").replace("\n ", " ");
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    }

    /// What follows the header, with LF as line end.
    #[must_use]
    pub fn body(&self) -> String {
        self.0.replace("\r\n", "\n").split_once("\n\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }
}

impl Maildir {
    /// The Maildir at a path.
    #[must_use]
    pub fn at(folder: impl AsRef<Path>) -> Self {
        Self { folder: folder.as_ref().to_owned() }
    }

    /// All messages in it, in no order.
    ///
    /// # Panics
    /// When a message cannot be read.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        ["new", "cur"]
            .iter()
            .filter_map(|part| std::fs::read_dir(self.folder.join(part)).ok())
            .flat_map(|entries| entries.flatten())
            .map(|entry| Message(String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned()))
            .collect()
    }

    /// Waits until at least so many messages are there.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn wait_for(&self, count: usize, at_most: Duration) -> Vec<Message> {
        let what = format!("{count} messages in {}", self.folder.display());
        until(&what, at_most, || Some(self.messages()).filter(|messages| messages.len() >= count))
    }

    /// Waits for a message with this in its Subject.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for_subject(&self, subject: &str, at_most: Duration) -> Message {
        let what = format!("{subject:?} in {}", self.folder.display());
        until(&what, at_most, || self.messages().into_iter().find(|message| message.header("Subject").contains(subject)))
    }
}
