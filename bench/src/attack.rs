//! Attacks on a server on loopback, from many addresses, at a rate that is fixed beforehand: connections held idle, bytes that drip, connections
//! that come and go, guessed passwords.
//!
//! Promise: an attack runs in a thread of its own and is bounded in rate, in count and in what is open at a time, so that what it does to others is
//! the server's doing; what could not be sent is counted, never caught up with later.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::{Value, json};

use crate::Options;
use crate::client::{Client, plain, tls_config};
use crate::load::now;

/// Between two looks what is due.
const TICK: Duration = Duration::from_millis(2);
/// Between two bytes that drip.
const DRIP: Duration = Duration::from_secs(2);
/// How long one of those that come and go waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that stays waits for a greeting; a server under attack may take its time.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// Of those that come and go, open at a time.
const OPEN_MAX: u64 = 2_000;
/// Networks that idle connections come from.
const IDLE_NETWORKS: u64 = 250;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// EHLO, and then nothing.
    Idle,
    /// A byte now and then: half of them in a command, a quarter in a body, a quarter in AUTH under TLS.
    Drip,
    /// Connect, read what comes until the server closes, and again.
    Churn,
    /// A wrong password under TLS, one a connection; half of them for accounts that exist.
    Guess,
}

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Idle, Self::Drip, Self::Churn, Self::Guess];

    fn by_name(name: &str) -> Result<Self, String> {
        match name {
            "idle" => Ok(Self::Idle),
            "drip" => Ok(Self::Drip),
            "churn" => Ok(Self::Churn),
            "guess" => Ok(Self::Guess),
            _ => Err(format!("--way wants idle, drip, churn or guess, not {name:?}")),
        }
    }

    /// Begun in a second.
    pub(crate) fn rate(self) -> u64 {
        match self {
            Self::Idle | Self::Churn => 2_000,
            Self::Drip => 500,
            Self::Guess => 200,
        }
    }

    /// Whether its connections are meant to stay.
    pub(crate) fn stays(self) -> bool {
        matches!(self, Self::Idle | Self::Drip)
    }

    /// Steps by a prime that is larger than a network, so that neighbours in time are none in address.
    fn source(self, number: u64) -> Ipv4Addr {
        let step = |first: u32, addresses: u64| first + u32::try_from(number % addresses).unwrap_or(0) * 257;
        Ipv4Addr::from(match self {
            Self::Idle => 0x7f03_0001 + (u32::try_from(number % IDLE_NETWORKS).unwrap_or(0) << 8),
            Self::Drip => step(0x7f20_0001, 1_000),
            // All of 127.66.0.0/16, over and over.
            Self::Churn => 0x7f42_0000 | (u32::try_from(number * 257 % 65_521).unwrap_or(0) + 1),
            Self::Guess => step(0x7f50_0001, 4_000),
        })
    }
}

/// What is attacked, and how.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) way: Way,
    pub(crate) mx: SocketAddr,
    pub(crate) submission: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
    /// Accounts whose passwords are guessed.
    pub(crate) victims: Arc<[String]>,
    /// Begun in all.
    pub(crate) count: u64,
}

/// What has come of it so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Due by now.
    offered: AtomicU64,
    /// Not begun, since too many were open.
    left_out: AtomicU64,
    open: AtomicU64,
    /// Got what it came for: a place to stay, a greeting, or a judgement of its password.
    heard: AtomicU64,
    /// Closed or told to go before that.
    turned_away: AtomicU64,
    /// No connection, or no answer in time.
    failed: AtomicU64,
}

/// The same as numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) offered: u64,
    pub(crate) sent: u64,
    pub(crate) open: u64,
    pub(crate) heard: u64,
    pub(crate) turned_away: u64,
    pub(crate) failed: u64,
}

impl Counts {
    fn outcome(&self) -> Outcome {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let offered = get(&self.offered);
        Outcome {
            offered,
            sent: offered.saturating_sub(get(&self.left_out)),
            open: get(&self.open),
            heard: get(&self.heard),
            turned_away: get(&self.turned_away),
            failed: get(&self.failed),
        }
    }
}

/// One that counts as open until this is dropped.
struct Open<'a>(&'a AtomicU64);

impl<'a> Open<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Plan {
    async fn connect(&self, number: u64) -> io::Result<Client> {
        let target = match self.way {
            Way::Idle | Way::Churn => self.mx,
            Way::Drip if number % 4 != 3 => self.mx,
            Way::Drip | Way::Guess => self.submission,
        };
        Client::connect_from(self.way.source(number), target).await
    }

    /// A greeting and EHLO, and once more after STARTTLS on the port for accounts.
    async fn greet(&self, client: &mut Client, tls: bool) -> io::Result<()> {
        client.expect(220).await?;
        client.send(b"EHLO attack.test\r\n").await?;
        client.expect(250).await?;
        if tls {
            client.start_tls(&self.tls).await?;
            client.send(b"EHLO attack.test\r\n").await?;
            client.expect(250).await?;
        }
        Ok(())
    }

    /// Up to where it begins to drip, and with what.
    async fn prepare_drip(&self, client: &mut Client, number: u64) -> io::Result<()> {
        match number % 4 {
            2 => {
                self.greet(client, false).await?;
                client.send(b"MAIL FROM:<drip@src.test>\r\n").await?;
                client.expect(250).await?;
                client.send(b"RCPT TO:<rcpt@sink.test>\r\n").await?;
                client.expect(250).await?;
                client.send(b"DATA\r\n").await?;
                client.expect(354).await
            }
            3 => {
                self.greet(client, true).await?;
                client.send(b"AUTH PLAIN\r\n").await?;
                client.expect(334).await
            }
            _ => {
                client.expect(220).await?;
                client.send(b"EHLO ").await
            }
        }
    }

    /// True when it was heard.
    async fn guess(&self, client: &mut Client, number: u64) -> io::Result<bool> {
        self.greet(client, true).await?;
        let turn = usize::try_from(number / 2).ok().and_then(|turn| turn.checked_rem(self.victims.len()));
        let user = match turn.and_then(|turn| self.victims.get(turn)) {
            Some(victim) if number.is_multiple_of(2) => victim.clone(),
            _ => format!("nobody{number}@sink.test"),
        };
        client.send(format!("AUTH PLAIN {}\r\n", plain(&user, &format!("guessed {number}"))).as_bytes()).await?;
        Ok(client.reply().await? == 535)
    }

    async fn stay(&self, number: u64, counts: &Counts) -> io::Result<()> {
        let mut client = self.connect(number).await?;
        let _open = Open::new(&counts.open);
        let prepared = async {
            match self.way {
                Way::Drip => self.prepare_drip(&mut client, number).await,
                _ => self.greet(&mut client, false).await,
            }
        };
        match tokio::time::timeout(LONG_PATIENCE, prepared).await {
            Ok(Ok(())) => counts.heard.fetch_add(1, Ordering::Relaxed),
            Ok(Err(_)) => {
                counts.turned_away.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        loop {
            tokio::select! {
                // Whatever comes now is the end, or soon will be.
                _ = client.reply() => return Ok(()),
                () = tokio::time::sleep(DRIP), if self.way == Way::Drip => {}
            }
            if client.send(b"a").await.is_err() {
                return Ok(());
            }
        }
    }

    async fn pass(&self, number: u64, counts: &Counts) -> io::Result<()> {
        let mut client = self.connect(number).await?;
        let heard = if self.way == Way::Guess {
            self.guess(&mut client, number).await
        } else {
            let greeted = client.reply().await.map(|code| code == 220);
            // A greeting is not waited out; a refusal is, so that the server is the one that closes.
            while !matches!(greeted, Ok(true)) && client.reply().await.is_ok() {}
            greeted
        };
        let count = if heard.unwrap_or(false) { &counts.heard } else { &counts.turned_away };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn one(&self, number: u64, counts: &Counts) {
        let ended = if self.way.stays() {
            self.stay(number, counts).await
        } else {
            let _open = Open::new(&counts.open);
            tokio::time::timeout(PATIENCE, self.pass(number, counts)).await.unwrap_or_else(|late| Err(late.into()))
        };
        // A connection that is reset before it is seen to stand was refused, and no failure of the network.
        match ended {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                counts.turned_away.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Begins all of them in time, and then waits for ever.
    async fn offer(self, counts: Arc<Counts>) {
        let plan = Arc::new(self);
        let began = now();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut number = 0;
        while number < plan.count {
            ticks.tick().await;
            let elapsed = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let due = (elapsed.saturating_mul(plan.way.rate()) / 1_000_000).min(plan.count);
            while number < due {
                if !plan.way.stays() && counts.open.load(Ordering::Relaxed) >= OPEN_MAX {
                    counts.left_out.fetch_add(due - number, Ordering::Relaxed);
                    number = due;
                    break;
                }
                let (plan, counts) = (Arc::clone(&plan), Arc::clone(&counts));
                tokio::spawn(async move { plan.one(number, &counts).await });
                number += 1;
            }
            counts.offered.store(number, Ordering::Relaxed);
        }
        std::future::pending().await
    }
}

/// An attack that goes on until this is stopped or dropped.
pub(crate) struct Attack {
    counts: Arc<Counts>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Attack {
    pub(crate) fn start(plan: Plan) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let offering = plan.offer(Arc::clone(&counts));
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = offering => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { counts, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.counts.outcome()
    }

    /// Waits until it is gone, and says what it had come to before.
    pub(crate) fn stop(self) -> Outcome {
        self.outcome()
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One attack by itself, for whoever wants to look at a server meanwhile.
pub(crate) fn run(options: &Options) -> Result<Value, String> {
    let way = Way::by_name(&options.text("way", ""))?;
    let mx = options.loopback("target")?;
    let submission = if options.flag("submission") { options.loopback("submission")? } else { mx };
    let victims = options.text("victims", "").split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let seconds = options.seconds(10)?.min(Duration::from_secs(600));
    let count = options.number("count", way.rate().saturating_mul(seconds.as_secs()))?.min(10_000_000);
    let attack = Attack::start(Plan { way, mx, submission, tls: tls_config()?, victims, count })?;
    std::thread::sleep(seconds);
    let outcome = attack.stop();
    Ok(json!({
        "offered": outcome.offered,
        "sent": outcome.sent,
        "open": outcome.open,
        "heard": outcome.heard,
        "turned_away": outcome.turned_away,
        "failed": outcome.failed,
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn attacks_come_from_many_addresses_of_loopback_and_never_from_those_of_good_clients() {
        for (way, least) in [(Way::Idle, 250), (Way::Drip, 1_000), (Way::Churn, 10_000), (Way::Guess, 4_000)] {
            let sources: HashSet<Ipv4Addr> = (0..20_000).map(|number| way.source(number)).collect();
            assert!(sources.len() >= least, "{way:?} comes from {} addresses", sources.len());
            assert!(sources.iter().all(|source| source.is_loopback() && source.octets()[1] != 8), "{way:?}");
        }
    }

    #[test]
    fn the_flood_of_connections_stays_within_the_banned_network() {
        assert!((0..200_000).all(|number| Way::Churn.source(number).octets()[..2] == [127, 66]));
    }

    #[tokio::test]
    async fn an_attack_ends_when_it_is_told_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let tls = tls_config().expect("TLS");
        let plan = Plan { way: Way::Churn, mx: address, submission: address, tls, victims: Arc::new([]), count: u64::MAX };
        let attack = Attack::start(plan).expect("it starts");
        let (mut stream, client) = listener.accept().await.expect("a client");
        assert!(client.ip().to_string().starts_with("127.66."), "it comes from {client}");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"421 no\r\n").await.expect("it reads");
        drop(stream);
        while attack.outcome().turned_away == 0 {
            tokio::task::yield_now().await;
        }
        let outcome = attack.stop();
        assert!(outcome.heard == 0 && outcome.sent <= outcome.offered, "{outcome:?}");
    }
}
