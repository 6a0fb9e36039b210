//! Sends messages from many sessions at a time, and says how fast they were taken.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::Options;
use crate::client::{Client, tls_config};

/// What to send.
pub(crate) struct Load {
    target: SocketAddr,
    sessions: u64,
    messages: u64,
    per_session: u64,
    pipelining: bool,
    bdat: bool,
    tls: Option<Arc<ClientConfig>>,
    seconds: Duration,
    envelope: Vec<Vec<u8>>,
    data: Vec<u8>,
    chunk: Vec<u8>,
}

/// A message of about `size` octets in lines of 70, dot-free, ending in CRLF.
fn message(size: usize) -> Vec<u8> {
    let mut text = b"From: <load@src.test>\r\nTo: <rcpt@sink.test>\r\nSubject: load\r\nMessage-ID: <load@src.test>\r\nDate: Tue, 24 Nov 2026 04:48:37 +0000\r\n\r\n".to_vec();
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
    pub(crate) fn from_options(options: &Options) -> Result<Self, String> {
        let text = message(usize::try_from(options.number("size", 4096)?).unwrap_or(4096));
        let recipients = options.number("recipients", 1)?.max(1);
        let to = options.text("to", "rcpt@sink.test");
        let mut envelope = vec![format!("MAIL FROM:<{}>\r\n", options.text("from", "load@src.test")).into_bytes()];
        for number in 0..recipients {
            let to = if recipients == 1 { to.clone() } else { format!("{number}.{to}") };
            envelope.push(format!("RCPT TO:<{to}>\r\n").into_bytes());
        }
        let mut chunk = format!("BDAT {} LAST\r\n", text.len()).into_bytes();
        chunk.extend_from_slice(&text);
        let mut data = text;
        data.extend_from_slice(b".\r\n");
        Ok(Self {
            target: options.loopback("target")?,
            sessions: options.number("sessions", 20)?.clamp(1, 10_000),
            messages: options.number("messages", 2000)?,
            per_session: options.number("per-session", 1)?,
            pipelining: options.flag("pipelining"),
            bdat: options.flag("bdat"),
            tls: if options.flag("starttls") { Some(tls_config()?) } else { None },
            seconds: options.seconds(30)?,
            envelope,
            data,
            chunk,
        })
    }

    async fn one_message(&self, client: &mut Client) -> io::Result<()> {
        if self.pipelining {
            let mut group = self.envelope.concat();
            group.extend_from_slice(if self.bdat { &self.chunk } else { b"DATA\r\n" });
            client.send(&group).await?;
            for _ in &self.envelope {
                client.expect(250).await?;
            }
        } else {
            for command in &self.envelope {
                client.send(command).await?;
                client.expect(250).await?;
            }
            client.send(if self.bdat { &self.chunk } else { b"DATA\r\n" }).await?;
        }
        if !self.bdat {
            client.expect(354).await?;
            client.send(&self.data).await?;
        }
        client.expect(250).await
    }

    async fn hello(&self, client: &mut Client) -> io::Result<()> {
        client.send(b"EHLO load.test\r\n").await?;
        client.expect(250).await
    }
}

struct Shared {
    left: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<String>,
    latencies: Mutex<Histogram<u64>>,
    last: Mutex<Instant>,
}

#[expect(clippy::disallowed_methods, reason = "measuring is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

impl Shared {
    fn take(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

async fn connection(load: &Load, shared: &Shared, times: &mut Histogram<u64>) -> io::Result<()> {
    let mut began = now();
    let mut client = Client::connect(load.target).await?;
    client.expect(220).await?;
    load.hello(&mut client).await?;
    if let Some(tls) = &load.tls {
        client.start_tls(tls).await?;
        load.hello(&mut client).await?;
    }
    let mut sent = 0;
    while sent == 0 || ((load.per_session == 0 || sent < load.per_session) && shared.take()) {
        if sent > 0 {
            began = now();
        }
        load.one_message(&mut client).await?;
        sent += 1;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        times.saturating_record(micros);
        shared.done.fetch_add(1, Ordering::Relaxed);
    }
    client.send(b"QUIT\r\n").await?;
    client.expect(221).await
}

async fn session(load: Arc<Load>, shared: Arc<Shared>, until: Instant) {
    let Ok(mut times) = Histogram::<u64>::new_with_bounds(1, 600_000_000, 3) else { return };
    while now() < until && shared.take() {
        let left = until.saturating_duration_since(now());
        match tokio::time::timeout(left, connection(&load, &shared, &mut times)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                shared.failed.fetch_add(1, Ordering::Relaxed);
                *shared.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
            }
            Err(_) => break,
        }
    }
    let _ = shared.latencies.lock().unwrap_or_else(PoisonError::into_inner).add(&times);
    let mut last = shared.last.lock().unwrap_or_else(PoisonError::into_inner);
    *last = (*last).max(now().min(until));
}

/// Latency runs from before connect (the first message of a connection) or before MAIL (later ones) to the reply after the data.
pub(crate) async fn run(load: Load) -> Result<Value, String> {
    let load = Arc::new(load);
    let began = now();
    let until = began + load.seconds;
    let shared = Shared {
        left: AtomicU64::new(load.messages),
        done: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        last_error: Mutex::default(),
        latencies: Mutex::new(Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| error.to_string())?),
        last: Mutex::new(began),
    };
    let shared = Arc::new(shared);
    let tasks: Vec<_> =
        (0..load.sessions).map(|_| tokio::spawn(session(Arc::clone(&load), Arc::clone(&shared), until))).collect();
    for task in tasks {
        task.await.map_err(|error| error.to_string())?;
    }
    let took = shared.last.lock().unwrap_or_else(PoisonError::into_inner).duration_since(began).as_secs_f64();
    let done = shared.done.load(Ordering::Relaxed);
    let times = shared.latencies.lock().unwrap_or_else(PoisonError::into_inner);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
    let rate = done as f64 / took.max(f64::MIN_POSITIVE);
    Ok(json!({
        "messages": done,
        "failed": shared.failed.load(Ordering::Relaxed),
        "last_error": *shared.last_error.lock().unwrap_or_else(PoisonError::into_inner),
        "seconds": took,
        "rate": rate,
        "p50_us": times.value_at_quantile(0.5),
        "p99_us": times.value_at_quantile(0.99),
        "max_us": times.max(),
    }))
}
