//! Head: what an answer of rspamd means. Promise: only an answer with a known action means anything.

use std::collections::BTreeMap;

use postern_config::RspamdUse;
use postern_mail::Reply;
use postern_mail::filter::{FilterWord, bounded};
use serde::Deserialize;

use crate::{Change, Opinion};

/// Changes of an answer that are made.
const CHANGES_MAX: usize = 200;

#[derive(Deserialize)]
struct Answer {
    action: String,
    #[serde(default)]
    score: f64,
    #[serde(default)]
    required_score: f64,
    #[serde(default)]
    symbols: BTreeMap<String, Symbol>,
    #[serde(default)]
    messages: BTreeMap<String, serde_json::Value>,
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
    add_headers: BTreeMap<String, OneOrMany<Added>>,
    #[serde(default)]
    remove_headers: BTreeMap<String, serde_json::Value>,
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
    let by_action = match answer.action.as_str() {
        // Greylisting is said as a soft reject when it is due; this is only the threshold.
        "no action" | "greylist" | "add header" | "rewrite subject" | "accept" => FilterWord::Pass,
        "reject" => FilterWord::Refuse(reply(550, "The message was taken for spam")),
        "soft reject" => FilterWord::Defer(reply(451, "Come again later")),
        "quarantine" => FilterWord::Hold,
        "discard" => FilterWord::Discard,
        other => return Err(format!("its action {} is unknown", bounded(other))),
    };
    let word = match usage {
        RspamdUse::Action => by_action,
        RspamdUse::Score => FilterWord::Points(tenths(answer.score)),
    };
    let rewritten = answer.subject.clone().filter(|_| answer.action == "rewrite subject");
    let changes = changes(answer.milter, answer.signature, rewritten);
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

fn changes(milter: Milter, signature: Option<OneOrMany<String>>, subject: Option<String>) -> Vec<Change> {
    // Removing first: what it adds under the same name is to stay. From the last to the first, so that their numbers hold.
    let removed = milter.remove_headers.into_iter().flat_map(|(name, which)| {
        let mut places: Vec<u64> = match which {
            serde_json::Value::Array(places) => places.iter().filter_map(serde_json::Value::as_u64).collect(),
            place => place.as_u64().into_iter().collect(),
        };
        // Nought is said for all of them.
        if places.contains(&0) {
            places = (1..=50).collect();
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        let remove = move |place: u64| Change::Replace {
            nth: usize::try_from(place).unwrap_or(usize::MAX),
            name: name.clone().into_bytes(),
            value: Vec::new(),
        };
        places.into_iter().map(remove)
    });
    let added = milter.add_headers.into_iter().flat_map(|(name, added)| {
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
    removed.chain(added).chain(subject).chain(signed).take(CHANGES_MAX).collect()
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
        assert_eq!(String::from_utf8_lossy(&after), "DKIM-Signature: v=1\r\nX: new\r\nX: 3\r\nY: a\r\nY: b\r\n\r\n");
    }

    #[test]
    fn what_is_no_answer_is_a_failure() {
        for json in ["", "{}", "[]", r#"{"error":"no"}"#, r#"{"action":"dance"}"#, r#"{"action":3}"#] {
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
