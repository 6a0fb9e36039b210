//! Sends reports: asks whoever is to get them whether he agreed, writes the mail, and puts it into the spool. Promise: of a report that was sent nothing stays
//! in the book, and no report goes to a place that did not agree to it or that says it is too large.

use std::net::IpAddr;
use std::time::Duration;

use postern_lookup::Consent;
use postern_mail::authenticity::{AuthResult, Authenticity};
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::ClientFacts;
use postern_mail::message::auth_results::{About, authentication_results};
use postern_mail::message::headers::Headers;
use postern_mail::published::{Destination, Published};
use postern_mail::{Decision, Domain, Envelope, Mailbox, Verdict};
use postern_reports::{Aggregate, Book, Counted, Failure, Record, ReportMail, Reporter};
use tokio::time::Instant;

use crate::control::reports::{ReportsSent, Told};
use crate::wire::reports::{night, sender};
use crate::wire::{Live, Server, clock, report, tls_reports};

/// For reports that a person waits for, all together.
const NOW_WITHIN: Duration = Duration::from_secs(40);
/// Reports that a person is told of at once.
const NOW_MAX: usize = 1000;
/// How long a report waits that could not be told.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);
/// Octets of a header section that wait to be told.
const HEADER_MAX: usize = 16 * 1024;

/// Who gets a report, and who does not and why.
#[derive(Default)]
struct Audience {
    to: Vec<Destination>,
    not_to: Vec<String>,
    /// Somebody could not be asked: another time.
    later: bool,
}

async fn audience(live: &Live, about: &Published, wanted: &[Destination]) -> Audience {
    let mut audience = Audience::default();
    for destination in wanted {
        match live.authenticator.consent(about, destination, live.config.dns.timeout).await {
            Ok(Consent::Given(to)) => {
                for one in to {
                    if !audience.to.iter().any(|already| already.address == one.address) {
                        audience.to.push(one);
                    }
                }
            }
            Ok(Consent::Refused) => {
                audience.not_to.push(format!("{}: has not agreed to reports about {}", destination.address, about.domain));
            }
            Err(_) => {
                audience.not_to.push(format!("{}: no answer of DNS whether it agrees", destination.address));
                audience.later = true;
            }
        }
    }
    audience
}

impl Audience {
    /// Leaves out those for whom it is too large, as it is sent: RFC 9990 has sizes no more, and records that still have them are taken at their word.
    fn fitting(&mut self, write: impl Fn(&[Mailbox]) -> ReportMail) -> Option<(Vec<Mailbox>, ReportMail)> {
        let addresses = |to: &[Destination]| to.iter().map(|one| one.address.clone()).collect::<Vec<_>>();
        let mail = write(&addresses(&self.to));
        let size = mail.octets.len() as u64;
        let (fit, large): (Vec<_>, Vec<_>) = self.to.drain(..).partition(|one| one.octets_max.is_none_or(|most| size <= most));
        self.to = fit;
        self.not_to.extend(large.iter().map(|one| format!("{}: {size} octets are more than it wants", one.address)));
        if self.to.is_empty() {
            return None;
        }
        let to = addresses(&self.to);
        let mail = if large.is_empty() { mail } else { write(&to) };
        Some((to, mail))
    }
}

fn told(report: &Aggregate, counted: &Counted, audience: &Audience) -> Told {
    Told {
        domain: report.policy.domain.clone(),
        begin: report.begin,
        end: report.end,
        messages: report.messages(),
        rows: report.records.len() as u64,
        missing: counted.missing(),
        to: audience.to.iter().map(|one| one.address.to_string()).collect(),
        not_to: audience.not_to.clone(),
        octets: 0,
        id: None,
        later: audience.later,
        about_tls: false,
    }
}

/// One report. With `only_say` nothing changes.
async fn one(server: &Server, live: &Live, begin: u64, domain: &Domain, only_say: bool) -> Option<Told> {
    let published = server.reports.book().published(begin, domain);
    let mut audience = match &published {
        Some(published) => audience(live, published, &published.destinations).await,
        None => Audience::default(),
    };
    let from = sender(&live.config);
    let org_name = live.config.reports.org_name.as_deref().unwrap_or(&live.hostname);
    let reporter = Reporter { hostname: &live.hostname, org_name, from: &from, now: clock(), seed: report::seed() };
    let counted = {
        let mut book = server.reports.book();
        // While somebody could not be asked it waits, for all of them: a second report would be of the same time.
        if only_say || audience.later { book.show(begin, domain)? } else { book.take(begin, domain, reporter.now)? }
    };
    let report = counted.report(&reporter);
    let fitting = audience.fitting(|to| reporter.aggregate(&report, to));
    let mut told = told(&report, &counted, &audience);
    if let Some((_, mail)) = &fitting {
        told.octets = mail.octets.len() as u64;
    }
    if only_say || audience.later {
        return Some(told);
    }
    if let Some((to, mail)) = fitting {
        match report::put(server, live, (&from, &to), &mail.octets).await {
            Ok(id) => told.id = id.map(|id| id.to_string()),
            Err(outage) => {
                tracing::warn!(%domain, %outage, "a report could not be stored and is tried again");
                server.reports.book().put_back(counted);
                told.later = true;
                return Some(told);
            }
        }
    }
    server.reports.book().forget(&counted);
    server.reports.keep().await;
    tracing::info!(%domain, messages = told.messages, rows = told.rows, to = told.to.join(", "), not_to = told.not_to.join("; "), "a report of DMARC");
    Some(told)
}

/// What is due at this moment.
pub(super) async fn due(server: &Server) {
    let live = &*server.live.load_full();
    if !live.config.reports.dmarc {
        return;
    }
    let Ok(_alone) = server.reports.sending.try_lock() else { return };
    let (night, now) = (night(&live.config), clock().0);
    let periods = server.reports.book().periods();
    for (begin, domain) in periods {
        let at = night.sends_at(Book::end_of(begin), domain.as_str(), server.reports.seed);
        if at > now || !server.reports.book().may_try(begin, &domain, clock()) {
            continue;
        }
        if !server.reports.may_send(&night) {
            return;
        }
        let told = one(server, live, begin, &domain, false).await;
        if told.is_some_and(|told| told.later) {
            server.reports.book().postpone(begin, &domain, clock().plus(AGAIN_AFTER));
        }
    }
}

/// Everything there is, without waiting for the night.
pub(crate) async fn send_now(server: &Server, only_say: bool) -> ReportsSent {
    let live = server.live.load_full();
    let _alone = server.reports.sending.lock().await;
    let until = Instant::now() + NOW_WITHIN;
    let periods = server.reports.book().periods();
    let (mut reports, mut more) = (Vec::new(), false);
    for (begin, domain) in periods {
        if reports.len() >= NOW_MAX || Instant::now() >= until {
            more = true;
            break;
        }
        reports.extend(one(server, &live, begin, &domain, only_say).await);
    }
    reports.extend(tls_reports::send_now(server, &live, only_say, NOW_MAX).await);
    let enabled = live.config.reports.dmarc || live.config.reports.tls;
    ReportsSent { sent: !only_say, enabled, from: sender(&live.config).to_string(), reports, more }
}

/// A message that failed, as far as it may be told by itself.
pub(super) struct Failing {
    source: IpAddr,
    arrived: UnixMillis,
    mail_from: String,
    results: String,
    signature: Option<(String, String)>,
    spf_failed: bool,
    delivery: &'static str,
    header: Vec<u8>,
}

impl Failing {
    pub(super) fn of(
        hostname: &str,
        (client, envelope, headers): (&ClientFacts, &Envelope, &Headers),
        found: &Authenticity,
        verdict: &Verdict,
    ) -> Self {
        let about = About { hostname, client: client.address, helo: "", from: &envelope.from };
        let field = authentication_results(&about, found);
        let results = field.split_once(':').map_or("", |(_, results)| results).replace("\r\n", "");
        let failed = found.dkim.iter().find(|one| one.result != AuthResult::Pass && !one.domain.as_str().is_empty());
        let spf = found.spf_mail.as_ref().or(found.spf_helo.as_ref());
        Self {
            source: client.address,
            arrived: envelope.received,
            mail_from: envelope.from.to_string(),
            results: results.split_whitespace().collect::<Vec<_>>().join(" "),
            signature: failed.map(|one| (one.domain.to_string(), one.selector.to_string())),
            spf_failed: spf.is_none_or(|spf| spf.result != AuthResult::Pass),
            delivery: match verdict.decision() {
                Decision::Pass => "delivered",
                Decision::Hold => "policy",
                Decision::Defer => "other",
                Decision::Refuse | Decision::Hangup => "reject",
            },
            header: headers.as_bytes().iter().take(HEADER_MAX).copied().collect(),
        }
    }

    /// RFC 9989 §4.7: which failures the domain wants to know of: of both mechanisms, of any, or of one whoever's it is.
    fn is_wanted(&self, options: &str, record: &Record) -> bool {
        match options {
            "1" => record.dkim != "pass" || record.spf != "pass",
            "d" => self.signature.is_some(),
            "s" => self.spf_failed,
            "d:s" => self.signature.is_some() || self.spf_failed,
            _ => !record.passes(),
        }
    }
}

/// Tells of one message, where that is wanted.
pub(super) async fn failure(
    server: &Server,
    live: &Live,
    about: &Published,
    (author, record): (&Domain, &Record),
    failing: &Failing,
) {
    let wanted = &about.failure_destinations;
    if wanted.is_empty() || !failing.is_wanted(about.failure_options, record) {
        return;
    }
    if !server.reports.may_tell(&night(&live.config), &about.domain) {
        return tracing::debug!(%author, "no failure report: there were enough");
    }
    let mut audience = audience(live, about, wanted).await;
    let unaligned: Vec<&'static str> = [("spf", &record.spf), ("dkim", &record.dkim)]
        .into_iter()
        .filter(|(_, word)| *word != "pass")
        .map(|(name, _)| name)
        .collect();
    let failure = Failure {
        source: failing.source,
        arrived: failing.arrived,
        mail_from: &failing.mail_from,
        domain: author.as_str(),
        authentication_results: &failing.results,
        signature: failing.signature.as_ref().map(|(domain, selector)| (domain.as_str(), selector.as_str())),
        delivery_result: failing.delivery,
        unaligned: &unaligned,
        message: &failing.header,
    };
    let from = sender(&live.config);
    let org_name = live.config.reports.org_name.as_deref().unwrap_or(&live.hostname);
    let reporter = Reporter { hostname: &live.hostname, org_name, from: &from, now: clock(), seed: report::seed() };
    if let Some((to, mail)) = audience.fitting(|to| failure.mail(&reporter, to))
        && let Err(outage) = report::put(server, live, (&from, &to), &mail.octets).await
    {
        tracing::warn!(%author, %outage, "a failure report could not be stored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_told_of_the_failures_it_asks_for_and_of_no_others() {
        let wanted = |(dkim, spf): (&str, &str), signature_failed: bool, spf_failed, options| {
            let source: IpAddr = "192.0.2.1".parse().unwrap();
            let record = Record { dkim: dkim.to_owned(), spf: spf.to_owned(), ..Record::of(source) };
            let failing = Failing {
                source,
                arrived: UnixMillis(0),
                mail_from: String::new(),
                results: String::new(),
                signature: signature_failed.then(|| ("a.test".to_owned(), "s".to_owned())),
                spf_failed,
                delivery: "delivered",
                header: Vec::new(),
            };
            failing.is_wanted(options, &record)
        };
        let by_dkim_alone = ("pass", "fail");
        assert!(!wanted(by_dkim_alone, false, true, "0") && wanted(by_dkim_alone, false, true, "1"));
        assert!(!wanted(by_dkim_alone, false, true, "d") && wanted(by_dkim_alone, false, true, "s"));
        assert!(wanted(by_dkim_alone, true, false, "d:s") && !wanted(by_dkim_alone, false, false, "d:s"));
        assert!(!wanted(("pass", "pass"), false, false, "1") && wanted(("fail", "fail"), false, false, "0"));
    }
}
