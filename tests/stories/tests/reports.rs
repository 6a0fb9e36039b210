//! Reports of DMARC to those who ask for them: what came in the name of a domain is told to it, by a mail that others can read; nobody gets reports who did
//! not agree to them, and nobody at all unless the configuration says so.

use std::fs;
use std::process::Command;

use postern_testkit::dns::TestDns;
use postern_testkit::peers::tools::have_python;
use postern_testkit::peers::workspace;

use crate::prelude::*;

fn have_xmllint() -> Result<(), &'static str> {
    Command::new("xmllint").arg("--version").output().map(drop).map_err(|_| "libxml2-utils")
}

fn reporting(dns: &TestDns, sink: &Sink) -> Setup {
    Setup::new()
        .dns(dns)
        .with("policy.authenticity", "enabled", "true")
        .with("reports", "dmarc", "true")
        .with("reports", "dmarc_from", "\"dmarc@here.test\"")
        .with("reports", "org_name", "\"Here & Sons\"")
        .route(&["there.test", "reports.test", "big.test", "stranger.test"], sink.address().port())
}

/// There is a message from somebody, by a client.
fn mail(postern: &Postern, client: &str, (from, author): (&str, &str)) {
    let mut smtp = SmtpClient::connect_from(client.parse().unwrap(), postern.mx());
    smtp.expect_reply(220);
    smtp.ehlo();
    let reply = smtp.mail(from, &[ALICE], &message(author, ALICE, "of somebody"));
    assert!([250, 550].contains(&reply.code), "{reply:?}");
    smtp.expect("QUIT", 221);
}

fn policy(dns: &TestDns, domain: &str, record: &str) {
    dns.txt(&format!("_dmarc.{domain}"), &format!("v=DMARC1; {record}"));
}

/// Waits until so many messages are counted.
fn counted(postern: &Postern, messages: u64) -> serde_json::Value {
    until("messages to be counted", LONG, || {
        let would = postern.json(&["reports", "send", "--now", "--dry-run"]);
        let sum: u64 = would["reports"].as_array().unwrap().iter().map(|report| report["messages"].as_u64().unwrap()).sum();
        (sum == messages).then_some(would)
    })
}

/// What Python makes of a mail: the recipients in it, and of its attachment the rows, sorted.
const READER: &str = "
import email, email.policy, gzip, sys
import xml.etree.ElementTree as tree
message = email.message_from_bytes(open(sys.argv[1], 'rb').read(), policy=email.policy.default)
assert not message.defects, message.defects
part = [part for part in message.walk() if part.get_content_type() == 'application/gzip'][0]
xml = gzip.decompress(part.get_payload(decode=True))
open(sys.argv[2], 'wb').write(xml)
n = {'d': 'urn:ietf:params:xml:ns:dmarc-2.0'}
text = lambda node, path: node.findtext('/'.join('d:' + step for step in path.split('/')), namespaces=n)
root = tree.fromstring(xml)
print(message['Subject'].split()[2], message['From'].addresses[0].addr_spec, message['To'], message['Auto-Submitted'], sep='|')
print(text(root, 'policy_published/domain'), text(root, 'policy_published/p'), text(root, 'report_metadata/org_name'), sep='|')
for row in sorted('|'.join(str(text(record, path)) for path in ['row/source_ip', 'row/count', 'row/policy_evaluated/disposition',
        'row/policy_evaluated/dkim', 'row/policy_evaluated/spf', 'identifiers/header_from', 'identifiers/envelope_from',
        'auth_results/spf/domain', 'auth_results/spf/result']) for record in root.findall('d:record', n)):
    print(row)
";

#[test]
fn a_domain_that_asks_for_it_is_told_what_came_in_its_name_by_a_report_that_others_can_read() {
    require!(have_python(), have_xmllint());
    let (dns, sink) = (TestDns::start(), Sink::start());
    // One who agreed, one who did not, and one who wants nothing as large as a report.
    policy(&dns, "there.test", "p=reject; sp=none; rua=mailto:a@reports.test,mailto:b@stranger.test,mailto:c@big.test!100");
    dns.txt("there.test._report._dmarc.reports.test", "v=DMARC1;").txt("there.test._report._dmarc.big.test", "v=DMARC1");
    dns.txt("there.test", "v=spf1 ip4:127.0.0.2 -all").txt("other.test", "v=spf1 ip4:127.0.0.3 -all");
    policy(&dns, "silent.test", "p=none");
    dns.exists("sub.there.test");
    let mut postern = reporting(&dns, &sink).start();
    mail(&postern, "127.0.0.2", ("x@there.test", "x@there.test"));
    mail(&postern, "127.0.0.2", ("y@there.test", "y@there.test"));
    mail(&postern, "127.0.0.3", ("x@other.test", "ceo@there.test"));
    mail(&postern, "127.0.0.3", ("x@other.test", "ceo@sub.there.test"));
    mail(&postern, "127.0.0.3", ("x@silent.test", "x@silent.test"));
    let would = counted(&postern, 4);
    assert_eq!(would["sent"], false);
    assert_eq!(would["reports"][0]["to"], serde_json::json!(["a@reports.test"]), "{would}");
    assert_eq!(would["reports"][0]["not_to"].as_array().unwrap().len(), 2, "{would}");
    // What is counted is there after a restart.
    postern.restart();
    counted(&postern, 4);
    assert!(sink.messages().is_empty());
    let sent = postern.json(&["reports", "send", "--now", "--reason", "to see it"]);
    assert_eq!((&sent["sent"], &sent["reports"][0]["messages"]), (&true.into(), &4.into()), "{sent}");
    let received = sink.wait_for(1).remove(0);
    assert!(received.from.starts_with("<dmarc@here.test>"), "{received:?}");
    assert_eq!(received.to, ["<a@reports.test> NOTIFY=NEVER"]);
    let folder = tempfile::tempdir().unwrap();
    let (file, xml) = (folder.path().join("report.eml"), folder.path().join("report.xml"));
    fs::write(&file, &received.body).unwrap();
    let output = Command::new("python3").args(["-c", READER]).args([&file, &xml]).output().unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), received.message().0);
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "there.test|dmarc@here.test|a@reports.test|auto-generated",
            "there.test|reject|Here & Sons",
            "127.0.0.2|2|pass|fail|pass|there.test|there.test|there.test|pass",
            "127.0.0.3|1|none|fail|fail|sub.there.test|other.test|other.test|pass",
            "127.0.0.3|1|reject|fail|fail|there.test|other.test|other.test|pass",
        ]
    );
    let schema = workspace().join("side/reports/tests/data/aggregate.xsd");
    let output = Command::new("xmllint").args(["--nonet", "--noout", "--schema"]).args([&schema, &xml]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // And we read it ourselves, without a server.
    let read = postern.json(&["reports", "read", file.to_str().unwrap(), xml.to_str().unwrap()]);
    assert_eq!((read["v"].as_u64(), read["reports"].as_array().unwrap().len()), (Some(1), 2));
    assert_eq!(read["reports"][0]["report"]["policy"]["p"], "reject");
    let shown = postern.order(&["reports", "read", file.to_str().unwrap()]);
    assert!(shown.contains("with p=reject 2 of 4 messages would have been lost"), "{shown}");
    assert_eq!(postern.run(&["reports", "read", schema.to_str().unwrap()]).status.code(), Some(1));
    // It is told once, and it is in the audit log.
    assert_eq!(postern.json(&["reports", "send", "--now"])["reports"].as_array().unwrap().len(), 0);
    assert!(postern.order(&["audit", "show"]).contains("reports send --now"));
}

#[test]
fn nobody_is_written_to_unless_it_is_set_and_reports_of_others_are_not_reported_on() {
    let (dns, sink) = (TestDns::start(), Sink::start());
    policy(&dns, "there.test", "p=none; rua=mailto:a@there.test; ruf=mailto:a@there.test");
    dns.txt("there.test", "v=spf1 ip4:127.0.0.2 -all");
    let mut postern = reporting(&dns, &sink).with("reports", "dmarc", "false").start();
    mail(&postern, "127.0.0.2", ("x@there.test", "x@there.test"));
    mail(&postern, "127.0.0.3", ("x@there.test", "x@there.test"));
    let would = postern.json(&["reports", "send", "--now"]);
    assert_eq!((&would["enabled"], would["reports"].as_array().unwrap().len()), (&false.into(), 0));
    // Mail to the address our own reports are from is in no report, and other mail is.
    postern.change(|setup| setup.with("reports", "dmarc", "true").with("reports", "dmarc_from", &format!("\"{ALICE}\"")));
    postern.reload("reloaded changes=");
    mail(&postern, "127.0.0.2", ("x@there.test", "x@there.test"));
    let mut smtp = SmtpClient::connect_from("127.0.0.2".parse().unwrap(), postern.mx());
    smtp.expect_reply(220);
    smtp.ehlo();
    assert_eq!(smtp.mail("x@there.test", &[BOB], &message("x@there.test", BOB, "other mail")).code, 250);
    counted(&postern, 1);
    assert!(sink.messages().is_empty());
}

#[test]
fn a_domain_that_wants_to_know_of_single_messages_gets_a_feedback_report() {
    require!(have_python());
    let (dns, sink) = (TestDns::start(), Sink::start());
    policy(&dns, "there.test", "p=reject; ruf=mailto:ruf@there.test");
    dns.txt("there.test", "v=spf1 ip4:127.0.0.2 -all");
    let postern = reporting(&dns, &sink).with("reports", "failures", "true").start();
    mail(&postern, "127.0.0.2", ("x@there.test", "x@there.test"));
    mail(&postern, "127.0.0.3", ("x@evil.test", "ceo@there.test"));
    let received = sink.wait_for(1).remove(0);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("failure.eml");
    fs::write(&file, &received.body).unwrap();
    let script = "
import email, email.policy, sys
message = email.message_from_bytes(open(sys.argv[1], 'rb').read(), policy=email.policy.default)
assert not message.defects and message.get_param('report-type') == 'feedback-report'
text, fields, original = message.get_payload()
fields = fields.get_payload()[0] if fields.is_multipart() else email.message_from_string(fields.get_payload())
print(fields['Feedback-Type'], fields['Source-IP'], fields['Reported-Domain'], fields['Delivery-Result'], sep='|')
assert 'dmarc=fail' in fields['Authentication-Results']
assert 'of somebody' in original.get_payload()
";
    let output = Command::new("python3").args(["-c", script]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), received.message().0);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "auth-failure|127.0.0.3|there.test|reject");
    let shown = postern.order(&["reports", "read", file.to_str().unwrap()]);
    assert!(shown.contains("auth-failure about a message, told by postern") && shown.contains("ceo@there.test"), "{shown}");
    assert_eq!(sink.messages().len(), 1, "what passes is not told of");
}

/// A report as other programs send it, a feedback report, and mail that unpacks to far more than anybody reads.
const OTHERS: &str = "
import gzip, sys
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.message import Message
def mail(kind, parts, **more):
    whole = MIMEMultipart(kind, **more)
    whole['From'], whole['To'], whole['Subject'] = 'noreply@far.test', 'dmarc@here.test', 'Report Domain: here.test'
    whole.attach(MIMEText('a report'))
    for part in parts:
        whole.attach(part)
    return whole.as_string()
row = '<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>%s</disposition><dkim>%s</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>here.test</header_from></identifiers><auth_results/></record>'
xml = '<?xml version=\"1.0\"?><feedback><report_metadata><org_name>far.test</org_name><email>a@far.test</email><report_id>%s</report_id><date_range><begin>1</begin><end>2</end></date_range></report_metadata><policy_published><domain>here.test</domain><p>reject</p></policy_published>' % sys.argv[1]
xml += row % ('192.0.2.1', 40, 'none', 'pass') + row % ('192.0.2.66', 3, 'reject', 'fail') + '</feedback>'
bomb = gzip.compress(b'<feedback>' + b' ' * (64 << 20))
fields = Message()
for name, value in [('Feedback-Type', 'auth-failure'), ('User-Agent', 'Far/1.0'), ('Version', '1'), ('Source-IP', '192.0.2.66'), ('Reported-Domain', 'here.test')]:
    fields[name] = value
feedback = MIMEMessage(fields)
feedback.set_type('message/feedback-report')
print({'aggregate': lambda: mail('mixed', [MIMEApplication(gzip.compress(xml.encode()), 'gzip')]),
       'feedback': lambda: mail('report', [feedback], **{'report-type': 'feedback-report'}),
       'bomb': lambda: mail('mixed', [MIMEApplication(bomb, 'gzip')])}[sys.argv[2]]())
";

#[test]
fn reports_of_others_are_added_up_as_they_come_delivered_all_the_same_and_bombs_and_lies_are_only_mail() {
    require!(have_python());
    let mut postern = Setup::new().with("reports", "read_at", &format!("\"{ALICE}\"")).prepare();
    postern.account(ALICE, PASSWORD);
    postern.start();
    let made = |id: &str, kind: &str| {
        let output = Command::new("python3").args(["-c", OTHERS, id, kind]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let send = |postern: &Postern, to: &str, text: &str| {
        let reply = postern.stranger().mail(STRANGER, &[to], text);
        assert_eq!(reply.code, 250, "{reply:?}");
    };
    send(&postern, ALICE, &made("a", "aggregate"));
    send(&postern, ALICE, &made("b", "aggregate"));
    send(&postern, ALICE, &made("b", "aggregate"));
    send(&postern, ALICE, &made("c", "feedback"));
    send(&postern, ALICE, &made("d", "bomb"));
    send(&postern, ALICE, &message(STRANGER, ALICE, "no report"));
    send(&postern, BOB, &made("e", "aggregate"));
    assert_eq!(postern.maildir(ALICE).wait_for(6, LONG).len(), 6, "all of it is delivered");
    // It is counted behind that, and nobody waits for it.
    until("all of it to be counted", LONG, || (postern.json(&["reports", "show"])["unreadable"] == 2).then_some(()));
    postern.kill();
    postern.start();
    let read = postern.json(&["reports", "show"]);
    let totals: Vec<u64> =
        ["reports", "again", "unreadable", "skipped"].iter().map(|name| read[name].as_u64().unwrap()).collect();
    assert_eq!(totals, [3, 1, 2, 0], "{read}");
    let rows: Vec<String> = read["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {} {}", row["source"].as_str().unwrap(), row["result"].as_str().unwrap(), row["messages"]))
        .collect();
    assert_eq!(rows, ["192.0.2.1 pass 80", "192.0.2.66 fail, reject 6", "192.0.2.66 auth-failure 1"]);
    let shown = postern.order(&["reports", "show", "--domain", "here.test"]);
    assert!(shown.contains("192.0.2.66") && shown.contains("unreadable: 2"), "{shown}");
    assert_eq!(postern.json(&["reports", "show", "--domain", "there.test"])["rows"].as_array().unwrap().len(), 0);
}
