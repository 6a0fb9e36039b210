//! Rules on `[[policy.list]]`.

use postern_mail::Points;
use postern_mail::list::Format;
use postern_mail::netset::NameKind;

use super::{Findings, twice};
use crate::list::ListAction;

pub(super) fn lists(findings: &mut Findings<'_>) {
    let lists = &findings.config.policy.lists;
    let place = |index: usize, key: &str| format!("policy.list[{}].{key}", index + 1);
    for (first, later) in twice(lists.iter().map(|list| &list.file)) {
        let line = findings.line(&place(first, "file"));
        findings.error(&place(later, "file"), &format!("is there already (line {line}); one list for each file"));
    }
    for (index, list) in lists.iter().enumerate() {
        let at = |key| place(index, key);
        match (list.action, list.points) {
            (Some(ListAction::Score), None) => findings.error(&at("action"), "a list that scores needs points"),
            (Some(ListAction::Block | ListAction::Allow), Some(_)) => {
                findings.error(&at("points"), "only a list that scores has points; remove them, or the action");
            }
            _ => {}
        }
        if list.points.is_some_and(|points| points.abs() > Points::MAX) {
            findings.error(&at("points"), &format!("is out of range, which is -{0} to {0}", Points::MAX));
        }
        if list.listeners.is_empty() {
            findings.error(&at("listeners"), "a list that is looked at nowhere; name a kind of listener, or set mode = \"off\"");
        }
        let policy = &findings.config.policy;
        let unread = match list.of {
            Some(_) if list.format == Format::Drop => {
                findings.error(&at("format"), "such a list has networks and AS numbers, and no names; text is right");
                None
            }
            Some(NameKind::Link) if !policy.links.enabled => Some("links are not looked at: policy.links.enabled"),
            Some(NameKind::Ptr) if !policy.authenticity.enabled => {
                Some("names of clients are not looked up: policy.authenticity.enabled")
            }
            _ => None,
        };
        if let Some(why) = unread {
            findings.warn(&at("of"), why);
        }
    }
}
