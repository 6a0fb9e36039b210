//! The first part of a report, for people: what happened, to whom, what the other server said, what to do. Promise: no code without a
//! sentence, and no sentence that only a postmaster understands.

use postern_mail::message::date::MailDate;
use postern_mail::{Envelope, MessageId, Status};

use crate::due::{Action, Line, ReportDue};
use crate::report::fields::{is_local, is_reply, remote};
use crate::report::lines::Lines;

/// What a server said is cut here in characters; the whole is in the part for programs.
const SAID_CHARS_MAX: usize = 512;

/// The Subject of the whole: the worst news in it.
pub(crate) fn subject(due: &ReportDue<'_>) -> &'static str {
    if due.tells(Action::Failed) {
        "Your message could not be delivered"
    } else if due.tells(Action::Delayed) {
        "Your message is delayed"
    } else {
        "Your message was delivered"
    }
}

pub(crate) fn write(lines: &mut Lines, due: &ReportDue<'_>, envelope: &Envelope, id: MessageId, hostname: &str) {
    let when = MailDate(envelope.received);
    lines.paragraph("", &format!("This is the mail server {hostname}. You sent a message, which came here on {when}."));
    for (action, heading) in SECTIONS {
        let mut of_action = due.lines.iter().filter(|line| line.action == action).peekable();
        if of_action.peek().is_some() {
            lines.empty();
            lines.paragraph("", heading);
        }
        for line in of_action {
            lines.empty();
            recipient(lines, line);
        }
    }
    lines.empty();
    let kept = if due.tells(Action::Failed) { "Your message, or its beginning, is attached. " } else { "" };
    lines.paragraph("", &format!("{kept}If you ask the administrator of this server (postmaster@{hostname}), name this: {id}"));
}

const SECTIONS: [(Action, &str); 5] = [
    (Action::Failed, "It could NOT be delivered to these recipients, and will not be tried again:"),
    (
        Action::Delayed,
        "It could not be delivered to these recipients YET. You need not do anything; it is tried again by itself:",
    ),
    (Action::Delivered, "It was put into the mailboxes of these recipients:"),
    (
        Action::Relayed,
        "It was handed to the mail server of these recipients. That server sends no reports of delivery, so you will hear no more, \
         unless it fails there:",
    ),
    (Action::Expanded, "It was handed on to the members of these addresses. You will get no report for each of them:"),
];

fn recipient(lines: &mut Lines, line: &Line<'_>) {
    lines.line(&format!("  {}", line.recipient.address()));
    let advice = match line.action {
        Action::Delivered | Action::Relayed | Action::Expanded => None,
        Action::Failed | Action::Delayed => Some(explain(line.status)),
    };
    if let Some((what, _)) = advice {
        let what =
            if line.expired { format!("It was tried until the time for it ran out. Last reason: {what}") } else { what.into() };
        lines.paragraph("    ", &what);
    }
    said(lines, line);
    if let Some(until) = line.retry_until {
        lines.paragraph("    ", &format!("It is tried until {}; if it fails until then, you will hear of it.", MailDate(until)));
    }
    if let Some((_, todo)) = advice.filter(|_| line.action == Action::Failed) {
        lines.paragraph("    ", todo);
    }
}

fn said(lines: &mut Lines, line: &Line<'_>) {
    // The path of a mailbox and what our disk said are nobody's business outside.
    if is_local(line.evidence) || line.evidence.text.trim().is_empty() {
        return;
    }
    let text: String = line.evidence.text.chars().take(SAID_CHARS_MAX).collect();
    let told = match (remote(line.evidence), is_reply(&text)) {
        (Some(by), true) => format!("The server {by} said: {text}"),
        (Some(by), false) => format!("With the server {by}: {text}"),
        (None, _) => format!("In detail: {text}"),
    };
    lines.paragraph("    ", &told);
}

/// What a status means and what its sender can do (RFC 3463 §3 and the registry it began).
fn explain(status: Status) -> (&'static str, &'static str) {
    const SPELLING: &str =
        "Please look whether the address is written right. If it is, ask the recipient for the one in use now.";
    const OTHER_WAY: &str = "Please reach the recipient in another way, and send the message again later.";
    const RECIPIENT_SIDE: &str = "Sending it again will not help by itself. Please show the words above to your administrator, or reach \
         the recipient in another way.";
    match (status.subject, status.detail) {
        (1, 1 | 6) => ("The address does not exist there.", SPELLING),
        (1, 2) => ("The domain behind the @ does not exist.", SPELLING),
        (1, 10) => ("The domain behind the @ takes no mail.", SPELLING),
        (1, 7 | 8) => (
            "The recipient's server does not accept the address of the sender.",
            "Please have your administrator look at the sender address.",
        ),
        (1, _) => ("The address was not accepted.", SPELLING),
        (2, 1) => ("The mailbox is switched off.", OTHER_WAY),
        (2, 2) => ("The mailbox is full.", OTHER_WAY),
        (2, 3) | (3, 4) => (
            "The message is too big for the recipient.",
            "Please send it with smaller attachments, or put the files somewhere and send a link.",
        ),
        (2, _) => ("The mailbox did not take the message.", OTHER_WAY),
        (4, 1 | 2 | 5) => ("The recipient's server did not answer, or broke off.", OTHER_WAY),
        (4, 3 | 4) => ("It could not be found out which server takes mail for this domain.", SPELLING),
        (4, 6) => (
            "The message went in a circle between servers.",
            "Please tell the recipient, or their administrator: their forwarding leads back to itself.",
        ),
        (4, 7) => ("The recipient's server did not take it in all this time.", OTHER_WAY),
        (3 | 4, _) => ("The recipient's server, or the way there, has a fault.", OTHER_WAY),
        (6, 7) | (5, 6) => (
            "The address or the message has characters outside ASCII, which the recipient's server does not handle.",
            "Please use an address of plain letters for the recipient, if there is one.",
        ),
        (6, _) => ("The recipient's server does not handle the form of the message.", RECIPIENT_SIDE),
        (7, 10 | 30) => (
            "The message asked for an encrypted way to the recipient, and there was none.",
            "Please send it without that demand, if its content allows.",
        ),
        (7, _) => ("The recipient's server refused it by its rules.", RECIPIENT_SIDE),
        _ => ("The recipient's server did not take the message.", RECIPIENT_SIDE),
    }
}
