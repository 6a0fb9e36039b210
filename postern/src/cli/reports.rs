//! `postern reports`: reports of DMARC and complaints, read from files; and our own, sent by hand. Promise: whatever a report says is quoted.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Subcommand;
use postern_mail::Quoted;
use postern_reports::{Aggregate, Complaint, Limits, Report, TlsReport, read};
use serde_json::json;

use crate::cli::Stop;
use crate::cli::print::{table, when};
use crate::control::Order;
use crate::control::reports::{ReportsOrder, ReportsRead, ReportsSent};

/// Octets of one file.
const FILE_MAX: u64 = 64 << 20;

#[derive(Subcommand)]
pub(crate) enum ReportsVerb {
    /// What reports say that others have sent: of DMARC as mail, .xml, .xml.gz or .zip, on TLS as mail, .json or .json.gz, and complaints and failure reports (ARF) as mail. `-` is
    /// standard input. Exit 1 when one of them could not be read.
    Read {
        /// Files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// What reports that came to [reports] read_at say: messages by domain, client and result.
    Show {
        /// About this domain only.
        #[arg(long)]
        domain: Option<String>,
    },
    /// Send what was counted for others until now, without waiting for the night.
    Send {
        /// It is to be now.
        #[arg(long, required = true)]
        now: bool,
        /// Only say what would be sent.
        #[arg(long)]
        dry_run: bool,
        /// Why, for the audit log.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

impl ReportsVerb {
    /// What the server is asked; nothing where it is not needed.
    pub(crate) fn order(&self) -> Option<Order> {
        match self {
            Self::Read { .. } => None,
            Self::Show { domain } => Some(Order::Reports(ReportsOrder::Show { domain: domain.clone() })),
            Self::Send { dry_run, reason, .. } => {
                Some(super::because(reason.clone(), Order::Reports(ReportsOrder::Send { dry_run: *dry_run })))
            }
        }
    }
}

fn octets(file: &PathBuf) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(FILE_MAX + 1).read_to_end(&mut octets)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(FILE_MAX + 1).read_to_end(&mut octets))
    };
    read.map_err(|error| error.to_string())?;
    if octets.len() as u64 > FILE_MAX { Err("it is larger than 64 MiB".to_owned()) } else { Ok(octets) }
}

/// `postern reports read`.
pub(crate) fn files(files: &[PathBuf], as_json: bool) -> Result<(), Stop> {
    let (mut reports, mut errors) = (Vec::new(), Vec::new());
    for file in files {
        match octets(file).and_then(|octets| read(&octets, &Limits::default()).map_err(|error| error.to_string())) {
            Ok(read) => reports.extend(read.into_iter().map(|report| (file.display().to_string(), report))),
            Err(error) => errors.push((file.display().to_string(), error)),
        }
    }
    if as_json {
        let shown: Vec<_> = reports.iter().map(|(file, report)| json!({ "file": file, "report": report })).collect();
        let failed: Vec<_> = errors.iter().map(|(file, error)| json!({ "file": file, "error": error })).collect();
        say!("{}", json!({ "v": 1, "reports": shown, "failed": failed }));
    } else {
        for (_, report) in &reports {
            match report {
                Report::Aggregate(report) => print_aggregate(report),
                Report::Tls(report) => print_tls(report),
                Report::Complaint(complaint) => print_complaint(complaint),
            }
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let words: Vec<String> = errors.iter().map(|(file, error)| format!("{file}: {}", Quoted::text(error))).collect();
    Err(Stop(1, if as_json { String::new() } else { words.join("\npostern: ") }))
}

/// What could do something to a terminal is quoted; the rest reads better in a table as it is.
fn shown(text: &str) -> String {
    if text.chars().all(|c| matches!(c, ' '..='~')) { text.to_owned() } else { Quoted::text(text).to_string() }
}

fn print_aggregate(report: &Aggregate) {
    let policy = &report.policy;
    let asked =
        |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(" {name}={}", shown(value))).unwrap_or_default();
    say!(
        "{} about {} (p={}{}{}{}), {} to {}: {} messages",
        shown(&report.org_name),
        shown(&policy.domain),
        shown(&policy.p),
        asked("sp", &policy.sp),
        asked("np", &policy.np),
        asked("t", &policy.testing),
        when(report.begin.saturating_mul(1000)),
        when(report.end.saturating_mul(1000)),
        report.messages()
    );
    let mut rows = table(&["client", "messages", "aligned", "done", "From", "MAIL FROM", "DKIM", "SPF"]);
    for record in &report.records {
        let aligned = match (record.dkim.as_str(), record.spf.as_str()) {
            ("pass", "pass") => "DKIM, SPF",
            ("pass", _) => "DKIM",
            (_, "pass") => "SPF",
            _ => "NO",
        };
        let reasons = record.reasons.iter().map(|reason| format!(" ({})", shown(&reason.kind))).collect::<String>();
        let dkim = record.dkim_results.iter().map(|line| format!("{} {}", shown(&line.domain), shown(&line.result)));
        let spf = record.spf_results.iter().map(|line| format!("{} {}", shown(&line.domain), shown(&line.result)));
        rows.add_row([
            record.source.to_string(),
            record.count.to_string(),
            aligned.to_owned(),
            format!("{}{reasons}", shown(&record.disposition)),
            shown(&record.header_from),
            record.envelope_from.as_deref().map(shown).unwrap_or_default(),
            dkim.collect::<Vec<_>>().join("\n"),
            spf.collect::<Vec<_>>().join("\n"),
        ]);
    }
    say!("{rows}");
    for error in &report.errors {
        say!("it says: {}", shown(error));
    }
    if report.unread > 0 {
        say!("{} records could not be read", report.unread);
    }
    let failing =
        report.records.iter().filter(|record| !record.passes()).fold(0_u64, |sum, record| sum.saturating_add(record.count));
    say!("with p=reject {failing} of {} messages would have been lost\n", report.messages());
}

fn print_tls(report: &TlsReport) {
    let (all, failed) = report.sessions();
    let range = &report.date_range;
    say!(
        "{} on TLS, {} to {}: {all} sessions, {failed} of them failed",
        shown(&report.organization_name),
        shown(&range.start_datetime),
        shown(&range.end_datetime)
    );
    let mut rows = table(&["domain", "policy", "sessions", "failed", "because", "host", "address", "words"]);
    for one in &report.policies {
        let policy = [shown(&one.policy.policy_domain), shown(&one.policy.policy_type)];
        let good = one.summary.total_successful_session_count.to_string();
        let bad = one.summary.total_failure_session_count.to_string();
        let none = String::new;
        rows.add_row(policy.clone().into_iter().chain([good, bad, none(), none(), none(), none()]));
        for detail in &one.failure_details {
            let words = |text: &Option<String>| text.as_deref().map(shown).unwrap_or_default();
            rows.add_row(policy.clone().into_iter().chain([
                none(),
                detail.failed_session_count.to_string(),
                shown(&detail.result_type),
                words(&detail.receiving_mx_hostname),
                words(&detail.receiving_ip),
                words(&detail.failure_reason_code),
            ]));
        }
    }
    say!("{rows}\n");
}

fn print_complaint(complaint: &Complaint) {
    say!("{} about a message, told by {}", shown(&complaint.feedback_type), shown(&complaint.user_agent));
    let lists = [
        ("recipients", complaint.rcpt_to.join(", ")),
        ("domain", complaint.reported_domain.join(", ")),
        ("for", complaint.reported_uri.join(", ")),
    ];
    let lines = [
        ("message", &complaint.message_id),
        ("from", &complaint.from),
        ("subject", &complaint.subject),
        ("MAIL FROM", &complaint.mail_from),
        ("client", &complaint.source_ip),
        ("came", &complaint.arrival_date),
        ("failed", &complaint.auth_failure),
        ("not aligned", &complaint.identity_alignment),
        ("became", &complaint.delivery_result),
        ("server", &complaint.reporting_mta),
    ];
    let lists = lists.iter().map(|(name, text)| (*name, text));
    for (name, text) in lines.into_iter().chain(lists).filter(|(_, text)| !text.is_empty()) {
        say!("  {name:<12} {}", shown(text));
    }
    if complaint.incidents > 1 {
        say!("  {:<12} {}", "times", complaint.incidents);
    }
    say!("");
}

/// What was sent.
pub(crate) fn print(sent: &ReportsSent) {
    if !sent.enabled {
        say!("nothing is counted; to begin: [reports] dmarc = true, or tls = true");
    }
    if sent.reports.is_empty() {
        say!("there is nothing to report");
        return;
    }
    let mut rows = table(&["about", "from", "until", "messages", "rows", "missing", "to", "not to", "octets", "message"]);
    for report in &sent.reports {
        rows.add_row([
            format!("{}{}", shown(&report.domain), if report.about_tls { " (TLS)" } else { "" }),
            when(report.begin.saturating_mul(1000)),
            when(report.end.saturating_mul(1000)),
            report.messages.to_string(),
            report.rows.to_string(),
            report.missing.to_string(),
            shown(&report.to.join(", ")),
            shown(&report.not_to.join("; ")),
            report.octets.to_string(),
            report.id.clone().unwrap_or_else(|| if report.later { "later".to_owned() } else { String::new() }),
        ]);
    }
    say!("{rows}");
    if sent.more {
        say!("there are more; ask again");
    }
}

/// What others have reported.
pub(crate) fn print_read(read: &ReportsRead) {
    match &read.read_at {
        Some(read_at) => say!("reports are read at {}", shown(read_at)),
        None => say!("no reports are read; to begin: [reports] read_at"),
    }
    let mut rows = table(&["about", "client", "result", "messages", "last told"]);
    for row in &read.rows {
        let source = row.source.clone().unwrap_or_default();
        rows.add_row([shown(&row.domain), source, row.result.clone(), row.messages.to_string(), when(row.last)]);
    }
    if !read.rows.is_empty() {
        say!("{rows}");
    }
    if read.more {
        say!("there are more; --domain shows those of one domain");
    }
    say!(
        "reports: {}, come again: {}, unreadable: {}, not read for lack of time: {}",
        read.reports,
        read.again,
        read.unreadable,
        read.skipped
    );
    if read.without_room > 0 {
        say!("messages that had no room: {}", read.without_room);
    }
}
