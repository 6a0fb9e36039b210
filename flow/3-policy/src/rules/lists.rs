//! Local lists: of networks, AS numbers and countries before the greeting, of names at the command that has them.
//!
//! Promise: of all that lists say the most particular `block` or `allow` decides, and `allow` where they are equal; a trusted network is never
//! blocked; a list that is only observed has no effect. When it cannot know (the database of AS numbers or countries has no answer): the client
//! counts as not listed by them, since an answer we do not have is not held against anybody.
//!
//! At each stage what was said at that stage is judged, and an allowance is one for the name it is about: that of an author says nothing about links. It is
//! an allowance of lists alone, so it never takes back what another rule said, relaying and scopes among them.
//!
//! Four names for one rule, so that a trail shows what was said and what was made of it: `list_block` turns away, `list_allow` takes that back,
//! `list_score` has points, `list_observed` has what would have been.

use std::net::IpAddr;

use ipnet::IpNet;
use postern_mail::netset::{Action, Listed};
use postern_mail::{Decision, Effect, Finding, Reply, RuleName};

use crate::decide::Panel;

/// Turns away.
pub const LIST_BLOCK: RuleName = "list_block";
/// Takes [`LIST_BLOCK`] back.
pub const LIST_ALLOW: RuleName = "list_allow";
/// Points.
pub const LIST_SCORE: RuleName = "list_score";
/// What would have been.
pub const LIST_OBSERVED: RuleName = "list_observed";

/// Judges what the lists say. Without a word from them nothing is found.
#[must_use]
pub fn judge<'a>(mut panel: Panel<'a>, said: &[Listed], client: IpAddr, trusted: &[IpNet]) -> Panel<'a> {
    let counted = || said.iter().filter(|listed| !listed.observed);
    let with = |action: Action| counted().filter(move |listed| listed.action == action);
    let closest = |listed: &&Listed| listed.subject.closeness();
    // An allowance counts for the name it is about: whoever writes a welcome author into From brings in no links by it.
    let allowance = |of: &Listed| with(Action::Allow).filter(|allow| allow.about == of.about).max_by_key(closest);
    // It counts against everything that is not more particular than itself.
    let allows = |subject: &Listed| allowance(subject).is_some_and(|allow| closest(&allow) >= closest(&subject));
    let block = with(Action::Block).max_by_key(|block| (!allows(block), closest(block)));
    let allow = block.map_or_else(|| with(Action::Allow).max_by_key(closest), allowance);
    let address = client.to_canonical();
    if let Some(block) = block {
        panel = panel.rule(LIST_BLOCK, || match trusted.iter().find(|network| network.contains(&address)) {
            Some(network) => {
                Finding::pass(LIST_BLOCK, format!("{}, but {address} is in the trusted network {network}", words(block)))
            }
            None => turned_away(LIST_BLOCK, block),
        });
    }
    if let Some(allow) = allow {
        panel = panel.rule(LIST_ALLOW, || match block {
            Some(block) if !allows(block) => {
                Finding::pass(LIST_ALLOW, format!("{}, which is wider than {}", words(allow), block.subject))
            }
            _ => Finding { rule: LIST_ALLOW, says: Effect::Waives(LIST_BLOCK), because: words(allow), reply: None },
        });
    }
    let scores: Vec<(i16, &Listed)> = counted()
        .filter_map(|listed| match listed.action {
            Action::Score(tenths) if !allows(listed) => Some((tenths, listed)),
            _ => None,
        })
        .collect();
    if !scores.is_empty() {
        panel = panel.rule(LIST_SCORE, || {
            let sum = scores.iter().fold(0_i16, |sum, (tenths, _)| sum.saturating_add(*tenths));
            let because = scores.iter().map(|(_, listed)| words(listed)).collect::<Vec<_>>().join("; ");
            Finding { rule: LIST_SCORE, says: Effect::Points(sum), because, reply: None }
        });
    }
    let observed = said.iter().filter(|listed| listed.observed);
    observed.fold(panel, |panel, listed| {
        panel.observed(LIST_OBSERVED, || match listed.action {
            Action::Block => turned_away(LIST_OBSERVED, listed),
            Action::Score(tenths) => {
                Finding { rule: LIST_OBSERVED, says: Effect::Points(tenths), because: words(listed), reply: None }
            }
            Action::Allow | Action::Exempt => Finding::pass(LIST_OBSERVED, words(listed)),
        })
    })
}

/// A name is refused where it is said, and the session goes on: another recipient may be welcome.
///
/// RFC 5321 §3.1 DEPARTS: after 554 in place of the greeting a server should wait for QUIT. Whoever is listed holds no place until he says it: the
/// connection is closed behind the reply.
fn turned_away(rule: RuleName, listed: &Listed) -> Finding {
    let (decision, reply) = match &*listed.about {
        "" => (Decision::Hangup, Reply::listed(&listed.reason)),
        name => (Decision::Refuse, Reply::name_listed(name, &listed.reason)),
    };
    Finding { rule, says: Effect::Wants(decision), because: words(listed), reply: Some(reply) }
}

/// `block 192.0.2.0/24 in /etc/postern/blocked.txt: the reason`, and for a name which it is: `block domain:.bad.test (sender a@bad.test) in ...`.
fn words(listed: &Listed) -> String {
    let reason = if listed.reason.is_empty() { String::new() } else { format!(": {}", listed.reason) };
    let about = if listed.about.is_empty() { String::new() } else { format!(" ({})", listed.about) };
    format!("{} {}{about} in {}{reason}", listed.action, listed.subject, listed.list)
}

#[cfg(test)]
mod tests {
    use postern_mail::netset::Subject;
    use postern_mail::{Mode, Modes, Verdict};

    use super::*;

    fn listed(entries: &[&str]) -> Vec<Listed> {
        let one = |text: &&str| {
            let words: Vec<&str> = text.split(' ').collect();
            Listed {
                list: "l".into(),
                subject: Subject::parse(words[0]).unwrap(),
                action: Action::parse(words[1]).unwrap(),
                reason: "why".into(),
                until: None,
                observed: words.get(2) == Some(&"observed"),
                about: match words.get(2).and_then(|word| word.strip_prefix("of:")) {
                    Some(other) => other.into(),
                    None if words[0].contains(':') => "sender a@x.bad.test".into(),
                    None => "".into(),
                },
            }
        };
        entries.iter().map(one).collect()
    }

    fn verdict_in(modes: &Modes, entries: &[&str], trusted: &[&str]) -> Verdict {
        let listed = listed(entries);
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        judge(Panel::new(modes), &listed, "192.0.2.7".parse().unwrap(), &trusted).verdict()
    }

    fn verdict(entries: &[&str]) -> Decision {
        verdict_in(&Modes::default(), entries, &[]).decision()
    }

    #[test]
    fn the_most_particular_word_of_all_lists_decides_and_allow_where_they_are_equal() {
        for (entries, decision) in [
            (vec![], Decision::Pass),
            (vec!["192.0.2.0/24 block"], Decision::Hangup),
            (vec!["192.0.2.0/24 block", "192.0.2.7 allow"], Decision::Pass),
            (vec!["192.0.2.0/24 allow", "192.0.2.7 block"], Decision::Hangup),
            (vec!["192.0.2.7 block", "192.0.2.7 allow"], Decision::Pass),
            (vec!["DE block", "AS64500 allow"], Decision::Pass),
            (vec!["DE allow", "AS64500 block"], Decision::Hangup),
            (vec!["0.0.0.0/0 allow", "AS64500 block"], Decision::Pass),
            (vec!["192.0.2.7 allow", "192.0.2.0/24 block", "192.0.0.0/16 block"], Decision::Pass),
            (vec!["192.0.2.7 exempt", "192.0.2.0/24 block"], Decision::Hangup),
            (vec!["192.0.2.0/24 9.0"], Decision::Pass),
            (vec!["192.0.2.0/24 block observed"], Decision::Pass),
            (vec!["192.0.2.0/24 block", "192.0.2.7 allow observed"], Decision::Hangup),
            (vec!["sender:.bad.test block"], Decision::Refuse),
            (vec!["domain:.bad.test block", "sender:@x.bad.test allow"], Decision::Pass),
            (vec!["sender:@x.bad.test block", "sender:a@x.bad.test allow"], Decision::Pass),
            (vec!["sender:a@x.bad.test block", "domain:x.bad.test allow"], Decision::Refuse),
            (vec!["link:x.bad.test/a block", "link:x.bad.test allow"], Decision::Refuse),
            (vec!["link:x.bad.test/a allow", "domain:.x.bad.test block"], Decision::Pass),
            (vec!["helo:.bad.test 9.0"], Decision::Pass),
            (vec!["link:.bad.test block of:link", "from:a@x.test allow of:from"], Decision::Refuse),
            (vec!["link:.bad.test block of:link", "from:a@x.test allow of:from", "from:@x.test block of:from"], Decision::Refuse),
            (vec!["from:a@x.test allow of:from", "from:@x.test block of:from"], Decision::Pass),
        ] {
            assert_eq!(verdict(&entries), decision, "{entries:?}");
            let backwards: Vec<&str> = entries.iter().rev().copied().collect();
            assert_eq!(verdict(&backwards), decision, "{backwards:?}");
        }
    }

    #[test]
    fn a_trusted_network_is_not_blocked_and_the_trail_says_what_would_have_been() {
        let verdict = verdict_in(&Modes::default(), &["192.0.2.0/24 block"], &["192.0.2.0/28"]);
        assert_eq!(verdict.decision(), Decision::Pass);
        assert!(verdict.trail()[0].because.contains("trusted network 192.0.2.0/28"), "{verdict:?}");
    }

    #[test]
    fn who_is_turned_away_is_told_the_reason_and_the_trail_names_the_entry() {
        let verdict = verdict_in(&Modes::default(), &["192.0.2.0/24 block"], &[]);
        let reply = verdict.reply().unwrap();
        assert_eq!((reply.code.0, reply.status.unwrap().to_string().as_str()), (554, "5.7.1"));
        assert!(reply.text().ends_with(": why"), "{}", reply.text());
        assert_eq!(verdict.trail()[0].because, "block 192.0.2.0/24 in l: why");
    }

    #[test]
    fn who_sends_under_a_listed_name_is_told_the_name_and_the_reason_and_may_go_on() {
        let verdict = verdict_in(&Modes::default(), &["sender:.bad.test block"], &[]);
        let reply = verdict.reply().unwrap();
        assert_eq!((reply.code.0, reply.status.unwrap().to_string().as_str()), (550, "5.7.1"));
        assert!(reply.text().contains("sender a@x.bad.test") && reply.text().ends_with(": why"), "{}", reply.text());
        assert_eq!(verdict.trail()[0].because, "block sender:.bad.test (sender a@x.bad.test) in l: why");
    }

    #[test]
    fn points_are_summed_but_for_those_an_allowance_covers() {
        let points = |entries: &[&str]| {
            let verdict = verdict_in(&Modes::default(), entries, &[]);
            verdict.trail().iter().find_map(|finding| match finding.says {
                Effect::Points(tenths) => Some(tenths),
                _ => None,
            })
        };
        assert_eq!(points(&["192.0.2.0/24 4.5", "AS64500 -1.0"]), Some(35));
        assert_eq!(points(&["192.0.2.0/24 4.5", "AS64500 -1.0", "192.0.0.0/16 allow"]), Some(45));
        assert_eq!(points(&["192.0.2.0/24 4.5", "192.0.2.7 allow"]), None);
        assert_eq!(points(&["192.0.2.0/24 999.0"; 9]), Some(i16::MAX));
    }

    #[test]
    fn the_rules_can_be_observed_like_others() {
        let modes = Modes::new(Mode::Enforce, vec![(LIST_BLOCK, Mode::Observe)]);
        let verdict = verdict_in(&modes, &["192.0.2.0/24 block"], &[]);
        assert_eq!((verdict.decision(), verdict.is_observed(LIST_BLOCK)), (Decision::Pass, true));
        let modes = Modes::new(Mode::Off, vec![]);
        assert!(verdict_in(&modes, &["192.0.2.0/24 block", "DE block observed"], &[]).trail().is_empty());
    }
}
