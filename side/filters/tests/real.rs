//! Real filters, each with a folder, a configuration and a socket of its own: what they say is understood, and they understand what we say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::process::Command;

use postern_config::{Config, Machine, load};
use postern_filters::{Came, Change, Filters, Settings, Told};
use postern_mail::client::ListenerKind;
use postern_mail::filter::{FilterWord, OnFailure};
use postern_mail::{Mailbox, ReversePath};
use postern_testkit::peers::{have, workspace};
use postern_testkit::program::Program;
use postern_testkit::require;
use postern_testkit::wait::{LONG, free_port, loopback, until};
use tempfile::TempDir;

/// The test string of the anti-virus vendors, in two halves so that no scanner takes this file for one.
fn eicar() -> String {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat()
}

fn filters(text: &str) -> Filters {
    let config: Config = load(text, "f", &Machine::named("mx.here.example")).unwrap();
    Filters::new(&Settings {
        clamav: config.policy.clamav,
        rspamd: config.policy.rspamd.into_iter().map(|one| (one, None)).collect(),
        milters: config.policy.milters,
        message_bytes_max: 1 << 20,
    })
}

async fn ask(filters: &Filters, message: &str) -> Came {
    ask_for(filters, message, &["b@here.example"], None).await
}

async fn ask_for(filters: &Filters, message: &str, to: &[&str], account: Option<&str>) -> Came {
    let from = ReversePath::Mailbox(Mailbox::parse("a@there.example").unwrap());
    let recipients: Vec<Mailbox> = to.iter().map(|to| Mailbox::parse(to).unwrap()).collect();
    filters
        .ask(&Told {
            hostname: "mx.here.example",
            id: "001K112W2T28R",
            client: "192.0.2.7".parse().unwrap(),
            port: 2525,
            client_name: None,
            listener: if account.is_some() { ListenerKind::Submissions } else { ListenerKind::Mx },
            helo: "there.example",
            tls: None,
            account,
            from: &from,
            recipients: &recipients,
            message: message.as_bytes(),
        })
        .await
}

fn message(subject: &str) -> String {
    format!(
        "From: a@there.example\r\nTo: b@here.example\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@there.example>\r\n\
         X-Many: 1\r\nX-Many: 2\r\nSubject: {subject}\r\n\r\nHello.\r\n"
    )
}

fn wait_for(socket: &Path) {
    until("a filter to listen", LONG, || std::os::unix::net::UnixStream::connect(socket).ok());
}

/// A milter in Python that does everything.
fn every_action(folder: &TempDir) -> (Program, Filters) {
    let socket = folder.path().join("every.sock");
    let mut command = Command::new("python3");
    command.arg(workspace().join("side/filters/tests/real/every_action.py")).arg(format!("unix:{}", socket.display()));
    let program = Program::start("every_action.py", &mut command);
    wait_for(&socket);
    (program, filters(&format!("[[policy.milter]]\naddress = \"unix:{}\"\n", socket.display())))
}

fn pymilter() -> Result<(), &'static str> {
    let there = Command::new("python3").args(["-c", "import Milter"]).output().is_ok_and(|output| output.status.success());
    if there { Ok(()) } else { Err("python3-milter") }
}

#[tokio::test]
async fn a_milter_may_do_everything_the_protocol_has() {
    require!(pymilter());
    let folder = tempfile::tempdir().unwrap();
    let (_program, filters) = every_action(&folder);
    let came = ask(&filters, &message("everything")).await;
    assert_eq!(came.said[0].word, FilterWord::Pass, "{:?}", came.said);
    let text = String::from_utf8(came.message.unwrap()).unwrap();
    assert!(text.starts_with("X-First: yes\r\nFrom: "), "{text:.200}");
    let seen = "X-Seen: connect [192.0.2.7] 192.0.2.7; hello there.example; from <a@there.example> 001K112W2T28R; to <b@here.example>\r\n";
    assert!(text.contains(seen) && text.contains("X-Length: 8\r\n"), "{text:.900}");
    assert!(text.contains("X-Many: changed\r\n") && !text.contains("X-Many: 1") && !text.contains("X-Many: 2"), "{text:.900}");
    let body = text.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), 140_000);
    let has = |change: Change| assert!(came.changes.contains(&change), "{change:?}");
    has(Change::From("<other@there.example>".to_owned()));
    has(Change::AddRecipient("<more@here.example>".to_owned()));
    has(Change::RemoveRecipient("<b@here.example>".to_owned()));
}

#[tokio::test]
async fn a_milter_refuses_defers_discards_and_quarantines_in_its_own_words() {
    require!(pymilter());
    let folder = tempfile::tempdir().unwrap();
    let (_program, filters) = every_action(&folder);
    let word = async |subject: &str| ask(&filters, &message(subject)).await.said.remove(0).word;
    assert!(matches!(word("reject").await, FilterWord::Refuse(_)));
    assert!(matches!(word("tempfail").await, FilterWord::Defer(_)));
    assert_eq!(word("discard").await, FilterWord::Discard);
    assert_eq!(word("quarantine").await, FilterWord::Hold);
    assert_eq!(word("nothing").await, FilterWord::Pass);
    let FilterWord::Refuse(reply) = word("reply").await else { panic!() };
    assert_eq!((reply.code.0, reply.lines().collect::<Vec<_>>()), (554, vec!["first line", "second line"]));
    let came = ask_for(&filters, &message("x"), &["b@here.example", "refused@here.example"], None).await;
    assert!(matches!(&came.said[0].word, FilterWord::Refuse(reply) if reply.text() == "not here: 100% sure"), "{:?}", came.said);
}

fn opendkim(folder: &TempDir, settings: &str) -> (Program, std::path::PathBuf) {
    let (path, socket) = (folder.path(), folder.path().join("dkim.sock"));
    let made = Command::new("openssl").args(["genrsa", "-out"]).arg(path.join("key.pem")).arg("2048").output().unwrap();
    assert!(made.status.success());
    let public = Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(path.join("key.pem")).output().unwrap();
    let public: String = String::from_utf8(public.stdout).unwrap().lines().filter(|line| !line.starts_with('-')).collect();
    std::fs::write(path.join("keys"), format!("s._domainkey.there.example v=DKIM1; k=rsa; p={public}\n")).unwrap();
    std::fs::write(
        path.join("opendkim.conf"),
        format!(
            "Socket local:{}\nSyslog no\nRequireSafeKeys no\nTestPublicKeys {}\nAuthservID mx.here.example\n{settings}\n",
            socket.display(),
            path.join("keys").display()
        ),
    )
    .unwrap();
    let program =
        Program::start("opendkim", Command::new("/usr/sbin/opendkim").arg("-f").arg("-x").arg(path.join("opendkim.conf")));
    wait_for(&socket);
    (program, socket)
}

#[tokio::test]
async fn opendkim_signs_what_leaves_and_verifies_what_it_signed() {
    require!(have("opendkim", "opendkim"), have("openssl", "openssl"));
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "Mode sv\nDomain there.example\nSelector s\nKeyFile {}\nCanonicalization relaxed/simple",
        folder.path().join("key.pem").display()
    );
    let (_program, socket) = opendkim(&folder, &settings);
    let filters = filters(&format!("[[policy.milter]]\naddress = \"unix:{}\"\n", socket.display()));
    let signed = ask_for(&filters, &message("signed"), &["b@here.example"], Some("a@there.example")).await;
    let text = String::from_utf8(signed.message.unwrap_or_else(|| panic!("unsigned: {:?}", signed.said))).unwrap();
    assert!(text.contains("DKIM-Signature: v=1;") && text.contains("d=there.example"), "{text}");
    let verified = ask(&filters, &text).await;
    let verified = String::from_utf8(verified.message.unwrap_or_else(|| panic!("{:?}", verified.said))).unwrap();
    assert!(verified.starts_with("Authentication-Results: mx.here.example;") && verified.contains("dkim=pass"), "{verified}");
    let spoiled = ask(&filters, &text.replace("Hello.", "Hallo.")).await;
    assert!(String::from_utf8(spoiled.message.unwrap()).unwrap().contains("dkim=fail"));
}

/// A clamd that knows one signature.
fn clamd(folder: &TempDir) -> (Program, std::path::PathBuf) {
    let (path, socket) = (folder.path(), folder.path().join("clamd.sock"));
    let hex: String = eicar().bytes().map(|octet| format!("{octet:02x}")).collect();
    std::fs::create_dir(path.join("db")).unwrap();
    std::fs::write(path.join("db/own.ndb"), format!("Own.Eicar:0:*:{hex}\n")).unwrap();
    std::fs::write(
        path.join("clamd.conf"),
        format!(
            "Foreground yes\nDatabaseDirectory {}\nLocalSocket {}\nStreamMaxLength 1M\n",
            path.join("db").display(),
            socket.display()
        ),
    )
    .unwrap();
    let program = Program::start("clamd", Command::new("/usr/sbin/clamd").arg("-c").arg(path.join("clamd.conf")));
    wait_for(&socket);
    (program, socket)
}

#[tokio::test]
async fn clamd_finds_what_it_knows_and_a_stream_that_is_too_long_is_a_failure() {
    require!(have("clamd", "clamav-daemon"));
    let folder = tempfile::tempdir().unwrap();
    let (_program, socket) = clamd(&folder);
    let filters = filters(&format!("[[policy.clamav]]\naddress = \"unix:{}\"\non_failure = \"defer\"\n", socket.display()));
    let infected = ask(&filters, &format!("{}{}\r\n", message("x"), eicar())).await;
    let FilterWord::Refuse(reply) = &infected.said[0].word else { panic!("{:?}", infected.said) };
    assert!(reply.text().contains("Own.Eicar"), "{reply:?}");
    assert_eq!(ask(&filters, &message("clean")).await.said[0].word, FilterWord::Pass);
    let long = ask(&filters, &format!("{}{}", message("x"), "0123456789\r\n".repeat(200_000))).await;
    assert_eq!(long.said[0].word, FilterWord::Down(OnFailure::Defer), "{:?}", long.said);
}

#[tokio::test]
async fn clamav_milter_passes_on_what_clamd_found() {
    require!(have("clamd", "clamav-daemon"), have("clamav-milter", "clamav-milter"));
    let folder = tempfile::tempdir().unwrap();
    let (_clamd, clamd_socket) = clamd(&folder);
    let (socket, conf) = (folder.path().join("milter.sock"), folder.path().join("milter.conf"));
    std::fs::write(
        &conf,
        format!(
            "Foreground yes\nMilterSocket {}\nClamdSocket unix:{}\nOnInfected Reject\nRejectMsg found %v\nAddHeader Replace\nTemporaryDirectory {}\n",
            socket.display(),
            clamd_socket.display(),
            folder.path().display()
        ),
    )
    .unwrap();
    let _milter = Program::start("clamav-milter", Command::new("/usr/sbin/clamav-milter").arg("-c").arg(&conf));
    wait_for(&socket);
    let filters = filters(&format!("[[policy.milter]]\naddress = \"unix:{}\"\n", socket.display()));
    let infected = ask(&filters, &format!("{}{}\r\n", message("x"), eicar())).await;
    assert!(
        matches!(&infected.said[0].word, FilterWord::Refuse(reply) if reply.text().contains("Own.Eicar")),
        "{:?}",
        infected.said
    );
    let clean = ask(&filters, &message("clean")).await;
    let text = String::from_utf8(clean.message.unwrap_or_else(|| panic!("{:?}", clean.said))).unwrap();
    assert!(text.contains("X-Virus-Status: Clean\r\n"), "{text}");
}

/// rspamd that asks nobody: a normal worker with HTTP, and its proxy as a milter.
fn rspamd(folder: &TempDir) -> (Program, u16, u16) {
    let (path, http, milter) = (folder.path(), free_port(), free_port());
    let text = format!(
        r#"options {{
  pidfile = "{dir}/rspamd.pid"; tempdir = "{dir}"; filters = "regexp";
  dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}
  gtube_patterns = "all"; url_tld = "{dir}/tld"; disable_hyperscan = true;
}}
logging {{ type = "console"; level = "warning"; }}
actions {{ reject = 15; add_header = 6; }}
metric {{ name = "default"; }}
lua = "/usr/share/rspamd/rules/rspamd.lua";
modules {{ path = "/usr/share/rspamd/plugins/milter_headers.lua"; }}
milter_headers {{ use = ["x-spamd-result"]; skip_local = false; skip_authenticated = false; extended_spam_headers = true; }}
worker "normal" {{ bind_socket = "127.0.0.1:{http}"; count = 1; }}
worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{milter}"; count = 1; milter = yes; timeout = 10s;
  upstream "local" {{ default = yes; hosts = "127.0.0.1:{http}"; }} }}
"#,
        dir = path.display()
    );
    // The long list of suffixes would be compiled for half a minute.
    std::fs::write(path.join("tld"), "example\ntest\n").unwrap();
    std::fs::write(path.join("rspamd.conf"), text).unwrap();
    let mut command = Command::new("/usr/bin/rspamd");
    command.args(["-f", "--insecure", "-c"]).arg(path.join("rspamd.conf"));
    let mut program = Program::start("rspamd", &mut command);
    program.wait_for_port(loopback(http), LONG);
    program.wait_for_port(loopback(milter), LONG);
    (program, http, milter)
}

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

#[tokio::test]
async fn rspamd_judges_over_http_and_as_a_milter() {
    require!(have("rspamd", "rspamd"));
    let folder = tempfile::tempdir().unwrap();
    let (program, http, milter) = rspamd(&folder);
    let spam = format!("{}{GTUBE}\r\n", message("spam"));
    for filter in [
        format!("[[policy.rspamd]]\naddress = \"127.0.0.1:{http}\"\n"),
        format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{milter}\"\n"),
    ] {
        let filters = filters(&filter);
        let refused = ask(&filters, &spam).await;
        assert!(
            matches!(&refused.said[0].word, FilterWord::Refuse(reply) if reply.text().contains("Gtube")),
            "{:?}\n{}",
            refused.said,
            program.said()
        );
        let passed = ask(&filters, &message("ham")).await;
        assert_eq!(passed.said[0].word, FilterWord::Pass, "{:?}", passed.said);
    }
    let score = filters(&format!("[[policy.rspamd]]\naddress = \"127.0.0.1:{http}\"\nuse = \"score\"\n"));
    assert!(matches!(ask(&score, &spam).await.said[0].word, FilterWord::Points(_)));
}
