//! Transactions, played as transcripts, and one property over whatever a host says.

use postern_mail::envelope::{Notify, Return};
use postern_mail::{Mailbox, ReversePath};
use postern_smtp::extension::Offered;
use postern_smtp::reply_lines::ReplyReader;

use super::*;

fn envelope() -> Envelope {
    Envelope::plain(ReversePath::Mailbox(Mailbox::parse("s@us.example").unwrap()), Vec::new())
}

fn to(addresses: &[&str]) -> Vec<Recipient> {
    let to = |address: &&str| Recipient::restored_from_spool(Mailbox::parse(address).unwrap(), false, DsnRequest::default());
    addresses.iter().map(to).collect()
}

fn peer(keywords: &str, protocol: Protocol) -> Peer {
    let lines: Vec<&str> = std::iter::once("mx").chain(keywords.split(", ")).collect();
    Peer { offered: Offered::parse(&lines), security: Security::Clear, protocol, authenticated: false }
}

struct Case {
    peer: Peer,
    envelope: Envelope,
    recipients: Vec<Recipient>,
    dirty: bool,
    at_once: bool,
}

fn case(keywords: &str, addresses: &[&str]) -> Case {
    let peer = peer(keywords, Protocol::Smtp);
    Case { peer, envelope: envelope(), recipients: to(addresses), dirty: false, at_once: true }
}

impl Case {
    /// Plays a conversation: `C: x` must have been sent, `BODY` (dotted) or `CHUNK` is what must be asked for then, `S: x` is fed. What is
    /// left of the script is the outcome of each recipient and how it ended.
    fn play(&self, script: &str) {
        let content = Content { envelope: &self.envelope, bytes: 7, at_once: self.at_once };
        let mut transaction = Transaction::new(&self.peer, "mx", content, self.recipients.iter().enumerate(), self.dirty);
        let (mut out, mut reader) = (Vec::new(), ReplyReader::default());
        let mut step = transaction.begin(&mut out);
        let mut came_to = Vec::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(sent) = line.strip_prefix("C: ") {
                let sent = format!("{sent}\r\n");
                assert!(out.starts_with(sent.as_bytes()), "{line:?} expected, sent: {:?}", String::from_utf8_lossy(&out));
                out.drain(..sent.len());
                continue;
            }
            if let Some(reply) = line.strip_prefix("S: ") {
                assert!(out.is_empty(), "before {line}, sent: {:?}", String::from_utf8_lossy(&out));
                let (_, reply) = reader.read(format!("{reply}\r\n").as_bytes()).unwrap();
                step = transaction.on_reply(&reply.unwrap(), &mut out);
            } else if line == "BODY" || line == "CHUNK" {
                assert!(out.is_empty(), "before {line}, sent: {:?}", String::from_utf8_lossy(&out));
                assert_eq!(step, Step::Body(if line == "BODY" { Form::Dotted } else { Form::Chunk }));
                step = transaction.after_body();
            } else if line == "LOST" {
                transaction.lost(Failure::Lost("x".into()));
                step = Step::Close;
            } else {
                came_to.push(line);
            }
        }
        let mut found: Vec<(usize, String)> = transaction.take_settled().map(|(at, outcome)| (at, brief(&outcome))).collect();
        found.sort();
        let mut found: Vec<String> = found.into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(found.len(), self.recipients.len(), "each recipient is settled once: {found:?}");
        found.push(match step {
            Step::Done if transaction.left_dirty() => "dirty".to_owned(),
            Step::Done => "clean".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        });
        assert_eq!(found, came_to);
    }
}

fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Delivered { dsn_passed_on: true, .. } => "delivered with dsn".to_owned(),
        Outcome::Delivered { .. } => "delivered".to_owned(),
        Outcome::Deferred { scope, status, .. } => format!("deferred {scope:?} {status}"),
        Outcome::Bounced { scope, status, .. } => format!("bounced {scope:?} {status}"),
        Outcome::Expired { .. } => "expired".to_owned(),
    }
}

const ALL: &str = "PIPELINING, CHUNKING, 8BITMIME, SMTPUTF8, DSN, SIZE 1000";

#[test]
fn with_pipelining_and_chunking_everything_goes_out_at_once() {
    case(ALL, &["a@x.example", "b@x.example"]).play(
        "C: MAIL FROM:<s@us.example> SIZE=7
         C: RCPT TO:<a@x.example>
         C: RCPT TO:<b@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 2.1.0 ok
         S: 250 2.1.5 ok
         S: 550 5.1.1 no
         S: 250 2.0.0 queued
         delivered with dsn
         bounced Recipient 5.1.1
         clean",
    );
}

#[test]
fn a_large_body_waits_until_somebody_is_there_to_take_it() {
    let mut large = case(ALL, &["a@x.example"]);
    large.at_once = false;
    large.play(
        "C: MAIL FROM:<s@us.example> SIZE=7
         C: RCPT TO:<a@x.example>
         S: 250 ok
         S: 250 ok
         C: BDAT 7 LAST
         CHUNK
         S: 250 queued
         delivered with dsn
         clean",
    );
    large.play(
        "C: MAIL FROM:<s@us.example> SIZE=7
         C: RCPT TO:<a@x.example>
         S: 250 ok
         S: 550 5.1.1 no
         bounced Recipient 5.1.1
         dirty",
    );
}

#[test]
fn a_chunk_sent_to_nobody_leaves_the_connection_to_be_reset() {
    case(ALL, &["a@x.example"]).play(
        "C: MAIL FROM:<s@us.example> SIZE=7
         C: RCPT TO:<a@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 ok
         S: 550 5.1.1 no
         S: 554 5.5.1 no valid recipients
         bounced Recipient 5.1.1
         dirty",
    );
    let mut next = case(ALL, &["a@x.example"]);
    next.dirty = true;
    next.play(
        "C: RSET
         C: MAIL FROM:<s@us.example> SIZE=7
         C: RCPT TO:<a@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 reset
         S: 250 ok
         S: 250 ok
         S: 250 queued
         delivered with dsn
         clean",
    );
}

#[test]
fn a_reset_that_was_not_sent_is_still_needed() {
    let mut nobody = case("PIPELINING", &["jürgen@x.example"]);
    nobody.dirty = true;
    nobody.play("bounced Recipient 5.6.7\ndirty");
}

#[test]
fn with_pipelining_alone_the_body_waits_for_354() {
    case("PIPELINING", &["a@x.example", "b@x.example"]).play(
        "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<a@x.example>
         C: RCPT TO:<b@x.example>
         C: DATA
         S: 250 ok
         S: 450 4.2.0 later
         S: 250 ok
         S: 354 go
         BODY
         S: 250 queued
         deferred Recipient 4.2.0
         delivered
         clean",
    );
}

#[test]
fn a_354_though_nobody_was_accepted_is_answered_with_a_lone_dot() {
    case("PIPELINING", &["a@x.example"]).play(
        "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<a@x.example>
         C: DATA
         S: 250 ok
         S: 550 5.1.1 no
         S: 354 go
         C: .
         S: 250 queued an empty message
         bounced Recipient 5.1.1
         clean",
    );
}

#[test]
fn without_pipelining_every_command_waits_for_its_reply() {
    let case = case("8BITMIME", &["a@x.example", "b@x.example"]);
    case.play(
        "C: MAIL FROM:<s@us.example>
         S: 250 ok
         C: RCPT TO:<a@x.example>
         S: 250 ok
         C: RCPT TO:<b@x.example>
         S: 250 ok
         C: DATA
         S: 354 go
         BODY
         S: 554 5.6.0 bad
         bounced Message 5.6.0
         bounced Message 5.6.0
         dirty",
    );
    case.play(
        "C: MAIL FROM:<s@us.example>
         S: 451 4.3.0 later
         deferred Destination 4.3.0
         deferred Destination 4.3.0
         dirty",
    );
    case.play(
        "C: MAIL FROM:<s@us.example>
         S: 250 ok
         C: RCPT TO:<a@x.example>
         S: 550 5.1.1 no
         C: RCPT TO:<b@x.example>
         S: 550 5.1.1 no
         bounced Recipient 5.1.1
         bounced Recipient 5.1.1
         dirty",
    );
}

#[test]
fn without_pipelining_chunking_goes_step_by_step_too() {
    case("CHUNKING", &["a@x.example"]).play(
        "C: MAIL FROM:<s@us.example>
         S: 250 ok
         C: RCPT TO:<a@x.example>
         S: 250 ok
         C: BDAT 7 LAST
         CHUNK
         S: 250 queued
         delivered
         clean",
    );
}

#[test]
fn a_421_anywhere_closes_and_is_the_hosts() {
    case("PIPELINING", &["a@x.example", "b@x.example"]).play(
        "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<a@x.example>
         C: RCPT TO:<b@x.example>
         C: DATA
         S: 250 ok
         S: 550 5.1.1 no
         S: 421 4.3.2 bye
         bounced Recipient 5.1.1
         deferred Host 4.3.2
         close",
    );
}

#[test]
fn a_connection_lost_before_the_last_reply_delivers_nobody() {
    case(ALL, &["a@x.example"]).play(
        "C: MAIL FROM:<s@us.example> SIZE=7
         C: RCPT TO:<a@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 ok
         S: 250 ok
         LOST
         deferred Host 4.4.2
         close",
    );
}

#[test]
fn a_reply_out_of_place_closes_and_delivers_nobody() {
    for odd in ["S: 354 go", "S: 334 x"] {
        case("PIPELINING", &["a@x.example"]).play(&format!(
            "C: MAIL FROM:<s@us.example>
             C: RCPT TO:<a@x.example>
             C: DATA
             S: 250 ok
             {odd}
             deferred Host 4.5.0
             close"
        ));
    }
    case("PIPELINING", &["a@x.example"]).play(
        "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<a@x.example>
         C: DATA
         S: 250 ok
         S: 250 ok
         S: 250 queued, before anything was sent
         deferred Host 4.5.0
         close",
    );
}

#[test]
fn lmtp_gives_a_reply_for_each_accepted_recipient() {
    let mut lmtp = case("PIPELINING, DSN", &["a@x.example", "b@x.example", "c@x.example", "d@x.example"]);
    lmtp.peer.protocol = Protocol::Lmtp;
    let begin = "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<a@x.example>
         C: RCPT TO:<b@x.example>
         C: RCPT TO:<c@x.example>
         C: RCPT TO:<d@x.example>
         C: DATA
         S: 250 ok
         S: 250 ok
         S: 550 5.1.1 no
         S: 250 ok
         S: 250 ok
         S: 354 go
         BODY
         S: 250 filed
         S: 452 4.2.2 full
         ";
    lmtp.play(&format!(
        "{begin}S: 250 filed
         delivered
         bounced Recipient 5.1.1
         deferred Recipient 4.2.2
         delivered
         clean"
    ));
    lmtp.play(&format!(
        "{begin}LOST
         delivered
         bounced Recipient 5.1.1
         deferred Recipient 4.2.2
         deferred Host 4.4.2
         close"
    ));
}

#[test]
fn lmtp_with_nobody_accepted_expects_one_reply() {
    let mut lmtp = case("PIPELINING, CHUNKING", &["a@x.example", "b@x.example"]);
    lmtp.peer.protocol = Protocol::Lmtp;
    lmtp.play(
        "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<a@x.example>
         C: RCPT TO:<b@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 ok
         S: 550 5.1.1 no
         S: 550 5.1.1 no
         S: 503 5.5.1 nobody
         bounced Recipient 5.1.1
         bounced Recipient 5.1.1
         dirty",
    );
}

#[test]
fn what_the_sender_asked_of_reports_goes_to_hosts_that_know_it() {
    let dsn = DsnRequest { notify: Some(Notify::NEVER), original: Some("rfc822;o@x.example".into()) };
    let mut case = case("PIPELINING, CHUNKING, DSN", &[]);
    case.recipients = vec![Recipient::restored_from_spool(Mailbox::parse("a@x.example").unwrap(), false, dsn)];
    case.envelope.ret = Some(Return::Headers);
    case.envelope.envid = Some("id+2B1".into());
    case.play(
        "C: MAIL FROM:<s@us.example> RET=HDRS ENVID=id+2B1
         C: RCPT TO:<a@x.example> NOTIFY=NEVER ORCPT=rfc822;o@x.example
         C: BDAT 7 LAST
         CHUNK
         S: 250 ok
         S: 250 ok
         S: 250 ok
         delivered with dsn
         clean",
    );
    case.peer.offered.dsn = false;
    case.play(
        "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<a@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 ok
         S: 250 ok
         S: 250 ok
         delivered
         clean",
    );
}

#[test]
fn an_address_outside_ascii_bounces_alone_where_smtputf8_is_missing() {
    let mut case = case("PIPELINING, CHUNKING", &["jürgen@x.example", "b@x.example"]);
    case.envelope.smtputf8 = true;
    case.play(
        "C: MAIL FROM:<s@us.example>
         C: RCPT TO:<b@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 ok
         S: 250 ok
         S: 250 ok
         bounced Recipient 5.6.7
         delivered
         clean",
    );
    case.peer.offered.smtputf8 = true;
    case.play(
        "C: MAIL FROM:<s@us.example> SMTPUTF8
         C: RCPT TO:<jürgen@x.example>
         C: RCPT TO:<b@x.example>
         C: BDAT 7 LAST
         CHUNK
         S: 250 ok
         S: 250 ok
         S: 250 ok
         S: 250 ok
         delivered
         delivered
         clean",
    );
}

#[test]
fn a_host_that_cannot_carry_the_message_is_not_tried() {
    let facts = BodyFacts { eight_bit: true, eight_bit_header: true };
    let plain = BodyFacts::default();
    let refused = |change: &dyn Fn(&mut Peer, &mut Envelope), bytes, facts| {
        let (mut peer, mut envelope) = (peer("PIPELINING", Protocol::Smtp), envelope());
        change(&mut peer, &mut envelope);
        obstacle(&peer, &envelope, bytes, facts, "mx").map(|outcome| brief(&outcome))
    };
    let bounced = |status: &str| Some(format!("bounced Message {status}"));
    assert_eq!(refused(&|_, _| {}, 7, plain), None);
    assert_eq!(refused(&|peer, _| peer.offered.size_max = Some(6), 7, plain), bounced("5.3.4"));
    assert_eq!(refused(&|peer, _| peer.offered.size_max = Some(7), 7, plain), None);
    let eight_bit = |_: &mut Peer, envelope: &mut Envelope| envelope.body = BodyKind::EightBitMime;
    assert_eq!(refused(&eight_bit, 7, facts), bounced("5.6.3"));
    assert_eq!(refused(&eight_bit, 7, plain), None, "seven bits in truth");
    assert_eq!(refused(&|_, envelope| envelope.smtputf8 = true, 7, facts), bounced("5.6.7"));
    assert_eq!(refused(&|_, envelope| envelope.smtputf8 = true, 7, plain), None, "nothing in it needs it");
    let sender = |_: &mut Peer, envelope: &mut Envelope| {
        envelope.from = ReversePath::Mailbox(Mailbox::parse("jürgen@us.example").unwrap());
    };
    assert_eq!(refused(&sender, 7, plain), bounced("5.6.7"));
}

#[test]
fn require_tls_needs_a_verified_host_that_offers_it() {
    let mut envelope = envelope();
    envelope.require_tls = true;
    let mut peer = peer("REQUIRETLS", Protocol::Smtp);
    for (security, breaks) in [(Security::Clear, true), (Security::Encrypted, true), (Security::Verified, false)] {
        peer.security = security;
        assert_eq!(breaks_require_tls(&peer, &envelope), breaks, "{security:?}");
    }
    peer.offered.require_tls = false;
    assert!(breaks_require_tls(&peer, &envelope));
    envelope.require_tls = false;
    assert!(!breaks_require_tls(&peer, &envelope));
}

#[test]
fn a_report_and_a_mailbox_store_need_no_require_tls() {
    let mut envelope = envelope();
    envelope.require_tls = true;
    assert!(!breaks_require_tls(&peer("DSN", Protocol::Lmtp), &envelope));
    envelope.from = ReversePath::Null;
    assert!(!breaks_require_tls(&peer("DSN", Protocol::Smtp), &envelope));
}

mod whatever_the_host_says {
    use proptest::prelude::*;

    use super::*;

    const CODES: [u16; 12] = [250, 250, 250, 250, 354, 354, 421, 450, 452, 550, 554, 334];

    fn reply(code: u16) -> ReceivedReply {
        let (_, reply) = ReplyReader::default().read(format!("{code} x\r\n").as_bytes()).unwrap();
        reply.unwrap()
    }

    proptest! {
        #[test]
        fn each_recipient_is_settled_once_and_delivered_only_after_the_body(
            codes in proptest::collection::vec(0..CODES.len(), 0..40),
            flags in any::<[bool; 6]>(),
            count in 0usize..5,
        ) {
            let [pipelining, chunking, at_once, lmtp, dirty, eight_bit] = flags;
            let keywords: Vec<&str> = [(pipelining, "PIPELINING"), (chunking, "CHUNKING"), (eight_bit, "8BITMIME")]
                .into_iter().filter_map(|(on, keyword)| on.then_some(keyword)).collect();
            let peer = peer(&keywords.join(", "), if lmtp { Protocol::Lmtp } else { Protocol::Smtp });
            let addresses = ["a@x.example", "b@x.example", "c@x.example", "d@x.example"];
            let recipients = to(&addresses[..count.min(4)]);
            let envelope = envelope();
            let content = Content { envelope: &envelope, bytes: 7, at_once };
            let mut transaction = Transaction::new(&peer, "mx", content, recipients.iter().enumerate(), dirty);
            let mut out = Vec::new();
            let mut codes = codes.into_iter();
            let (mut body_sent, mut positive_ends) = (false, 0);
            let mut step = transaction.begin(&mut out);
            loop {
                step = match step {
                    Step::Await(stage) => {
                        out.clear();
                        match codes.next() {
                            Some(at) => {
                                positive_ends += usize::from(body_sent && stage == Stage::Body && CODES[at] == 250);
                                transaction.on_reply(&reply(CODES[at]), &mut out)
                            }
                            None => { transaction.lost(Failure::Refused); Step::Close }
                        }
                    }
                    Step::Body(_) => {
                        prop_assert!(!body_sent, "a body is sent once");
                        body_sent = true;
                        transaction.after_body()
                    }
                    Step::Done | Step::Close => break,
                };
            }
            let settled: Vec<_> = transaction.take_settled().collect();
            let mut who: Vec<usize> = settled.iter().map(|(at, _)| *at).collect();
            who.sort_unstable();
            prop_assert_eq!(who, (0..recipients.len()).collect::<Vec<_>>());
            let delivered = settled.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Delivered { .. })).count();
            prop_assert!(delivered == 0 || positive_ends > 0);
            prop_assert!(!lmtp || delivered <= positive_ends);
        }
    }
}
