//! Lists that are asked by DNS: what they say of the client and of the names it uses.
//!
//! Promise: a list has a say only by codes that are written down for it; one that is only observed has no effect; the reply names the list and has
//! its reason; of the links and addresses in a message each list counts once. When it cannot know (a list is silent, broken or parked): that list says nothing, since an answer we do not have is held against nobody.
//!
//! Two names for one rule, so that a trail shows what was said and what was made of it: `dnsbl` has points, `dnsbl_observed` those that do not
//! count. What the points come to is the matter of the rule `score`.

use postern_mail::dns_list::{DnsListRule, DnsListed, DnsSaid, DnsUnheard};
use postern_mail::{Effect, Finding, Mode, Quoted, Reply, RuleName};

use crate::decide::Panel;

/// Points.
pub const DNSBL: RuleName = "dnsbl";
/// What would have been.
pub const DNSBL_OBSERVED: RuleName = "dnsbl_observed";

/// Judges what lists said, by what their codes are worth in `rules`. Without a word from them nothing is found.
#[must_use]
pub fn judge<'a>(mut panel: Panel<'a>, said: &DnsSaid, rules: &[DnsListRule]) -> Panel<'a> {
    let worth = |listed| worth(listed, rules);
    let all: Vec<_> = said.listed.iter().filter_map(worth).collect();
    for (listed, mode, tenths) in all.iter().enumerate().filter(|(at, _)| counts(*at, &all)).map(|(_, one)| *one) {
        match mode {
            Mode::Enforce => panel = panel.rule(DNSBL, || points(DNSBL, listed, tenths)),
            Mode::Observe => panel = panel.observed(DNSBL_OBSERVED, || points(DNSBL_OBSERVED, listed, tenths)),
            Mode::Off => {}
        }
    }
    let is_ours = |unheard: &&DnsUnheard| {
        rules
            .iter()
            .any(|rule| rule.mode == Mode::Enforce && rule.target == unheard.target && rule.zone.as_str() == &*unheard.zone)
    };
    said.unheard.iter().filter(is_ours).fold(panel, |panel, unheard| {
        panel.rule(DNSBL, || {
            Finding::pass(DNSBL, format!("{} {}; not held against the sender", unheard.zone, unheard.why.as_str()))
        })
    })
}

/// True for what counts of all that was listed. A list that knows several links of a message, or a domain and a host below it, counts once, by the
/// heaviest: how bad its links are is what its points say, not how many ways lead to them.
fn counts(at: usize, all: &[(&DnsListed, Mode, i16)]) -> bool {
    let Some((own, _, tenths)) = all.get(at) else { return false };
    let is_heavier = |(place, (other, _, more)): (usize, &(&DnsListed, Mode, i16))| {
        other.target == own.target && other.zone == own.zone && (more > tenths || more == tenths && place < at)
    };
    !own.target.is_clickable() || !all.iter().enumerate().any(is_heavier)
}

/// What a listing is worth, and whether that counts.
#[must_use]
pub fn worth<'a>(listed: &'a DnsListed, rules: &[DnsListRule]) -> Option<(&'a DnsListed, Mode, i16)> {
    listed.worth(rules).map(|(rule, tenths)| (listed, rule.mode, tenths))
}

fn points(rule: RuleName, listed: &DnsListed, tenths: i16) -> Finding {
    let reply = (tenths > 0).then(|| Reply::dns_listed(listed));
    Finding { rule, says: Effect::Points(tenths), because: words(listed), reply }
}

/// `192.0.2.7 (client) is in bl.example.org (127.0.0.2): "its reason"`.
fn words(listed: &DnsListed) -> String {
    let codes: Vec<String> = listed.codes.iter().map(ToString::to_string).collect();
    let reason = if listed.text.is_empty() { String::new() } else { format!(": {}", Quoted::text(&listed.reason())) };
    format!("{} ({}) is in {} ({}){reason}", listed.name(), listed.target, listed.zone, codes.join(", "))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use postern_mail::dns_list::{CodeRange, DnsMute, Scoring};
    use postern_mail::{Decision, DnsTarget, Domain, Modes, Scored, Verdict};

    use super::*;
    use crate::rules::score::{self, Holding, Limits};

    fn rule(zone: &str, tenths: i16, mode: Mode) -> DnsListRule {
        let code = Ipv4Addr::new(127, 0, 0, 2);
        let scoring = Scoring::Codes(vec![CodeRange { first: code, last: code, tenths }]);
        DnsListRule { zone: Domain::parse(zone).unwrap(), target: DnsTarget::Client, scoring, mode }
    }

    fn listed(zone: &str, last: u8) -> DnsListed {
        let codes = vec![Ipv4Addr::new(127, 0, 0, last)];
        DnsListed {
            zone: zone.into(),
            target: DnsTarget::Client,
            asked: "192.0.2.7".into(),
            codes,
            text: "ask \"us\"\r\n".into(),
        }
    }

    fn verdict(listed: Vec<DnsListed>, rules: &[DnsListRule], modes: &Modes) -> Verdict {
        let said = DnsSaid { listed, unheard: Vec::new() };
        let sum = |scored: &[Scored]| score::judge(scored, Limits::default(), Holding::TooEarly, None);
        judge(Panel::new(modes), &said, rules).score(&[], sum).verdict()
    }

    #[test]
    fn lists_refuse_when_their_points_are_enough_and_the_reply_names_the_heaviest() {
        let rules = [rule("a.test", 40, Mode::Enforce), rule("b.test", 60, Mode::Enforce), rule("good.test", -50, Mode::Enforce)];
        let of = |zones: &[&str]| verdict(zones.iter().map(|zone| listed(zone, 2)).collect(), &rules, &Modes::default());
        assert_eq!(of(&["a.test"]).decision(), Decision::Pass);
        let refused = of(&["a.test", "b.test"]);
        let reply = refused.reply().unwrap();
        assert_eq!((reply.code.0, reply.status.unwrap().to_string().as_str()), (550, "5.7.1"));
        assert!(reply.text().contains("192.0.2.7 is listed by b.test: \"ask \\\"us\\\"\\r\\n\""), "{}", reply.text());
        assert_eq!(of(&["a.test", "b.test", "good.test"]).decision(), Decision::Pass, "negative points speak for the client");
    }

    #[test]
    fn of_links_a_list_counts_once_by_the_heaviest_and_of_other_things_each_time() {
        let rule = |zone, tenths, target| DnsListRule { target, ..rule(zone, tenths, Mode::Enforce) };
        let listed = |zone: &str, asked: &str, target| DnsListed { asked: asked.into(), target, ..listed(zone, 2) };
        let of = |target| {
            let rules = [rule("a.test", 60, target), rule("b.test", 30, target)];
            let said = ["bad.test", "x.bad.test", "worse.test"].map(|asked| listed("a.test", asked, target));
            verdict([said.to_vec(), vec![listed("b.test", "bad.test", target)]].concat(), &rules, &Modes::default())
        };
        let links = of(DnsTarget::Link);
        assert_eq!((links.decision(), links.trail().iter().filter(|finding| finding.rule == DNSBL).count()), (Decision::Pass, 2));
        assert!(links.trail()[0].because.starts_with("bad[.]test (link) is in a.test"), "{links:?}");
        assert_eq!(of(DnsTarget::HeaderFrom).decision(), Decision::Refuse);
    }

    #[test]
    fn codes_that_are_not_written_down_and_lists_that_are_gone_say_nothing() {
        let rules = [rule("a.test", 100, Mode::Enforce), rule("off.test", 100, Mode::Off)];
        let said = vec![listed("a.test", 3), listed("gone.test", 2), listed("off.test", 2)];
        assert!(verdict(said, &rules, &Modes::default()).trail().is_empty());
    }

    #[test]
    fn an_observed_list_has_no_effect_and_is_in_the_trail() {
        let rules = [rule("a.test", 100, Mode::Observe)];
        let observed = verdict(vec![listed("a.test", 2)], &rules, &Modes::default());
        assert_eq!(observed.decision(), Decision::Pass);
        assert!(observed.is_observed(DNSBL_OBSERVED) && observed.trail()[0].says == Effect::Points(100), "{observed:?}");
        let all = Modes::new(Mode::Observe, Vec::new());
        let enforced = [rule("a.test", 100, Mode::Enforce)];
        assert_eq!(verdict(vec![listed("a.test", 2)], &enforced, &all).decision(), Decision::Pass, "the rule itself is observed");
    }

    #[test]
    fn a_list_that_could_not_be_asked_is_in_the_trail_and_against_nobody() {
        let unheard = DnsMute::ALL.map(|why| DnsUnheard { zone: "a.test".into(), target: DnsTarget::Client, why });
        let said = DnsSaid { listed: Vec::new(), unheard: unheard.into() };
        let verdict = judge(Panel::new(&Modes::default()), &said, &[rule("a.test", 100, Mode::Enforce)]).verdict();
        assert_eq!((verdict.decision(), verdict.trail().len()), (Decision::Pass, 4));
    }
}
