//! Real filters, each with a folder, a configuration and a socket of its own: what they say is understood, and they understand what we say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::process::Command;

use postern_config::{Config, Machine, load};
use postern_filters::{Came, Change, Filters, Settings, Told};
use postern_mail::client::ListenerKind;
use postern_mail::filter::{FilterWord, OnFailure};
use postern_mail::{Mailbox, Mode, ReversePath};
use postern_testkit::peers::filters::{GTUBE, every_action, opendkim, opendkim_here, pymilter, rspamd};
use postern_testkit::peers::have;
use postern_testkit::program::Program;
use postern_testkit::require;
use postern_testkit::wait::{LONG, until};
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
        .ask(
            &Told {
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
            },
            Mode::Enforce,
        )
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

#[tokio::test]
async fn a_milter_may_do_everything_the_protocol_has() {
    require!(pymilter());
    let filter = every_action();
    let filters = filters(&format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{}\"\n", filter.port));
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
    let filter = every_action();
    let filters = filters(&format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{}\"\n", filter.port));
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

#[tokio::test]
async fn opendkim_signs_what_leaves_and_verifies_what_it_signed() {
    require!(opendkim_here());
    let filter = opendkim();
    let filters = filters(&format!("[[policy.milter]]\naddress = \"127.0.0.1:{}\"\n", filter.port));
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
    // It listens before it has found its clamd, and defers mail until then.
    let infected = tokio::time::timeout(LONG, async {
        loop {
            let asked = ask(&filters, &format!("{}{}\r\n", message("x"), eicar())).await;
            if !matches!(asked.said[0].word, FilterWord::Defer(_)) {
                return asked;
            }
        }
    });
    let infected = infected.await.expect("it has found its clamd");
    assert!(
        matches!(&infected.said[0].word, FilterWord::Refuse(reply) if reply.text().contains("Own.Eicar")),
        "{:?}",
        infected.said
    );
    let clean = ask(&filters, &message("clean")).await;
    let text = String::from_utf8(clean.message.unwrap_or_else(|| panic!("{:?}", clean.said))).unwrap();
    assert!(text.contains("X-Virus-Status: Clean\r\n"), "{text}");
}

#[tokio::test]
async fn rspamd_judges_over_http_and_as_a_milter() {
    require!(have("rspamd", "rspamd"));
    let filter = rspamd();
    let (http, milter) = (filter.http.unwrap(), filter.port);
    let spam = format!("{}{GTUBE}\r\n", message("spam"));
    for section in [
        format!("[[policy.rspamd]]\naddress = \"127.0.0.1:{http}\"\n"),
        format!("[[policy.milter]]\naddress = \"inet:127.0.0.1:{milter}\"\n"),
    ] {
        let filters = filters(&section);
        let refused = ask(&filters, &spam).await;
        assert!(
            matches!(&refused.said[0].word, FilterWord::Refuse(reply) if reply.text().contains("Gtube")),
            "{:?}\n{}",
            refused.said,
            filter.said()
        );
        let passed = ask(&filters, &message("ham")).await;
        assert_eq!(passed.said[0].word, FilterWord::Pass, "{:?}", passed.said);
    }
    let score = filters(&format!("[[policy.rspamd]]\naddress = \"127.0.0.1:{http}\"\nuse = \"score\"\n"));
    assert!(matches!(ask(&score, &spam).await.said[0].word, FilterWord::Points(_)));
}
