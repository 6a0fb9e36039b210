//! A milter: a connection for each message, everything about it at once, and what the filter makes of it. Promise: no more octets are read than a
//! packet may have, and whatever comes, the conversation ends within its time.

mod machine;
mod packet;

use postern_config::LmtpAddress;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use self::machine::{Machine, Next};
use self::packet::{PACKET_BYTES_MAX, Reply, command};
use crate::connect::{Stream, connect};
use crate::set::Shown;
use crate::{Opinion, Told};

/// Gathered before it is written.
const WRITE_BYTES: usize = 64 * 1024;
/// Packets of one conversation that nothing was sent for: a body of 256 MiB in pieces, a thousand changes, and a sign of life each second. Those that
/// are owed are as many as what we send.
const UNOWED_MAX: usize = 20_000;

pub(crate) async fn ask(address: &LmtpAddress, told: &Told<'_>, body_bytes_max: usize, shown: &Shown) -> Result<Opinion, String> {
    let mut stream = connect(address).await.map_err(|error| error.to_string())?;
    let mut out = Vec::with_capacity(4_096);
    machine::offer(&mut out);
    write(&mut *stream, &mut out).await?;
    let agreed = machine::agree(read(&mut *stream).await?)?;
    shown.begins();
    let mut machine = Machine::new(told, agreed, body_bytes_max);
    let mut unowed_left = UNOWED_MAX;
    loop {
        match machine.next(&mut out) {
            Next::Go if out.len() < WRITE_BYTES => {}
            Next::Go => write(&mut *stream, &mut out).await?,
            Next::Done => break,
            Next::Wait => {
                write(&mut *stream, &mut out).await?;
                loop {
                    if machine.take(read(&mut *stream).await?)? {
                        break;
                    }
                    unowed_left = unowed_left.checked_sub(1).ok_or("it talks without end")?;
                }
            }
        }
    }
    packet::put(&mut out, command::QUIT, &[]);
    // Whether it hears this is its own matter: it has said what we wanted to know.
    let _ = write(&mut *stream, &mut out).await;
    machine.opinion()
}

async fn write(stream: &mut dyn Stream, out: &mut Vec<u8>) -> Result<(), String> {
    stream.write_all(out).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    out.clear();
    Ok(())
}

async fn read(stream: &mut dyn Stream) -> Result<Reply, String> {
    let length = stream.read_u32().await.map_err(|error| error.to_string())?;
    if length == 0 || length > PACKET_BYTES_MAX {
        return Err(format!("it wrote a packet of {length} octets"));
    }
    let mut packet = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut packet).await.map_err(|error| error.to_string())?;
    packet::read(&packet).ok_or_else(|| "it wrote a packet that does not read".to_owned())
}

#[cfg(test)]
mod tests;
