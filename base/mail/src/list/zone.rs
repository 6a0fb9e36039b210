//! Zones of rbldnsd: `ip4set` with its short forms and ranges, `ip4trie`, `ip6trie`, `dnset`, with exclusions, defaults, substitutions and ends. Its A
//! values are for those who ask by DNS and mean nothing here; its TXT values are reasons.
//!
//! What is not read is a mistake that is told: `generic` and `combined` datasets, and names where addresses are expected.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{Entry, Family, Faults, Line, day, no_subject, push, reason, replaced};
use crate::envelope::UnixMillis;
use crate::netset::{Action, HERE, Name, NameKind, Network, REASON_BYTES_MAX, Subject};
use crate::quoted::Quoted;

/// RFC 5782 §5: a list by DNS lists 127.0.0.2 and never 127.0.0.1, so that whoever asks can tell that it answers at all.
const TEST_POINTS: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 1)];

/// RFC 5782 §5: a list of names lists `test` and never `invalid`.
const TEST_NAMES: [&str; 2] = ["test", "invalid"];

/// What a zone has said so far for the lines below.
#[derive(Default)]
struct Scope {
    /// Of entries without a text of their own.
    default: String,
    variables: [String; 10],
    base: Option<String>,
    /// Wider ranges are left out.
    addresses_max: Option<u64>,
    until: Option<UnixMillis>,
}

pub(super) fn read<'a>(
    of: Option<NameKind>,
    lines: impl Iterator<Item = Line<'a>>,
    take: &mut impl FnMut(Entry<'_>),
    faults: &mut Faults,
) {
    let mut scope = Scope::default();
    for line in lines {
        let text = line.text.trim_ascii();
        let special = ["$", "#$", ";$", ":$"].iter().find_map(|mark| text.strip_prefix(mark));
        if let Some(special) = special {
            if let Err((word, problem)) = scope.special(special) {
                faults.note(&line, word, problem);
            }
        } else if text.is_empty() || text.starts_with(['#', ';']) {
        } else if text.starts_with(':') && !text.starts_with("::") {
            let template = scope.value(text, "").into_owned();
            scope.default = template;
        } else {
            entry((&scope, of), &line, text, take, faults);
        }
    }
}

fn entry(
    (scope, of): (&Scope, Option<NameKind>),
    line: &Line<'_>,
    text: &str,
    take: &mut impl FnMut(Entry<'_>),
    faults: &mut Faults,
) {
    let (text, excluded) = text.strip_prefix('!').map_or((text, false), |rest| (rest, true));
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '#' || c == ';').unwrap_or(text.len());
    let mut word = text.get(..end).unwrap_or_default();
    let is_v6 =
        of.is_none() && word.split_once(':').is_some_and(|(before, _)| before.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !is_v6 && let Some((before, _)) = word.split_once(':') {
        word = before;
    }
    let subjects = match of {
        Some(kind) => Name::parse(kind, word).map(|name| vec![Subject::Name(name)]),
        None if is_v6 => network6(word).map(|network| vec![Subject::Network(network)]),
        None => networks4(word, scope.addresses_max).map(|networks| networks.into_iter().map(Subject::Network).collect()),
    };
    let subjects = match subjects {
        Ok(subjects) => subjects,
        Err(why) => return faults.note(line, word, no_subject(of, word, &why)),
    };
    let value = text.get(word.len()..).unwrap_or_default().trim_ascii_start();
    let commented = value.is_empty() || value.starts_with(['#', ';']);
    let reason = if excluded || commented { Cow::Borrowed("") } else { scope.value(value, &scope.default) };
    let reason: &str = if excluded {
        ""
    } else if commented {
        &scope.default
    } else {
        &reason
    };
    let action = excluded.then_some(Action::Exempt);
    for subject in subjects {
        if !is_test(&subject) {
            take(Entry { subject, action, reason: Cow::Borrowed(reason), until: scope.until });
        }
    }
}

/// RFC 5782 §5: the test points are no clients.
fn is_test(subject: &Subject) -> bool {
    match subject {
        Subject::Network(network) => TEST_POINTS.iter().any(|point| *network == Network::V4((*point).into(), 32)),
        Subject::Name(name) => name.in_zone().is_some_and(|text| TEST_NAMES.contains(&text)),
        Subject::Asn(_) | Subject::Country(_) => false,
    }
}

impl Scope {
    /// The TXT of `:A:TXT`, `:A` (which has the default), `:A:` (which has none) or `TXT`.
    ///
    /// Whatever is put in for what, it is no longer than a reason: templates that hold each other would grow without end.
    fn value<'a>(&'a self, text: &'a str, default: &'a str) -> Cow<'a, str> {
        let template = match text.strip_prefix(':') {
            None => text,
            Some(rest) => match rest.split_once(':') {
                None => return Cow::Borrowed(default),
                Some((_, template)) => template,
            },
        };
        let template = reason(template);
        let whole = match (&self.base, template.strip_prefix('=')) {
            (Some(_), Some(own)) => Cow::Owned(own.to_owned()),
            (Some(base), None) if !template.is_empty() => Cow::Owned(replaced(base, "$=", &template)),
            _ => template,
        };
        if whole.contains('$') { Cow::Owned(self.substituted(&whole)) } else { whole }
    }

    fn substituted(&self, template: &str) -> String {
        let mut text = String::with_capacity(template.len());
        let mut rest = template.chars().peekable();
        while let Some(c) = rest.next().filter(|_| text.len() < REASON_BYTES_MAX) {
            match (c, rest.peek().copied()) {
                ('$', Some('$')) => {
                    rest.next();
                    text.push('$');
                }
                ('$', Some(digit)) if digit.is_ascii_digit() => {
                    rest.next();
                    let variable = digit.to_digit(10).and_then(|digit| self.variables.get(usize::try_from(digit).ok()?));
                    push(&mut text, variable.map_or("", |variable| variable));
                }
                ('$', _) => text.push(HERE),
                (c, _) => push(&mut text, c.encode_utf8(&mut [0; 4])),
            }
        }
        text
    }

    /// A line that begins with a dollar sign. `Err`: a word of it, and what is wrong.
    fn special<'a>(&mut self, text: &'a str) -> Result<(), (&'a str, String)> {
        let (keyword, rest) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
        let rest = rest.trim_ascii();
        match keyword {
            // For those who ask by DNS.
            "SOA" | "NS" | "TTL" => Ok(()),
            "=" => {
                self.base = Some(reason(rest).into_owned());
                Ok(())
            }
            "MAXRANGE4" => {
                let length = rest.strip_prefix('/').map(|bits| bits.parse().ok().filter(|bits: &u32| *bits <= 32));
                let most = match length {
                    Some(bits) => bits.map(|bits| 1 << (32 - bits)),
                    None => rest.parse().ok(),
                };
                let most: u64 = most.ok_or((rest, "right are a number of addresses, or a slash and a length".to_owned()))?;
                // It can be made smaller further down, never larger.
                self.addresses_max = Some(self.addresses_max.map_or(most, |before| before.min(most)));
                Ok(())
            }
            "TIMESTAMP" => {
                let mut words = rest.split_ascii_whitespace();
                let made = words.next().unwrap_or_default();
                self.until = expiry(stamp(made), words.next().unwrap_or("0")).map_err(|()| {
                    (rest, "right are a time such as 2027:01:31:18:00:00, and an end of that form or +7d".to_owned())
                })?;
                Ok(())
            }
            "DATASET" => Err((keyword, "a combined zone holds several lists; give each of them as a file of its own".to_owned())),
            _ => match keyword.as_bytes() {
                [digit] if digit.is_ascii_digit() => {
                    if let Some(variable) = self.variables.get_mut(usize::from(digit - b'0')) {
                        *variable = reason(rest).into_owned();
                    }
                    Ok(())
                }
                _ => {
                    let known = "$SOA, $NS, $TTL, $TIMESTAMP, $MAXRANGE4, $= and $0 to $9";
                    Err((keyword, format!("{} is not understood; known are {known}", Quoted::text(keyword))))
                }
            },
        }
    }
}

/// `2027:01:31:18:00:00`, with dashes or without anything between, and as much of it as there is from the right.
fn stamp(text: &str) -> Option<UnixMillis> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let fits = matches!(digits.len(), 8 | 10 | 12 | 14) && text.chars().all(|c| c.is_ascii_digit() || c == ':' || c == '-');
    let padded = format!("{digits:0<14}");
    let part = |from: usize, to: usize| padded.get(from..to).unwrap_or_default();
    let iso = format!("{}-{}-{}T{}:{}:{}Z", part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 12), part(12, 14));
    if fits { day::parse_end(&iso) } else { None }
}

fn expiry(made: Option<UnixMillis>, text: &str) -> Result<Option<UnixMillis>, ()> {
    if matches!(text, "0" | "-") {
        return Ok(None);
    }
    let Some(relative) = text.strip_prefix('+') else { return stamp(text).map(Some).ok_or(()) };
    let (number, unit) = match relative.char_indices().next_back() {
        Some((at, last)) if last.is_ascii_alphabetic() => (relative.get(..at).unwrap_or_default(), last),
        _ => (relative, 's'),
    };
    let seconds = match unit.to_ascii_lowercase() {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(()),
    };
    let length = number.parse::<u32>().map_err(|_| ())?;
    made.map(|made| Some(made.plus(Duration::from_secs(u64::from(length) * seconds)))).ok_or(())
}

/// The first octets of an address.
fn octets(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "it is no IPv4 address nor the beginning of one".to_owned();
    let octets: Vec<u8> = text.split('.').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    if octets.len() > 4 { Err(wrong()) } else { Ok(octets) }
}

fn filled(octets: &[u8], with: u8) -> Ipv4Addr {
    let at = |index: usize| octets.get(index).copied().unwrap_or(with);
    Ipv4Addr::new(at(0), at(1), at(2), at(3))
}

/// `127.0.0.2`, `127.0`, `127/8`, `127.0.0.1-255`, `127.16-31`, `127.16.0.0-127.31.255.255`.
fn networks4(word: &str, addresses_max: Option<u64>) -> Result<Vec<Network>, String> {
    let (first, last) = if let Some((begin, bits)) = word.split_once('/') {
        let bits: u8 = bits.parse().map_err(|_| "behind the slash stands the length of the prefix, in bits".to_owned())?;
        let network = Network::new(filled(&octets(begin)?, 0).into(), bits)?;
        let Network::V4(start, length) = network else { return Ok(vec![network]) };
        (start, start | u32::MAX.checked_shr(length.into()).unwrap_or(0))
    } else if let Some((begin, end)) = word.split_once('-') {
        let (begin, mut end) = (octets(begin)?, octets(end)?);
        // A single number goes on from the last octet of the first address.
        if let ([number], Some((_, before))) = (end.as_slice(), begin.split_last()) {
            end = [before, &[*number]].concat();
        }
        (filled(&begin, 0).into(), filled(&end, 255).into())
    } else {
        let octets = octets(word)?;
        (filled(&octets, 0).into(), filled(&octets, 255).into())
    };
    if first > last {
        return Err(format!("the range ends before it begins; right is {}-{}", Ipv4Addr::from(last), Ipv4Addr::from(first)));
    }
    if addresses_max.is_some_and(|most| u64::from(last - first) + 1 > most) {
        return Ok(Vec::new());
    }
    Ok(Network::of_range(first.into(), last.into()))
}

/// `2001:db8::/32`, `2001:db8:1:2` (of which the rest is free), `::1`.
fn network6(word: &str) -> Result<Network, String> {
    let (text, bits) = word.split_once('/').map_or((word, None), |(text, bits)| (text, Some(bits)));
    let (address, own): (Ipv6Addr, u8) = if text.contains("::") || text.contains('.') {
        (text.parse().map_err(|_| "it is no IPv6 address".to_owned())?, 128)
    } else {
        let wrong = || "it is no IPv6 address nor the beginning of one".to_owned();
        let mut parts = [0_u16; 8];
        let mut count: u8 = 0;
        for part in text.split(':') {
            let place = parts.get_mut(usize::from(count)).ok_or_else(wrong)?;
            *place = u16::from_str_radix(part, 16).map_err(|_| wrong())?;
            count += 1;
        }
        (Ipv6Addr::from(parts), count * 16)
    };
    let bits = match bits {
        None => own,
        Some(bits) => bits.parse().map_err(|_| "behind the slash stands the length of the prefix, in bits".to_owned())?,
    };
    Network::new(address.into(), bits)
}

/// What a zone of ours begins with. RFC 5782 §5: the test points.
pub(super) fn head(family: Family) -> &'static str {
    match family {
        Family::V4 => "$TTL 1h\n# Test points of RFC 5782, section 5.\n127.0.0.2 :127.0.0.2:Test entry\n!127.0.0.1\n",
        Family::V6 => "$TTL 1h\n# Test points of RFC 5782, section 5.\n::ffff:7f00:2 :127.0.0.2:Test entry\n!::ffff:7f00:1\n",
        Family::Names(_) => "$TTL 1h\n# Test points of RFC 5782, section 5.\ntest :127.0.0.2:Test entry\n!invalid\n",
    }
}

/// What is blocked or has points against it is listed; what is allowed, exempt, or has no points against it is an exclusion, which has no text:
/// left out, it would be listed with the network around it.
pub(super) fn line(family: Family, entry: &Entry<'_>) -> Option<String> {
    let subject = match (&entry.subject, family) {
        (Subject::Network(network @ Network::V4(..)), Family::V4) | (Subject::Network(network @ Network::V6(..)), Family::V6) => {
            network.to_string()
        }
        (Subject::Name(name), Family::Names(kind)) if name.kind() == kind => name.in_zone()?.to_owned(),
        _ => return None,
    };
    Some(match entry.action {
        Some(Action::Score(..=0) | Action::Allow | Action::Exempt) => format!("!{subject}"),
        _ if entry.reason.is_empty() => subject,
        _ => format!("{subject} :127.0.0.2:{}", entry.reason.replace('$', "$$").replace(HERE, "$")),
    })
}
