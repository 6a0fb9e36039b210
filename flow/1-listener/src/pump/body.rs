//! Bodies and chunks on their way to the host. Promise: whatever becomes of one, exactly its octets are taken off the stream; a client that
//! dribbles one is gone in time, and one that is slow because we are is not. One that is very fast is read more slowly, so that a single large
//! message does not take the machine from the small ones beside it.

use std::time::{Duration, Instant};

use postern_smtp::body::{DataDecoder, DataProgress};
use postern_smtp::chunk::ChunkReader;
use postern_smtp::machine::{BodyEnd, Input, Machine};
use tokio::time::sleep;

use super::{Ended, Filled, Host, Pump, now};

/// A message may come at any speed up to here: most end before it, and none of those is worth a wait.
const UNPACED_BYTES: u64 = 1 << 20;
/// Shorter pauses are put off until they are worth a timer.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// What is being read after 354 or BDAT.
pub(super) struct Body {
    content: Content,
    /// When it began, put off by the time the host took.
    began: Instant,
}

/// How fast a message comes, however many chunks it comes in.
pub(super) struct Pace {
    /// When it began.
    began: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(began: Instant) -> Self {
        Self { began, bytes: 0 }
    }

    /// How long to leave what follows to the client's kernel, when it has come faster than `rate`, in octets a second.
    fn pause(&self, moment: Instant, rate: u64) -> Option<Duration> {
        let paced = self.bytes.saturating_sub(UNPACED_BYTES);
        let due = Duration::from_micros(paced.saturating_mul(1_000_000).checked_div(rate)?);
        let ahead = due.checked_sub(moment.saturating_duration_since(self.began))?;
        (ahead >= PAUSE_MIN).then_some(ahead)
    }
}

enum Content {
    Data { decoder: DataDecoder, limit: u64, bytes: u64 },
    Chunk { reader: ChunkReader, size: u64, keep: bool, last: bool },
}

impl Body {
    pub(super) fn data(began: Instant, limit: u64) -> Self {
        Self { content: Content::Data { decoder: DataDecoder::new(), limit, bytes: 0 }, began }
    }

    pub(super) fn chunk(began: Instant, size: u64, keep: bool, last: bool) -> Self {
        Self { content: Content::Chunk { reader: ChunkReader::new(size), size, keep, last }, began }
    }

    /// Octets received.
    fn bytes(&self) -> u64 {
        match &self.content {
            Content::Data { bytes, .. } => *bytes,
            Content::Chunk { reader, size, .. } => size.saturating_sub(reader.remaining()),
        }
    }
}

impl<M: Machine, H: Host> Pump<M, H> {
    /// Reads a body or a chunk to its end and feeds the machine what came of it.
    pub(super) async fn next_body(&mut self, mut body: Body) -> Result<(), Ended> {
        loop {
            let (before, bytes) = (now(), body.bytes());
            let end = match &mut body.content {
                Content::Data { decoder, limit, bytes } => self.decode_data(decoder, *limit, bytes).await,
                Content::Chunk { reader, size, keep, last } => self.decode_chunk(reader, *size, *keep, *last).await,
            };
            self.pace.bytes = self.pace.bytes.saturating_add(body.bytes().saturating_sub(bytes));
            if let Some(end) = end {
                self.feed(Input::BodyEnded(end));
                return Ok(());
            }
            if let Some(pause) = self.pace.pause(now(), self.settings.data_rate_max) {
                sleep(pause).await;
            }
            let moment = now();
            // The client does not fall behind while the host or the largest rate keeps it waiting.
            body.began += moment.saturating_duration_since(before);
            self.hurry();
            let filled = match self.body_deadline(moment, &body) {
                Some(deadline) => self.fill(deadline).await?,
                None => Filled::TimedOut,
            };
            match filled {
                Filled::Bytes => {}
                Filled::Gone => return Err(Ended::Gone),
                Filled::TimedOut => {
                    self.feed(Input::TimedOut);
                    return Ok(());
                }
                Filled::Stopping => self.feed(Input::Stopping),
                Filled::Revoked(reply) => self.feed(Input::Revoked(reply)),
            }
        }
    }

    /// When the next piece must be there: soon, within the transaction, and not behind the smallest rate. `None` when the transaction's time is
    /// over, which no haste can mend any more.
    fn body_deadline(&self, moment: Instant, body: &Body) -> Option<Instant> {
        let patience = self.machine.patience(moment);
        let piece = moment + patience.command;
        let settings = &self.settings;
        let rate = match body.bytes().checked_div(settings.data_rate_min) {
            Some(seconds) => body.began + settings.data_rate_grace + Duration::from_secs(seconds.min(1 << 30)),
            None => piece,
        };
        let nearest = piece.min(rate);
        match patience.until {
            Some(until) if until <= moment => None,
            Some(until) => Some(until.min(nearest)),
            None => Some(nearest),
        }
    }

    async fn decode_data(&mut self, decoder: &mut DataDecoder, limit: u64, bytes: &mut u64) -> Option<BodyEnd> {
        let buffered = self.input.get(self.used..).unwrap_or_default();
        let mut pieces: Vec<&[u8]> = Vec::new();
        let (consumed, progress) = decoder.decode(buffered, &mut |piece| pieces.push(piece));
        self.used += consumed;
        for piece in pieces {
            let was_within = *bytes <= limit;
            *bytes = bytes.saturating_add(piece.len() as u64);
            if *bytes <= limit {
                self.host.body(piece).await;
            } else if was_within {
                // Now rather than at the end: what is on disk already makes room while the rest goes by.
                self.host.discard();
            }
        }
        match progress {
            DataProgress::More => None,
            DataProgress::Broken(fault) => Some(BodyEnd::Broken(fault)),
            DataProgress::End if *bytes > limit => Some(BodyEnd::TooBig),
            DataProgress::End => Some(BodyEnd::Whole { bytes: *bytes }),
        }
    }

    async fn decode_chunk(&mut self, reader: &mut ChunkReader, size: u64, keep: bool, last: bool) -> Option<BodyEnd> {
        let buffered = self.input.get(self.used..).unwrap_or_default();
        if keep {
            match reader.take(buffered, &mut self.clean) {
                Ok(piece) => {
                    self.used += piece.len();
                    self.host.body(piece).await;
                }
                Err(fault) => return Some(BodyEnd::Broken(fault)),
            }
        } else {
            // What is thrown away need not be clean.
            self.used += reader.skip(buffered).len();
        }
        if !reader.is_done() {
            return None;
        }
        match self.clean.finish() {
            Err(fault) if keep && last => Some(BodyEnd::Broken(fault)),
            _ => Some(BodyEnd::Whole { bytes: size }),
        }
    }
}

#[cfg(test)]
mod tests;
