//! Reports on TLS to domains that ask for them (RFC 8460), as Python reads them, and as we read them ourselves.

use std::fs;
use std::process::Command;

use postern_testkit::peers::tools::have_python;
use postern_testkit::policy_host::PolicyHost;

use crate::mta_sts::{World, policy};
use crate::prelude::*;

/// Written from RFC 8460 §4.3, §4.4, §5.1 and §5.3, and from nothing of ours: every member with its type, and the mail around it.
const READER: &str = r#"
import datetime, email, email.policy, gzip, json, re, sys
message = email.message_from_bytes(open(sys.argv[1], 'rb').read(), policy=email.policy.default)
assert not message.defects, message.defects
assert message.get_content_type() == 'multipart/report' and message.get_param('report-type') == 'tlsrpt', message['Content-Type']
domain, submitter = message['TLS-Report-Domain'], message['TLS-Report-Submitter']
assert message['TLS-Required'] == 'No'
human, part = message.get_payload()
assert human.get_content_type() == 'text/plain' and part.get_content_type() == 'application/tlsrpt+gzip'
name = part.get_filename()
file = re.fullmatch(r'([^!]+)!([^!]+)!(\d+)!(\d+)!([0-9A-Za-z]+)\.json\.gz', name)
assert file and file[1] == submitter and file[2] == domain, name
raw = gzip.decompress(part.get_payload(decode=True))
open(sys.argv[2], 'wb').write(raw)
report = json.loads(raw)
subject = re.fullmatch(r'Report Domain: (\S+)\s+Submitter: (\S+)\s+Report-ID: <([^>]+)>', message['Subject'])
assert subject and subject[1] == domain and subject[2] == submitter and subject[3] == report['report-id'], message['Subject']
def check(value, members, optional={}):
    assert type(value) is dict and set(members) <= set(value) <= set(members) | set(optional), value
    for key, one in value.items():
        kind = {**members, **optional}[key]
        if type(kind) is list:
            assert type(one) is list and all(type(x) is kind[0] for x in one), (key, one)
        else:
            assert type(one) is kind, (key, one)
check(report, {'organization-name': str, 'date-range': dict, 'contact-info': str, 'report-id': str, 'policies': [dict]})
check(report['date-range'], {'start-datetime': str, 'end-datetime': str})
times = [datetime.datetime.strptime(report['date-range'][x], '%Y-%m-%dT%H:%M:%SZ') for x in ('start-datetime', 'end-datetime')]
assert times[1] - times[0] == datetime.timedelta(seconds=86399)
assert int(file[3]) == int(times[0].replace(tzinfo=datetime.timezone.utc).timestamp())
types = {'starttls-not-supported', 'certificate-host-mismatch', 'certificate-expired', 'certificate-not-trusted', 'validation-failure',
    'tlsa-invalid', 'dnssec-invalid', 'dane-required', 'sts-policy-fetch-error', 'sts-policy-invalid', 'sts-webpki-invalid'}
for one in report['policies']:
    check(one, {'policy': dict, 'summary': dict}, {'failure-details': [dict]})
    check(one['policy'], {'policy-type': str, 'policy-domain': str}, {'policy-string': [str], 'mx-host': [str]})
    assert one['policy']['policy-type'] in ('tlsa', 'sts', 'no-policy-found') and one['policy']['policy-domain'] == domain
    check(one['summary'], {'total-successful-session-count': int, 'total-failure-session-count': int})
    failed = 0
    for detail in one.get('failure-details', []):
        check(detail, {'result-type': str, 'failed-session-count': int}, {'sending-mta-ip': str, 'receiving-mx-hostname': str,
            'receiving-mx-helo': str, 'receiving-ip': str, 'additional-information': str, 'failure-reason-code': str})
        assert detail['result-type'] in types
        failed += detail['failed-session-count']
        print(domain, detail['result-type'], detail.get('receiving-mx-hostname'), detail['failed-session-count'], sep='|')
    assert failed == one['summary']['total-failure-session-count']
    print(domain, one['policy']['policy-type'], *one['summary'].values(), '/'.join(one['policy'].get('mx-host', [])), sep='|')
"#;

fn reporting(world: &World, host: &PolicyHost, sink: &Sink) -> Setup {
    world
        .sending(host)
        .with("reports", "tls", "true")
        .with("reports", "dmarc_from", "\"tls@here.test\"")
        .with("reports", "org_name", "\"Here & Sons\"")
        .route(&["reports.test"], sink.address().port())
}

#[test]
fn a_domain_that_asks_for_it_is_told_how_tls_went_by_a_report_that_others_can_read() {
    require!(have_python());
    let (world, sink) = (World::new(), Sink::start());
    let host = PolicyHost::start(&world.authority, &["good.test", "clear.test", "testing.test", "broken.test"]);
    for (domain, last, mode) in [("good.test", 41, "enforce"), ("clear.test", 42, "enforce"), ("testing.test", 43, "testing")] {
        world.domain(domain, last, "1");
        host.shows(domain, &policy(mode, &format!("mx.{domain}")));
        world.dns.txt(&format!("_smtp._tls.{domain}"), "v=TLSRPTv1; rua=mailto:tls@reports.test");
    }
    world.domain("broken.test", 46, "1");
    host.answers("broken.test", 404, "");
    world.dns.txt("_smtp._tls.broken.test", "v=TLSRPTv1; rua=mailto:tls@reports.test");
    // Has no policy, and wants nothing.
    world.dns.mx("plain.test", 10, "mx.plain.test").address_of("mx.plain.test", "127.0.0.44");
    let good = world.exchanger(41, Some("mx.good.test"));
    let _clear = world.exchanger(42, None);
    let testing = world.exchanger(43, Some("somebody.else.test"));
    let (plain, broken) = (world.exchanger(44, None), world.exchanger(46, Some("mx.broken.test")));
    let mut postern = with_alice(reporting(&world, &host, &sink));
    for domain in ["good", "clear", "testing", "plain", "broken"] {
        from_alice(&postern, &format!("carol@{domain}.test"), domain);
    }
    let _ = (good.wait_for_subject("good"), testing.wait_for_subject("testing"), plain.wait_for_subject("plain"));
    let _ = broken.wait_for_subject("broken");
    let _ = postern.wait_for_log("to=\"carol@clear.test\"");
    until("all sessions to be counted", LONG, || {
        let would = postern.json(&["reports", "send", "--now", "--dry-run"]);
        (would["reports"].as_array().unwrap().len() == 4).then_some(())
    });
    // What is counted is there after a restart.
    postern.restart();
    let sent = postern.json(&["reports", "send", "--now"]);
    assert_eq!((sent["enabled"].as_bool(), sent["reports"].as_array().unwrap().len()), (Some(true), 4), "{sent}");
    let folder = tempfile::tempdir().unwrap();
    let mut lines = Vec::new();
    for (number, received) in sink.wait_for(4).into_iter().enumerate() {
        assert_eq!(received.to, ["<tls@reports.test> NOTIFY=NEVER"]);
        let (file, json) = (folder.path().join(format!("{number}.eml")), folder.path().join(format!("{number}.json")));
        fs::write(&file, &received.body).unwrap();
        let output = Command::new("python3").args(["-c", READER]).args([&file, &json]).output().unwrap();
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), received.message().0);
        lines.extend(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned));
        // And we read it ourselves, without a server.
        let read = postern.json(&["reports", "read", file.to_str().unwrap(), json.to_str().unwrap()]);
        assert_eq!(read["reports"].as_array().unwrap().len(), 2, "{read}");
        assert_eq!(read["reports"][0]["report"], read["reports"][1]["report"]);
        let shown = postern.order(&["reports", "read", file.to_str().unwrap()]);
        assert!(shown.contains("Here & Sons on TLS"), "{shown}");
    }
    lines.sort();
    // Mail that waits is tried again, and each try is a session.
    let tries = |line: &String| {
        line.split('|')
            .map(|field| if field.parse::<u32>().is_ok_and(|n| n > 0) { "n" } else { field })
            .collect::<Vec<_>>()
            .join("|")
    };
    let lines: Vec<String> = lines.iter().map(tries).collect();
    assert_eq!(
        lines,
        [
            "broken.test|sts-policy-fetch-error|mx.broken.test|n",
            "broken.test|sts|0|n|",
            "clear.test|starttls-not-supported|mx.clear.test|n",
            "clear.test|sts|0|n|mx.clear.test",
            "good.test|sts|n|0|mx.good.test",
            "testing.test|certificate-host-mismatch|mx.testing.test|n",
            "testing.test|sts|0|n|mx.testing.test",
        ]
    );
    let again = postern.json(&["reports", "send", "--now"]);
    let told: Vec<_> =
        again["reports"].as_array().unwrap().iter().map(|one| one["domain"].as_str().unwrap().to_owned()).collect();
    assert!(!told.contains(&"good.test".to_owned()), "it is told once: {again}");
}

#[test]
fn a_sender_who_says_that_tls_is_not_required_is_believed_about_his_own_message() {
    let (world, sink) = (World::new(), Sink::start());
    let host = PolicyHost::start(&world.authority, &["strict.test"]);
    world.domain("strict.test", 45, "1");
    host.shows("strict.test", &policy("enforce", "other.strict.test"));
    let clear = world.exchanger(45, None);
    let mut postern = with_alice(reporting(&world, &host, &sink));
    from_alice(&postern, "carol@strict.test", "waits");
    let _ = postern.wait_for_log("deferred");
    let mut client = alice(&postern);
    let text = message(ALICE, "carol@strict.test", "goes");
    let text = format!("TLS-Required: No\r\n{}", String::from_utf8_lossy(text.as_ref()));
    assert_eq!(client.mail(ALICE, &["carol@strict.test"], text.as_ref()).code, 250);
    assert!(!clear.wait_for_subject("goes").tls);
    assert_eq!(clear.messages().len(), 1, "the other one waits");
}

#[test]
fn a_message_that_requires_tls_goes_where_a_policy_names_the_host_and_comes_back_where_anybody_could_have_named_it() {
    let (world, sink) = (World::new(), Sink::start());
    let host = PolicyHost::start(&world.authority, &["named.test"]);
    world.domain("named.test", 47, "1");
    host.shows("named.test", &policy("enforce", "mx.named.test"));
    world.dns.mx("unnamed.test", 10, "mx.unnamed.test").address_of("mx.unnamed.test", "127.0.0.48");
    let offering = |last: u8, name: &str| {
        let behaviour = Behaviour::default().offering(&["PIPELINING", "REQUIRETLS"]).tls_config(world.authority.server(&[name]));
        behaviour.start_at(std::net::SocketAddr::from(([127, 0, 0, last], world.port)))
    };
    let (named, unnamed) = (offering(47, "mx.named.test"), offering(48, "mx.unnamed.test"));
    let postern = with_alice(reporting(&world, &host, &sink));
    for to in ["carol@named.test", "carol@unnamed.test"] {
        let mut client = alice(&postern);
        client.expect(&format!("MAIL FROM:<{ALICE}> REQUIRETLS"), 250);
        client.expect(&format!("RCPT TO:<{to}>"), 250);
        assert_eq!(client.data(&message(ALICE, to, "secret")).code, 250);
    }
    let received = named.wait_for_subject("secret");
    assert!(received.tls && received.from.contains("REQUIRETLS"), "{received:?}");
    let report = postern.maildir(ALICE).wait_for(1, LONG).remove(0);
    assert!(report.0.contains("Status: 5.7.10") && report.0.contains("neither DNSSEC nor MTA-STS"), "{}", report.0);
    assert_eq!(unnamed.connections(), 0);
}
