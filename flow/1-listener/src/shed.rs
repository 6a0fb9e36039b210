//! Refusing cheaply: one write without waiting, then the socket is dropped. Promise: a refused client costs no task and no place in the runtime.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use postern_mail::Reply;
use postern_smtp::reply_lines::write_reply;
use socket2::SockRef;

/// Says `reply`. The one line fits the empty buffer of a socket that was just accepted, so nothing is waited for; a client that has gone
/// already goes without it.
pub(crate) fn say(mut socket: &TcpStream, reply: &Reply) {
    let mut line = Vec::with_capacity(128);
    write_reply(reply, &mut line);
    let _ = socket.write(&line);
}

/// Connections that are accepted on it are reset when they are dropped, until [`orderly`] is told otherwise: so the cheapest end, after which the
/// kernel keeps nothing, is the one for which nothing has to be done.
pub(crate) fn resetting(socket: &TcpListener) {
    // Linux gives this to each accepted socket. Where that fails, they end as others do, which costs more and is as safe.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

/// What is written is sent before the connection ends, and it ends in order.
pub(crate) fn orderly(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(None);
}
