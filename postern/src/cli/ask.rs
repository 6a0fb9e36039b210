//! Asks the running server over its socket; what makes sense without one is done here when there is none.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;

use crate::cli::Stop;
use crate::control::{Answer, ORDER_TIMEOUT, Order, carry_out_account};
use crate::offline::{self, Source};
use crate::privilege::drop_root;
use crate::scopes::Habits;
use crate::wire::clock;
use crate::wire::control::socket_path;

/// Has an order carried out.
pub(crate) fn ask(source: &Source, order: Order) -> Result<Answer, Stop> {
    let config = source.load()?;
    let data_dir = std::path::absolute(&config.server.data_dir).map_err(|error| error.to_string())?;
    let path = socket_path(&data_dir);
    match UnixStream::connect(&path) {
        Ok(stream) => Ok(converse(stream, &order).map_err(|error| format!("the server at {}: {error}", path.display()))?),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => match order {
            Order::Account(order) => {
                // As the user the server runs as, not as root: so the server can use what is made, and nothing in that user's folder can
                // turn root's steps elsewhere. A user that does not exist is no error here, but when the server starts.
                match drop_root(&config.server.user, std::slice::from_ref(&data_dir)) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(format!("{}: {error}", data_dir.display()).into());
                    }
                    _ => {}
                }
                let accounts = offline::accounts(&data_dir)?;
                Ok(carry_out_account(&accounts, clock(), &Habits::of(&config), order))
            }
            _ => Err(Stop(
                1,
                format!("no server is running with the data directory {}; start it with: postern serve", data_dir.display()),
            )),
        },
        Err(error) => Err(Stop(1, format!("{}: {error}", path.display()))),
    }
}

fn converse(mut stream: UnixStream, order: &Order) -> std::io::Result<Answer> {
    stream.set_read_timeout(Some(ORDER_TIMEOUT))?;
    stream.set_write_timeout(Some(ORDER_TIMEOUT))?;
    let mut text = serde_json::to_vec(order)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(std::io::Error::new(ErrorKind::TimedOut, "it gave no answer in time"));
    }
    Ok(serde_json::from_str(&line)?)
}
