//! The beginning of a session, played as transcripts.

use postern_mail::Secret;
use postern_mail::fact::Mechanism;
use postern_smtp::reply_lines::ReplyReader;

use super::*;

/// Plays a conversation. A line `S: 250 x` is fed as a reply (with `S: 250-x` lines before it), `TLS` stands for the handshake, and `C: x`
/// is what must have been sent. The last line is what it must come to.
fn play(hello: Hello, script: &str) {
    let mut hello = hello;
    let (mut out, mut reader) = (Vec::new(), ReplyReader::default());
    let mut step = Step::Await(Stage::Greeting);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(sent) = line.strip_prefix("C: ") {
            assert_eq!(String::from_utf8(std::mem::take(&mut out)).unwrap(), format!("{sent}\r\n"));
        } else if let Some(reply) = line.strip_prefix("S: ") {
            assert!(matches!(step, Step::Await(_)), "{line}: nothing is awaited but {step:?}");
            if let (_, Some(reply)) = reader.read(format!("{reply}\r\n").as_bytes()).unwrap() {
                step = hello.on_reply(reply, &mut out);
            }
        } else if line == "TLS" {
            assert!(matches!(step, Step::StartTls), "{step:?}");
            step = hello.on_secured(&mut out);
        } else {
            let came_to = match &step {
                Step::Ready(offered) => format!("ready pipelining={}", offered.pipelining),
                Step::Stop(trouble) => match &**trouble {
                    Trouble::Reply(stage, reply) => format!("stop {stage:?} {}", reply.code.0),
                    Trouble::Failure(stage, failure) => format!("stop {stage:?} {failure:?}"),
                },
                other => format!("{other:?}"),
            };
            assert_eq!(came_to, line);
            assert!(out.is_empty(), "sent without being expected: {}", String::from_utf8_lossy(&out));
        }
    }
}

fn smtp(wish: TlsWish) -> Hello {
    Hello::new("us.example".into(), Protocol::Smtp, wish, None)
}

fn with_credentials() -> Hello {
    let credentials = Credentials { user: "tim".into(), password: Secret::new(b"tanstaaftanstaaf".to_vec()) };
    let proof = Proof { credentials: Arc::new(credentials), nonce: "fresh".to_owned() };
    Hello::new("us.example".into(), Protocol::Smtp, TlsWish::IfOffered, Some(proof))
}

#[test]
fn a_host_without_tls_is_used_in_clear_when_that_is_allowed() {
    play(
        smtp(TlsWish::IfOffered),
        "S: 220 mx
         C: EHLO us.example
         S: 250-mx
         S: 250 PIPELINING
         ready pipelining=true",
    );
}

#[test]
fn what_was_offered_before_the_handshake_is_forgotten() {
    play(
        smtp(TlsWish::IfOffered),
        "S: 220-mx
         S: 220 more
         C: EHLO us.example
         S: 250-mx
         S: 250-PIPELINING
         S: 250 STARTTLS
         C: STARTTLS
         S: 220 go
         TLS
         C: EHLO us.example
         S: 250 mx
         ready pipelining=false",
    );
}

#[test]
fn without_tls_offered_a_must_ends_it() {
    play(
        smtp(TlsWish::Must),
        "S: 220 mx
         C: EHLO us.example
         S: 250 mx
         stop StartTls TlsNotOffered",
    );
    play(
        smtp(TlsWish::Must),
        "S: 220 mx
         C: EHLO us.example
         S: 500 what
         C: HELO us.example
         S: 250 mx
         stop StartTls TlsNotOffered",
    );
}

#[test]
fn a_refused_starttls_is_gone_on_from_in_clear_only_when_that_is_allowed() {
    let script = "S: 220 mx
         C: EHLO us.example
         S: 250-mx
         S: 250 STARTTLS
         C: STARTTLS
         S: 454 not now
         ";
    play(smtp(TlsWish::IfOffered), &format!("{script}ready pipelining=false"));
    play(smtp(TlsWish::Must), &format!("{script}stop StartTls 454"));
}

#[test]
fn a_host_that_knows_no_ehlo_is_greeted_with_helo() {
    play(
        smtp(TlsWish::Never),
        "S: 220 mx
         C: EHLO us.example
         S: 502 no
         C: HELO us.example
         S: 250 mx
         ready pipelining=false",
    );
}

#[test]
fn a_host_that_has_no_time_is_left_alone() {
    play(smtp(TlsWish::Never), "S: 421 busy\nstop Greeting 421");
    play(smtp(TlsWish::Never), "S: 554 no\nstop Greeting 554");
    play(smtp(TlsWish::Never), "S: 220 mx\nC: EHLO us.example\nS: 421 bye\nstop Hello 421");
}

#[test]
fn lmtp_says_lhlo_and_never_helo() {
    let lmtp = || Hello::new("us.example".into(), Protocol::Lmtp, TlsWish::Never, None);
    play(lmtp(), "S: 220 store\nC: LHLO us.example\nS: 250-store\nS: 250 PIPELINING\nready pipelining=true");
    play(lmtp(), "S: 220 store\nC: LHLO us.example\nS: 500 what\nstop Hello 500");
}

#[test]
fn credentials_are_never_sent_in_clear() {
    play(
        with_credentials(),
        "S: 220 relay
         C: EHLO us.example
         S: 250-relay
         S: 250 AUTH PLAIN LOGIN
         stop StartTls TlsNotOffered",
    );
    play(
        with_credentials(),
        "S: 220 relay
         C: EHLO us.example
         S: 250-relay
         S: 250-AUTH PLAIN
         S: 250 STARTTLS
         C: STARTTLS
         S: 454 no
         stop StartTls 454",
    );
}

const SECURED: &str = "S: 220 relay
    C: EHLO us.example
    S: 250-relay
    S: 250 STARTTLS
    C: STARTTLS
    S: 220 go
    TLS
    C: EHLO us.example
    S: 250-relay
    ";

#[test]
fn plain_is_sent_in_one_line() {
    play(
        with_credentials(),
        &format!(
            "{SECURED}S: 250 AUTH LOGIN PLAIN
             C: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm
             S: 235 2.7.0 ok
             ready pipelining=false"
        ),
    );
}

#[test]
fn login_is_asked_step_by_step() {
    play(
        with_credentials(),
        &format!(
            "{SECURED}S: 250 AUTH LOGIN
             C: AUTH LOGIN
             S: 334 VXNlcm5hbWU6
             C: dGlt
             S: 334 UGFzc3dvcmQ6
             C: dGFuc3RhYWZ0YW5zdGFhZg==
             S: 235 ok
             ready pipelining=false"
        ),
    );
}

#[test]
fn a_refused_password_and_a_missing_mechanism_end_it() {
    play(
        with_credentials(),
        &format!("{SECURED}S: 250 AUTH PLAIN\nC: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\nS: 535 no\nstop Auth 535"),
    );
    play(with_credentials(), &format!("{SECURED}S: 250 AUTH GSSAPI\nstop Auth AuthNotOffered"));
    // Asked for more than there is to say.
    play(
        with_credentials(),
        &format!("{SECURED}S: 250 AUTH PLAIN\nC: AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\nS: 334 x\nstop Auth 334"),
    );
}

/// Plays SCRAM up to the host's last message, which may be forged.
fn scram(last: impl Fn(Vec<u8>) -> Vec<u8>) -> (Step, Vec<u8>, Hello) {
    use postern_smtp::sasl::scram::{ScramKeys, ScramServer};
    use postern_smtp::sasl::{decode, encode};
    let mut hello = with_credentials();
    let (mut out, mut reader) = (Vec::new(), ReplyReader::default());
    let mut feed = |hello: &mut Hello, text: String, out: &mut Vec<u8>| {
        let (_, reply) = reader.read(format!("{text}\r\n").as_bytes()).unwrap();
        hello.on_reply(reply.unwrap(), out)
    };
    feed(&mut hello, "220 relay".into(), &mut out);
    let offered = Box::new(Offered { auth: vec![Mechanism::Plain, Mechanism::ScramSha256], ..Offered::default() });
    hello.secure = true;
    out.clear();
    hello.authenticate(offered, &mut out);
    let sent = |out: &mut Vec<u8>| String::from_utf8(std::mem::take(out)).unwrap().trim_end().to_owned();
    let first = sent(&mut out);
    let first = decode(first.strip_prefix("AUTH SCRAM-SHA-256 ").unwrap().as_bytes()).unwrap();
    let keys = ScramKeys::derive(&Secret::new(b"tanstaaftanstaaf".to_vec()), b"salt", 4096);
    let (server, server_first) = ScramServer::first(first.expose(), false, None, false, "theirs", |_| keys).unwrap();
    feed(&mut hello, format!("334 {}", encode(&server_first)), &mut out);
    let client_final = decode(sent(&mut out).as_bytes()).unwrap();
    let server_final = last(server.last(client_final.expose()).unwrap());
    let step = feed(&mut hello, format!("334 {}", encode(&server_final)), &mut out);
    (step, out, hello)
}

#[test]
fn scram_is_preferred_and_the_host_proves_itself_too() {
    let (step, out, mut hello) = scram(|proof| proof);
    assert!(matches!(step, Step::Await(Stage::Auth)), "{step:?}");
    assert_eq!(out, b"\r\n");
    let (_, reply) = ReplyReader::default().read(b"235 2.7.0 ok\r\n").unwrap();
    assert!(matches!(hello.on_reply(reply.unwrap(), &mut Vec::new()), Step::Ready(_)));
    let (step, out, _) = scram(|mut proof| {
        *proof.last_mut().unwrap() ^= 1;
        proof
    });
    assert!(matches!(step, Step::Stop(_)), "{step:?}");
    assert!(out.is_empty());
}

#[test]
fn a_host_that_says_235_before_its_proof_is_not_believed() {
    let mut out = Vec::new();
    let mut hello = with_credentials();
    hello.secure = true;
    let offered = Box::new(Offered { auth: vec![Mechanism::ScramSha256], ..Offered::default() });
    hello.authenticate(offered, &mut out);
    let (_, reply) = ReplyReader::default().read(b"235 welcome\r\n").unwrap();
    assert!(matches!(hello.on_reply(reply.unwrap(), &mut out), Step::Stop(_)));
}
