//! Reports as others read and write them: the schema of the standard by xmllint, mail, gzip and zip by Python.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is a failed test")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use postern_mail::Mailbox;
use postern_mail::envelope::UnixMillis;
use postern_reports::{
    Aggregate, DkimLine, Failure, Limits, Policy, Reason, Record, Report, Reporter, SpfLine, Unreadable, read,
};
use postern_testkit::require;
use proptest::prelude::*;

fn have(program: &'static str, package: &'static str) -> Result<(), &'static str> {
    Command::new(program).arg("--version").output().map(drop).map_err(|_| package)
}

/// What a program makes of its input.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn reporter(from: &Mailbox) -> Reporter<'_> {
    Reporter {
        hostname: "mx.here.test",
        org_name: "Here & \"There\"",
        from,
        now: UnixMillis(1_700_000_000_000),
        seed: 0x1234_5678_9abc_def0,
    }
}

fn from() -> Mailbox {
    Mailbox::parse("dmarc@here.test").unwrap()
}

fn sample() -> Aggregate {
    let mut fine = Record {
        count: 12,
        disposition: "pass".to_owned(),
        dkim: "pass".to_owned(),
        spf: "fail".to_owned(),
        header_from: "there.test".to_owned(),
        envelope_from: Some(String::new()),
        ..Record::of("2001:db8::1".parse().unwrap())
    };
    let line = |selector: &str, result: &str| DkimLine {
        domain: "there.test".to_owned(),
        selector: selector.to_owned(),
        result: result.to_owned(),
    };
    fine.dkim_results = vec![line("s1", "pass"), line("<s2>&amp;", "permerror")];
    let forged = Record {
        count: 3,
        disposition: "none".to_owned(),
        dkim: "fail".to_owned(),
        spf: "fail".to_owned(),
        header_from: "sub.there.test".to_owned(),
        envelope_from: Some("evil.test".to_owned()),
        reasons: vec![Reason { kind: "trusted_forwarder".to_owned(), comment: Some("a <seal> & more".to_owned()) }],
        spf_results: vec![SpfLine { domain: "evil.test".to_owned(), result: "softfail".to_owned() }],
        ..Record::of("192.0.2.66".parse().unwrap())
    };
    let word = |text: &str| Some(text.to_owned());
    let from = from();
    Aggregate {
        org_name: "Here & \"There\"".to_owned(),
        email: "dmarc@here.test".to_owned(),
        report_id: reporter(&from).report_id("there.test", 1_699_920_000, 1_700_006_399),
        begin: 1_699_920_000,
        end: 1_700_006_399,
        errors: vec!["incomplete: 7 more".to_owned()],
        generator: word("postern"),
        policy: Policy {
            domain: "there.test".to_owned(),
            discovery: word("treewalk"),
            p: "quarantine".to_owned(),
            sp: word("reject"),
            np: word("reject"),
            fo: word("d:s"),
            adkim: word("s"),
            aspf: word("r"),
            testing: word("n"),
        },
        records: vec![fine, forged],
        ..Aggregate::default()
    }
}

fn mail(report: &Aggregate) -> Vec<u8> {
    let from = from();
    reporter(&from).aggregate(report, &[Mailbox::parse("rua@there.test").unwrap(), Mailbox::parse("b@x.test").unwrap()]).octets
}

/// The attachment of a mail, as Python's parser of mail and of gzip finds it, with the name it has in front.
const ATTACHMENT: &str = "
import email, email.policy, gzip, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
assert not message.defects, message.defects
found = [part for part in message.walk() if part.get_content_type() == 'application/gzip']
assert len(found) == 1 and found[0].get_content_disposition() == 'attachment'
print(message['Subject'], found[0].get_filename(), message['From'].addresses[0].display_name, len(message['To'].addresses), sep='|')
sys.stdout.flush()
sys.stdout.buffer.write(gzip.decompress(found[0].get_payload(decode=True)))
";

fn attachment(mail: &[u8]) -> (String, Vec<u8>) {
    let out = run("python3", &["-c", ATTACHMENT], mail);
    let end = out.iter().position(|octet| *octet == b'\n').unwrap();
    (String::from_utf8(out[..end].to_vec()).unwrap(), out[end + 1..].to_vec())
}

#[test]
fn a_written_report_is_what_the_schema_of_the_standard_wants_in_a_mail_that_others_can_read() {
    require!(have("python3", "python3"), have("xmllint", "libxml2-utils"));
    let two = Aggregate { errors: vec!["incomplete: 7 more".to_owned(), "two records".to_owned()], ..sample() };
    let (line, xml) = attachment(&mail(&two));
    let id = "<1699920000.1700006399.there.test@mx.here.test>";
    let name = "mx.here.test!there.test!1699920000!1700006399.xml.gz";
    let subject = format!("Report Domain: there.test    Submitter: mx.here.test    Report-ID: {id}");
    assert_eq!(line, format!("{subject}|{name}|Here & \"There\"|2"));
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/aggregate.xsd");
    run("xmllint", &["--nonet", "--noout", "--schema", schema, "-"], &xml);
    assert!(
        String::from_utf8_lossy(&xml).contains("<error>incomplete: 7 more; two records</error>"),
        "there is one such element"
    );
    // The schema does find what is wrong.
    let wrong = String::from_utf8(xml).unwrap().replace("<p>quarantine</p>", "<p>perhaps</p>");
    let output = Command::new("sh")
        .args(["-c", "printf %s \"$1\" | xmllint --nonet --noout --schema \"$2\" -", "sh", &wrong, schema])
        .output()
        .unwrap();
    assert!(!output.status.success());
}

#[test]
fn a_written_report_is_read_as_it_was_from_mail_gzip_zip_and_xml() {
    require!(have("python3", "python3"));
    let wanted = vec![Report::Aggregate(Box::new(sample()))];
    let limits = Limits::default();
    assert_eq!(read(&mail(&sample()), &limits).unwrap(), wanted);
    let (_, xml) = attachment(&mail(&sample()));
    assert_eq!(read(&xml, &limits).unwrap(), wanted);
    let gzip = run("python3", &["-c", "import gzip,sys; sys.stdout.buffer.write(gzip.compress(sys.stdin.buffer.read()))"], &xml);
    assert_eq!(read(&gzip, &limits).unwrap(), wanted);
    for method in ["ZIP_DEFLATED", "ZIP_STORED"] {
        let zip = format!(
            "import io,sys,zipfile\nout=io.BytesIO()\nwith zipfile.ZipFile(out,'w',zipfile.{method}) as z:\n z.writestr('dir/','')\n \
             z.writestr('a!b!1!2.xml',sys.stdin.buffer.read())\n z.comment=b'x'*100\nsys.stdout.buffer.write(out.getvalue())"
        );
        let zipped = run("python3", &["-c", &zip], &xml);
        assert_eq!(read(&zipped, &limits).unwrap(), wanted, "{method}");
    }
}

#[test]
fn bombs_are_not_unpacked_beyond_the_limit() {
    require!(have("python3", "python3"));
    let limits = Limits { octets_max: 1 << 20, ..Limits::default() };
    let gzip = "import gzip,sys; sys.stdout.buffer.write(gzip.compress(b'<'+b' '*(1<<28)))";
    let zip = "import io,sys,zipfile\nout=io.BytesIO()\nwith zipfile.ZipFile(out,'w',zipfile.ZIP_DEFLATED) as z:\n \
               [z.writestr(f'{n}.xml',b'<'+b' '*(600<<10)) for n in range(4)]\nsys.stdout.buffer.write(out.getvalue())";
    let mail = "import gzip,sys\nfrom email.mime.multipart import MIMEMultipart\nfrom email.mime.application import MIMEApplication\n\
                xml=b'<feedback><policy_published><domain>a.test</domain></policy_published>'+b' '*(600<<10)+b'</feedback>'\n\
                m=MIMEMultipart()\n[m.attach(MIMEApplication(gzip.compress(xml),'gzip')) for n in range(4)]\n\
                sys.stdout.buffer.write(m.as_bytes())";
    for bomb in [gzip, zip, mail] {
        let octets = run("python3", &["-c", bomb], b"");
        assert!(octets.len() < 600_000);
        assert_eq!(read(&octets, &limits), Err(Unreadable::TooLarge("octets")), "{bomb}");
    }
}

#[test]
fn a_failure_report_is_a_feedback_report_to_others_and_has_nothing_of_the_body() {
    require!(have("python3", "python3"));
    let from = from();
    let failure = Failure {
        source: "192.0.2.66".parse().unwrap(),
        arrived: UnixMillis(1_700_000_000_000),
        mail_from: "<bad@evil.test>\r\nX-Injected: yes",
        domain: "there.test",
        authentication_results: "mx.here.test; dmarc=fail header.from=there.test; spf=pass smtp.mailfrom=evil.test",
        signature: Some(("evil.test", "s1")),
        delivery_result: "reject",
        unaligned: &["spf", "dkim"],
        message: b"From: ceo@there.test\r\nMessage-ID: <1@evil.test>\r\nSubject: pay\r\n\r\nsecret body\r\n",
    };
    let mail = failure.mail(&reporter(&from), &[Mailbox::parse("ruf@there.test").unwrap()]).octets;
    assert!(!String::from_utf8_lossy(&mail).contains("secret body"));
    let script = "
import email, email.policy, sys
message = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
assert not message.defects, message.defects
assert message.get_content_type() == 'multipart/report' and message.get_param('report-type') == 'feedback-report'
text, fields, original = message.get_payload()
assert fields.get_content_type() == 'message/feedback-report' and original.get_content_type() == 'text/rfc822-headers'
fields = fields.get_payload()[0] if fields.is_multipart() else email.message_from_string(fields.get_payload())
assert fields['X-Injected'] is None
original = email.message_from_string(original.get_payload())
print(fields['Feedback-Type'], fields['Version'], fields['Auth-Failure'], fields['Identity-Alignment'], fields['Source-IP'],
      fields['Reported-Domain'], fields['Delivery-Result'], original['Message-ID'], original['Subject'], sep='|')
";
    let said = String::from_utf8(run("python3", &["-c", script], &mail)).unwrap();
    assert_eq!(said.trim(), "auth-failure|1|dmarc|spf, dkim|192.0.2.66|there.test|reject|<1@evil.test>|pay");
    let Report::Complaint(complaint) = read(&mail, &Limits::default()).unwrap().remove(0) else { panic!("no complaint") };
    assert_eq!(
        (complaint.feedback_type.as_str(), complaint.message_id.as_str(), complaint.subject.as_str(), complaint.incidents),
        ("auth-failure", "<1@evil.test>", "pay", 1)
    );
}

#[test]
fn a_complaint_made_by_others_is_read() {
    require!(have("python3", "python3"));
    let script = "
import sys
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.mime.message import MIMEMessage
from email.message import Message
report = MIMEMultipart('report', **{'report-type': 'feedback-report'})
report.attach(MIMEText('spam'))
fields = Message()
for name, value in [('Feedback-Type', 'Abuse'), ('User-Agent', 'SomeGenerator/1.0'), ('Version', '1'), ('Source-IP', '192.0.2.1'),
                    ('Original-Rcpt-To', '<one@isp.test>'), ('Original-Rcpt-To', '<two@isp.test>'), ('Incidents', '4')]:
    fields[name] = value
part = MIMEMessage(fields); part.set_type('message/feedback-report'); report.attach(part)
original = MIMEText('buy'); original['Message-ID'] = '<9@here.test>'; original['Subject'] = 'offer'; original['From'] = 'news@here.test'
report.attach(MIMEMessage(original))
sys.stdout.buffer.write(report.as_bytes())
";
    let octets = run("python3", &["-c", script], b"");
    let reports = read(&octets, &Limits::default()).unwrap();
    let [Report::Complaint(complaint)] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!(complaint.feedback_type, "abuse");
    assert_eq!(complaint.rcpt_to, ["<one@isp.test>", "<two@isp.test>"]);
    assert_eq!(
        (complaint.message_id.as_str(), complaint.from.as_str(), complaint.incidents),
        ("<9@here.test>", "news@here.test", 4)
    );
}

#[test]
fn entities_and_document_types_of_a_report_are_not_looked_at() {
    let doctype = b"<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><feedback>&a;</feedback>";
    let entity = b"<feedback><policy_published><domain>&a;</domain></policy_published></feedback>";
    for octets in [&doctype[..], &entity[..]] {
        assert!(matches!(read(octets, &Limits::default()), Err(Unreadable::Xml(_))));
    }
    let deep = format!("<feedback>{}", "<x>".repeat(100_000));
    assert!(matches!(read(deep.as_bytes(), &Limits::default()), Err(Unreadable::Xml(_))));
    for octets in [&b"PK\x03\x04"[..], b"\x1f\x8b\x08", b"", b"<html/>", b"Subject: x\r\n\r\nhello"] {
        assert!(read(octets, &Limits::default()).is_err(), "{octets:?}");
    }
}

#[test]
fn reports_of_the_older_kind_are_read_and_a_broken_record_is_counted_and_left_out() {
    let xml = "<?xml version=\"1.0\"?><feedback><report_metadata><org_name>x</org_name><report_id>1</report_id>\
               <date_range><begin>1</begin><end>2</end></date_range></report_metadata>\
               <policy_published><domain>There.test</domain><p>none</p><pct>100</pct></policy_published>\
               <record><row><source_ip>192.0.2.1</source_ip><count>2</count><policy_evaluated><disposition>none</disposition>\
               <dkim>Pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>there.test</header_from></identifiers></record>\
               <record><row><source_ip>nowhere</source_ip><count>2</count></row></record></feedback>";
    let reports = read(xml.as_bytes(), &Limits::default()).unwrap();
    let [Report::Aggregate(report)] = reports.as_slice() else { panic!("{reports:?}") };
    assert_eq!((report.policy.domain.as_str(), report.messages(), report.unread), ("there.test", 2, 1));
    assert!(report.records[0].passes());
    let few = Limits { records_max: 1, ..Limits::default() };
    assert_eq!(read(xml.as_bytes(), &few), Err(Unreadable::TooLarge("records")));
}

fn text() -> impl Strategy<Value = String> {
    // Whatever is printed: what is not is replaced when it is written.
    "[!-~äß€]([ -~äß€]{0,20}[!-~äß€])?"
}

fn record() -> impl Strategy<Value = Record> {
    let word = || "[a-z0-9.<>&'\"-]{1,20}";
    let lines = proptest::collection::vec((word(), text(), word()), 0..4);
    let spf = proptest::collection::vec((word(), word()), 0..2);
    let reasons = proptest::collection::vec((word(), proptest::option::of(text())), 0..3);
    let names = (word(), word(), word(), word(), proptest::option::of("[a-z.]{0,20}"), proptest::option::of(word()));
    (any::<std::net::IpAddr>(), any::<u64>(), names, lines, spf, reasons).prop_map(
        |(source, count, names, lines, spf, reasons)| {
            let (disposition, dkim, aligned, header_from, envelope_from, envelope_to) = names;
            Record {
                source,
                count,
                disposition,
                dkim,
                spf: aligned,
                header_from,
                envelope_from,
                envelope_to,
                reasons: reasons.into_iter().map(|(kind, comment)| Reason { kind, comment }).collect(),
                dkim_results: lines.into_iter().map(|(domain, selector, result)| DkimLine { domain, selector, result }).collect(),
                spf_results: spf.into_iter().map(|(domain, result)| SpfLine { domain, result }).collect(),
            }
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_as_it_was(
        records in proptest::collection::vec(record(), 0..5), org_name in text(), errors in proptest::collection::vec(text(), 0..2),
        (begin, end) in any::<(u64, u64)>(), (domain, p) in ("[a-z.]{1,20}", "[a-z]{1,9}"),
    ) {
        let policy = Policy { domain, p, ..Policy::default() };
        let report = Aggregate { org_name, errors, begin, end, policy, records, ..Aggregate::default() };
        prop_assert_eq!(read(&mail(&report), &Limits::default()).unwrap(), vec![Report::Aggregate(Box::new(report))]);
    }
}
