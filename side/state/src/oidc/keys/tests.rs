//! When an issuer is asked, when its last keys are used, and which keys are none for us.

use super::*;

const POINT: &str = r#""x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;

fn set(keys: &[String]) -> Result<Vec<Key>, String> {
    read(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
}

fn curve(id: &str, more: &str) -> String {
    format!(r#"{{"kty":"EC","crv":"P-256","kid":"{id}",{POINT}{more}}}"#)
}

fn wanted(id: Option<&str>, algorithm: Algorithm) -> Wanted {
    Wanted { algorithm, key_id: id.map(str::to_owned) }
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(1_800_000_000_000 + seconds * 1000)
}

fn word(look: &Look) -> &'static str {
    match look {
        Look::Key(_) => "key",
        Look::Ask(None) => "ask",
        Look::Ask(Some(_)) => "ask, with an old key",
        Look::Away => "away",
    }
}

#[test]
fn an_issuer_is_asked_once_a_minute_whatever_tokens_come() {
    let mut shelf = Shelf::default();
    let one = wanted(Some("one"), Algorithm::ES256);
    let other = wanted(Some("other"), Algorithm::ES256);
    let look = |shelf: &Shelf, seconds: u64, wanted: &Wanted| word(&shelf.look(at(seconds), wanted));
    assert_eq!(look(&shelf, 0, &one), "ask");
    shelf.put(at(0), None);
    assert_eq!(look(&shelf, 59, &one), "away");
    assert_eq!(look(&shelf, 60, &one), "ask");
    shelf.put(at(60), Some(set(&[curve("one", "")]).unwrap()));
    assert_eq!((look(&shelf, 61, &one), look(&shelf, 61, &other)), ("key", "away"), "another key may be new since it was asked");
    assert_eq!((look(&shelf, 120, &one), look(&shelf, 120, &other)), ("key", "ask"));
    shelf.put(at(120), None);
    assert_eq!((look(&shelf, 121, &one), look(&shelf, 121, &other)), ("key", "away"), "known keys go on while it is away");
    assert_eq!(look(&shelf, 60 + 3600, &one), "ask, with an old key", "after an hour they are looked at again");
    shelf.put(at(60 + 3600), None);
    assert_eq!(look(&shelf, 61 + 3600, &one), "key");
    shelf.put(at(60 + 86_400), None);
    assert_eq!(look(&shelf, 61 + 86_400, &one), "away", "but not for more than a day");
}

#[test]
fn who_waited_for_the_answer_to_anothers_question_does_not_ask_again() {
    let wanted = wanted(Some("other"), Algorithm::ES256);
    for answer in [None, Some(set(&[curve("one", "")]).unwrap())] {
        let mut shelf = Shelf::default();
        shelf.put(at(100), answer);
        for waiter in [UnixMillis(at(100).0 - 1), at(100), UnixMillis(at(100).0 + 1)] {
            assert_eq!(word(&shelf.look(waiter, &wanted)), "away", "{waiter:?}");
        }
        assert_eq!(word(&shelf.look(at(39), &wanted)), "ask", "a clock that was set back makes everything old");
    }
}

#[test]
fn a_token_without_a_key_id_is_good_where_one_key_can_be_meant() {
    let mut shelf = Shelf::default();
    let any = wanted(None, Algorithm::ES256);
    shelf.put(at(0), Some(set(&[curve("one", "")]).unwrap()));
    assert_eq!(word(&shelf.look(at(1), &any)), "key");
    assert_eq!(word(&shelf.look(at(1), &wanted(Some("one"), Algorithm::RS256))), "away", "the key says what it is for");
    let only = r#"{"kty":"RSA","kid":"rsa","alg":"RS256","n":"AQAB","e":"AQAB"}"#.to_owned();
    shelf.put(at(0), Some(set(&[only]).unwrap()));
    assert_eq!(word(&shelf.look(at(1), &wanted(Some("rsa"), Algorithm::RS256))), "key");
    assert_eq!(word(&shelf.look(at(1), &wanted(Some("rsa"), Algorithm::PS256))), "away", "and may say that it is for one only");
    shelf.put(at(0), Some(set(&[curve("one", ""), curve("two", "")]).unwrap()));
    assert_eq!(word(&shelf.look(at(1), &any)), "away");
}

#[test]
fn keys_for_something_else_are_passed_over_and_too_many_are_not_kept() {
    assert!(set(&[]).is_err() && read(b"[]").is_err());
    for none in [
        curve("enc", r#","use":"enc""#),
        curve("no", r#","alg":"RS256""#),
        r#"{"kty":"oct","kid":"s","k":"c2VjcmV0"}"#.to_owned(),
        r#"{"kty":"new"}"#.to_owned(),
    ] {
        assert!(set(std::slice::from_ref(&none)).is_err(), "{none}");
        assert_eq!(set(&[none, curve("one", "")]).unwrap().len(), 1);
    }
    let many: Vec<String> = (0..1000).map(|number| curve(&number.to_string(), "")).collect();
    assert_eq!(set(&many).unwrap().len(), KEYS_MAX);
}
