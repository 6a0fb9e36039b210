//! Two versions of one text, of which one leads to places that the other does not know. Promise: a message is only told of where both versions have links,
//! they have no place in common, and neither leads to its author's own domain: versions of honest mail are counted, shortened and decorated differently.

use std::borrow::Cow;
use std::collections::BTreeSet;

use mail_parser::{Message, MessagePart, PartKind};

use crate::{Inspection, Kind, Link, LinkHost, Trick, names};

/// HTML versions of one message that are compared.
const VERSIONS_MAX: usize = 32;
/// Containers that are looked through on the way up from a part.
const UP_MAX: usize = 8;

/// Marks the first link of an HTML version that leads nowhere the plain one leads.
pub(crate) fn compare(message: &Message<'_>, parts_max: usize, found: &mut Inspection, again: &[(usize, usize)]) {
    let parts: Vec<MessagePart<'_>> = message.parts().take(parts_max).collect();
    let versions = |wanted: fn(&PartKind<'_>) -> bool| -> Vec<(usize, usize)> {
        let of = |(number, part): (usize, &MessagePart<'_>)| {
            wanted(&part.kind()).then(|| Some((number, alternative(&parts, part)?))).flatten()
        };
        parts.iter().enumerate().filter_map(of).collect()
    };
    let html = versions(|kind| matches!(kind, PartKind::Html));
    if html.is_empty() {
        return;
    }
    let plain = versions(|kind| matches!(kind, PartKind::Text));
    let own: BTreeSet<String> = found
        .senders
        .iter()
        .map(|domain| brand(names::registered_name(domain.as_str()).unwrap_or(domain.as_str())).to_owned())
        .collect();
    for (of_html, group) in html.into_iter().take(VERSIONS_MAX) {
        let Some((of_plain, _)) = plain.iter().find(|(_, other)| *other == group) else { continue };
        let (shown, hidden) = (places(found, again, of_html), places(found, again, *of_plain));
        let are_apart = !shown.is_empty() && !hidden.is_empty() && shown.is_disjoint(&hidden);
        let is_odd = are_apart && !shown.union(&hidden).any(|place| own.contains(&**place));
        if is_odd && let Some(link) = found.links.iter_mut().find(|link| link.part == of_html && link.kind == Kind::Anchor) {
            link.tricks.add(Trick::Alternatives);
        }
    }
}

/// The number of the container of versions that a part is one of.
fn alternative(parts: &[MessagePart<'_>], part: &MessagePart<'_>) -> Option<usize> {
    let mut up = part.parent();
    for _ in 0..UP_MAX {
        let container = up?;
        if container.is_content_type("multipart", "alternative") {
            return parts.iter().position(|one| one.id() == container.id());
        }
        if !container.is_multipart() {
            return None;
        }
        up = container.parent();
    }
    None
}

/// Where a reader of a part may be led, also by links that stood in another part before.
fn places<'f>(found: &'f Inspection, again: &[(usize, usize)], part: usize) -> BTreeSet<Cow<'f, str>> {
    let own = found.links.iter().filter(|link| link.part == part);
    let other = again.iter().filter(|(other, _)| *other == part).filter_map(|(_, place)| found.links.get(*place));
    let is_clicked = |link: &&Link| !matches!(link.kind, Kind::Resource | Kind::Header);
    let place = |link: &'f Link| match &link.host {
        LinkHost::Name(host) => Some(brand(link.registered.as_ref().unwrap_or(host).as_str()).into()),
        LinkHost::Address(address) => Some(address.to_string().into()),
        LinkHost::Invalid => None,
    };
    own.chain(other).filter(is_clicked).filter_map(place).collect()
}

/// What a registered domain is called, below whatever suffix: `example.com` and `example.co.uk` are one house.
fn brand(registered: &str) -> &str {
    registered.split('.').next().unwrap_or(registered)
}
