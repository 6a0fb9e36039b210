//! What recording costs: `time cargo run --release -p postern-state --example history_cost -- MESSAGES [MESSAGES_MAX]`. User and system
//! time, less that of a run with 0 messages, by the number of messages is the cost of one, with its three events and two addresses. With
//! the second number the oldest are forgotten beyond it, which costs too.

use std::time::Duration;

use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::outcome::{Evidence, Outcome};
use postern_mail::{Mailbox, MessageId, ReversePath};
use postern_state::{History, HistorySettings, Store};

/// As many come in a tenth of a second at 10,000 messages a second.
const BURST: u64 = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let messages: u64 = arguments.next().ok_or("how many messages?")?.parse()?;
    let messages_max = arguments.next().map_or(Ok(u64::MAX), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path())?;
    let settings = HistorySettings { messages_max, gather: Duration::from_millis(1), ..HistorySettings::default() };
    let history = History::start(&store, &settings, |failure| eprintln!("{failure}"))?;
    for number in 0..messages {
        let id = MessageId(1_700_000_000_000_000 + number * 100);
        let at = UnixMillis(1_800_000_000_000 + number / 10);
        let from = Mailbox::parse(&format!("sender{}@example.org", number % 1_000))?;
        let recipient = Mailbox::parse(&format!("recipient{}@example.net", number % 5_000))?;
        let accepted = Event::Accepted {
            id,
            from: ReversePath::Mailbox(from),
            recipients: vec![recipient.clone()],
            account: None,
            client: Some([192, 0, 2, 1].into()),
            size: 4096,
        };
        let evidence = Evidence { by: "mx.example.net [192.0.2.7]:25".into(), text: "250 2.0.0 Ok: queued as 4F2A".into() };
        let outcome = Outcome::Delivered { evidence, dsn_passed_on: false };
        let attempted = Event::Attempted { id, recipient, outcome, number: 1, age: Duration::from_millis(40), next: None };
        history.record(at, accepted);
        history.record(at, attempted);
        history.record(at, Event::Finished { id });
        if number % BURST == 0 {
            history.flush();
        }
    }
    history.flush();
    println!("{:?}", history.figures());
    Ok(())
}
