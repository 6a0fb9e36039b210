//! Head: the packets of the milter protocol: four octets of length, one of command, and what the command has. Promise: any octets are read as
//! a reply or as nothing, and no length of theirs makes us set aside memory.

use crate::Change;

/// The version we speak. It is what sendmail 8.14 brought; there is no newer one.
pub(super) const VERSION: u32 = 6;
/// The first that has [`command::DATA`].
pub(super) const VERSION_OF_DATA: u32 = 4;
/// Of one packet. A filter writes a body in pieces of 65,535 octets; a field may be nearly as long.
pub(super) const PACKET_BYTES_MAX: u32 = 128 * 1024;
/// Of one piece of the body.
pub(super) const CHUNK_BYTES_MAX: usize = 65_535;

/// What a filter may ask to do (SMFIF).
pub(super) mod action {
    pub(crate) const ADD_HEADERS: u32 = 0x01;
    pub(crate) const CHANGE_BODY: u32 = 0x02;
    pub(crate) const ADD_RECIPIENT: u32 = 0x04;
    pub(crate) const REMOVE_RECIPIENT: u32 = 0x08;
    pub(crate) const CHANGE_HEADERS: u32 = 0x10;
    pub(crate) const QUARANTINE: u32 = 0x20;
    pub(crate) const CHANGE_FROM: u32 = 0x40;
    pub(crate) const ADD_RECIPIENT_WITH_PARAMETERS: u32 = 0x80;
    pub(crate) const SET_MACROS: u32 = 0x100;
    pub(crate) const ALL: u32 = 0x1ff;
}

/// What a filter may do without (SMFIP_NO), does not answer (SMFIP_NR), or wants otherwise.
pub(super) mod step {
    pub(crate) const NO_CONNECT: u32 = 0x01;
    pub(crate) const NO_HELO: u32 = 0x02;
    pub(crate) const NO_MAIL: u32 = 0x04;
    pub(crate) const NO_RCPT: u32 = 0x08;
    pub(crate) const NO_BODY: u32 = 0x10;
    pub(crate) const NO_HEADERS: u32 = 0x20;
    pub(crate) const NO_EOH: u32 = 0x40;
    pub(crate) const SILENT_HEADER: u32 = 0x80;
    pub(crate) const NO_DATA: u32 = 0x200;
    pub(crate) const SKIP: u32 = 0x400;
    pub(crate) const SILENT_CONNECT: u32 = 0x1000;
    pub(crate) const SILENT_HELO: u32 = 0x2000;
    pub(crate) const SILENT_MAIL: u32 = 0x4000;
    pub(crate) const SILENT_RCPT: u32 = 0x8000;
    pub(crate) const SILENT_DATA: u32 = 0x1_0000;
    pub(crate) const SILENT_EOH: u32 = 0x4_0000;
    pub(crate) const SILENT_BODY: u32 = 0x8_0000;
    pub(crate) const LEADING_SPACE: u32 = 0x10_0000;
    /// All but the larger packets, the commands nobody knows, and recipients we refused ourselves.
    pub(crate) const ALL: u32 = 0x1f_f7ff;
}

/// Commands (SMFIC).
pub(super) mod command {
    pub(crate) const NEGOTIATE: u8 = b'O';
    pub(crate) const MACROS: u8 = b'D';
    pub(crate) const CONNECT: u8 = b'C';
    pub(crate) const HELO: u8 = b'H';
    pub(crate) const MAIL: u8 = b'M';
    pub(crate) const RCPT: u8 = b'R';
    pub(crate) const DATA: u8 = b'T';
    pub(crate) const HEADER: u8 = b'L';
    pub(crate) const END_OF_HEADER: u8 = b'N';
    pub(crate) const BODY: u8 = b'B';
    pub(crate) const END: u8 = b'E';
    pub(crate) const QUIT: u8 = b'Q';
}

/// Writes a packet.
pub(super) fn put(out: &mut Vec<u8>, command: u8, parts: &[&[u8]]) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>() + 1;
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.push(command);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// What a filter answers (SMFIR).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Version, actions, steps, and the macros it asks for at each stage.
    Negotiated {
        version: u32,
        actions: u32,
        steps: u32,
        macros: Vec<(u32, String)>,
    },
    Continue,
    Accept,
    Reject,
    TempFail,
    Discard,
    /// `550 5.7.1 text`.
    Code(String),
    Skip,
    Progress,
    /// It goes away (SHUTDOWN) or wants the connection to fail (CONN_FAIL).
    Gone,
    Quarantine(String),
    Change(Change),
}

/// What a change needs to have been negotiated.
pub(super) fn permission(change: &Change) -> u32 {
    match change {
        Change::Add { .. } => action::ADD_HEADERS,
        // Negotiated with the one or the other, as filters differ in what they take it to be.
        Change::Insert { .. } => action::ADD_HEADERS | action::CHANGE_HEADERS,
        Change::Replace { .. } | Change::RemoveAll { .. } => action::CHANGE_HEADERS,
        Change::From(_) => action::CHANGE_FROM,
        Change::AddRecipient(_) => action::ADD_RECIPIENT | action::ADD_RECIPIENT_WITH_PARAMETERS,
        Change::RemoveRecipient(_) => action::REMOVE_RECIPIENT,
        Change::Body(_) => action::CHANGE_BODY,
    }
}

/// Reads what stands behind a packet's length.
pub(super) fn read(packet: &[u8]) -> Option<Reply> {
    let (command, data) = packet.split_first()?;
    let mut data = Data(data);
    Some(match command {
        b'O' => {
            Reply::Negotiated { version: data.number()?, actions: data.number()?, steps: data.number()?, macros: data.macros()? }
        }
        b'c' => Reply::Continue,
        b'a' => Reply::Accept,
        b'r' => Reply::Reject,
        b't' => Reply::TempFail,
        b'd' => Reply::Discard,
        b'y' => Reply::Code(data.words()?),
        b's' => Reply::Skip,
        b'p' => Reply::Progress,
        b'4' | b'f' => Reply::Gone,
        b'q' => Reply::Quarantine(data.words()?),
        b'+' | b'2' => Reply::Change(Change::AddRecipient(data.text()?)),
        b'-' => Reply::Change(Change::RemoveRecipient(data.text()?)),
        b'e' => Reply::Change(Change::From(data.text()?)),
        b'h' => Reply::Change(Change::Add { name: data.string()?.to_vec(), value: data.string()?.to_vec() }),
        b'i' => Reply::Change(Change::Insert {
            at: usize::try_from(data.number()?).ok()?,
            name: data.string()?.to_vec(),
            value: data.string()?.to_vec(),
        }),
        b'm' => Reply::Change(Change::Replace {
            nth: usize::try_from(data.number()?).ok()?,
            name: data.string()?.to_vec(),
            value: data.string()?.to_vec(),
        }),
        b'b' => Reply::Change(Change::Body(data.0.to_vec())),
        _ => return None,
    })
}

struct Data<'a>(&'a [u8]);

impl<'a> Data<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    /// Octets up to a NUL.
    fn string(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|octet| *octet == 0)?;
        let (string, rest) = (self.0.get(..end)?, self.0.get(end + 1..)?);
        self.0 = rest;
        Some(string)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.string()?.to_vec()).ok()
    }

    /// Words for people. A filter that quotes what a stranger wrote in them means what it says all the same.
    fn words(&mut self) -> Option<String> {
        self.string().map(|words| String::from_utf8_lossy(words).into_owned())
    }

    fn macros(&mut self) -> Option<Vec<(u32, String)>> {
        let mut all = Vec::new();
        // There are seven stages.
        while !self.0.is_empty() && all.len() < 16 {
            all.push((self.number()?, self.text()?));
        }
        Some(all)
    }
}
