//! Which orders are administrative acts, and what the audit log says of them. Promise: every order is named here, so a new one does not compile
//! before somebody has decided; and no password comes near the log.

use postern_mail::envelope::UnixMillis;
use postern_mail::message::date::MailDate;

use crate::control::dkim::DkimOrder;
use crate::control::greylist::GreyOrder;
use crate::control::reports::ReportsOrder;
use crate::control::{AccountOrder, Answer, Change, Order, QueueOrder};

/// What is done and why, where the order changes anything.
#[must_use]
pub(crate) fn act(order: &Order) -> Option<(String, String)> {
    let (what, reason) = match order {
        Order::Status
        | Order::DnsLists
        | Order::Dns(_)
        | Order::Policy(_)
        | Order::Trace { .. }
        | Order::Explain { .. }
        | Order::WhatIf(_) => {
            return None;
        }
        Order::Because { reason, order } => (act(order)?.0, reason.clone()),
        Order::Reload => ("reload".to_owned(), String::new()),
        Order::Account(order) => (account(order)?, String::new()),
        Order::List(order) => (order.act()?, String::new()),
        Order::Ban(order) => order.act()?,
        Order::Reputation(order) => (order.act()?, String::new()),
        Order::Reports(ReportsOrder::Send { dry_run: true } | ReportsOrder::Show { .. }) => return None,
        Order::Greylist(GreyOrder::List { .. } | GreyOrder::Stats) => return None,
        Order::Greylist(GreyOrder::Forget { address }) => (format!("greylist forget {address}"), String::new()),
        Order::Dkim(DkimOrder::Show { .. } | DkimOrder::Rotate { dry_run: true, .. }) => return None,
        Order::Dkim(DkimOrder::Rotate { domain, unseen, .. }) => {
            (format!("dkim rotate {domain}{}", if *unseen { " --unseen" } else { "" }), String::new())
        }
        Order::Suppression(order) => order.act()?,
        Order::Reports(ReportsOrder::Send { dry_run: false }) => ("reports send --now".to_owned(), String::new()),
        Order::Queue(QueueOrder::List(_) | QueueOrder::Show { .. } | QueueOrder::Summary { .. }) => return None,
        Order::Queue(QueueOrder::Change { dry_run: true, .. }) => return None,
        Order::Queue(QueueOrder::Change { what, which, reason, dry_run: false }) => (queue(*what, which), reason.clone()),
    };
    Some((what, reason))
}

fn account(order: &AccountOrder) -> Option<String> {
    Some(match order {
        AccountOrder::List | AccountOrder::Show { .. } | AccountOrder::Review | AccountOrder::DryRun(_) => return None,
        AccountOrder::Add { name, addresses, .. } => format!("account add {name}, may send as: {}", addresses.join(", ")),
        AccountOrder::Password { name, .. } => format!("account password {name}"),
        AccountOrder::AppPassword { name, label, expires, parts } => {
            let end = expires.map(|end| format!("; expires {}", MailDate(UnixMillis(end)))).unwrap_or_default();
            let words = words(parts);
            format!("account app-password {name}: {label}{end}{}{words}", if words.is_empty() { "" } else { ";" })
        }
        AccountOrder::RemoveAppPassword { name, label } => format!("account app-password --remove {name}: {label}"),
        AccountOrder::Addresses { name, addresses } => format!("account scope {name}, may send as: {}", addresses.join(", ")),
        AccountOrder::Scope { clear: false, parts, .. } if parts.is_empty() => return None,
        AccountOrder::Scope { name, label, clear, parts } => {
            let of = label.as_deref().map(|label| format!(", {label}")).unwrap_or_default();
            let clear = if *clear { " cleared" } else { "" };
            format!("account scope {name}{of}:{clear}{}", words(parts))
        }
        AccountOrder::AddCertificate { name, fingerprint } => format!("account certificate {name} add {fingerprint}"),
        AccountOrder::RemoveCertificate { name, fingerprint } => format!("account certificate {name} remove {fingerprint}"),
        AccountOrder::Disable { name } => format!("account disable {name}"),
        AccountOrder::Enable { name } => format!("account enable {name}"),
        AccountOrder::Remove { name } => format!("account remove {name}"),
    })
}

/// Parts of a scope, as they were told.
fn words(parts: &[(String, String)]) -> String {
    parts.iter().map(|(part, value)| format!(" {part} {value};")).collect()
}

fn queue(what: Change, which: &crate::control::Selection) -> String {
    let mut text = format!("queue {}", what.as_str());
    for (name, value) in
        [("account", &which.account), ("domain", &which.domain), ("from", &which.from), ("reason like", &which.reason)]
    {
        if let Some(value) = value {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    if let Some(seconds) = which.older_than {
        text.push_str(&format!(", older than {seconds} s"));
    }
    if which.held {
        text.push_str(", held");
    }
    for id in &which.ids {
        text.push_str(&format!(" {id}"));
    }
    text
}

/// What came of an order, without what must not be kept.
#[must_use]
pub(crate) fn result(answer: &Answer) -> String {
    match answer {
        Answer::Failed { error, .. } => format!("failed: {error}"),
        Answer::Done { text } => format!("done: {text}"),
        _ => "done".to_owned(),
    }
}

/// What is said of an act that could perhaps not be written down. A password is told this once, whatever else goes wrong, and of what was not
/// done nothing is missing in the log.
#[must_use]
pub(crate) fn answered(written: Result<(), String>, answer: Answer) -> Answer {
    match (written, answer) {
        (Ok(()), answer) | (Err(_), answer @ (Answer::Failed { .. } | Answer::Password { .. })) => answer,
        (Err(error), Answer::Done { text }) => Answer::Done { text: format!("{text}; but {error}") },
        (Err(error), _) => Answer::failed(format!("it is done, but {error}")),
    }
}

/// Who does something beside a server that does not run: `local:` and the number of the user, as `uid:` has it for one that does.
#[must_use]
pub(crate) fn local_user() -> String {
    format!("local:{}", rustix::process::getuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_in_the_words_of_an_act() {
        let order = AccountOrder::Password { name: "a@b.test".to_owned(), password: Some("hunter2".to_owned()) };
        let because = Order::Because { reason: "he forgot it".to_owned(), order: Box::new(Order::Account(order)) };
        let (what, reason) = act(&because).unwrap();
        assert_eq!((what.as_str(), reason.as_str()), ("account password a@b.test", "he forgot it"));
        let made = Answer::Password { account: String::new(), label: String::new(), password: "hunter2".to_owned() };
        assert_eq!(result(&made), "done");
    }

    #[test]
    fn the_log_says_what_a_new_app_password_may_do_and_until_when() {
        let said = |expires, parts: &[(&str, &str)]| {
            let parts = parts.iter().map(|(part, value)| ((*part).to_owned(), (*value).to_owned())).collect();
            let (name, label) = ("a@b.test".to_owned(), "scanner".to_owned());
            act(&Order::Account(AccountOrder::AppPassword { name, label, expires, parts })).unwrap().0
        };
        assert_eq!(said(None, &[]), "account app-password a@b.test: scanner");
        assert_eq!(
            said(Some(0), &[("networks", "192.0.2.0/24"), ("messages-per-hour", "5")]),
            "account app-password a@b.test: scanner; expires Thu, 1 Jan 1970 00:00:00 +0000; networks 192.0.2.0/24; messages-per-hour 5;"
        );
    }

    #[test]
    fn what_is_done_and_not_in_the_log_is_said_whatever_was_ordered_and_a_password_is_not_lost_over_it() {
        let full = || Err("the log is full".to_owned());
        let said = |answer| match answered(full(), answer) {
            Answer::Done { text: said } | Answer::Failed { error: said, .. } | Answer::Password { password: said, .. } => said,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(Answer::Accounts { accounts: Vec::new() }), "it is done, but the log is full");
        assert_eq!(said(Answer::Done { text: "disabled".to_owned() }), "disabled; but the log is full");
        assert_eq!(said(Answer::nothing("there is none")), "there is none");
        let made = Answer::Password { account: String::new(), label: String::new(), password: "hunter2".to_owned() };
        assert_eq!(said(made), "hunter2");
        assert!(matches!(answered(Ok(()), Answer::Accounts { accounts: Vec::new() }), Answer::Accounts { .. }));
    }
}
