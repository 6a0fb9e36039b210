//! `[[policy.list]]`: lists of networks, AS numbers, countries and names kept on this machine. Promise: where a list applies and what it does is said in
//! one place, and a list that nobody narrowed keeps strangers' mail out and no customer.

use std::path::PathBuf;

use postern_mail::client::ListenerKind;
use postern_mail::list::Format;
use postern_mail::netset::{Action, NameKind};
use postern_mail::{Mode, Points, Quoted};

use crate::table::section;
use crate::value::{choice, choice_value};

choice_value!(Format, [Format::Text, Format::Drop, Format::Rbldnsd]);
choice_value!(
    NameKind,
    [NameKind::Helo, NameKind::Ptr, NameKind::Sender, NameKind::From, NameKind::Recipient, NameKind::Link, NameKind::Domain]
);

choice! {
    /// What is done about whoever is in a list.
    pub enum ListAction {
        /// Turned away before the greeting; for a name, refused at the command that has it.
        Block = "block",
        /// Let in, whatever wider entries of other lists say.
        Allow = "allow",
        /// Points towards a sum.
        Score = "score",
    }
}

section! {
    /// A list of networks, AS numbers, countries or names in a file, an entry a line: `192.0.2.0/24 until 2027-01-31 ; the reason`. An entry may say
    /// `block`, `allow`, `exempt` or points of its own. In a list the most particular entry that has not ended decides; of all lists the most
    /// particular `block` or `allow`, and `allow` where they are equal. The file is read again when it changes.
    ///
    /// A name is `bad.example` for that name alone, `.bad.example` for it and all below it; among addresses also `a@bad.example`, and
    /// `@bad.example` for all of that domain; among links also `bad.example/path` for what lies at or below that path. Of a link its host and the
    /// domain that somebody registered are looked up. Names are looked at when they are said: HELO and sender at MAIL, a recipient at RCPT, the
    /// client's name, From and links at the end of the message. Names can be made up: one that is allowed is spared by lists only, and nothing else of its message is.
    pub struct List by file {
        /// The file. A mistake in it is told with line and column, and what was read before stays in force.
        #[key(example = "\"/etc/postern/blocked.txt\"", why = "the server comes without opinions about networks")]
        pub file: ListFile;
        /// How it is written: `text` is our own, `drop` a provider's "do not route or peer" list, `rbldnsd` a zone of the types ip4set, ip4trie,
        /// ip6trie or dnset.
        #[key(example = "\"drop\"", why = "it is the one with actions, points and ends")]
        pub format: Format = Format::Text;
        /// What its entries are the names of: `helo` what clients call themselves, `ptr` what their addresses are called, `sender` MAIL FROM, `from`
        /// the addresses of From, `recipient` RCPT TO, `link` where links lead, `domain` any of these but recipients. A word may have its own kind
        /// before it: `sender:@bad.example`.
        #[key(example = "\"domain\"", why = "it is what most lists have", shown = "networks")]
        pub of: Option<NameKind> = None;
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
