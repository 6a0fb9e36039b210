//! `docs/rfc.md`: which section of which standard the code obeys, departs from, or lacks, collected from the comments that say so:
//! `RFC 5321 §4.5.3: point`, `RFC 5321 §4.5.3 DEPARTS: why`, `RFC 5321 §4.5.3 TODO: what`. One comment may go on with more sections of
//! the same standard (`§4.1, §4.2`). A mention without a colon, as in `SIZE= (RFC 1870 §6)`, takes the words before it as its point.
//!
//! Promise: the page depends on the sources only, so that two runs over the same tree print the same page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use crate::{root, tidy};

/// Standards the mail path must keep, with their titles, in the order of the page. The others follow by number.
const TITLES: &[(u32, &str)] = &[
    (5321, "Simple Mail Transfer Protocol"),
    (6409, "Message Submission for Mail"),
    (1870, "Message Size Declaration (SIZE)"),
    (2920, "Command Pipelining (PIPELINING)"),
    (3030, "Large and Binary Messages (CHUNKING)"),
    (3207, "SMTP over TLS (STARTTLS)"),
    (3461, "Delivery Status Notifications (DSN)"),
    (4954, "Authentication (AUTH)"),
    (6531, "Internationalized Email (SMTPUTF8)"),
    (6152, "8-bit MIME Transport (8BITMIME)"),
    (2034, "Enhanced Error Codes (ENHANCEDSTATUSCODES)"),
    (8689, "REQUIRETLS"),
    (9422, "LIMITS"),
    (2033, "Local Mail Transfer Protocol (LMTP)"),
    (3463, "Enhanced Mail System Status Codes"),
    (3464, "Format of Delivery Status Notifications"),
    (5322, "Internet Message Format"),
    (7505, "Null MX"),
    (8314, "Cleartext Considered Obsolete"),
];

/// Titles of the standards behind those, which the code only touches.
const OTHER_TITLES: &[(u32, &str)] = &[
    (1034, "Domain Names: Concepts"),
    (1035, "Domain Names: Implementation"),
    (1123, "Requirements for Internet Hosts"),
    (2046, "MIME: Media Types"),
    (2181, "Clarifications to DNS"),
    (2308, "Negative Caching of DNS"),
    (3834, "Automatic Responses"),
    (3848, "ESMTP and LMTP Transmission Types"),
    (4013, "SASLprep"),
    (4616, "PLAIN"),
    (4648, "Base64"),
    (5233, "Sieve: Subaddress"),
    (5248, "Registry of Enhanced Status Codes"),
    (5802, "SCRAM"),
    (5890, "Internationalized Domain Names"),
    (6066, "TLS Extensions"),
    (6522, "multipart/report"),
    (6532, "Internationalized Email Headers"),
    (6533, "Internationalized Delivery Reports"),
    (6604, "xNAME RCODE"),
    (6761, "Special-Use Domain Names"),
    (7372, "Email Authentication Status Codes"),
    (7435, "Opportunistic Security"),
    (7504, "SMTP 521 and 556"),
    (7672, "DANE for SMTP"),
    (7677, "SCRAM-SHA-256"),
    (8098, "Message Disposition Notifications"),
    (8305, "Happy Eyeballs"),
    (8461, "MTA-STS"),
    (8996, "Deprecating TLS 1.0 and 1.1"),
    (9266, "Channel Bindings for TLS 1.3"),
    (9325, "Recommendations for TLS"),
];

/// Words taken from in front of a mention are a help, not an essay.
const LED_IN_CHARS_MAX: usize = 140;
/// So many transcripts are named; more are counted.
const TRANSCRIPTS_NAMED_MAX: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum How {
    Kept,
    Departs,
    Missing,
}

impl How {
    const ALL: [Self; 3] = [Self::Kept, Self::Departs, Self::Missing];

    fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Departs => "**departs**",
            Self::Missing => "**missing**",
        }
    }
}

/// One place that names a section.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mention {
    rfc: u32,
    section: String,
    how: How,
    /// What stands behind the colon, its first sentence.
    point: String,
    /// What stands in front of the mention, where nothing stands behind it.
    led_in: String,
}

/// Reads `5321 §4.1.1.4 DEPARTS: why` and gives number, sections, how and the rest.
fn head(text: &str) -> Option<(u32, Vec<String>, How, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text.get(..digits)?.parse().ok()?;
    let mut rest = text.get(digits..)?.strip_prefix(" §")?;
    let mut sections = Vec::new();
    loop {
        let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'.').count();
        let (section, behind) = rest.split_at_checked(length)?;
        sections.push(section.trim_end_matches('.').to_owned());
        // `RFC 3461 §4.1, §4.2` names two sections.
        match behind.strip_prefix(", §").or_else(|| behind.strip_prefix(" and §")) {
            Some(next) => rest = next,
            None => {
                rest = behind;
                break;
            }
        }
    }
    let (how, rest) = match (rest.strip_prefix(" DEPARTS"), rest.strip_prefix(" TODO")) {
        (Some(rest), _) => (How::Departs, rest),
        (_, Some(rest)) => (How::Missing, rest),
        _ => (How::Kept, rest),
    };
    Some((number, sections, how, rest))
}

/// The first sentence of `text`, without its end and without what a cut has left open.
fn sentence(text: &str) -> String {
    let text = text.split("RFC ").next().unwrap_or_default();
    let mut end = text.len();
    for (at, _) in text.match_indices(". ") {
        // `e.g. x` and `§4.2. X` aside, a sentence begins with a capital or a backquote.
        if text.get(at + 2..).is_some_and(|next| next.starts_with(|c: char| c.is_uppercase() || c == '`')) {
            end = at;
            break;
        }
    }
    let mut text = text.get(..end).unwrap_or_default().trim();
    if text.matches('(').count() > text.matches(')').count() {
        text = text.rsplit_once('(').map_or(text, |(whole, _)| whole).trim();
    }
    if text.matches(')').count() > text.matches('(').count() {
        text = text.split_once(')').map_or(text, |(whole, _)| whole).trim();
    }
    text.trim_end_matches(['.', ';', ',', ':']).trim().to_owned()
}

/// The words that lead to a mention: the last sentence of `before`.
fn led_in(before: &str) -> String {
    let before = before.trim_end().trim_end_matches('(').trim_end().trim_end_matches(['.', ',', ';', ':']);
    let begin = before.rmatch_indices(". ").map(|(at, _)| at + 2).next().unwrap_or(0);
    let text = before.get(begin..).unwrap_or_default().trim();
    // What still holds a reference speaks of another standard.
    if text.contains("RFC ") || text.contains('§') || text.chars().count() > LED_IN_CHARS_MAX {
        return String::new();
    }
    if text.matches('(').count() == text.matches(')').count() { text.to_owned() } else { String::new() }
}

/// Everything one comment says of standards.
fn mentions_in(comment: &str) -> Vec<Mention> {
    let mut all: Vec<Mention> = Vec::new();
    for (at, mark) in comment.match_indices("RFC ") {
        let Some((rfc, sections, how, rest)) = comment.get(at + mark.len()..).and_then(head) else { continue };
        // In `RFC 1 §2, RFC 3 §4: point` the point is said of both.
        let behind = rest.strip_prefix(':').map(sentence).unwrap_or_default();
        let before = if behind.is_empty() { comment.get(..at).map(led_in).unwrap_or_default() } else { String::new() };
        if rest.starts_with(':') {
            let mut shared = comment.get(..at).unwrap_or_default();
            for earlier in all.iter_mut().rev() {
                let joined = shared.ends_with(", ") && earlier.point.is_empty() && earlier.how == how;
                if !joined {
                    break;
                }
                earlier.point.clone_from(&behind);
                earlier.led_in.clear();
                shared = shared.rsplit_once("RFC ").map_or("", |(front, _)| front);
            }
        }
        all.extend(sections.into_iter().map(|section| Mention {
            rfc,
            section,
            how,
            point: behind.clone(),
            led_in: before.clone(),
        }));
    }
    all
}

/// Consecutive comment lines are one text.
fn comments(source: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open = false;
    for line in source.lines() {
        let trimmed = line.trim_start();
        let comment = ["///", "//!", "//", "#"]
            .iter()
            .find_map(|mark| trimmed.strip_prefix(mark))
            .filter(|_| !trimmed.starts_with("#[") && !trimmed.starts_with("#!["));
        match (comment.map(str::trim), all.last_mut()) {
            // An empty comment line ends a text.
            (Some(""), _) => {
                open = false;
                continue;
            }
            (Some(text), Some(last)) if open => {
                last.push(' ');
                last.push_str(text);
            }
            (Some(text), _) => all.push(text.to_owned()),
            (None, _) => {}
        }
        open = comment.is_some();
    }
    all
}

/// The key sorts sections as a reader does: 4.2 before 4.10.
fn by_number(section: &str) -> Vec<u32> {
    section.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

/// What is said of one section in one way.
#[derive(Default)]
struct Row {
    points: BTreeSet<String>,
    led_ins: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Row {
    fn add(&mut self, mention: Mention, file: &str) {
        self.files.insert(file.to_owned());
        if !mention.point.is_empty() {
            self.points.insert(mention.point);
        } else if !mention.led_in.is_empty() {
            self.led_ins.insert(mention.led_in);
        }
    }

    /// Explicit points; the words before the mentions only where there are none.
    fn point(&self) -> String {
        let points = if self.points.is_empty() { &self.led_ins } else { &self.points };
        let mut said: Vec<&str> = Vec::new();
        for point in points {
            let bare = point.to_lowercase();
            // The shorter of two that say the same is enough.
            if !points.iter().any(|other| other != point && other.to_lowercase().starts_with(&bare)) {
                said.push(point);
            }
        }
        said.join("; ").replace('|', "\\|")
    }

    fn places(&self) -> String {
        let is_transcript = |file: &&String| file.ends_with(".smtp");
        let mut places: Vec<String> = self.files.iter().filter(|file| !is_transcript(file)).map(|file| code(file)).collect();
        let transcripts: Vec<&String> = self.files.iter().filter(is_transcript).collect();
        if transcripts.len() > TRANSCRIPTS_NAMED_MAX {
            places.push(format!("{} transcripts", transcripts.len()));
        } else {
            places.extend(transcripts.into_iter().map(|file| code(file)));
        }
        places.join(", ")
    }
}

fn code(file: &str) -> String {
    format!("`{file}`")
}

type Rows = BTreeMap<(Vec<u32>, String), BTreeMap<How, Row>>;

fn collect() -> Result<BTreeMap<u32, Rows>, String> {
    let mut found: BTreeMap<u32, Rows> = BTreeMap::new();
    for path in tidy::sources(&["rs", "smtp"])? {
        let file = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if file.starts_with("xtask/") {
            continue;
        }
        let source = fs::read_to_string(&path).map_err(|error| format!("{file}: {error}"))?;
        for mention in comments(&source).iter().flat_map(|comment| mentions_in(comment)) {
            let rows = found.entry(mention.rfc).or_default();
            let row = rows.entry((by_number(&mention.section), mention.section.clone())).or_default();
            row.entry(mention.how).or_default().add(mention, &file);
        }
    }
    Ok(found)
}

/// The page.
pub(crate) fn table() -> Result<String, String> {
    Ok(page(&collect()?))
}

fn page(found: &BTreeMap<u32, Rows>) -> String {
    let mut page = String::from(
        "# Standards, section by section\n\nGenerated by `cargo xtask rfc-table` from the comments in the code; do not edit. *kept*: the code does what the section \
         says at the places named. *departs*: it does otherwise, for the reason given. *missing*: not there yet.\n\n",
    );
    let title = |number: u32| TITLES.iter().chain(OTHER_TITLES).find(|(known, _)| *known == number).map(|(_, title)| *title);
    let is_chief = |number: &u32| TITLES.iter().any(|(known, _)| known == number);
    let numbers: Vec<u32> =
        TITLES.iter().map(|(number, _)| *number).chain(found.keys().copied().filter(|number| !is_chief(number))).collect();

    page.push_str("| RFC | | kept | departs | missing |\n|---|---|---|---|---|\n");
    for number in &numbers {
        let count = |how| found.get(number).map_or(0, |rows| rows.values().filter(|row| row.contains_key(&how)).count());
        let [kept, departs, missing] = How::ALL.map(count);
        let _ = writeln!(
            page,
            "| [{number}](#rfc-{number}) | {} | {kept} | {departs} | {missing} |",
            title(*number).unwrap_or_default()
        );
    }
    for number in numbers {
        let _ = write!(page, "\n## RFC {number}\n\n");
        if let Some(title) = title(number) {
            let _ = write!(page, "{title}\n\n");
        }
        let Some(rows) = found.get(&number) else {
            page.push_str("missing: no place in the code names it.\n");
            continue;
        };
        page.push_str("| section | how | point | where |\n|---|---|---|---|\n");
        for ((_, section), hows) in rows {
            for (how, row) in hows {
                let _ = writeln!(page, "| {section} | {} | {} | {} |", how.word(), row.point(), row.places());
            }
        }
    }
    page
}

#[cfg(test)]
mod tests;
