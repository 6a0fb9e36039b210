//! Head: AUTH as a client (RFC 4954), step by step. Promise: a mechanism that shows the password to the host is used only where none is
//! offered that does not, and a host that was to prove itself too is not believed without its proof.

use postern_mail::fact::Mechanism;
use postern_mail::trouble::Fault;
use postern_smtp::reply_lines::ReceivedReply;
use postern_smtp::sasl::scram::{ClientBinding, ScramClient, ServerProof};
use postern_smtp::sasl::{decode, encode, plain};

use crate::next_hop::Credentials;

/// RFC 4954 §4: an initial response that would not fit in a command line (RFC 5321 §4.5.3.1.4) waits for its 334.
const AUTH_LINE_BYTES_MAX: usize = 512;

/// A login under way.
#[derive(Debug)]
pub(crate) enum Login {
    /// Responses still to be given, the next one last, whatever is asked.
    Responses(Vec<String>),
    /// SCRAM: the host's first message is next.
    ScramFirst(Box<ScramClient>),
    /// SCRAM: the host's proof is next.
    ScramProof(ServerProof),
}

impl Login {
    /// Chooses a mechanism and writes the command; `None` when there is none in common. `nonce` is fresh, printable, without a comma.
    pub(crate) fn begin(offered: &[Mechanism], credentials: &Credentials, nonce: &str, out: &mut Vec<u8>) -> Option<Self> {
        let Credentials { user, password } = credentials;
        if offered.contains(&Mechanism::ScramSha256)
            && let Ok(client) = ScramClient::new(user, password.clone(), nonce, ClientBinding::Unable)
        {
            let unsent = command("SCRAM-SHA-256", encode(&client.first()), out);
            // The first message is bounded by the user's name, which is far shorter than a line.
            return unsent.is_empty().then(|| Self::ScramFirst(Box::new(client)));
        }
        if offered.contains(&Mechanism::Plain) {
            return Some(Self::Responses(command("PLAIN", encode(plain::encode(user, password).expose()), out)));
        }
        if offered.contains(&Mechanism::Login) {
            out.extend_from_slice(b"AUTH LOGIN\r\n");
            return Some(Self::Responses(vec![encode(password.expose()), encode(user.as_bytes())]));
        }
        None
    }

    /// Answers a 334.
    ///
    /// # Errors
    /// The host asks for what the mechanism does not have, or does not prove itself.
    pub(crate) fn on_challenge(self, challenge: &ReceivedReply, out: &mut Vec<u8>) -> Result<Self, Fault> {
        let text = challenge.lines.first().map_or("", |line| line.trim());
        let (response, next) = match self {
            Self::Responses(mut responses) => (responses.pop().ok_or(Fault::Syntax)?, Self::Responses(responses)),
            Self::ScramFirst(client) => {
                let (message, proof) = client.last(decode(text.as_bytes())?.expose())?;
                (encode(&message), Self::ScramProof(proof))
            }
            Self::ScramProof(proof) if proof.fits(decode(text.as_bytes())?.expose()) => {
                // RFC 4954 §4: the host's last message is a challenge that wants an empty answer.
                (String::new(), Self::Responses(Vec::new()))
            }
            Self::ScramProof(_) => return Err(Fault::Syntax),
        };
        out.extend_from_slice(response.as_bytes());
        out.extend_from_slice(b"\r\n");
        Ok(next)
    }

    /// True when a 235 may be believed now.
    pub(crate) fn is_complete(&self) -> bool {
        // RFC 5802 §3: without the proof it may be anybody who says so.
        matches!(self, Self::Responses(left) if left.is_empty())
    }
}

/// Writes AUTH with its initial response, or gives the response back where it does not fit on the line.
fn command(mechanism: &str, response: String, out: &mut Vec<u8>) -> Vec<String> {
    out.extend_from_slice(b"AUTH ");
    out.extend_from_slice(mechanism.as_bytes());
    let fits = "AUTH  \r\n".len() + mechanism.len() + response.len() <= AUTH_LINE_BYTES_MAX;
    if fits {
        out.push(b' ');
        out.extend_from_slice(response.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    if fits { Vec::new() } else { vec![response] }
}
