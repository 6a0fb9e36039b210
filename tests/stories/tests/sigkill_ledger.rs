//! Two hundred SIGKILLs at random moments under load: whatever was acknowledged arrives, and nothing arrives twice but what was in
//! flight at a kill.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::prelude::*;

const KILLS: usize = 200;
const SENDERS: usize = 4;
/// Deliveries that can be under way when the server is killed: as many as the route may have connections, and the Maildir writers.
const IN_FLIGHT_MAX: usize = 20 + 8;

/// Splitmix64: the same seed, the same moments.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What the senders have been promised.
#[derive(Default)]
struct Ledger {
    acknowledged: Mutex<Vec<String>>,
    tried: AtomicUsize,
    over: AtomicBool,
}

/// Sends one message after another for as long as the connection lives; writes down what was acknowledged.
fn send_until_it_breaks(postern: std::net::SocketAddr, ledger: &Ledger) -> std::io::Result<()> {
    let mut client = SmtpClient::try_connect(postern)?;
    let expect = |client: &mut SmtpClient, line: &str, code: u16| -> std::io::Result<()> {
        client.try_send(line.as_bytes())?;
        match client.try_reply()? {
            reply if reply.code == code => Ok(()),
            reply => Err(std::io::Error::other(format!("{reply:?}"))),
        }
    };
    expect(&mut client, "", 220)?;
    expect(&mut client, "EHLO client.example\r\n", 250)?;
    while !ledger.over.load(Ordering::SeqCst) {
        let number = ledger.tried.fetch_add(1, Ordering::SeqCst);
        let subject = format!("entry {number}");
        // Every tenth is large enough to be kept in a file of its own.
        let body = "0123456789 0123456789 0123456789\r\n".repeat(if number.is_multiple_of(10) { 1000 } else { 20 });
        expect(&mut client, "MAIL FROM:<>\r\n", 250)?;
        expect(&mut client, "RCPT TO:<alice@here.test>\r\n", 250)?;
        expect(&mut client, "RCPT TO:<out@here.test>\r\n", 250)?;
        expect(&mut client, "DATA\r\n", 354)?;
        expect(&mut client, &format!("Subject: {subject}\r\n\r\n{body}.\r\n"), 250)?;
        ledger.acknowledged.lock().unwrap().push(subject);
    }
    Ok(())
}

fn send_all_the_time(postern: std::net::SocketAddr, ledger: &Ledger) {
    while !ledger.over.load(Ordering::SeqCst) {
        if send_until_it_breaks(postern, ledger).is_err() {
            // The server is down; it comes back when the test wants it to.
            std::thread::sleep(Duration::from_millis(2)); // tidy: a sender that waits before it connects again, bounded by the ledger
        }
    }
}

fn count(subjects: impl Iterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for subject in subjects {
        *counts.entry(subject).or_default() += 1;
    }
    counts
}

#[test]
fn nothing_acknowledged_is_lost_in_two_hundred_kills() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = std::env::var("STORY_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(u64::from(now.subsec_nanos()) ^ now.as_secs() << 30);
    println!("STORY_SEED={seed}");
    let mut chance = Chance(seed);
    let sink = Sink::start();
    let setup = Setup::default().domain_with("here.test", &["alice"], "aliases = { out = [\"carol@there.test\"] }");
    let mut postern = setup.route(&["*"], sink.port()).prepare();
    let ledger = Ledger::default();
    let began = Instant::now();
    let mut startup = Duration::from_millis(200);
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| send_all_the_time(postern.mx(), &ledger));
        }
        // The senders end even if a start fails.
        let stop = StopSenders(&ledger);
        for kill in 0..KILLS {
            // One in five is killed while it still reads its spool; the others some time after they have begun to serve.
            let early = chance.below(5) == 0 && kill > 0;
            let started = Instant::now();
            let mut running = postern.start_and_look_away();
            let moment = if early {
                Duration::from_micros(chance.below(u64::try_from(startup.as_micros()).unwrap()))
            } else {
                let _ = running.wait_for_line(0, "ready", LONG);
                startup = started.elapsed();
                Duration::from_micros(chance.below(150_000))
            };
            std::thread::sleep(moment); // tidy: the random moment of the kill is what is tested; at most a fraction of a second
            running.kill();
        }
        drop(stop);
    });
    let killing = began.elapsed();
    postern.start();
    until("an empty queue", LONG * 2, || postern.queue().is_empty().then_some(()));

    let acknowledged = ledger.acknowledged.into_inner().unwrap();
    let here = count(postern.maildir(ALICE).messages().iter().map(|message| message.header("Subject")));
    let there = count(sink.messages().iter().map(|received| received.message().header("Subject")));
    let lost: Vec<&String> =
        acknowledged.iter().filter(|subject| !here.contains_key(*subject) || !there.contains_key(*subject)).collect();
    let twice = |counts: &HashMap<String, usize>| counts.values().map(|count| count - 1).sum::<usize>();
    println!(
        "{KILLS} kills in {killing:?}: {} messages acknowledged, {} lost; duplicates: {} in the Maildir, {} at the next hop",
        acknowledged.len(),
        lost.len(),
        twice(&here),
        twice(&there)
    );
    assert!(lost.is_empty(), "STORY_SEED={seed}: lost {lost:?}");
    assert!(acknowledged.len() > KILLS, "STORY_SEED={seed}: only {} messages were taken", acknowledged.len());
    assert!(twice(&here) + twice(&there) <= KILLS * IN_FLIGHT_MAX, "STORY_SEED={seed}: too many duplicates");
}

/// Tells the senders to end, also when the test fails.
struct StopSenders<'a>(&'a Ledger);

impl Drop for StopSenders<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}
