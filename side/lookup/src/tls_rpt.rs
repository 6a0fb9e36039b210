//! Who wants to know how the TLS of mail to a domain goes (RFC 8460 §3). Promise: no more destinations than of other reports, and what does not read
//! wants nothing.

use hickory_resolver::proto::rr::RecordType;
use mail_auth::dns::TxtRecordParser as _;
use mail_auth::mta_sts::{ReportUri, TlsRptRecord};
use postern_mail::published::DESTINATIONS_MAX;
use postern_mail::{Domain, Mailbox};

use crate::cache::Answer;
use crate::resolver::{LookupFailure, Resolver, clock};
use crate::spf;

/// What a domain's record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsReportTo {
    /// Where reports go by mail.
    pub mail: Vec<Mailbox>,
    /// Where they would go by HTTPS, which is not done yet.
    pub https: usize,
}

impl Resolver {
    /// Who wants reports on a domain; nobody where it has no record, or more than one.
    ///
    /// # Errors
    /// When DNS does not answer.
    pub async fn tls_reports_to(&self, domain: &Domain) -> Result<TlsReportTo, LookupFailure> {
        let Ok(owner) = Domain::parse(&format!("_smtp._tls.{domain}")) else { return Ok(TlsReportTo::default()) };
        let Answer::Records(records) = self.records(clock(), &owner, RecordType::TXT).await? else {
            return Ok(TlsReportTo::default());
        };
        let texts: Vec<Vec<u8>> = spf::texts(&records).into_iter().filter(|text| text.starts_with(b"v=TLSRPTv1")).collect();
        let [one] = texts.as_slice() else { return Ok(TlsReportTo::default()) };
        Ok(TlsRptRecord::parse(one).map(|record| of(&record.rua)).unwrap_or_default())
    }
}

fn of(uris: &[ReportUri]) -> TlsReportTo {
    let mail = uris.iter().filter_map(|uri| match uri {
        ReportUri::Mail(address) => Mailbox::parse(address).ok().filter(|address| address.domain().is_some()),
        ReportUri::Http(_) => None,
    });
    TlsReportTo {
        mail: mail.take(DESTINATIONS_MAX).collect(),
        https: uris.iter().filter(|uri| matches!(uri, ReportUri::Http(_))).count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> TlsReportTo {
        TlsRptRecord::parse(text.as_bytes()).map(|record| of(&record.rua)).unwrap_or_default()
    }

    #[test]
    fn a_record_names_mailboxes_and_hosts() {
        let to = read("v=TLSRPTv1; rua=mailto:a@x.test,https://x.test/report,mailto:b@y.test");
        let mail: Vec<String> = to.mail.iter().map(ToString::to_string).collect();
        assert_eq!((mail.join(" ").as_str(), to.https), ("a@x.test b@y.test", 1));
        for nothing in ["v=TLSRPTv1", "v=TLSRPTv2; rua=mailto:a@x.test", "v=TLSRPTv1; rua=mailto:nobody", "rua=mailto:a@x.test"] {
            assert!(read(nothing).mail.is_empty(), "{nothing}");
        }
        let many = (0..50).map(|number| format!("mailto:a{number}@x.test")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&format!("v=TLSRPTv1; rua={many}")).mail.len(), DESTINATIONS_MAX);
    }
}
