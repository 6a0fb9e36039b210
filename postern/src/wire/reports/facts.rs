//! Head: what reports tell of a message, out of what was found out about it and what was decided.

use std::net::IpAddr;

use postern_mail::authenticity::{AuthResult, Authenticity, Disposition, Dkim, Dmarc, Spf};
use postern_mail::{Decision, Domain, Effect, ReversePath, Verdict};
use postern_policy::rules::dmarc::DMARC;
use postern_reports::{DkimLine, Reason, Record, SpfLine};

fn word(passes: bool) -> String {
    if passes { "pass" } else { "fail" }.to_owned()
}

/// A record for each author whose domain has a policy and for whom it is known whether the message is his.
pub(super) fn records(client: IpAddr, from: &ReversePath, found: &Authenticity, verdict: &Verdict) -> Vec<(Domain, Record)> {
    // It comes again, and is counted then.
    if verdict.decision() == Decision::Defer {
        return Vec::new();
    }
    let known = found.dmarc.iter().filter(|dmarc| matches!(dmarc.result, AuthResult::Pass | AuthResult::Fail));
    known
        .filter_map(|dmarc| Some((Domain::parse(dmarc.domain.as_str()).ok()?, record(client, from, found, verdict, dmarc))))
        .collect()
}

fn record(client: IpAddr, from: &ReversePath, found: &Authenticity, verdict: &Verdict, dmarc: &Dmarc) -> Record {
    let (disposition, reason) = disposition(verdict, dmarc);
    let mail_from = from.mailbox().and_then(|mailbox| mailbox.domain()).map(ToString::to_string);
    Record {
        disposition: disposition.to_owned(),
        dkim: word(dmarc.aligned_dkim),
        spf: word(dmarc.aligned_spf),
        reasons: reason.into_iter().collect(),
        header_from: dmarc.domain.to_string(),
        // RFC 9990 §3.1.1: there and empty for the null sender.
        envelope_from: Some(mail_from.unwrap_or_default()),
        dkim_results: signatures(&found.dkim, dmarc.domain.as_str()),
        // RFC 7208 §2.4: for mail without a sender it is `postmaster` at the HELO name.
        spf_results: found.spf_mail.as_ref().or(found.spf_helo.as_ref()).map(spf).into_iter().collect(),
        ..Record::of(client)
    }
}

fn spf(spf: &Spf) -> SpfLine {
    SpfLine { domain: spf.domain.to_string(), result: spf.result.to_string() }
}

/// RFC 9990 §3.1.3: those that pass and are the author's first, then others that pass.
fn signatures(dkim: &[Dkim], author: &str) -> Vec<DkimLine> {
    let mut readable: Vec<&Dkim> = dkim.iter().filter(|one| !one.domain.as_str().is_empty()).collect();
    readable.sort_by_key(|one| (one.result != AuthResult::Pass, !one.domain.as_str().eq_ignore_ascii_case(author)));
    readable
        .into_iter()
        .map(|one| DkimLine {
            domain: one.domain.to_string(),
            selector: one.selector.to_string(),
            result: one.result.to_string(),
        })
        .collect()
}

/// What the policy of the domain did to it, and why that is not what it asks for.
fn disposition(verdict: &Verdict, dmarc: &Dmarc) -> (&'static str, Option<Reason>) {
    if dmarc.result == AuthResult::Pass {
        return (if dmarc.asked == Disposition::None { "none" } else { "pass" }, None);
    }
    let reason = |kind: &str, comment: String| {
        Some(Reason { kind: kind.to_owned(), comment: Some(comment).filter(|text| !text.is_empty()) })
    };
    let milder = || if dmarc.testing { reason("policy_test_mode", String::new()) } else { None };
    if dmarc.asked == Disposition::None {
        return ("none", milder());
    }
    let waives = |says: Effect| matches!(says, Effect::Waives(rule) if rule == DMARC);
    if let Some(finding) = verdict.trail().iter().find(|one| waives(one.says) && !verdict.is_observed(one.rule)) {
        return ("none", reason("trusted_forwarder", finding.because.chars().take(200).collect()));
    }
    let own = verdict.trail().iter().find(|finding| finding.rule == DMARC && !verdict.is_observed(DMARC));
    match own.map(|finding| finding.says) {
        Some(Effect::Wants(Decision::Refuse | Decision::Hangup)) => ("reject", milder()),
        Some(Effect::Wants(Decision::Hold)) => ("quarantine", milder()),
        Some(Effect::Points(_)) => ("none", reason("local_policy", "it is one sign among others here".to_owned())),
        _ => ("none", reason("local_policy", "the policy of domains is not carried out here".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::{Finding, Reply};

    use super::*;

    fn dmarc(result: AuthResult, asked: Disposition) -> Dmarc {
        let (aligned_spf, aligned_dkim) = (false, result == AuthResult::Pass);
        Dmarc { domain: "a.test".into(), result, asked, testing: false, aligned_spf, aligned_dkim, why: "".into() }
    }

    fn of(verdict: &Verdict, dmarc: Dmarc) -> Vec<(Domain, Record)> {
        let line = |domain: &str, result| Dkim {
            domain: domain.into(),
            selector: "s".into(),
            algorithm: "".into(),
            signature: "".into(),
            result,
            why: "".into(),
        };
        let found = Authenticity {
            dmarc: vec![dmarc],
            dkim: vec![
                line("b.test", AuthResult::Fail),
                line("c.test", AuthResult::Pass),
                line("a.test", AuthResult::Pass),
                line("", AuthResult::PermError),
            ],
            ..Authenticity::default()
        };
        records("192.0.2.1".parse().unwrap(), &ReversePath::Null, &found, verdict)
    }

    fn done(verdict: &Verdict, dmarc: Dmarc) -> (String, Option<String>) {
        let (_, record) = of(verdict, dmarc).remove(0);
        (record.disposition, record.reasons.into_iter().next().map(|reason| reason.kind))
    }

    #[test]
    fn a_report_says_what_was_done_and_why_it_is_not_what_was_asked() {
        let refusing = || Finding::refuse(DMARC, "fail", Reply::no_author("x"));
        let refuse = Verdict::of(vec![refusing()]);
        let some = |word: &str| Some(word.to_owned());
        let (fail, reject) = (AuthResult::Fail, Disposition::Reject);
        assert_eq!(done(&refuse, dmarc(fail, reject)), ("reject".to_owned(), None));
        let observed = Verdict::observing(vec![refusing()], vec![DMARC]);
        assert_eq!(done(&observed, dmarc(fail, reject)), ("none".to_owned(), some("local_policy")));
        let waiver = Finding { rule: "arc", says: Effect::Waives(DMARC), because: "lists.test".to_owned(), reply: None };
        assert_eq!(
            done(&Verdict::of(vec![refusing(), waiver]), dmarc(fail, reject)),
            ("none".to_owned(), some("trusted_forwarder"))
        );
        let hold = Finding { rule: DMARC, says: Effect::Wants(Decision::Hold), because: String::new(), reply: None };
        assert_eq!(done(&Verdict::of(vec![hold]), dmarc(fail, Disposition::Quarantine)), ("quarantine".to_owned(), None));
        let pass = Verdict::of(Vec::new());
        assert_eq!(done(&pass, dmarc(fail, Disposition::None)), ("none".to_owned(), None));
        let testing = Dmarc { testing: true, ..dmarc(fail, Disposition::None) };
        assert_eq!(done(&pass, testing), ("none".to_owned(), some("policy_test_mode")));
        assert_eq!(done(&pass, dmarc(AuthResult::Pass, reject)), ("pass".to_owned(), None));
        // Refused for another reason: what the domain's policy did to it is told, and no more.
        let other = Verdict::of(vec![Finding::refuse("size", "too large", Reply::no_author("x"))]);
        assert_eq!(done(&other, dmarc(AuthResult::Pass, reject)), ("pass".to_owned(), None));
    }

    #[test]
    fn what_is_not_known_or_comes_again_is_in_no_report_and_signatures_that_count_are_first() {
        let pass = Verdict::of(Vec::new());
        for result in [AuthResult::TempError, AuthResult::PermError, AuthResult::None] {
            assert!(of(&pass, dmarc(result, Disposition::Reject)).is_empty());
        }
        let defer = Verdict::of(vec![Finding::defer("x", "later", Reply::no_author("x"))]);
        assert!(of(&defer, dmarc(AuthResult::Pass, Disposition::None)).is_empty());
        let (_, record) = of(&pass, dmarc(AuthResult::Pass, Disposition::None)).remove(0);
        let order: Vec<&str> = record.dkim_results.iter().map(|line| line.domain.as_str()).collect();
        assert_eq!(order, ["a.test", "c.test", "b.test"]);
        assert_eq!((record.envelope_from.as_deref(), record.dkim.as_str(), record.spf.as_str()), (Some(""), "pass", "fail"));
    }
}
