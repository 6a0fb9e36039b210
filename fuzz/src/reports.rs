//! Reading reports: it ends, within its limits, and gives the same for the same octets; and what it read as a report about a domain is read the same again
//! once it is written, as far as it has what XML can say.

use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use postern_reports::{Limits, Report, Reporter, read, read_dsn};

/// The property.
pub fn check(data: &[u8]) {
    let limits = Limits { octets_max: 64 * 1024, records_max: 50 };
    let told = read_dsn(data);
    assert!(told == read_dsn(data) && told.iter().all(|one| one.diagnostic.chars().count() <= 512));
    let Ok(reports) = read(data, &limits) else { return };
    assert_eq!(read(data, &limits).as_ref(), Ok(&reports));
    let Ok(from) = Mailbox::parse("dmarc@here.test") else { return };
    for report in reports {
        let Report::Aggregate(report) = report else { continue };
        assert!(report.records.len() <= limits.records_max);
        let reporter = Reporter { hostname: "mx.here.test", org_name: "us", from: &from, now: UnixMillis(0), seed: 1 };
        let mail = reporter.aggregate(&report, std::slice::from_ref(&from)).octets;
        let again = read(&mail, &Limits::default());
        let Ok([Report::Aggregate(again)]) = again.as_deref() else { panic!("what was written does not read: {again:?}") };
        assert_eq!(again.messages(), report.messages());
        assert_eq!(again.records.len(), report.records.len());
    }
}
