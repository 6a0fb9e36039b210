//! Reads a message for the links in it, and for what is odd about them.
//!
//! Promise: whatever the octets are, reading ends, in time and memory bounded by [`Limits`] and the length of the message, without a panic; what
//! was not looked at is said in [`Inspection::incomplete`], so a rule never takes "not seen" for "not there".
//!
//! Exposure: everything here is what strangers sent. Nothing recurses by their will: what is found inside of something waits in a bounded queue.
//!
//! What counts as a link is what a mail program makes one of. In text: anything with a scheme, `www.`, a name with a path, and bare names below the
//! top-level domains that are not words or endings of files as well. Defanged addresses (`hxxp://`, `name[.]example`) are none, since nobody
//! can click them and those who write them so mean well.

mod alternatives;
mod collect;
mod hosts;
mod html;
mod message;
pub mod names;
mod pdf;
mod quick;
mod target;
mod text;
mod unpack;
mod within;

use std::net::IpAddr;

use postern_mail::domain::Domain;
use postern_mail::link::{LINKS_MAX, LinkFacts, OddLink};
pub use postern_mail::link::{Trick, Tricks};

pub use hosts::Hosts;
pub use message::Inspector;

/// What reading a message may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Links that are kept; of equal ones only the first counts. As many again are kept where each leads to another domain than those before it, so that
    /// nobody can hide a bad one behind many pages of a good one.
    pub links_max: usize,
    /// Parts that are looked at.
    pub parts_max: usize,
    /// Containers within containers.
    pub depth_max: usize,
    /// Octets that are searched, after decoding and inflating, of all parts together.
    pub octets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { links_max: 500, parts_max: 500, depth_max: 32, octets_max: 2 * 1024 * 1024 }
    }
}

/// Mail addresses that are kept.
pub const ADDRESSES_MAX: usize = 256;

/// Reads a message once, with no hosts but those that everybody knows.
#[must_use]
pub fn inspect(octets: &[u8], limits: &Limits) -> Inspection {
    Inspector::new(*limits, Hosts::default()).inspect(octets)
}

/// Octets of a link that are kept.
pub const URL_BYTES_MAX: usize = 512;

/// Why a message was not read to its end. The first reason is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// More links than are kept.
    Links,
    /// More parts than are looked at, or deeper ones.
    Parts,
    /// More octets than are searched.
    Octets,
    /// It could not be read as a message.
    Unreadable,
}

/// Where a link stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that a program makes clickable.
    Text,
    /// What a click in HTML leads to.
    Anchor,
    /// What HTML loads: images, styles, frames.
    Resource,
    /// Where a form sends what is typed in.
    Form,
    /// A field of the header section.
    Header,
    /// An invitation or a business card.
    Calendar,
    /// An action in a PDF.
    Pdf,
    /// Written in another link, as redirectors have it.
    Within,
}

/// What a link leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LinkHost {
    /// A name, in A-labels.
    Name(Domain),
    /// An address.
    Address(IpAddr),
    /// Nothing a program would connect to.
    Invalid,
}

/// A link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// As a program would ask for it; printable ASCII, cut at [`URL_BYTES_MAX`].
    pub url: Box<str>,
    /// Where it leads.
    pub host: LinkHost,
    /// The domain that somebody registered, by the public suffix list.
    pub registered: Option<Domain>,
    /// Number of the part, the message itself being 0.
    pub part: usize,
    /// Where in it.
    pub kind: Kind,
    /// What is odd.
    pub tricks: Tricks,
    /// The domain its text shows, where that is another.
    pub shown: Option<Domain>,
}

impl Link {
    /// The form in which lists compare whole links: see [`names::normal_url`]. `None` for what leads nowhere, and for a link that is longer than what is kept.
    #[must_use]
    pub fn normal(&self) -> Option<String> {
        if self.url.len() >= URL_BYTES_MAX || self.host == LinkHost::Invalid { None } else { names::normal_url(&self.url) }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Each once, in the order they were found.
    pub links: Vec<Link>,
    /// Domains of From, Reply-To and Sender, each once.
    pub senders: Vec<Domain>,
    /// Mail addresses of these fields, of links and of text, each once, in the form lists compare; at most [`ADDRESSES_MAX`].
    pub addresses: Vec<Box<str>>,
    /// Why not everything was read; `None`: it was.
    pub incomplete: Option<Incomplete>,
    /// True when all that a reader is shown as text was read. Of big files that are attached, as everybody does, rules are not told.
    pub is_text_whole: bool,
    /// Parts that were looked at.
    pub parts: usize,
    /// Octets that were searched.
    pub octets: usize,
}

impl Inspection {
    /// What rules are told, and what is recorded: the oddest links, and whether all was read.
    #[must_use]
    pub fn facts(&self) -> LinkFacts {
        let mut odd: Vec<&Link> = self.links.iter().filter(|link| !link.tricks.is_empty()).collect();
        // The number of tricks is not their weight, but the one is the operator's and the other is seen here.
        odd.sort_by_key(|link| std::cmp::Reverse(link.tricks.iter().fold(0, |sum, trick| sum + trick.tenths())));
        odd.truncate(LINKS_MAX);
        let told = |link: &&Link| {
            let host = match &link.host {
                LinkHost::Name(domain) => domain.to_string(),
                LinkHost::Address(address) => address.to_string(),
                LinkHost::Invalid => link.url.to_string(),
            };
            OddLink::new(&host, link.tricks)
        };
        LinkFacts { odd: odd.iter().map(told).collect(), is_whole: self.is_text_whole, unasked: 0 }
    }
}

#[cfg(test)]
mod tests;
