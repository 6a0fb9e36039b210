//! Reports on delivery of others (RFC 3464), read. Promise: what is read is bounded text, in bounded memory; what is no such report is nothing.

use mail_parser::{MessageParser, PartFlags};
use postern_mail::message::headers::Headers;

use crate::arf::{closed, value};

/// Parts of a message that are looked at.
const PARTS_MAX: usize = 64;
/// Recipients of one report.
const RECIPIENTS_MAX: usize = 64;
/// Octets of the part that tells of them.
const STATUS_BYTES_MAX: usize = 64 * 1024;

/// What became of one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Who it was in the end.
    pub final_recipient: String,
    /// Whom the sender named.
    pub original_recipient: String,
    /// `failed`, `delayed`, `delivered`, `relayed` or `expanded`, in lower case.
    pub action: String,
    /// As `5.1.1`.
    pub status: String,
    /// What the host said, without the word for its kind: `550 5.1.1 no such user`.
    pub diagnostic: String,
}

/// `rfc822; a@b.example` without its kind.
fn without_kind(text: &str) -> String {
    text.split_once(';').map_or(text, |(_, rest)| rest).trim().trim_matches(['<', '>']).to_owned()
}

/// Reads one; empty for what is no report on delivery.
#[must_use]
pub fn read_dsn(octets: &[u8]) -> Vec<Told> {
    let Some(message) = MessageParser::new().max_depth(4).max_parts(PARTS_MAX).parse(octets) else { return Vec::new() };
    let status = message.parts().take(PARTS_MAX).find(|part| {
        !part.flags().contains(PartFlags::LIMIT_REACHED)
            && (part.is_content_type("message", "delivery-status") || part.is_content_type("message", "global-delivery-status"))
    });
    let Some(status) = status else { return Vec::new() };
    let decoded = status.decoded();
    // Line ends as they ought to be, so that an empty line is one.
    let text = closed(decoded.get(..STATUS_BYTES_MAX.min(decoded.len())).unwrap_or_default());
    let text = String::from_utf8_lossy(&text);
    // RFC 3464 §2.1: the fields of the message, and behind an empty line each those of a recipient.
    let groups =
        text.split("\r\n\r\n").map(|group| group.trim_start_matches(['\r', '\n'])).filter(|group| !group.trim().is_empty());
    groups.take(RECIPIENTS_MAX + 1).filter_map(recipient).collect()
}

fn recipient(group: &str) -> Option<Told> {
    let fields = Headers::parse(format!("{group}\r\n\r\n").as_bytes());
    let text = |name: &str| value(&fields, name);
    let (action, final_recipient) = (text("Action").to_ascii_lowercase(), without_kind(&text("Final-Recipient")));
    if action.is_empty() && final_recipient.is_empty() {
        return None;
    }
    let status = text("Status");
    Some(Told {
        final_recipient,
        original_recipient: without_kind(&text("Original-Recipient")),
        action,
        // Some write a remark behind it.
        status: status.split([' ', '(']).next().unwrap_or_default().to_owned(),
        diagnostic: without_kind(&text("Diagnostic-Code")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "From: MAILER-DAEMON@mx.there.example\r\nTo: x@here.example\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
        --b\r\nContent-Type: text/plain\r\n\r\nsorry\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.there.example\r\n\r\n\
        Original-Recipient: rfc822;First@there.example\r\nFinal-Recipient: RFC822; <gone@there.example>\r\nAction: Failed\r\n\
        Status: 5.1.1 (bad)\r\nDiagnostic-Code: smtp; 550-5.1.1 The account does not exist;\r\n 550 5.1.1 really\r\n\r\n\
        Final-Recipient: rfc822; full@there.example\r\nAction: delayed\r\nStatus: 4.2.2\r\n\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nhello\r\n--b--\r\n";

    #[test]
    fn each_recipient_of_a_report_is_read_with_what_its_host_said() {
        for text in [REPORT.to_owned(), REPORT.replace("\r\n", "\n")] {
            let told = read_dsn(text.as_bytes());
            assert_eq!(told.len(), 2, "{told:?}");
            assert_eq!(
                told[0],
                Told {
                    final_recipient: "gone@there.example".to_owned(),
                    original_recipient: "First@there.example".to_owned(),
                    action: "failed".to_owned(),
                    status: "5.1.1".to_owned(),
                    diagnostic: "550-5.1.1 The account does not exist; 550 5.1.1 really".to_owned(),
                }
            );
            assert_eq!((told[1].action.as_str(), told[1].status.as_str()), ("delayed", "4.2.2"));
        }
    }

    #[test]
    fn our_own_kind_of_other_mail_is_no_report_and_a_hostile_one_ends() {
        assert_eq!(read_dsn(b"Subject: hello\r\n\r\nFinal-Recipient: rfc822; x@y.example\r\nAction: failed\r\n"), vec![]);
        assert_eq!(read_dsn(b""), vec![]);
        let many =
            REPORT.replace("Action: delayed", &"Action: failed\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\n".repeat(100_000));
        assert!(read_dsn(many.as_bytes()).len() <= RECIPIENTS_MAX + 1);
        let nested = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
            "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".repeat(50_000)
        );
        assert_eq!(read_dsn(nested.as_bytes()), vec![]);
    }
}
