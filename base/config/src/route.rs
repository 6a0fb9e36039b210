//! `[[route]]`: where mail goes that is not for a hosted domain. Promise: of all routes that fit, the most particular is taken,
//! whatever their order in the file.

use std::fmt;

use postern_mail::{Domain, Host};

use crate::next_hop::{Credentials, Target, TlsMode};
use crate::table::section;
use crate::value::text_values;

/// Which domains a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// This one: `example.org` or `[192.0.2.1]`.
    Exact(Host),
    /// Everything below this one, not the domain itself: `*.example.org`.
    Below(Domain),
    /// Everything: `*`.
    All,
}

impl Pattern {
    /// Parses `example.org`, `[192.0.2.1]`, `*.example.org` or `*`.
    ///
    /// # Errors
    /// In words, when it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let domain = |text: &str| Domain::parse(text).map_err(|fault| fault.to_string());
        match text.strip_prefix('*') {
            Some("") => Ok(Self::All),
            Some(rest) => Ok(Self::Below(domain(rest.strip_prefix('.').ok_or("a star stands alone or before a dot")?)?)),
            None => Ok(Self::Exact(Host::parse(text).map_err(|fault| fault.to_string())?)),
        }
    }

    /// How closely it fits a host; larger is closer. `None`: it does not.
    fn fits(&self, host: &Host) -> Option<usize> {
        match self {
            Self::Exact(exact) => (exact == host).then_some(usize::MAX),
            Self::Below(domain) => {
                host.name().filter(|name| *name != domain && name.is_within(domain)).map(|_| domain.as_str().len())
            }
            Self::All => Some(0),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
            Self::All => f.write_str("*"),
        }
    }
}

text_values! {
    Pattern, "domain pattern", Pattern::parse, ToString::to_string;
}

section! {
    /// Where mail goes that is not for a hosted domain. Without a route that fits, it goes to the domain's mail exchangers. Of
    /// all routes that fit, the most particular is taken: a domain before `*.domain`, a longer one before a shorter one, `*`
    /// last.
    pub struct Route {
        /// Domains: `example.org`, `*.example.org` for everything below it, `*` for everything, `[192.0.2.1]` for an address
        /// literal.
        #[key(example = "[\"sink.test\", \"*.corp.example\"]", why = "a route for nothing would be a mistake")]
        pub to: Vec<Pattern>;
        /// The host that takes the mail, by name (its addresses are used, not its MX) or by address.
        #[key(example = "\"smtp.example.net\"", why = "there is no host for everybody")]
        pub host: Target;
        /// Its TCP port.
        #[key(example = "587", why = "where mail servers listen", within = 1..=u16::MAX)]
        pub port: u16 = 25;
        /// `none`; `opportunistic`: where offered, with any certificate; `require`: always, with any certificate; `verify`:
        /// always, and the certificate must be for this host.
        #[key(example = "\"verify\"", why = "works with every host and is not readable by passive listeners")]
        pub tls: TlsMode = TlsMode::Opportunistic;
        /// What we log in with there, only ever under TLS.
        #[key(
            example = "{ user = \"postern\", password_file = \"/etc/postern/relay.password\" }",
            why = "most hosts inside need none"
        )]
        pub credentials: Option<Credentials> = None;
    }
}

/// The route for a host, if any fits.
pub(crate) fn route_for<'a>(routes: &'a [Route], host: &Host) -> Option<&'a Route> {
    let mut closest: Option<(usize, &Route)> = None;
    for route in routes {
        let fit = route.to.iter().filter_map(|pattern| pattern.fits(host)).max();
        if let Some(fit) = fit.filter(|fit| closest.is_none_or(|(so_far, _)| *fit > so_far)) {
            closest = Some((fit, route));
        }
    }
    closest.map(|(_, route)| route)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Machine, load};

    #[test]
    fn the_most_particular_route_is_taken_whatever_the_order() {
        let patterns = ["*", "*.example", "*.corp.example", "www.corp.example", "[192.0.2.1]"];
        let route = |index: usize, pattern: &str| format!("[[route]]\nto = [\"{pattern}\"]\nhost = \"h{index}.test\"\n");
        let forward: String = patterns.iter().enumerate().map(|(index, pattern)| route(index, pattern)).collect();
        let backward: String = patterns.iter().enumerate().rev().map(|(index, pattern)| route(index, pattern)).collect();
        for text in [forward, backward] {
            let config = load(&text, "postern.toml", &Machine::named("mx.example.org")).unwrap();
            let chosen = |host: &str| config.route_for(&Host::parse(host).unwrap()).unwrap().host.to_string();
            assert_eq!(chosen("www.corp.example"), "h3.test");
            assert_eq!(chosen("a.b.corp.example"), "h2.test");
            assert_eq!(chosen("corp.example"), "h1.test", "a star stands for at least one label");
            assert_eq!(chosen("notcorp.example"), "h1.test");
            assert_eq!(chosen("example"), "h0.test");
            assert_eq!(chosen("[192.0.2.1]"), "h4.test");
            assert_eq!(chosen("[192.0.2.2]"), "h0.test");
        }
    }

    #[test]
    fn without_a_route_that_fits_there_is_none() {
        let text = "[[route]]\nto = [\"a.example\"]\nhost = \"h.test\"\n";
        let config = load(text, "postern.toml", &Machine::named("mx.example.org")).unwrap();
        assert_eq!(config.route_for(&Host::parse("b.example").unwrap()), None);
    }

    #[test]
    fn a_star_stands_alone_or_before_a_dot() {
        for bad in ["*x.example", "a.*.example", "**", "*.", "", "[192.0.2]", "*.[192.0.2.1]"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        for good in ["*", "*.example.org", "example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]"] {
            assert_eq!(Pattern::parse(good).unwrap().to_string(), good);
        }
    }
}
