//! `[policy.links]`: how messages are read for links. Promise: what reading one message may cost is bounded, and what was not read is said in the trail.

use postern_mail::Domain;
use postern_mail::link::Trick;

use crate::dnsbl::{print_points, read_points};
use crate::read::{Node, Report};
use crate::table::{Kind, section};
use crate::units::Size;
use crate::value::{Secrets, Value, print_table};

/// Points for single tricks: `{ literal = 1.0 }`. Those that are not named have what they have without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrickPoints(pub Vec<(Trick, i16)>);

section! {
    /// How strangers' messages are read for links: for what is odd about them, and for the lists of `[[policy.uribl]]` and `[[policy.hashbl]]`.
    pub struct Links: Default {
        /// Whether they are read.
        #[key(example = "false", why = "most of what does harm is behind a link")]
        pub enabled: bool = true;
        /// Octets of one message that are searched, after decoding and inflating.
        #[key(
            example = "\"512KiB\"",
            why = "text and HTML of honest mail are smaller, and it takes some milliseconds",
            within = Size(1 << 10)..=Size(64 << 20)
        )]
        pub octets_max: Size = Size(2 << 20);
        /// Links of one message that are looked at; of equal ones only the first. As many again are looked at where each leads to another domain than those
        /// before it.
        #[key(example = "2000", why = "the longest newsletters have some hundreds", within = 1..=100_000)]
        pub links_max: u32 = 500;
        /// Domains and addresses of one message that lists are asked about, and as many mail addresses; those that a reader clicks first.
        #[key(example = "20", why = "each is a question to each list, and the longest digests lead to some dozen", within = 1..=256)]
        pub asked_max: u32 = 100;
        /// Points for what is odd about a link. Only the worst link of a message counts. Without a word here: text that shows another domain 2.0
        /// (`shown-other`), a user name before the host 3.0 (`credentials`), an address instead of a name 1.0 (`literal`), one that is written to be misread
        /// 5.0 (`odd-literal`), a private network 1.0 (`private`), mixed scripts 3.0 (`mixed-script`), letters that look like others 5.0 (`look-alike`), no
        /// valid host 1.5 (`invalid`), hidden characters 2.0 (`hidden`), a page or script in the link itself 3.0 (`embedded`), a shortener 0.5 (`shortener`),
        /// text and HTML that lead to different places 0.5 (`alternatives`).
        #[key(example = "{ literal = 2.0, shortener = 0.0 }", why = "what honest mail has now and then has few", shown = "none")]
        pub points: TrickPoints = TrickPoints::default();
        /// Points when links lead to more places than lists are asked about.
        #[key(example = "0.0", why = "a bad link may be hidden among many, and so may an honest one", within = 0.0..=999.0)]
        pub crowd_points: f64 = 2.0;
        /// Services besides those that are known anyway whose links say only when they are asked where they lead. They are never asked.
        #[key(example = "[\"go.example.net\"]", why = "some dozen are known")]
        pub shorteners: Vec<Domain> = Vec::new();
        /// Hosts besides those that are known anyway whose links have another one within, also where that has no scheme: lists are asked about both.
        #[key(example = "[\"click.example.net\"]", why = "some dozen are known")]
        pub redirectors: Vec<Domain> = Vec::new();
    }
}

impl Value for TrickPoints {
    fn kind() -> Kind {
        Kind::plain("table of tricks and their points")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let names: Vec<&str> = Trick::ALL.iter().map(|trick| trick.as_str()).collect();
        let trick = |name: &str| Trick::ALL.into_iter().find(|trick| trick.as_str() == name);
        read_points(node, report, &format!("the tricks {}", names.join(", ")), |name, tenths| {
            trick(name).filter(|_| tenths >= 0).map(|trick| (trick, tenths))
        })
        .map(Self)
    }

    fn print(&self, _: Secrets) -> String {
        let entries: Vec<_> = self.0.iter().map(|(trick, tenths)| (trick.as_str(), print_points(*tenths))).collect();
        print_table(entries.iter().map(|(name, points)| (*name, points.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use crate::load::{Machine, load};

    fn errors(keys: &str) -> String {
        match load(&format!("[policy.links]\n{keys}\n"), "f", &Machine::named("mx.example")) {
            Ok(_) => String::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn tricks_have_the_points_that_are_written_down_and_what_is_none_is_an_error() {
        assert_eq!(errors("points = { literal = 2.5, \"odd-literal\" = 0.0 }"), "");
        for (keys, words) in [
            ("points = { literall = 1.0 }", "none of the tricks"),
            ("points = { literal = -1.0 }", "none of the tricks"),
            ("points = { literal = 1000.0 }", "out of range"),
            ("points = 3", "a table"),
            ("asked_max = 1000", "256"),
        ] {
            assert!(errors(keys).contains(words), "{keys}: {}", errors(keys));
        }
    }
}
