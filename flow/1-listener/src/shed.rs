//! Refusing cheaply: one write without waiting, then the socket is dropped. Promise: a refused client costs no task and no place in the runtime.

use std::io::Write as _;
use std::net::TcpStream;
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

/// Has the connection reset when the socket is dropped, so that the kernel keeps nothing of it.
pub(crate) fn reset(socket: &TcpStream) {
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
