//! A name server on loopback that answers after a fixed time: test points of lists, the records of one sender, and that nothing else is there.
//!
//! Promise: every answer is late by the same time, however many are waiting, so what is measured is how a server waits and not how this one queues.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::load::now;

/// Lists of clients' addresses that answer.
pub(crate) const LISTS: [&str; 2] = ["one.bl.test", "two.bl.test"];
/// A list of domains.
pub(crate) const LINKS: &str = "uri.test";
/// A list that never answers.
pub(crate) const SILENT: &str = "silent.test";
/// Between two looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// Answers that wait; more are dropped, as a busy name server does.
const WAITING_MAX: usize = 100_000;
/// Seconds that an answer may be remembered.
const TTL: [u8; 4] = [0, 0, 1, 44];

const TEXTS: [(&str, &str); 2] = [("src.test", "v=spf1 ip4:127.0.0.0/8 -all"), ("_dmarc.src.test", "v=DMARC1; p=reject")];

/// Runs until it is dropped.
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    stop: AtomicBool,
    asked: AtomicU64,
    waiting: Mutex<VecDeque<(Instant, Vec<u8>, SocketAddr)>>,
    more: Condvar,
}

impl Names {
    /// On the port that C libraries ask, at an address of loopback where nobody else is.
    pub(crate) fn start(delay: Duration) -> io::Result<Self> {
        let bind = |last: u8| UdpSocket::bind((Ipv4Addr::new(127, 53, 53, last), 53));
        let socket = (1..=250)
            .find_map(|last| bind(last).ok())
            .ok_or_else(|| io::Error::other("no port 53 of 127.53.53.0/24 is free; it takes root"))?;
        socket.set_read_timeout(Some(LOOK))?;
        let (address, answering) = (socket.local_addr()?, socket.try_clone()?);
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            waiting: Mutex::default(),
            more: Condvar::new(),
        });
        let (hears, says) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || hear(&hears, &socket, delay));
        std::thread::spawn(move || say(&says, &answering));
        Ok(Self { address, shared })
    }

    /// Questions so far.
    pub(crate) fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.more.notify_all();
    }
}

fn hear(shared: &Shared, socket: &UdpSocket, delay: Duration) {
    let mut buffer = [0; 1500];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        shared.asked.fetch_add(1, Ordering::Relaxed);
        let Some(answer) = buffer.get(..length).and_then(answer) else { continue };
        if delay.is_zero() {
            let _ = socket.send_to(&answer, from);
            continue;
        }
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push_back((now() + delay, answer, from));
            shared.more.notify_one();
        }
    }
}

/// The delay is the same for all, so the first that came is the first that is due.
fn say(shared: &Shared, socket: &UdpSocket) {
    while !shared.stop.load(Ordering::Relaxed) {
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((due, ..)) = waiting.front() else {
            drop(shared.more.wait_timeout(waiting, LOOK));
            continue;
        };
        let left = due.saturating_duration_since(now());
        if !left.is_zero() {
            drop(waiting);
            std::thread::sleep(left);
            continue;
        }
        let next = waiting.pop_front();
        drop(waiting);
        if let Some((_, answer, to)) = next {
            let _ = socket.send_to(&answer, to);
        }
    }
}

/// The answer to a question; none for the list that is silent and for what is no question.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut name = String::new();
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(question.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = question.get(at..at + 2)?;
    let asked = question.get(12..at + 4)?;
    if name.ends_with(SILENT) {
        return None;
    }
    let is_test_point = LISTS.iter().any(|list| name == format!("2.0.0.127.{list}")) || name == format!("test.{LINKS}");
    let text = TEXTS.iter().find(|(owner, _)| *owner == name).map(|(_, text)| text.as_bytes());
    let data = match (kind, text) {
        ([0, 1], _) if is_test_point => Some(vec![127, 0, 0, 2]),
        ([0, 16], Some(text)) => Some([&[u8::try_from(text.len()).ok()?], text].concat()),
        _ => None,
    };
    let exists = data.is_some() || is_test_point || text.is_some();
    let id = question.get(..2)?;
    // A response, recursion desired and available; the code says whether the name exists.
    let mut out = [id, &[0x81, if exists { 0x80 } else { 0x83 }, 0, 1]].concat();
    out.extend_from_slice(if data.is_some() { &[0, 1, 0, 0, 0, 0] } else { &[0, 0, 0, 1, 0, 0] });
    out.extend_from_slice(asked);
    match data {
        Some(data) => {
            out.extend_from_slice(&[0xc0, 12]);
            out.extend_from_slice(kind);
            out.extend_from_slice(&[0, 1]);
            out.extend_from_slice(&TTL);
            out.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
            out.extend_from_slice(&data);
        }
        None => {
            // SOA of `test`: names of the server and its keeper, a number, and times, of which the last is how long this may be remembered.
            out.extend_from_slice(b"\x04test\0\0\x06\0\x01");
            out.extend_from_slice(&TTL);
            out.extend_from_slice(&[0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 14, 16]);
            out.extend_from_slice(&TTL);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u8) -> Vec<u8> {
        let mut out = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            out.push(u8::try_from(label.len()).unwrap());
            out.extend_from_slice(label.as_bytes());
        }
        out.extend_from_slice(&[0, 0, kind, 0, 1]);
        out
    }

    #[test]
    fn test_points_are_listed_nobody_else_is_and_one_list_is_silent() {
        let listed = answer(&question("2.0.0.127.one.bl.test", 1)).unwrap();
        assert_eq!((&listed[..4], &listed[6..8]), (&[7, 9, 0x81, 0x80][..], &[0, 1][..]));
        assert!(listed.ends_with(&[0, 4, 127, 0, 0, 2]));
        let nobody = answer(&question("9.0.0.127.one.bl.test", 1)).unwrap();
        assert_eq!((nobody[3], &nobody[6..10]), (0x83, &[0, 0, 0, 1][..]));
        assert!(answer(&question("2.0.0.127.silent.test", 1)).is_none());
        assert!(answer(&question("src.test", 16)).unwrap().ends_with(b"-all"));
        assert!(answer(b"nothing").is_none());
    }
}
