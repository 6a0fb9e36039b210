//! What records say: envelope, progress, and a message's parts. Promise: decoding what was encoded gives the same value, and decoding
//! anything else gives `None` without a panic and without taking more memory than the input has.

use std::net::IpAddr;
use std::sync::Arc;

use postern_mail::address::{LocalPart, Mailbox, ReversePath};
use postern_mail::domain::Host;
use postern_mail::envelope::{BodyKind, DsnRequest, Envelope, Notify, Recipient, Return, UnixMillis};
use postern_mail::reply::Status;

use crate::progress::{Progress, REASON_BYTES_MAX, Reason, RecipientProgress, RecipientState};

/// First octet of every payload that has one, so that later forms can be told apart.
const ENCODING: u8 = 1;
/// RFC 5321 §4.5.3.1.8 asks for at least 100; nobody gets near this, and it fits 16 bits.
pub(crate) const RECIPIENTS_MAX: usize = u16::MAX as usize;

/// Where a message's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyPlace<'a> {
    Inline(&'a [u8]),
    /// In `bodies/<id>`, behind what was put in front of it once it was all there.
    File {
        front: &'a [u8],
        length: u64,
        sum: u32,
    },
}

impl BodyPlace<'_> {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::File { front, length, .. } => *length + front.len() as u64,
        }
    }
}

/// The parts of a message record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageParts<'a> {
    pub(crate) envelope: &'a [u8],
    pub(crate) progress: Option<&'a [u8]>,
    pub(crate) body: BodyPlace<'a>,
}

impl<'a> MessageParts<'a> {
    /// Everything but an inline body, which follows it.
    pub(crate) fn encode_head(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.envelope.len() + self.progress.map_or(0, <[u8]>::len) + 32));
        let (in_file, front) = match self.body {
            BodyPlace::File { front, .. } => (true, Some(front).filter(|front| !front.is_empty())),
            BodyPlace::Inline(_) => (false, None),
        };
        out.u8(ENCODING);
        out.u8(u8::from(in_file) | (u8::from(self.progress.is_some()) << 1) | (u8::from(front.is_some()) << 2));
        out.bytes32(self.envelope);
        if let Some(progress) = self.progress {
            out.bytes32(progress);
        }
        if let Some(front) = front {
            out.bytes32(front);
        }
        if let BodyPlace::File { length, sum, .. } = self.body {
            out.u64(length);
            out.u32(sum);
        }
        out.0
    }

    pub(crate) fn decode(payload: &'a [u8]) -> Option<Self> {
        let mut from = Reader(payload);
        from.encoding()?;
        let flags = from.u8()?;
        let envelope = from.bytes32()?;
        let progress = if flags & 2 != 0 { Some(from.bytes32()?) } else { None };
        let front = if flags & 4 != 0 { from.bytes32()? } else { &[] };
        let body = if flags & 1 != 0 {
            BodyPlace::File { front, length: from.u64()?, sum: from.u32()? }
        } else {
            BodyPlace::Inline(std::mem::take(&mut from.0))
        };
        // Only a body in a file has something in front of it that does not stand with it.
        let fits = flags < 8 && flags & 5 != 4;
        (fits && from.0.is_empty()).then_some(Self { envelope, progress, body })
    }
}

/// `None` when the envelope is larger than anything that may be accepted.
pub(crate) fn encode_envelope(envelope: &Envelope) -> Option<Vec<u8>> {
    let mut out = Writer(Vec::with_capacity(64 + envelope.recipients.len() * 64));
    out.u8(ENCODING);
    out.u8(u8::from(envelope.body == BodyKind::EightBitMime)
        | (u8::from(envelope.smtputf8) << 1)
        | (u8::from(envelope.require_tls) << 2)
        | (match envelope.ret {
            None => 0,
            Some(Return::Full) => 1,
            Some(Return::Headers) => 2,
        } << 3));
    out.u64(envelope.received.0);
    match envelope.client {
        None => out.u8(0),
        Some(IpAddr::V4(v4)) => {
            out.u8(4);
            out.0.extend_from_slice(&v4.octets());
        }
        Some(IpAddr::V6(v6)) => {
            out.u8(6);
            out.0.extend_from_slice(&v6.octets());
        }
    }
    out.optional_text(envelope.account.as_deref())?;
    out.optional_text(envelope.envid.as_deref())?;
    match &envelope.from {
        ReversePath::Null => out.u8(0),
        ReversePath::Mailbox(mailbox) => {
            out.u8(1);
            out.mailbox(mailbox)?;
        }
    }
    out.u16(u16::try_from(envelope.recipients.len()).ok()?);
    for recipient in &envelope.recipients {
        let dsn = recipient.dsn();
        out.u8(u8::from(recipient.is_hosted())
            | dsn.notify.map_or(0, |n| 2 | (u8::from(n.success) << 2) | (u8::from(n.failure) << 3) | (u8::from(n.delay) << 4)));
        out.mailbox(recipient.address())?;
        out.optional_text(dsn.original.as_deref())?;
    }
    Some(out.0)
}

pub(crate) fn decode_envelope(bytes: &[u8]) -> Option<Envelope> {
    let mut from = Reader(bytes);
    from.encoding()?;
    let flags = from.u8()?;
    let ret = match flags >> 3 {
        0 => None,
        1 => Some(Return::Full),
        2 => Some(Return::Headers),
        _ => return None,
    };
    let received = UnixMillis(from.u64()?);
    let client = match from.u8()? {
        0 => None,
        4 => Some(IpAddr::from(from.array::<4>()?)),
        6 => Some(IpAddr::from(from.array::<16>()?)),
        _ => return None,
    };
    let account = from.optional_text()?.map(Arc::from);
    let envid = from.optional_text()?.map(Box::from);
    let path = match from.u8()? {
        0 => ReversePath::Null,
        1 => ReversePath::Mailbox(from.mailbox()?),
        _ => return None,
    };
    let count = usize::from(from.u16()?);
    // Each takes at least eight octets, so a lying count cannot make us reserve more than the input is worth.
    let mut recipients = Vec::with_capacity(count.min(from.0.len() / 8));
    for _ in 0..count {
        let flags = from.u8()?;
        let bit = |n: u8| flags & (1 << n) != 0;
        let notify = bit(1).then_some(Notify { success: bit(2), failure: bit(3), delay: bit(4) });
        let address = from.mailbox()?;
        let original = from.optional_text()?.map(Box::from);
        recipients.push(Recipient::restored_from_spool(address, bit(0), DsnRequest { notify, original }));
    }
    from.0.is_empty().then_some(Envelope {
        from: path,
        recipients,
        body: if flags & 1 != 0 { BodyKind::EightBitMime } else { BodyKind::SevenBit },
        smtputf8: flags & 2 != 0,
        require_tls: flags & 4 != 0,
        ret,
        envid,
        account,
        client,
        received,
    })
}

/// `None` when it has more recipients than an envelope can.
pub(crate) fn encode_progress(progress: &Progress) -> Option<Vec<u8>> {
    let mut out = Writer(Vec::with_capacity(32 + progress.recipients.len() * 8));
    out.u8(ENCODING);
    out.u8(u8::from(progress.delay_reported));
    out.u16(progress.attempts);
    out.u64(progress.due.0);
    out.optional_text(progress.held.as_deref().map(cut))?;
    out.u16(u16::try_from(progress.recipients.len()).ok()?);
    for recipient in &progress.recipients {
        let state = match recipient.state {
            RecipientState::Open => 0,
            RecipientState::Delivered => 1,
            RecipientState::Bounced => 2,
            RecipientState::Expired => 3,
            RecipientState::Dropped => 4,
        };
        let status = recipient.last.as_ref().and_then(|last| last.status);
        out.u8(state
            | (u8::from(recipient.reported) << 4)
            | (u8::from(recipient.last.is_some()) << 5)
            | (u8::from(status.is_some()) << 6));
        if let Some(Status { class, subject, detail }) = status {
            out.u8(class);
            out.u16(subject);
            out.u16(detail);
        }
        if let Some(Reason { by, text, .. }) = &recipient.last {
            out.text(cut(by))?;
            out.text(cut(text))?;
        }
    }
    Some(out.0)
}

pub(crate) fn decode_progress(bytes: &[u8]) -> Option<Progress> {
    let mut from = Reader(bytes);
    from.encoding()?;
    let delay_reported = from.u8()? != 0;
    let attempts = from.u16()?;
    let due = UnixMillis(from.u64()?);
    let held = from.optional_text()?.map(Box::from);
    let count = usize::from(from.u16()?);
    let mut recipients = Vec::with_capacity(count.min(from.0.len()));
    for _ in 0..count {
        let flags = from.u8()?;
        let state = match flags & 15 {
            0 => RecipientState::Open,
            1 => RecipientState::Delivered,
            2 => RecipientState::Bounced,
            3 => RecipientState::Expired,
            4 => RecipientState::Dropped,
            _ => return None,
        };
        let status = if flags & 64 != 0 { Some(Status::new(from.u8()?, from.u16()?, from.u16()?)) } else { None };
        let last =
            if flags & 32 != 0 { Some(Reason { status, by: from.text()?.into(), text: from.text()?.into() }) } else { None };
        recipients.push(RecipientProgress { state, reported: flags & 16 != 0, last });
    }
    from.0.is_empty().then_some(Progress { attempts, due, held, delay_reported, recipients })
}

/// At most [`REASON_BYTES_MAX`] octets, whole characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

struct Writer(Vec<u8>);

impl Writer {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes32(&mut self, bytes: &[u8]) {
        // A record is far below 4 GiB; a longer part could not be read back and fails its own check before it is acknowledged.
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) -> Option<()> {
        self.u16(u16::try_from(text.len()).ok()?);
        self.0.extend_from_slice(text.as_bytes());
        Some(())
    }

    fn optional_text(&mut self, text: Option<&str>) -> Option<()> {
        self.u8(u8::from(text.is_some()));
        text.map_or(Some(()), |text| self.text(text))
    }

    fn mailbox(&mut self, mailbox: &Mailbox) -> Option<()> {
        // In two parts, each in its own printed form: an address whose domain came as U-labels may be longer in print than a path on
        // the wire may be, and must still read back.
        self.text(&mailbox.local.to_string())?;
        self.text(&mailbox.host.to_string())
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn encoding(&mut self) -> Option<()> {
        (self.u8()? == ENCODING).then_some(())
    }

    fn bytes32(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.u32()?).ok()?;
        self.take(count)
    }

    fn text(&mut self) -> Option<&'a str> {
        let count = usize::from(self.u16()?);
        std::str::from_utf8(self.take(count)?).ok()
    }

    fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.u8()? {
            0 => Some(None),
            1 => Some(Some(self.text()?)),
            _ => None,
        }
    }

    fn mailbox(&mut self) -> Option<Mailbox> {
        Some(Mailbox { local: LocalPart::parse(self.text()?).ok()?, host: Host::parse(self.text()?).ok()? })
    }
}

#[cfg(test)]
mod tests;
