//! The first five minutes: `postern serve` without a file in an empty folder, and the commands it prints.

use std::path::Path;
use std::process::{Command, Stdio};

use postern_testkit::maildir::Maildir;
use postern_testkit::peers::postern::binary;
use postern_testkit::peers::tools::have_swaks;
use postern_testkit::peers::{have, open_folder, root};
use postern_testkit::program::{Program, run, text};

use crate::prelude::*;

/// Runs the printed commands where the server runs: in a network of its own, since its ports are fixed and may be taken here.
fn beside(server: &Program, folder: &Path, command: &str) -> String {
    let mut shell = Command::new("nsenter");
    shell.arg(format!("--net=/proc/{}/ns/net", server.pid())).args(["sh", "-c", command]).current_dir(folder);
    let output = run(&mut shell, "", LONG);
    assert!(output.status.success(), "{command}: {}", text(&output));
    text(&output)
}

#[test]
fn serve_without_a_file_says_how_to_try_it_and_it_works() {
    require!(have_swaks(), have("nsenter", "util-linux"), have("ip", "iproute2"), root());
    let folder = open_folder();
    std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
    // Nobody may look into the folder the binary was built in, and this is to work without root.
    let copy = folder.path().join("postern");
    std::fs::copy(binary(), &copy).unwrap();
    let mut command = Command::new("unshare");
    let script = "ip link set lo up && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" serve";
    command.args(["--net", "sh", "-c", script]).arg(&copy).current_dir(folder.path()).stdin(Stdio::null());
    let server = Program::start("postern", &mut command);
    let _ = server.wait_for_line(0, "INFO ready", LONG);
    // Said on standard output, so it may be seen a moment later.
    let _ = server.wait_for_line(0, "Stop with Ctrl-C", LONG);

    // The printed commands, copied as they are.
    let said = server.said();
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let first = lines.iter().position(|line| line.starts_with("swaks ")).expect("a command to try");
    let swaks = format!("{} {}", lines[first].trim_end_matches('\\'), lines[first + 1]);
    let said = beside(&server, folder.path(), &swaks);
    assert!(said.contains("250 2.0.0"), "{said}");

    let mail = Maildir::at(folder.path().join("postern-data/mail/localhost/you"));
    let message = mail.wait_for_subject("first", LONG);
    assert_eq!(message.header("Return-Path"), "<dev@localhost>");
    let received = message.header("Received");
    // The address of somebody who logged in is nobody else's business.
    assert!(received.contains("ESMTPSA") && !received.contains("127.0.0.1"), "{received}");
    let cat = lines.iter().find(|line| line.starts_with("cat ")).expect("a command to read it");
    assert!(beside(&server, folder.path(), cat).contains("Subject: first"));
}

#[test]
fn an_account_made_before_the_first_start_can_submit() {
    require!(have_swaks());
    let postern = with_alice(Setup::new());
    let (well, said) = postern_testkit::peers::tools::swaks(
        postern.submission(),
        &["--tls", "--auth-user", ALICE, "--auth-password", PASSWORD, "--from", ALICE, "--to", BOB, "--header", "Subject: hello"],
    );
    assert!(well, "{said}");
    assert!(said.contains("queued as"), "{said}");
    let message = postern.maildir(BOB).wait_for_subject("hello", LONG);
    assert_eq!(message.header("Return-Path"), format!("<{ALICE}>"));
    assert!(message.header("Received").contains("by postern.test"));

    let (well, said) = postern_testkit::peers::tools::swaks(
        postern.submissions(),
        &["--tls-on-connect", "--auth", "PLAIN", "--auth-user", ALICE, "--auth-password", PASSWORD, "--from", ALICE, "--to", BOB],
    );
    assert!(well, "{said}");
}

#[test]
fn the_smallest_configuration_is_empty() {
    let folder = open_folder();
    let file = folder.path().join("empty.toml");
    std::fs::write(&file, "").unwrap();
    let output = run(Command::new(binary()).args(["config", "check", "--config"]).arg(&file), "", LONG);
    assert!(output.status.success(), "{}", text(&output));
}
