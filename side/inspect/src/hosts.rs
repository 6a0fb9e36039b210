//! Services whose links lead elsewhere: those that everybody knows, and those that the operator names. Promise: the tables are fixed in size, nothing is
//! fetched, and a host that is in none of them is read as it stands.

use postern_mail::domain::Domain;

use crate::names::DomainSet;

/// Services whose links say only when they are asked where they lead.
const SHORTENERS: &[&str] = &[
    "2u.pw",
    "9nl.com",
    "aka.ms",
    "amzn.to",
    "app.goo.gl",
    "bit.do",
    "bit.ly",
    "bitly.com",
    "bitly.ws",
    "bl.ink",
    "buff.ly",
    "clck.ru",
    "cli.re",
    "clk.im",
    "cutt.ly",
    "dlvr.it",
    "dub.sh",
    "fb.me",
    "g.co",
    "gg.gg",
    "goo.gl",
    "goo.su",
    "han.gl",
    "hyperurl.co",
    "ift.tt",
    "is.gd",
    "kutt.it",
    "lihi.cc",
    "linktr.ee",
    "lnkd.in",
    "me2.do",
    "ow.ly",
    "page.link",
    "po.st",
    "ppt.cc",
    "qr.ae",
    "qrco.de",
    "rb.gy",
    "rebrand.ly",
    "reurl.cc",
    "s.id",
    "short.gy",
    "short.io",
    "shorturl.asia",
    "shorturl.at",
    "snip.ly",
    "soo.gd",
    "su.pr",
    "surl.li",
    "t.co",
    "t.ly",
    "t2m.io",
    "tiny.cc",
    "tiny.one",
    "tinyurl.com",
    "tny.im",
    "tr.im",
    "trib.al",
    "u.to",
    "urly.it",
    "urlz.fr",
    "v.gd",
    "vk.cc",
    "wp.me",
    "x.co",
    "zpr.io",
];

/// Hosts whose links have another one within, and where their paths begin.
const REDIRECTORS: &[(&str, &str)] = &[
    ("ampproject.org", "/"),
    ("anonym.to", "/"),
    ("awin1.com", "/"),
    ("bing.com", "/ck/"),
    ("click.linksynergy.com", "/"),
    ("deref-gmx.net", "/"),
    ("deref-web.de", "/"),
    ("disq.us", "/"),
    ("doubleclick.net", "/"),
    ("duckduckgo.com", "/l/"),
    ("exit.sc", "/"),
    ("facebook.com", "/l.php"),
    ("facebook.com", "/flx/"),
    ("getpocket.com", "/redirect"),
    ("go.redirectingat.com", "/"),
    ("google.com", "/amp/"),
    ("google.com", "/url"),
    ("googleadservices.com", "/"),
    ("href.li", "/"),
    ("l.instagram.com", "/"),
    ("linkedin.com", "/redir"),
    ("linkprotect.cudasvc.com", "/"),
    ("medium.com", "/r/"),
    ("nullrefer.com", "/"),
    ("out.reddit.com", "/"),
    ("prf.hn", "/"),
    ("r.search.yahoo.com", "/"),
    ("safelinks.protection.outlook.com", "/"),
    ("secure-web.cisco.com", "/"),
    ("slack-redir.net", "/"),
    ("steamcommunity.com", "/linkfilter"),
    ("t.umblr.com", "/"),
    ("translate.google.com", "/"),
    ("urldefense.com", "/"),
    ("urldefense.proofpoint.com", "/"),
    ("viglink.com", "/"),
    ("vk.com", "/away.php"),
    ("web.archive.org", "/web/"),
    ("youtube.com", "/redirect"),
];

/// All that are known.
#[derive(Clone, Debug)]
pub struct Hosts {
    shorteners: DomainSet,
    redirectors: DomainSet,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new(&[], &[])
    }
}

impl Hosts {
    /// Those that everybody knows, and these.
    #[must_use]
    pub fn new(shorteners: &[Domain], redirectors: &[Domain]) -> Self {
        let known = SHORTENERS.iter().filter_map(|name| Domain::parse(name).ok());
        Self { shorteners: known.chain(shorteners.iter().cloned()).collect(), redirectors: redirectors.iter().cloned().collect() }
    }

    pub(crate) fn shortens(&self, host: &Domain) -> bool {
        self.shorteners.covers(host).is_some()
    }

    pub(crate) fn redirects(&self, host: &str, path: &str) -> bool {
        // Four octets tell nearly all hosts from nearly all of these, without a call.
        let end = host.as_bytes().last_chunk::<4>();
        let is_known = |(name, begins): &(&str, &str)| {
            name.as_bytes().last_chunk::<4>() == end
                && host.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
                && path.starts_with(begins)
        };
        REDIRECTORS.iter().any(is_known) || self.redirectors.covers_name(host).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_names_and_their_own_hosts_are_known() {
        for name in SHORTENERS.iter().chain(REDIRECTORS.iter().map(|(name, _)| name)) {
            assert_eq!(Domain::parse(name).unwrap().as_str(), *name);
            assert!(name.len() >= 4, "{name}");
        }
        let own = [Domain::parse("go.example.net").unwrap()];
        let hosts = Hosts::new(&own, &own);
        for (host, shortens) in
            [("bit.ly", true), ("x.bit.ly", true), ("rabbit.ly", false), ("a.go.example.net", true), ("example.net", false)]
        {
            assert_eq!(hosts.shortens(&Domain::parse(host).unwrap()), shortens, "{host}");
        }
        for (host, path, redirects) in [
            ("www.google.com", "/url", true),
            ("www.google.com", "/maps", false),
            ("notgoogle.com", "/url", false),
            ("go.example.net", "/x", true),
        ] {
            assert_eq!(hosts.redirects(host, path), redirects, "{host}{path}");
        }
    }
}
