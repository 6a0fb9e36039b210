//! Head: what an answer of rspamd means. Promise: what does not read is a failure, only an action that is known does anything, and all of what it
//! wants changed is done or nothing.

use std::collections::BTreeMap;

use postern_config::RspamdUse;
use postern_mail::Reply;
use postern_mail::filter::{FilterWord, bounded};
use serde::Deserialize;

use crate::{Change, Opinion};

/// Changes of one answer. One with more is a failure: half of what a filter wants may be worse than nothing of it.
const CHANGES_MAX: usize = 1_000;
/// The field by which rspamd's own proxy marks spam that is not refused.
const MARK: &str = "X-Spam";

#[derive(Deserialize)]
struct Answer {
    action: String,
    #[serde(default)]
    score: f64,
    #[serde(default)]
    required_score: f64,
    #[serde(default)]
    symbols: Table<Symbol>,
    #[serde(default)]
    messages: Table<serde_json::Value>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    milter: Milter,
    #[serde(default, rename = "dkim-signature")]
    signature: Option<OneOrMany<String>>,
}

#[derive(Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

#[derive(Default, Deserialize)]
struct Milter {
    #[serde(default)]
    add_headers: Table<OneOrMany<Added>>,
    #[serde(default)]
    remove_headers: Table<serde_json::Value>,
}

/// Names and what belongs to them. rspamd is written in Lua, which has one word for an empty table and an empty list: an empty one comes as `[]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Table<T> {
    Of(BTreeMap<String, T>),
    Empty([serde::de::IgnoredAny; 0]),
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self::Empty([])
    }
}

impl<T> Table<T> {
    fn get(&self, name: &str) -> Option<&T> {
        match self {
            Self::Of(all) => all.get(name),
            Self::Empty(_) => None,
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        match self {
            Self::Of(all) => Some(all.iter()),
            Self::Empty(_) => None,
        }
        .into_iter()
        .flatten()
    }

    fn all(self) -> BTreeMap<String, T> {
        match self {
            Self::Of(all) => all,
            Self::Empty(_) => BTreeMap::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn all(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Added {
    Plain(String),
    At {
        value: String,
        #[serde(default)]
        order: Option<i64>,
    },
}

/// # Errors
/// In words, when it is no answer.
pub(super) fn understood(answer: &[u8], usage: RspamdUse) -> Result<Opinion, String> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| format!("its answer does not read: {error}"))?;
    let (words, said) = (words(&answer), message(&answer));
    let reply = |code: u16, general: &str| {
        let text = said.clone().unwrap_or_else(|| general.to_owned());
        Reply::of_filter(code, None, text).unwrap_or_else(Reply::deferred_by_policy)
    };
    let counts = usage == RspamdUse::Action;
    let word = match answer.action.as_str() {
        _ if !counts => FilterWord::Points(tenths(answer.score)),
        "reject" => FilterWord::Refuse(reply(550, "The message was taken for spam")),
        "soft reject" => FilterWord::Defer(reply(451, "Come again later")),
        "quarantine" => FilterWord::Hold,
        "discard" => FilterWord::Discard,
        // Greylisting is said as a soft reject when it is due; `greylist` is only the threshold. What else an operator named in rspamd we do not
        // know, and the words say it.
        _ => FilterWord::Pass,
    };
    let rewritten = answer.subject.clone().filter(|_| counts && answer.action == "rewrite subject");
    let is_marked = counts && answer.action == "add header";
    let changes = changes(answer.milter, answer.signature, rewritten, is_marked)?;
    Ok(Opinion { word, words, changes })
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to within a thousand; not a number becomes nought")]
fn tenths(points: f64) -> i16 {
    (points.clamp(-999.0, 999.0) * 10.0).round() as i16
}

/// `reject, 15.0 of 15.0: GTUBE 15.0, ...`, the heaviest first.
fn words(answer: &Answer) -> String {
    let mut symbols: Vec<_> = answer.symbols.iter().filter(|(_, symbol)| symbol.score != 0.0).collect();
    symbols.sort_by(|a, b| b.1.score.abs().total_cmp(&a.1.score.abs()));
    let symbols: Vec<String> = symbols.iter().take(12).map(|(name, symbol)| format!("{name} {:.1}", symbol.score)).collect();
    bounded(&format!("{}, {:.1} of {:.1}: {}", answer.action, answer.score, answer.required_score, symbols.join(", ")))
}

fn message(answer: &Answer) -> Option<String> {
    let said = answer.messages.get("smtp_message")?.as_str()?;
    let line: String = said.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(200).collect();
    Some(line).filter(|line| !line.trim().is_empty())
}

fn changes(
    milter: Milter,
    signature: Option<OneOrMany<String>>,
    subject: Option<String>,
    is_marked: bool,
) -> Result<Vec<Change>, String> {
    // Removing first: what it adds under the same name is to stay. From the last to the first, so that their numbers hold.
    let removed = milter.remove_headers.all().into_iter().flat_map(|(name, which)| {
        let mut places: Vec<u64> = match which {
            serde_json::Value::Array(places) => places.iter().filter_map(serde_json::Value::as_u64).collect(),
            place => place.as_u64().into_iter().collect(),
        };
        // Nought is said for all of them.
        if places.contains(&0) {
            places = vec![0];
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        let remove = move |place: u64| match place {
            0 => Change::RemoveAll { name: name.clone().into_bytes() },
            place => Change::Replace {
                nth: usize::try_from(place).unwrap_or(usize::MAX),
                name: name.clone().into_bytes(),
                value: Vec::new(),
            },
        };
        places.into_iter().map(remove)
    });
    let added = milter.add_headers.all().into_iter().flat_map(|(name, added)| {
        added.all().into_iter().map(move |one| {
            let name = name.clone().into_bytes();
            match one {
                Added::At { value, order: Some(order) } if order >= 0 => {
                    Change::Insert { at: usize::try_from(order).unwrap_or(usize::MAX), name, value: value.into_bytes() }
                }
                Added::At { value, .. } | Added::Plain(value) => Change::Add { name, value: value.into_bytes() },
            }
        })
    });
    let signed = signature.into_iter().flat_map(OneOrMany::all).map(|value| Change::Insert {
        at: 0,
        name: b"DKIM-Signature".to_vec(),
        value: value.into_bytes(),
    });
    let subject = subject.map(|value| Change::Replace { nth: 1, name: b"Subject".to_vec(), value: value.into_bytes() });
    let mark = is_marked.then(|| {
        let name = || MARK.as_bytes().to_vec();
        [Change::RemoveAll { name: name() }, Change::Add { name: name(), value: b"Yes".to_vec() }]
    });
    let mark = mark.into_iter().flatten();
    let changes: Vec<Change> = removed.chain(mark).chain(added).chain(subject).chain(signed).take(CHANGES_MAX + 1).collect();
    if changes.len() > CHANGES_MAX { Err("it wants too many changes".to_owned()) } else { Ok(changes) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str, usage: RspamdUse) -> Opinion {
        understood(json.as_bytes(), usage).unwrap()
    }

    #[test]
    fn its_action_decides_or_its_score_counts() {
        let json = r#"{"action":"reject","score":15.25,"required_score":15,"symbols":{"GTUBE":{"score":15},"X":{"score":0},"Y":{"score":-1.5}},
                       "messages":{"smtp_message":"Gtube pattern"}}"#;
        let opinion = read(json, RspamdUse::Action);
        assert!(matches!(&opinion.word, FilterWord::Refuse(reply) if reply.text().contains("Gtube pattern")));
        assert_eq!(opinion.words, "reject, 15.2 of 15.0: GTUBE 15.0, Y -1.5");
        assert_eq!(read(json, RspamdUse::Score).word, FilterWord::Points(153));
        for (action, word) in
            [("no action", FilterWord::Pass), ("quarantine", FilterWord::Hold), ("discard", FilterWord::Discard)]
        {
            assert_eq!(read(&format!(r#"{{"action":"{action}"}}"#), RspamdUse::Action).word, word);
        }
        assert!(matches!(read(r#"{"action":"soft reject"}"#, RspamdUse::Action).word, FilterWord::Defer(_)));
    }

    #[test]
    fn fields_are_removed_from_the_last_to_the_first_and_then_added() {
        let json = r#"{"action":"add header","milter":{"remove_headers":{"X":[1,2],"Z":1},
                       "add_headers":{"X":{"value":"new","order":0},"Y":["a",{"value":"b","order":-1}]}},"dkim-signature":"v=1"}"#;
        let changes = read(json, RspamdUse::Action).changes;
        let before = b"X: 1\r\nX: 2\r\nX: 3\r\nZ: 4\r\n\r\n";
        let after = crate::apply(before, &changes);
        let wanted = "DKIM-Signature: v=1\r\nX: new\r\nX: 3\r\nX-Spam: Yes\r\nY: a\r\nY: b\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&after), wanted);
    }

    #[test]
    fn all_fields_of_a_name_go_however_many_and_what_is_added_is_not_lost_behind_them() {
        let names =
            ["x-spamd-bar", "x-spam-level", "x-spam-status", "authentication-results", "x-spamd-result", "x-rspamd-action"];
        let removed: Vec<String> = names.iter().map(|name| format!("\"{name}\":0")).collect();
        let json = format!(
            r#"{{"action":"rewrite subject","subject":"marked","milter":{{"remove_headers":{{{}}},"add_headers":{{"X-New":"v"}}}},"dkim-signature":"v=1"}}"#,
            removed.join(",")
        );
        let before = format!("{}Subject: one\r\n\r\n", "X-Spam-Level: no\r\n".repeat(80));
        let after = crate::apply(before.as_bytes(), &read(&json, RspamdUse::Action).changes).into_owned();
        assert_eq!(String::from_utf8(after).unwrap(), "DKIM-Signature: v=1\r\nSubject: marked\r\nX-New: v\r\n\r\n");
        let many: Vec<String> = (0..1_001).map(|number| format!("\"X-{number}\":\"v\"")).collect();
        let json = format!(r#"{{"action":"accept","milter":{{"add_headers":{{{}}}}}}}"#, many.join(","));
        assert!(understood(json.as_bytes(), RspamdUse::Action).is_err(), "too many is a failure and not some of them");
    }

    #[test]
    fn spam_that_is_not_refused_is_marked_where_its_action_counts() {
        let json = r#"{"action":"add header"}"#;
        let after = crate::apply(b"x-spam: no\r\nA: 1\r\n\r\n", &read(json, RspamdUse::Action).changes).into_owned();
        assert_eq!(after, b"A: 1\r\nX-Spam: Yes\r\n\r\n");
        for json in [json, r#"{"action":"rewrite subject","subject":"spam"}"#] {
            assert_eq!(read(json, RspamdUse::Score).changes, []);
        }
    }

    #[test]
    fn an_action_of_the_operators_own_is_no_failure_and_a_score_needs_none_that_is_known() {
        let opinion = read(r#"{"action":"dance","score":3}"#, RspamdUse::Action);
        assert_eq!((opinion.word, opinion.words.starts_with("dance, ")), (FilterWord::Pass, true));
        assert_eq!(read(r#"{"action":"dance","score":3}"#, RspamdUse::Score).word, FilterWord::Points(30));
    }

    #[test]
    fn an_empty_list_is_an_empty_table() {
        let json = r#"{"action":"accept","symbols":[],"messages":[],"milter":{"remove_headers":[],"add_headers":{"X":"v"}}}"#;
        assert_eq!(read(json, RspamdUse::Action).changes.len(), 1);
        assert_eq!(
            read(r#"{"action":"accept","milter":{"add_headers":[],"remove_headers":{"X":0}}}"#, RspamdUse::Action).changes.len(),
            1
        );
        assert_eq!(read(r#"{"action":"accept","milter":[]}"#, RspamdUse::Action).changes, []);
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        for json in ["", "{}", "[]", r#"{"error":"no"}"#, r#"{"action":3}"#] {
            assert!(understood(json.as_bytes(), RspamdUse::Action).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = understood(&octets, RspamdUse::Score);
        }
    }
}
