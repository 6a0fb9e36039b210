//! `[[policy.list]]`: lists of networks, AS numbers and countries kept on this machine. Promise: where a list applies and what it does is said in
//! one place, and a list that nobody narrowed keeps strangers' mail out and no customer.

use std::path::PathBuf;

use postern_mail::client::ListenerKind;
use postern_mail::list::Format;
use postern_mail::netset::Action;
use postern_mail::{Mode, Points, Quoted};

use crate::table::section;
use crate::value::{choice, choice_value};

choice_value!(Format, [Format::Text, Format::Drop, Format::Rbldnsd]);

choice! {
    /// What is done about whoever is in a list.
    pub enum ListAction {
        /// Turned away before the greeting.
        Block = "block",
        /// Let in, whatever wider entries of other lists say.
        Allow = "allow",
        /// Points towards a sum.
        Score = "score",
    }
}

section! {
    /// A list of networks, AS numbers and countries in a file, an entry a line: `192.0.2.0/24 until 2027-01-31 ; the reason`. An entry may say
    /// `block`, `allow`, `exempt` or points of its own. In a list the most particular entry that has not ended decides; of all lists the most
    /// particular `block` or `allow`, and `allow` where they are equal. The file is read again when it changes.
    pub struct List by file {
        /// The file. A mistake in it is told with line and column, and what was read before stays in force.
        #[key(example = "\"/etc/postern/blocked.txt\"", why = "the server comes without opinions about networks")]
        pub file: ListFile;
        /// How it is written: `text` is our own, `drop` a provider's "do not route or peer" list, `rbldnsd` a zone of the types ip4set, ip4trie or
        /// ip6trie.
        #[key(example = "\"drop\"", why = "it is the one with actions, points and ends")]
        pub format: Format = Format::Text;
        /// What is done about whoever is in it, where the entry says nothing else.
        #[key(example = "\"allow\"", why = "what most lists are for", shown = "block; score where points are set")]
        pub action: Option<ListAction> = None;
        /// Points for whoever is in it; negative ones speak for him.
        #[key(example = "4.0", why = "only a list that scores has points")]
        pub points: Option<f64> = None;
        /// Whether it counts (`enforce`), is only written down (`observe`), or is not looked at (`off`).
        #[key(example = "\"observe\"", why = "a list that has no effect protects nobody")]
        pub mode: Mode = Mode::Enforce;
        /// On which kinds of listeners it is looked at.
        #[key(
            example = "[\"mx\", \"submission\", \"submissions\"]",
            why = "customers on the road come from networks no server should send from, and they log in"
        )]
        pub listeners: Vec<ListenerKind> = vec![ListenerKind::Mx];
    }
}

impl List {
    /// What an entry without an action of its own does.
    #[must_use]
    pub fn default_action(&self) -> Action {
        match (self.action, self.points) {
            (Some(ListAction::Allow), _) => Action::Allow,
            (None | Some(ListAction::Score), Some(points)) => Action::Score(Points::nearest(points).0),
            _ => Action::Block,
        }
    }
}

/// A path that is printed as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListFile(pub PathBuf);

impl std::fmt::Display for ListFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.0.to_string_lossy();
        if text.chars().any(char::is_control) { Quoted::text(&text).fmt(f) } else { f.write_str(&text) }
    }
}

impl crate::value::Value for ListFile {
    fn kind() -> crate::table::Kind {
        PathBuf::kind()
    }

    fn read(node: &crate::read::Node<'_>, report: &mut crate::read::Report<'_>) -> Option<Self> {
        PathBuf::read(node, report).map(Self)
    }

    fn print(&self, secrets: crate::value::Secrets) -> String {
        self.0.print(secrets)
    }
}
