//! `postern ban mirror`: the kernel drops who is banned, in a network namespace of the test's own.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use postern_testkit::peers::{have, root};
use postern_testkit::program::{Program, run, text};

use crate::prelude::*;

/// A network namespace with its loopback up; gone when dropped.
struct Namespace(String);

impl Namespace {
    fn new() -> Option<Self> {
        let namespace = Self(format!("postern-{}", std::process::id()));
        let made = Command::new("ip").args(["netns", "add", &namespace.0]).status().is_ok_and(|status| status.success());
        if !made {
            return None;
        }
        assert!(namespace.run(&["ip", "link", "set", "lo", "up"]).0);
        Some(namespace)
    }

    /// The same command, run in here.
    fn wrap(&self, command: &Command) -> Command {
        let mut wrapped = Command::new("ip");
        wrapped.args(["netns", "exec", &self.0]).arg(command.get_program()).args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            wrapped.current_dir(folder);
        }
        wrapped
    }

    fn run(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let output = run(&mut self.wrap(&command), "", LONG);
        (output.status.success(), text(&output))
    }

    /// What a client hears that comes from this address; `None` when it does not come through.
    fn heard(&self, from: &str, port: u16) -> Option<String> {
        let script = format!(
            "import socket\ns = socket.socket()\ns.settimeout(0.6)\ns.bind(('{from}', 0))\ns.connect(('127.0.0.1', {port}))\nprint(s.recv(200).decode())"
        );
        let (came_through, heard) = self.run(&["python3", "-c", &script]);
        came_through.then_some(heard)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

#[test]
fn the_kernel_drops_who_is_banned_and_lets_in_again_who_is_not() {
    require!(have("nft", "nftables"), have("ip", "iproute2"), have("python3", "python3"), root());
    let Some(namespace) = Namespace::new() else {
        eprintln!("skipped: no network namespace can be made here");
        return;
    };
    if !namespace.run(&["nft", "list", "ruleset"]).0 {
        eprintln!("skipped: this kernel has no nftables");
        return;
    }
    let mut postern = Setup::new().with("server", "trusted_networks", "[\"127.0.0.4/32\"]").prepare();
    let port = postern.mx().port();
    let mut serve = namespace.wrap(&postern.command(&["serve"]));
    postern.start_by(serve.stdin(Stdio::null()));
    postern.order(&["ban", "add", "127.0.0.2", "--for", "1h"]);
    assert!(namespace.heard("127.0.0.2", port).is_some_and(|heard| heard.starts_with("421")), "the server itself says so");

    let mut follow = namespace.wrap(&postern.command(&["ban", "mirror"]));
    let mirror = Program::start("mirror", follow.stdin(Stdio::null()));
    let _ = mirror.wait_for_line(0, "in step", LONG);
    assert_eq!(namespace.heard("127.0.0.2", port), None, "the kernel drops it");
    assert!(namespace.heard("127.0.0.3", port).is_some_and(|heard| heard.starts_with("220")));
    let (_, set) = namespace.run(&["nft", "list", "set", "inet", "postern", "banned4"]);
    assert!(set.contains("127.0.0.2") && set.contains("expires"), "{set}");

    // Changes follow, and a wider network with a narrower one in it is no conflict.
    postern.order(&["ban", "add", "127.0.0.0/29"]);
    postern.order(&["ban", "add", "2001:db8::/48"]);
    until("the whole network to be dropped", LONG, || namespace.heard("127.0.0.3", port).is_none().then_some(()));
    assert!(namespace.heard("127.0.0.4", port).is_some_and(|heard| heard.starts_with("220")), "it is trusted");
    postern.order(&["ban", "remove", "127.0.0.0/29"]);
    until("the network to be let in", LONG, || namespace.heard("127.0.0.3", port).is_some().then_some(()));
    assert_eq!(namespace.heard("127.0.0.2", port), None, "its own ban goes on");

    // A reload that changes who is spared, and no ban, follows as well.
    postern.change(|setup| setup.with("server", "trusted_networks", "[\"127.0.0.3/32\"]"));
    postern.reload("reloaded");
    until("who is trusted now to be spared", LONG, || {
        let (_, set) = namespace.run(&["nft", "list", "set", "inet", "postern", "spared4"]);
        (set.contains("127.0.0.3") && !set.contains("127.0.0.4")).then_some(())
    });

    // A restart of the server is waited for.
    postern.kill();
    let _ = mirror.wait_for_line(0, "trying again", LONG);
    let mut serve = namespace.wrap(&postern.command(&["serve"]));
    postern.start_by(serve.stdin(Stdio::null()));
    postern.order(&["ban", "remove", "127.0.0.2"]);
    until("the last to be let in", LONG, || namespace.heard("127.0.0.2", port).is_some().then_some(()));
    drop(mirror);
}

#[test]
fn what_nft_would_be_given_is_shown_without_doing_it() {
    let postern = Setup::new().start();
    postern.order(&["ban", "add", "198.51.100.0/24"]);
    let script = postern.order(&["ban", "mirror", "--dry-run"]);
    assert!(script.contains("add element inet postern banned4 { 198.51.100.0/24 }"), "{script}");
    assert!(script.contains(&postern.mx().port().to_string()), "{script}");
    assert_eq!(postern.run(&["ban", "mirror", "--dry-run", "--table", "a; flush ruleset"]).status.code(), Some(2));
}

#[test]
fn a_mirror_goes_on_trying_while_no_server_runs_and_while_nft_fails() {
    let mut postern = Setup::new().prepare();
    // An nft of our own: the kernel's tables are none of this test's business.
    let bin = postern.folder().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let nft = |script: &str| {
        let beside = bin.join("nft.new");
        std::fs::write(&beside, script).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(beside, bin.join("nft")).unwrap();
    };
    nft("#!/bin/sh\nexit 1\n");
    let mut follow = postern.command(&["ban", "mirror"]);
    let mirror = Program::start("mirror", follow.env("PATH", &bin).stdin(Stdio::null()));
    let _ = mirror.wait_for_line(0, "no server is running", LONG);
    assert!(!postern.data_dir().exists(), "it is for the server to make its folders");
    postern.start();
    let _ = mirror.wait_for_line(0, "as they were before; trying again", LONG);
    nft("#!/bin/sh\nwhile read -r line; do :; done\n");
    let _ = mirror.wait_for_line(0, "is in step", LONG);
}
