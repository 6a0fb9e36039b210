//! Refusing cheaply: one write without waiting, then the socket is dropped. Promise: a refused client costs no task and no buffer.

use std::io::Write as _;

use postern_mail::Reply;
use postern_smtp::reply_lines::write_reply;
use tokio::net::TcpStream;

/// Says `reply` if the socket takes it at once, and closes.
pub(crate) fn turn_away(socket: TcpStream, reply: &Reply) {
    let mut line = Vec::with_capacity(96);
    write_reply(reply, &mut line);
    if let Ok(mut socket) = socket.into_std() {
        // A client that cannot take one line now is dropped without it: a flood must not make us wait.
        let _ = socket.write(&line);
    }
}
