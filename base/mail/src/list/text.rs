//! Our own text, of which DROP is a part: a subject, words in any order, and behind `;` or `#` the reason.

use std::fmt::Write as _;

use super::{Entry, Faults, Line, day, no_subject, reason, told};
use crate::netset::{Action, NameKind, Subject};
use crate::quoted::Quoted;

/// Where a remark begins. Within a word its marks belong to a name: `a#b@bad.example`, `bad.example/a;b`.
fn remark_at(of: Option<NameKind>, text: &str) -> Option<usize> {
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    let is_name = of.is_some() || first.split_once(':').is_some_and(|(kind, _)| NameKind::parse(kind).is_some());
    let is_apart = |at: usize| text.get(..at).is_none_or(|before| before.is_empty() || before.ends_with(char::is_whitespace));
    text.match_indices([';', '#']).map(|(at, _)| at).find(|at| !is_name || is_apart(*at))
}

pub(super) fn read(of: Option<NameKind>, line: Line<'_>, take: &mut impl FnMut(Entry<'_>), faults: &mut Faults) {
    let (head, remark) = match remark_at(of, line.text) {
        Some(at) => (line.text.get(..at).unwrap_or_default(), line.text.get(at + 1..).unwrap_or_default()),
        None => (line.text, ""),
    };
    let mut words = head.split_ascii_whitespace();
    let Some(first) = words.next() else { return };
    let before = faults.told.len() + faults.more;
    let (bare, exempt) = first.strip_prefix('!').map_or((first, false), |rest| (rest, true));
    let subject = match Subject::parse_of(of, bare) {
        Ok(subject) => Some(subject),
        Err(why) => {
            faults.note(&line, bare, no_subject(of, bare, &why));
            None
        }
    };
    let mut action = exempt.then_some(Action::Exempt);
    let mut until = None;
    while let Some(word) = words.next() {
        if word == "until" {
            let text = words.next().unwrap_or_default();
            match day::parse_end(text) {
                Some(_) if until.is_some() => faults.note(&line, word, "it has an end already; one is right".to_owned()),
                Some(end) => until = Some(end),
                None => {
                    let problem = format!("{} is no day; right are 2027-01-31 or 2027-01-31T18:00:00Z", Quoted::text(text));
                    faults.note(&line, if text.is_empty() { word } else { text }, problem);
                }
            }
        } else if let Some(found) = Action::parse(word) {
            if action.is_some() {
                faults.note(&line, word, "what is to be done is said already; once is right".to_owned());
            }
            action = Some(found);
        } else {
            let problem = format!(
                "{} is not understood; right are block, allow, exempt, points such as 4.5, until and a day, and a reason behind ;",
                Quoted::text(word)
            );
            faults.note(&line, word, problem);
        }
    }
    if let Some(subject) = subject
        && faults.told.len() + faults.more == before
    {
        take(Entry { subject, action, reason: reason(remark), until });
    }
}

pub(super) fn line(entry: &Entry<'_>) -> String {
    let mut line = entry.subject.to_string();
    // A `String` never refuses what is written into it.
    if let Some(action) = entry.action {
        let _ = write!(line, " {action}");
    }
    if let Some(until) = entry.until {
        let _ = write!(line, " until {}", day::print_end(until));
    }
    if !entry.reason.is_empty() {
        let _ = write!(line, " ; {}", told(&entry.reason, &entry.subject));
    }
    line
}

/// DROP has networks and AS numbers, and no other word than that they are blocked.
pub(super) fn drop_line(entry: &Entry<'_>) -> Option<String> {
    if !matches!(entry.action, None | Some(Action::Block)) || matches!(entry.subject, Subject::Country(_) | Subject::Name(_)) {
        return None;
    }
    let subject = match &entry.subject {
        Subject::Network(network) => format!("{}/{}", network.address(), network.length()),
        other => other.to_string(),
    };
    let reason = told(&entry.reason, &entry.subject);
    Some(if reason.is_empty() { subject } else { format!("{subject} ; {reason}") })
}
