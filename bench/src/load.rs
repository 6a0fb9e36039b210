//! Sends messages from many sessions at a time, and says how fast they were taken.
//!
//! Promise: no message is started after the time is over, and none is waited for longer than the grace; a session that got no answer is
//! counted as stalled, never as fast.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::Options;
use crate::client::{Client, plain, tls_config};

const SENDER: &str = "load@src.test";
/// How long a message that was begun in time may take to be answered.
const GRACE: Duration = Duration::from_secs(10);
/// A session that failed waits this long, so that a server that refuses is not hammered.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// An account that sends.
#[derive(Clone)]
struct Customer {
    name: String,
    source: Ipv4Addr,
    /// The response of AUTH PLAIN.
    auth: String,
    /// Its own message, with the final dot.
    data: Vec<u8>,
}

/// What to send.
#[derive(Clone)]
pub(crate) struct Load {
    target: SocketAddr,
    sessions: u64,
    /// In all.
    messages: u64,
    /// Over one connection; 0: as many as there are.
    per_session: u64,
    /// Messages a second, spread evenly; 0: as fast as they are taken.
    rate: u64,
    pipelining: bool,
    bdat: bool,
    tls: Option<Arc<ClientConfig>>,
    /// Each connection comes from an address of its own, counted from here.
    from: Option<u64>,
    /// Who sends, in turn by connection; none: nobody logs in.
    customers: Vec<Customer>,
    seconds: Duration,
    sender: String,
    recipients: Vec<String>,
    /// Each message has recipients of its own.
    unique: bool,
    /// With the final dot.
    data: Vec<u8>,
    chunk: Vec<u8>,
}

/// What came of it.
pub(crate) struct Taken {
    pub(crate) messages: u64,
    pub(crate) failed: u64,
    /// Sessions still without an answer when the grace was over.
    pub(crate) stalled: u64,
    pub(crate) last_error: String,
    /// From the start to the last answer.
    pub(crate) seconds: f64,
    /// In microseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Taken {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "messages": self.messages,
            "failed": self.failed,
            "stalled": self.stalled,
            "last_error": self.last_error,
            "seconds": self.seconds,
            "rate": self.rate(),
            "p50_us": self.latencies.value_at_quantile(0.5),
            "p99_us": self.latencies.value_at_quantile(0.99),
            "max_us": self.latencies.max(),
        })
    }
}

/// A message of about `size` octets in lines of 70, dot-free, ending in CRLF.
fn message(size: usize, from: &str) -> Vec<u8> {
    let mut text = format!("From: <{from}>\r\nTo: <rcpt@sink.test>\r\nSubject: load\r\nMessage-ID: <load@src.test>\r\nDate: Tue, 24 Nov 2026 04:48:37 +0000\r\n\r\n").into_bytes();
    text.reserve_exact(size + 80);
    let mut state: u32 = 0x9e37_79b9;
    while text.len() < size {
        for _ in 0..70.min(size.saturating_sub(text.len()).max(1)) {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.push(b'a' + u8::try_from((state >> 24) % 26).unwrap_or(0));
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

impl Load {
    /// One message a connection, as fast as they are taken.
    pub(crate) fn new(target: SocketAddr, sessions: u64, size: usize) -> Self {
        let data = [message(size, SENDER).as_slice(), b".\r\n"].concat();
        Self {
            target,
            sessions,
            messages: u64::MAX,
            per_session: 1,
            rate: 0,
            pipelining: false,
            bdat: false,
            tls: None,
            from: None,
            customers: Vec::new(),
            seconds: Duration::from_secs(30),
            sender: SENDER.to_owned(),
            recipients: vec!["rcpt@sink.test".to_owned()],
            unique: false,
            data,
            chunk: Vec::new(),
        }
    }

    /// As many messages over each connection as there are, in one write up to DATA.
    pub(crate) fn pipelined(mut self) -> Self {
        self.per_session = 0;
        self.pipelining = true;
        self
    }

    /// Recipients that no other message has.
    pub(crate) fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// So many a second, over connections that stay.
    pub(crate) fn paced(mut self, rate: u64) -> Self {
        self.per_session = 0;
        self.rate = rate;
        self
    }

    /// So many a second, each over a connection of its own.
    pub(crate) fn paced_singly(mut self, rate: u64) -> Self {
        self.rate = rate;
        self
    }

    /// As these accounts in turn, each from an address of its own: it logs in on each connection and sends as itself.
    pub(crate) fn logged_in(mut self, accounts: Vec<(String, Ipv4Addr)>, password: &str) -> Self {
        let size = self.data.len().saturating_sub(3);
        let customer = |(name, source): (String, Ipv4Addr)| Customer {
            source,
            auth: plain(&name, password),
            // An account may not write as somebody else, in the message neither.
            data: [message(size, &name).as_slice(), b".\r\n"].concat(),
            name,
        };
        self.customers = accounts.into_iter().map(customer).collect();
        self
    }

    /// Each connection from another address of loopback, the first so many left out.
    pub(crate) fn by_strangers(mut self, first: u64) -> Self {
        self.from = Some(first);
        self
    }

    /// Three lines of the message are links.
    pub(crate) fn with_links(mut self) -> Self {
        let links = b"https://www.src.test/a?b=c\r\nhttp://news.src.test/\r\nhttps://cdn.other.test/picture\r\n.\r\n";
        let text = self.data.strip_suffix(b".\r\n").unwrap_or_default();
        self.data = [text, links].concat();
        self
    }

    /// So many and no more.
    pub(crate) fn in_all(mut self, messages: u64) -> Self {
        self.messages = messages;
        self
    }

    pub(crate) fn with_tls(mut self) -> Result<Self, String> {
        self.tls = Some(tls_config()?);
        Ok(self)
    }

    pub(crate) fn for_seconds(mut self, seconds: Duration) -> Self {
        self.seconds = seconds;
        self
    }

    pub(crate) fn from_options(options: &Options) -> Result<Self, String> {
        let size = usize::try_from(options.number("size", 4096)?).unwrap_or(4096);
        let mut load = Self::new(options.loopback("target")?, options.number("sessions", 20)?.clamp(1, 10_000), size);
        load.messages = options.number("messages", 2000)?;
        load.per_session = options.number("per-session", 1)?;
        load.rate = options.number("rate", 0)?;
        load.pipelining = options.flag("pipelining");
        load.bdat = options.flag("bdat");
        load.unique = options.flag("unique");
        load.seconds = options.seconds(30)?;
        load.sender = options.text("from", SENDER);
        let (to, recipients) = (options.text("to", "rcpt@sink.test"), options.number("recipients", 1)?.max(1));
        load.recipients = match recipients {
            1 => vec![to],
            many => (0..many).map(|number| format!("{number}.{to}")).collect(),
        };
        if load.bdat {
            let text = load.data.strip_suffix(b".\r\n").unwrap_or_default();
            load.chunk = [format!("BDAT {} LAST\r\n", text.len()).as_bytes(), text].concat();
        }
        if options.flag("starttls") { load.with_tls() } else { Ok(load) }
    }

    /// The commands before the body, for the message of this number.
    fn envelope(&self, number: u64, customer: Option<&Customer>) -> Vec<Vec<u8>> {
        let sender = customer.map_or(&self.sender, |customer| &customer.name);
        let mut commands = vec![format!("MAIL FROM:<{sender}>\r\n").into_bytes()];
        commands.extend(self.recipients.iter().map(|to| {
            if self.unique {
                format!("RCPT TO:<{number}.{to}>\r\n").into_bytes()
            } else {
                format!("RCPT TO:<{to}>\r\n").into_bytes()
            }
        }));
        commands
    }

    async fn one_message(&self, client: &mut Client, envelope: &[Vec<u8>], data: &[u8]) -> io::Result<()> {
        if self.pipelining {
            let mut group = envelope.concat();
            group.extend_from_slice(if self.bdat { &self.chunk } else { b"DATA\r\n" });
            client.send(&group).await?;
            for _ in envelope {
                client.expect(250).await?;
            }
        } else {
            for command in envelope {
                client.send(command).await?;
                client.expect(250).await?;
            }
            client.send(if self.bdat { &self.chunk } else { b"DATA\r\n" }).await?;
        }
        if !self.bdat {
            client.expect(354).await?;
            client.send(data).await?;
        }
        client.expect(250).await
    }

    /// Who sends over the connection that begins with the message of this number.
    fn customer(&self, number: u64) -> Option<&Customer> {
        let turn = number.checked_rem(u64::try_from(self.customers.len()).unwrap_or(0))?;
        self.customers.get(usize::try_from(turn).ok()?)
    }

    async fn hello(&self, client: &mut Client) -> io::Result<()> {
        client.send(b"EHLO load.test\r\n").await?;
        client.expect(250).await
    }
}

struct Shared {
    began: Instant,
    /// The number of the next message.
    next: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    stalled: AtomicU64,
    /// Microseconds from `began` to the last answer.
    last: AtomicU64,
    last_error: Mutex<String>,
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The next message's number and the moment its latency counts from: none once all are sent or the time is over. With a rate, a message that
/// could not be started when it was due counts from when it was due, or a slow server would be asked less and look fast.
async fn take(load: &Load, shared: &Shared) -> Option<(u64, Instant)> {
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    if number >= load.messages {
        return None;
    }
    let until = shared.began + load.seconds;
    let Some(after) = number.saturating_mul(1_000_000).checked_div(load.rate) else {
        let now = now();
        return (now < until).then_some((number, now));
    };
    let due = shared.began + Duration::from_micros(after);
    if due >= until {
        return None;
    }
    if due > now() {
        tokio::time::sleep_until(due.into()).await;
        return Some((number, now()));
    }
    Some((number, due))
}

/// All of 127.64.0.0/11, one after the other.
fn source(number: u64) -> Ipv4Addr {
    Ipv4Addr::from(0x7f40_0000 + u32::try_from(number % 0x001f_fffe).unwrap_or(0) + 1)
}

/// One connection, from the message in hand to the last that fits.
async fn connection(load: &Load, shared: &Shared, times: &mut Histogram<u64>, first: (u64, Instant)) -> io::Result<()> {
    let customer = load.customer(first.0);
    let mut client = match customer {
        Some(customer) => Client::connect_from(customer.source, load.target).await?,
        None => match load.from {
            Some(from) => Client::connect_from(source(from + first.0), load.target).await?,
            None => Client::connect(load.target).await?,
        },
    };
    client.expect(220).await?;
    load.hello(&mut client).await?;
    if let Some(tls) = &load.tls {
        client.start_tls(tls).await?;
        load.hello(&mut client).await?;
    }
    if let Some(customer) = customer {
        client.send(format!("AUTH PLAIN {}\r\n", customer.auth).as_bytes()).await?;
        client.expect(235).await?;
    }
    let (mut number, mut began) = first;
    let mut envelope = load.envelope(number, customer);
    let data = customer.map_or(&load.data, |customer| &customer.data);
    let mut sent = 0;
    loop {
        if load.unique && sent > 0 {
            envelope = load.envelope(number, customer);
        }
        load.one_message(&mut client, &envelope, data).await?;
        sent += 1;
        let at = now();
        times.saturating_record(micros(at.duration_since(began)));
        shared.done.fetch_add(1, Ordering::Relaxed);
        shared.last.fetch_max(micros(at.duration_since(shared.began)), Ordering::Relaxed);
        if sent == load.per_session {
            break;
        }
        match take(load, shared).await {
            Some(next) => (number, began) = next,
            None => break,
        }
    }
    client.send(b"QUIT\r\n").await?;
    client.expect(221).await
}

async fn session(load: &Load, shared: &Shared, times: &mut Histogram<u64>) {
    while let Some(first) = take(load, shared).await {
        if let Err(error) = connection(load, shared, times, first).await {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            *shared.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| error.to_string())
}

/// Latency runs from before connect (the first message of a connection) or before MAIL (later ones) to the reply after the data; the rate
/// from the start to the last reply.
pub(crate) async fn run(load: &Arc<Load>) -> Result<Taken, String> {
    let shared = Arc::new(Shared {
        began: now(),
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        stalled: AtomicU64::new(0),
        last: AtomicU64::new(0),
        last_error: Mutex::default(),
    });
    let end = shared.began + load.seconds + GRACE;
    let tasks: Vec<_> = (0..load.sessions)
        .map(|_| {
            let (load, shared) = (Arc::clone(load), Arc::clone(&shared));
            tokio::spawn(async move {
                let mut times = histogram()?;
                if tokio::time::timeout_at(end.into(), session(&load, &shared, &mut times)).await.is_err() {
                    shared.stalled.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, String>(times)
            })
        })
        .collect();
    let mut latencies = histogram()?;
    for task in tasks {
        let times = task.await.map_err(|error| error.to_string())??;
        latencies.add(times).map_err(|error| error.to_string())?;
    }
    Ok(Taken {
        messages: shared.done.load(Ordering::Relaxed),
        failed: shared.failed.load(Ordering::Relaxed),
        stalled: shared.stalled.load(Ordering::Relaxed),
        last_error: shared.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        seconds: Duration::from_micros(shared.last.load(Ordering::Relaxed)).as_secs_f64(),
        latencies,
    })
}
