//! The table is whole, and the corpus is understood.

use super::*;

/// A line of the corpus: `train` or `held`, the cause, the reply.
struct Reply {
    part: &'static str,
    cause: Cause,
    text: &'static str,
}

fn corpus() -> Vec<Reply> {
    let lines = include_str!("../../data/bounce-corpus.tsv").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut fields = line.splitn(3, '\t');
            let (part, cause, text) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().expect(line));
            Reply { part, cause: Cause::parse(cause).unwrap_or_else(|| panic!("no cause {cause}")), text }
        })
        .collect()
}

#[test]
fn every_line_of_the_table_is_a_pattern_and_none_stands_there_twice() {
    let (table, wrong) = Table::parse(include_str!("../../data/bounces.txt"));
    assert_eq!(wrong, Vec::<String>::new());
    assert!(table.patterns().len() >= 300, "{}", table.patterns().len());
    let mut seen = std::collections::HashMap::new();
    for pattern in table.patterns() {
        let words: Vec<String> = pattern.text.split("...").map(words::words).collect();
        assert_eq!(seen.insert(words, pattern.text), None, "{} stands there twice", pattern.text);
    }
}

#[test]
fn no_pattern_that_blames_us_has_a_recipient_suppressed_whatever_stands_beside_it() {
    for pattern in Table::built_in().patterns() {
        let words = pattern.text.replace("...", "of mx17").replace('*', "");
        let found = classify(None, None, &format!("550 5.1.1 <x@y.example>: user unknown or account disabled: {words}; see z"));
        assert!(matches!(found.ground, Ground::Words(_)), "{} is not found", pattern.text);
        if pattern.cause.category() == Category::Reputation {
            assert_ne!(found.advice(), Advice::Suppress, "{}: {found:?}", pattern.text);
        }
    }
}

#[test]
fn replies_that_were_not_looked_at_while_the_table_was_written_are_understood() {
    let held: Vec<Reply> = corpus().into_iter().filter(|reply| reply.part == "held").collect();
    assert!(held.len() >= 150, "{}", held.len());
    let wrong: Vec<String> = held
        .iter()
        .filter_map(|reply| {
            let found = classify(None, None, reply.text);
            (found.cause.category() != reply.cause.category()).then(|| format!("{:?} for {}", found, reply.text))
        })
        .collect();
    assert!(wrong.len() * 20 <= held.len(), "{} of {} wrong:\n{}", wrong.len(), held.len(), wrong.join("\n"));
}

#[test]
fn no_words_that_blame_us_have_a_recipient_suppressed() {
    for reply in corpus().iter().filter(|reply| reply.cause.category() == Category::Reputation) {
        let found = classify(None, None, reply.text);
        assert_ne!(found.advice(), Advice::Suppress, "{found:?} for {}", reply.text);
        assert_ne!(found.cause.category(), Category::Recipient, "{found:?} for {}", reply.text);
    }
}

#[test]
fn words_that_blame_us_win_over_words_about_the_recipient() {
    let found = classify(None, None, "550 5.1.1 user unknown, also your IP [192.0.2.1] is blocked using zen.spamhaus.org");
    assert_eq!(found.cause, Cause::AddressListed);
}

#[test]
fn names_of_people_and_hosts_say_nothing() {
    let found = classify(None, None, "550 5.1.1 <spam@blacklist.example>: Recipient address rejected: User unknown");
    assert_eq!((found.cause, found.advice()), (Cause::UnknownMailbox, Advice::Suppress));
}

#[test]
fn without_known_words_the_status_decides_and_without_one_the_code() {
    let ground = |text| {
        let found = classify(None, None, text);
        (found.cause, found.ground)
    };
    assert_eq!(ground("550 5.1.1 zzz"), (Cause::UnknownMailbox, Ground::Status(Status::new(5, 1, 1))));
    assert_eq!(ground("452-4.2.2 zzz"), (Cause::MailboxFull, Ground::Status(Status::new(4, 2, 2))));
    assert_eq!(ground("550 #5.1.0 zzz").0, Cause::Unknown);
    assert_eq!(ground("503 zzz"), (Cause::Protocol, Ground::Code(ReplyCode(503))));
    assert_eq!(ground("550 zzz"), (Cause::Unknown, Ground::Nothing));
    assert_eq!(ground("gibberish"), (Cause::Unknown, Ground::Nothing));
}

#[test]
fn who_is_unknown_for_now_is_tried_again() {
    assert_eq!(classify(None, None, "450 4.1.1 <a@b.example>: User unknown").advice(), Advice::RetryLater);
    assert_eq!(classify(None, None, "421 4.7.0 too many connections").advice(), Advice::SlowDown);
    assert_eq!(classify(None, None, "421 4.7.0 your IP has a poor reputation").advice(), Advice::SlowDown);
    assert_eq!(classify(None, None, "554 5.7.1 message rejected as spam").advice(), Advice::StopAndTell);
}

#[test]
fn parts_of_a_pattern_are_found_in_their_order_only() {
    let (table, wrong) = Table::parse("content alpha ... beta\npolicy? gam*\nbogus x\ncontent ...\n");
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_eq!(table.find("alpha and Beta").map(|p| p.cause), Some(Cause::Content));
    assert_eq!(table.find("beta and alpha").map(|p| p.cause), None);
    assert_eq!(table.find("alphabeta").map(|p| p.cause), None);
    assert_eq!(table.find("GAMMA ray").map(|p| p.cause), Some(Cause::Policy));
    assert_eq!(table.find("gamma alpha-beta").map(|p| p.cause), Some(Cause::Content));
}

#[test]
fn a_text_without_end_is_looked_at_up_to_a_bound() {
    let text = format!("550 {} user unknown", "a ".repeat(1_000_000));
    assert_eq!(classify(None, None, &text).cause, Cause::Unknown);
    let hostile = "blocked ".repeat(1000);
    let _ = classify(None, None, &hostile);
    let _ = classify(None, None, "<<<<>>>>@@@@::::'''’’’\u{0}\u{fffd}漢字");
}

#[test]
fn what_came_of_an_attempt_is_understood_and_a_made_up_status_is_not_believed() {
    use postern_mail::outcome::Evidence;
    let evidence = |text: &str| Evidence { by: "mx.example".into(), text: text.into() };
    let bounced = |status, text| {
        of_outcome(&Outcome::Bounced { scope: postern_mail::Scope::Recipient, status, evidence: evidence(text) }).unwrap()
    };
    assert_eq!(bounced(Status::new(5, 1, 1), "550 5.1.1 zzz").advice(), Advice::Suppress);
    // Delivery made 5.1.0 of a bare 550.
    assert_eq!(bounced(Status::new(5, 1, 0), "550 zzz").cause, Cause::Unknown);
    assert_eq!(bounced(Status::new(5, 1, 1), "550 zzz").cause, Cause::Unknown);
    let refused = Outcome::Deferred {
        scope: postern_mail::Scope::Host,
        status: Status::new(4, 4, 1),
        evidence: evidence("connection refused while connecting"),
    };
    assert_eq!(of_outcome(&refused).unwrap().cause, Cause::Unreachable);
    assert_eq!(of_outcome(&Outcome::Delivered { evidence: evidence("250 ok"), dsn_passed_on: false }), None);
}

#[test]
fn a_code_that_is_said_of_everything_suppresses_nobody_by_itself() {
    for text in ["553 Absender nicht willkommen", "521 nicht von 203.0.113.9", "550 nein", "554 nein"] {
        assert_ne!(classify(None, None, text).advice(), Advice::Suppress, "{text}");
    }
    assert_eq!(classify(None, None, "556 domain takes no mail").advice(), Advice::Suppress);
}
