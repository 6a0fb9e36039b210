//! Waiting for what another program does. Promise: every wait has a bound, and the failure says what was waited for.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub const LONG: Duration = Duration::from_secs(30);

/// Looks again and again until there is something, for events of other programs that nothing tells us about.
///
/// # Panics
/// When there is nothing within the time.
pub fn until<T>(what: &str, at_most: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + at_most;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {at_most:?} for {what}");
        std::thread::sleep(Duration::from_millis(5)); // tidy: waits for a port or a file, bounded
    }
}

/// Whether anybody listens there.
#[must_use]
pub fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}

/// A port of loopback that was free a moment ago. Below those the kernel gives to outgoing connections, so that none of them takes it
/// before the program under test does.
///
/// # Panics
/// When there is no free port.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let (lowest, count) = (10_000_u16, 22_000_u16);
    // Tests run as several processes at once: each begins elsewhere.
    let begin = (std::process::id().wrapping_mul(7_919) % u32::from(count)) as u16;
    for _ in 0..count {
        let port = lowest + (begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed))) % count;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() && std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {lowest} to {}", lowest + count);
}

/// The address of a port on loopback.
#[must_use]
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
