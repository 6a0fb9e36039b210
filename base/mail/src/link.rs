//! What rules are told of the links of a message. Promise: a few links, each short and printable, and named so that no program makes a link of the
//! name again: a refusal is no advertisement.

/// Links a rule is told of, the oddest first.
pub const LINKS_MAX: usize = 8;
/// Characters of a name that are told.
pub const NAME_CHARS_MAX: usize = 80;

/// What is odd about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Trick {
    /// The text shows one domain and the target is another.
    ShownOther = 1,
    /// Something before an `@` that looks like the host and is not.
    Credentials = 1 << 1,
    /// An address instead of a name.
    Literal = 1 << 2,
    /// An address written as no person writes one: decimal, octal, hexadecimal, short.
    OddLiteral = 1 << 3,
    /// Leads into the reader's own network.
    Private = 1 << 4,
    /// Letters of several scripts in one label.
    MixedScript = 1 << 5,
    /// Letters that look like Latin ones and are not.
    LookAlike = 1 << 6,
    /// Host, port or escapes that are none.
    Invalid = 1 << 7,
    /// Characters in the host that are not seen, stand for dots, or are escaped for no reason.
    Hidden = 1 << 8,
    /// A script or a page inside the link itself.
    Embedded = 1 << 9,
    /// Leads to a service that says only when it is asked where it leads.
    Shortener = 1 << 10,
    /// The message has a version as text and one as HTML, and they lead to different places altogether.
    Alternatives = 1 << 11,
}

impl Trick {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ShownOther,
        Self::Credentials,
        Self::Literal,
        Self::OddLiteral,
        Self::Private,
        Self::MixedScript,
        Self::LookAlike,
        Self::Invalid,
        Self::Hidden,
        Self::Embedded,
        Self::Shortener,
        Self::Alternatives,
    ];

    /// What is wrong with it, for whoever sent it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::ShownOther => "its text shows another domain",
            Self::Credentials => "there is a user name before the host",
            Self::Literal => "it leads to an address without a name",
            Self::OddLiteral => "its address is written to be misread",
            Self::Private => "it leads into a private network",
            Self::MixedScript => "its host mixes letters of several scripts",
            Self::LookAlike => "its host looks like another",
            Self::Invalid => "its host or port is not valid",
            Self::Hidden => "its host has hidden or disguised characters",
            Self::Embedded => "it holds a page or a script itself",
            Self::Shortener => "it hides where it leads",
            Self::Alternatives => "the plain text of the message leads elsewhere",
        }
    }

    /// Tenths of a point, unless told otherwise. What honest mail has now and then has few; what nobody does by mistake has many.
    #[must_use]
    pub const fn tenths(self) -> i16 {
        match self {
            Self::Shortener | Self::Alternatives => 5,
            Self::Literal | Self::Private => 10,
            Self::Invalid => 15,
            Self::ShownOther | Self::Hidden => 20,
            Self::MixedScript | Self::Credentials | Self::Embedded => 30,
            Self::LookAlike | Self::OddLiteral => 50,
        }
    }

    /// In a word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ShownOther => "shown-other",
            Self::Credentials => "credentials",
            Self::Literal => "literal",
            Self::OddLiteral => "odd-literal",
            Self::Private => "private",
            Self::MixedScript => "mixed-script",
            Self::LookAlike => "look-alike",
            Self::Invalid => "invalid",
            Self::Hidden => "hidden",
            Self::Embedded => "embedded",
            Self::Shortener => "shortener",
            Self::Alternatives => "alternatives",
        }
    }
}

/// A set of tricks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tricks(u16);

impl Tricks {
    /// As they are recorded.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// From a record; what is no trick is left out.
    #[must_use]
    pub fn from_bits(bits: u16) -> Self {
        Self(Trick::ALL.iter().fold(0, |known, trick| known | (bits & *trick as u16)))
    }

    /// Puts one in.
    pub fn add(&mut self, trick: Trick) {
        self.0 |= trick as u16;
    }

    /// True when it is in.
    #[must_use]
    pub const fn has(self, trick: Trick) -> bool {
        self.0 & trick as u16 != 0
    }

    /// True when there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are in.
    pub fn iter(self) -> impl Iterator<Item = Trick> {
        Trick::ALL.into_iter().filter(move |trick| self.has(*trick))
    }
}

/// A name, address or link as it may be printed: dots, colons and at signs in brackets, without what is not printable, and cut.
#[must_use]
pub fn unclickable(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars().filter(|c| c.is_ascii_graphic()).take(NAME_CHARS_MAX) {
        match c {
            '.' => out.push_str("[.]"),
            ':' => out.push_str("[:]"),
            '@' => out.push_str("[@]"),
            c => out.push(c),
        }
    }
    out
}

/// A link with something odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddLink {
    name: Box<str>,
    /// What is odd.
    pub tricks: Tricks,
}

impl OddLink {
    /// Takes a host, or a link without one. Dots and colons are put into brackets, and what is not printable is left out.
    #[must_use]
    pub fn new(host: &str, tricks: Tricks) -> Self {
        Self { name: unclickable(host).into_boxed_str(), tricks }
    }

    /// From a record: a name that is in brackets already.
    #[must_use]
    pub fn recorded(name: &str, tricks: Tricks) -> Self {
        Self { name: name.chars().filter(char::is_ascii_graphic).take(3 * NAME_CHARS_MAX).collect::<String>().into(), tricks }
    }

    /// The host as it may be printed: `bad[.]example`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFacts {
    /// At most [`LINKS_MAX`].
    pub odd: Vec<OddLink>,
    /// The message was read to its end.
    pub is_whole: bool,
    /// Domains and addresses that links lead to and that lists were not asked about, since there were too many.
    pub unasked: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printed_so_that_nobody_can_click_it() {
        let odd = OddLink::new("www.bad.example\r\n\u{202e}", Tricks::default());
        assert_eq!(odd.name(), "www[.]bad[.]example");
        assert_eq!(OddLink::new("http://x", Tricks::default()).name(), "http[:]//x");
        assert!(OddLink::new(&".".repeat(999), Tricks::default()).name().len() <= 3 * NAME_CHARS_MAX);
    }

    #[test]
    fn a_set_of_tricks_has_what_was_put_in() {
        for one in Trick::ALL {
            let mut set = Tricks::default();
            set.add(one);
            assert_eq!(set.iter().collect::<Vec<_>>(), [one]);
        }
    }
}
