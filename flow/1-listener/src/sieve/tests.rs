//! What the kernel lets through: asked of the kernel, with real connections on loopback.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::*;

/// Connects from an address of loopback; a connection that is not answered is given up soon.
fn connect(from: &str, to: SocketAddr) -> io::Result<()> {
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let socket = Socket::new(Domain::for_address(from), Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), Duration::from_millis(150))
}

fn networks(texts: &[&str]) -> Vec<Subnet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn what_comes_from_the_networks_is_dropped_and_nothing_else_until_they_are_let_go() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = socket.local_addr().unwrap();
    sieve(&socket, &networks(&["2001:db8::/32", "127.66.0.0/16", "127.67.1.0/24", "127.68.1.1/32"]));
    for dropped in ["127.66.0.1", "127.66.255.255", "127.67.1.9", "127.68.1.1"] {
        assert_eq!(connect(dropped, here).unwrap_err().kind(), io::ErrorKind::TimedOut, "{dropped}");
    }
    for let_through in ["127.0.0.1", "127.65.255.255", "127.67.0.1", "127.67.2.1", "127.68.1.2"] {
        assert!(connect(let_through, here).is_ok(), "{let_through}");
    }
    sieve(&socket, &[]);
    assert!(connect("127.66.0.1", here).is_ok());
}

#[test]
fn ipv6_is_compared_word_by_word_as_far_as_the_prefix_goes() {
    let Ok(socket) = TcpListener::bind("[::1]:0") else { return };
    let here = socket.local_addr().unwrap();
    for (network, is_dropped) in [
        ("::1/128", true),
        ("::/64", true),
        ("::/0", true),
        ("::2/128", false),
        ("2001:db8::/32", false),
        ("0:0:0:1::/64", false),
    ] {
        sieve(&socket, &networks(&["192.0.2.0/24", network]));
        assert_eq!(connect("::1", here).is_err(), is_dropped, "{network}");
    }
}

#[test]
fn a_filter_is_no_longer_than_the_kernel_takes_however_many_networks_there_are() {
    let many: Vec<Subnet> =
        (0..1_000_u128).map(|n| Subnet::around(std::net::Ipv6Addr::from((0x2001_0db8 << 96) + n).into(), 128).unwrap()).collect();
    assert!(program(&many, false).len() <= 4096);
    let Ok(socket) = TcpListener::bind("[::1]:0") else { return };
    assert!(SockRef::from(&socket).attach_filter(&program(&many, false)).is_ok());
    assert!(connect("::1", socket.local_addr().unwrap()).is_ok());
}
