//! A body on its way out. Promise: what is sent as a body is clean by the rule we receive by, has the length that was announced, and is
//! in memory whole only when it is small.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use postern_mail::envelope::MessageId;
use postern_mail::trouble::Fault;
use postern_mail::{Outcome, Scope, Status};
use postern_smtp::body::{Cleanliness, DotStuffer};

use crate::body::BodySource;
use crate::classify::{Failure, Stage, evidence};
use crate::connection::Wire;
use crate::dialogue::transaction::{BodyFacts, Form, Step, Transaction};

/// Octets gathered before they are written.
const WRITE_BYTES: usize = 64 * 1024;
/// How long a host that broke the connection is listened to.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a body could not be sent.
#[derive(Debug)]
pub(crate) enum BodyTrouble {
    /// The connection.
    Wire(Failure),
    /// It could not be read.
    Read(io::Error),
    /// It has another length than it says.
    Length,
    /// It holds what must never be sent.
    Dirty(Fault),
}

impl From<io::Error> for BodyTrouble {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl BodyTrouble {
    /// What it means for the recipients. Trouble of ours is logged here, since nobody else would see it for what it is.
    pub(crate) fn outcome(&self, id: MessageId) -> Outcome {
        // RFC 3463 §3.4: 3.0 other mail system status. RFC 3463 §3.7: 6.0 other media error.
        let deferred = |text: &str| {
            tracing::error!(message = %id, trouble = text, "a body in the spool cannot be sent");
            Outcome::Deferred { scope: Scope::Message, status: Status::new(4, 3, 0), evidence: evidence("", text) }
        };
        match self {
            Self::Wire(failure) => crate::classify::of_failure(crate::classify::Stage::Body, failure, ""),
            Self::Read(error) => deferred(&format!("the message cannot be read: {error}")),
            Self::Length => deferred("the message does not have the length it says"),
            Self::Dirty(fault) => {
                tracing::error!(message = %id, %fault, "bug: a message was accepted that must not be sent");
                let evidence = evidence("", &format!("the message cannot be sent on: {fault}"));
                Outcome::Bounced { scope: Scope::Message, status: Status::new(5, 6, 0), evidence }
            }
        }
    }
}

/// A body about to be sent, perhaps more than once.
pub(crate) enum Prepared<'b> {
    /// In memory and found clean.
    Small(Cow<'b, [u8]>, BodyFacts),
    /// Read piece by piece, each time.
    Large(&'b dyn BodySource, BodyFacts),
}

impl<'b> Prepared<'b> {
    /// Gathers a small body and checks it; of a large one, only what `facts_needed` asks for is found out.
    pub(crate) async fn new(source: &'b dyn BodySource, at_once_max: usize, facts_needed: bool) -> Result<Self, BodyTrouble> {
        let size = source.size();
        let small = usize::try_from(size).ok().filter(|size| *size <= at_once_max);
        let mut facts = FactFinder::default();
        let Some(small) = small else {
            if facts_needed {
                read_through(source, |piece| {
                    facts.look(piece);
                    Ok(())
                })
                .await?;
            }
            return Ok(Self::Large(source, facts.found));
        };
        let bytes = match source.whole() {
            Some(whole) => Cow::Borrowed(whole),
            None => {
                let mut gathered = Vec::with_capacity(small);
                read_through(source, |piece| {
                    gathered.extend_from_slice(piece);
                    Ok(())
                })
                .await?;
                Cow::Owned(gathered)
            }
        };
        if bytes.len() != small {
            return Err(BodyTrouble::Length);
        }
        let mut clean = Cleanliness::new();
        clean.scan(&bytes).and_then(|()| clean.finish()).map_err(BodyTrouble::Dirty)?;
        if facts_needed {
            facts.look(&bytes);
        }
        Ok(Self::Small(bytes, facts.found))
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Small(bytes, _) => bytes.len() as u64,
            Self::Large(source, _) => source.size(),
        }
    }

    pub(crate) fn facts(&self) -> BodyFacts {
        match self {
            Self::Small(_, facts) | Self::Large(_, facts) => *facts,
        }
    }

    pub(crate) fn is_at_once(&self) -> bool {
        matches!(self, Self::Small(..))
    }

    /// Sends it; the end of it, or all of a small one, waits in `out` for the next flush.
    pub(crate) async fn send(&self, wire: &mut Wire, form: Form, limit: Duration) -> Result<(), BodyTrouble> {
        let mut stuffer = DotStuffer::new();
        let source = match self {
            Self::Small(bytes, _) => {
                wire.out.reserve(bytes.len() + 64);
                encode(&mut stuffer, form, bytes, &mut wire.out);
                finish(&mut stuffer, form, &mut wire.out);
                return Ok(());
            }
            Self::Large(source, _) => source,
        };
        let mut clean = Cleanliness::new();
        let mut pieces = source.open().await?;
        let mut piece = Vec::new();
        let mut left = source.size();
        while pieces.append_next(&mut piece).await? > 0 {
            // RFC 3030 §2: an octet more than BDAT said would be read as a command.
            left = left.checked_sub(piece.len() as u64).ok_or(BodyTrouble::Length)?;
            clean.scan(&piece).map_err(BodyTrouble::Dirty)?;
            encode(&mut stuffer, form, &piece, &mut wire.out);
            piece.clear();
            if wire.out.len() >= WRITE_BYTES {
                wire.flush(limit).await.map_err(BodyTrouble::Wire)?;
            }
        }
        if left > 0 {
            return Err(BodyTrouble::Length);
        }
        clean.finish().map_err(BodyTrouble::Dirty)?;
        finish(&mut stuffer, form, &mut wire.out);
        wire.flush(limit).await.map_err(BodyTrouble::Wire)
    }
}

fn encode(stuffer: &mut DotStuffer, form: Form, piece: &[u8], out: &mut Vec<u8>) {
    match form {
        Form::Dotted => stuffer.encode(piece, out),
        Form::Chunk => out.extend_from_slice(piece),
    }
}

fn finish(stuffer: &mut DotStuffer, form: Form, out: &mut Vec<u8>) {
    if form == Form::Dotted {
        stuffer.finish(out);
    }
}

async fn read_through(
    source: &dyn BodySource,
    mut each: impl FnMut(&[u8]) -> Result<(), BodyTrouble> + Send,
) -> Result<(), BodyTrouble> {
    let mut pieces = source.open().await?;
    let mut piece = Vec::new();
    let mut left = source.size();
    while pieces.append_next(&mut piece).await? > 0 {
        left = left.checked_sub(piece.len() as u64).ok_or(BodyTrouble::Length)?;
        each(&piece)?;
        piece.clear();
    }
    if left == 0 { Ok(()) } else { Err(BodyTrouble::Length) }
}

/// Looks for octets over 127, in the header section and behind it.
#[derive(Default)]
struct FactFinder {
    found: BodyFacts,
    in_body: bool,
    /// Octets of an empty line seen so far, counting the CRLF before it. A message that begins with an empty line has no header.
    blank: u8,
    begun: bool,
}

impl FactFinder {
    fn look(&mut self, piece: &[u8]) {
        if !self.begun {
            self.begun = true;
            self.blank = 2;
        }
        let mut rest = piece;
        while let ([byte, behind @ ..], false) = (rest, self.in_body) {
            rest = behind;
            // RFC 5322 §2.1: the header section ends at the first empty line.
            self.blank = match (byte, self.blank) {
                (b'\r', 2) => 3,
                (b'\r', _) => 1,
                (b'\n', 1) => 2,
                (b'\n', 3) => 4,
                _ => 0,
            };
            self.in_body = self.blank == 4;
            self.found.eight_bit_header |= !byte.is_ascii();
        }
        self.found.eight_bit |= self.found.eight_bit_header || !rest.is_ascii();
    }
}

/// The connection broke while we were writing. Hosts that refuse a body halfway say why before they close, and that is worth more than
/// what the network says. A positive reply to a body that was never sent whole is worth nothing.
pub(crate) async fn last_words(wire: &mut Wire, transaction: &mut Transaction<'_>, failure: Failure) {
    while let Some(stage) = transaction.awaited() {
        match wire.reply(LAST_WORDS).await {
            Ok(reply) if stage == Stage::Body && reply.code.is_positive() => break,
            Ok(reply) => match transaction.on_reply(&reply, &mut wire.out) {
                Step::Await(_) => {}
                Step::Done | Step::Close => return,
                Step::Body(_) => break,
            },
            Err(_) => break,
        }
    }
    transaction.lost(failure);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::InlineBody;

    fn facts(pieces: &[&[u8]]) -> (bool, bool) {
        let mut finder = FactFinder::default();
        pieces.iter().for_each(|piece| finder.look(piece));
        (finder.found.eight_bit, finder.found.eight_bit_header)
    }

    #[test]
    fn eight_bit_octets_are_told_apart_by_where_they_stand_at_every_split() {
        let cases: [(&[u8], (bool, bool)); 5] = [
            (b"A: b\r\n\r\nplain\r\n", (false, false)),
            (b"A: b\r\n\r\n\xc3\xa4\r\n", (true, false)),
            (b"A: \xc3\xa4\r\n\r\nplain\r\n", (true, true)),
            (b"\r\n\xc3\xa4\r\n", (true, false)),
            (b"A: b\r\nC: \xc3\xa4", (true, true)),
        ];
        for (body, expected) in cases {
            for at in 0..=body.len() {
                let (head, tail) = body.split_at(at);
                assert_eq!(facts(&[head, tail]), expected, "{body:?} split at {at}");
            }
        }
    }

    #[tokio::test]
    async fn a_dirty_small_body_is_found_before_a_word_is_said() {
        for dirty in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\0\r\n", b"a\r"] {
            let source = InlineBody(dirty);
            let prepared = Prepared::new(&source, 1000, false).await;
            assert!(matches!(prepared, Err(BodyTrouble::Dirty(_))), "{dirty:?}");
        }
        let outcome = BodyTrouble::Dirty(Fault::BareLf).outcome(MessageId(1));
        let expected = Status::new(5, 6, 0);
        assert!(matches!(outcome, Outcome::Bounced { status, .. } if status == expected));
    }
}
