//! A report on TLS (RFC 8460 §4.4) as values, the same for those we write and those we read. Promise: writing one and reading it gives the same, and
//! what is read is bounded.

use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize};

use crate::mail::{ReportMail, Reporter, base64_lines, boundary, gzip, plain};
use crate::read::{Limits, Unreadable};

/// A report on the sessions of a day with one domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TlsReport {
    /// Who reports.
    #[serde(default)]
    pub organization_name: String,
    /// Of which time.
    pub date_range: DateRange,
    /// Whom to ask about it.
    #[serde(default)]
    pub contact_info: String,
    /// Its name.
    pub report_id: String,
    /// What there is to say.
    pub policies: Vec<PolicyResult>,
}

/// From when until when, in the writing of RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DateRange {
    /// The first second.
    pub start_datetime: String,
    /// The last one.
    pub end_datetime: String,
}

/// How it went under one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyResult {
    /// Which.
    pub policy: Policy,
    /// How often.
    pub summary: Summary,
    /// What failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_details: Vec<FailureDetail>,
}

/// A policy as it was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// `tlsa`, `sts` or `no-policy-found`.
    pub policy_type: String,
    /// Its lines, or the records.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    pub policy_string: Vec<String>,
    /// Whose it is.
    pub policy_domain: String,
    /// The hosts it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_more")]
    pub mx_host: Vec<String>,
}

/// Sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Encrypted as the policy wants it.
    pub total_successful_session_count: u64,
    /// Not so.
    pub total_failure_session_count: u64,
}

/// Failures that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FailureDetail {
    /// RFC 8460 §4.3.
    pub result_type: String,
    /// Who sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sending_mta_ip: Option<String>,
    /// To which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_mx_hostname: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiving_ip: Option<String>,
    /// How often.
    pub failed_session_count: u64,
    /// In the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason_code: Option<String>,
    /// Where there is more to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_information: Option<String>,
}

/// Lists that some write as a text alone, or as nothing.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        One(String),
        More(Vec<String>),
    }
    Ok(match Option::<Given>::deserialize(from)? {
        None => Vec::new(),
        Some(Given::One(one)) => vec![one],
        Some(Given::More(more)) => more,
    })
}

impl TlsReport {
    /// Reads one.
    ///
    /// # Errors
    /// When it is none, or has too many rows.
    pub fn read(octets: &[u8], limits: &Limits) -> Result<Self, Unreadable> {
        let report: Self = serde_json::from_slice(octets).map_err(|error| Unreadable::Json(error.to_string()))?;
        let rows: usize = report.policies.iter().map(|one| 1 + one.failure_details.len()).sum();
        if rows > limits.records_max { Err(Unreadable::TooLarge("records")) } else { Ok(report) }
    }

    /// As it is sent.
    #[must_use]
    pub fn write(&self) -> String {
        // Values of texts and numbers always have a writing.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Sessions in it, and those of them that failed.
    #[must_use]
    pub fn sessions(&self) -> (u64, u64) {
        self.policies.iter().fold((0, 0), |(all, failed), one| {
            let Summary { total_successful_session_count: good, total_failure_session_count: bad } = one.summary;
            (all.saturating_add(good).saturating_add(bad), failed.saturating_add(bad))
        })
    }
}

impl Reporter<'_> {
    /// RFC 8460 §5.3: the mail such a report goes in, with a name and a subject that say whose it is (RFC 8460 §5.1). `begin` and `end` in seconds.
    #[must_use]
    pub fn tls(&self, report: &TlsReport, domain: &str, (begin, end): (u64, u64), to: &[Mailbox]) -> ReportMail {
        let (domain, hostname, id) = (plain(domain), plain(self.hostname), plain(&report.report_id));
        let file_name = format!("{hostname}!{domain}!{begin}!{end}!{:08x}.json.gz", self.seed >> 32);
        let subject = format!("Report Domain: {domain}\r\n    Submitter: {hostname}\r\n    Report-ID: <{id}>");
        let boundary = boundary(self.seed);
        // RFC 8460 §5.3.1: that TLS fails must not keep the news of it away, which RFC 8689 §3 has a field for.
        let mut text = format!("TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {hostname}\r\nTLS-Required: No\r\n");
        text.push_str(&self.header(to, &subject, &id, "multipart/report; report-type=tlsrpt"));
        let (all, failed) = report.sessions();
        text.push_str(&format!(
            "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is an aggregate report on TLS (RFC 8460) about mail sent to\r\n{domain},\r\n\
             written by {hostname} because of the record _smtp._tls of the domain.\r\n\
             Of {all} sessions {failed} failed.\r\n\r\n\
             --{boundary}\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n    filename=\"{file_name}\"\r\n\r\n",
        ));
        base64_lines(&gzip(report.write().as_bytes()), &mut text);
        text.push_str(&format!("\r\n--{boundary}--\r\n"));
        ReportMail { octets: text.into_bytes(), file_name }
    }

    /// RFC 8460 §4.4: unique for each report.
    pub(crate) fn tls_id(&self, begin: UnixMillis, domain: &str) -> String {
        format!("tls.{}.{domain}@{}", begin.0 / 1000, plain(self.hostname))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As in RFC 8460, appendix B.
    const OTHERS: &str = r#"{"organization-name":"Company-X","date-range":{"start-datetime":"2016-04-01T00:00:00Z",
        "end-datetime":"2016-04-01T23:59:59Z"},"contact-info":"sts-reporting@company-x.example","report-id":"5065427c","policies":[{
        "policy":{"policy-type":"sts","policy-string":["version: STSv1","mode: testing"],"policy-domain":"company-y.example",
        "mx-host":"*.mail.company-y.example"},"summary":{"total-successful-session-count":5326,"total-failure-session-count":303},
        "failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"2001:db8:abcd:0012::1",
        "receiving-mx-hostname":"mx1.mail.company-y.example","failed-session-count":100},{"result-type":"validation-failure",
        "failed-session-count":3,"failure-reason-code":"X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED"}]}]}"#;

    #[test]
    fn reports_of_others_read_and_write_the_same() {
        let read = TlsReport::read(OTHERS.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(read.sessions(), (5629, 303));
        assert_eq!(read.policies[0].policy.mx_host, ["*.mail.company-y.example"]);
        assert_eq!(
            read.policies[0].failure_details[1].failure_reason_code.as_deref(),
            Some("X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED")
        );
        assert_eq!(TlsReport::read(read.write().as_bytes(), &Limits::default()), Ok(read));
    }

    #[test]
    fn what_is_no_report_or_too_large_is_not_read() {
        assert!(matches!(TlsReport::read(b"{}", &Limits::default()), Err(Unreadable::Json(_))));
        assert!(matches!(TlsReport::read(b"{\"a", &Limits::default()), Err(Unreadable::Json(_))));
        let few = Limits { records_max: 2, ..Limits::default() };
        assert_eq!(TlsReport::read(OTHERS.as_bytes(), &few), Err(Unreadable::TooLarge("records")));
        let deep = format!("{{\"policies\":{}", "[".repeat(100_000));
        assert!(TlsReport::read(deep.as_bytes(), &Limits::default()).is_err());
    }
}
