//! A disk that is almost full: mail is refused early, what was taken is kept and delivered.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postern_testkit::peers::postern::binary;
use postern_testkit::peers::root;

use crate::prelude::*;

/// A next hop that defers until it is told otherwise.
fn closed() -> (Sink, Arc<AtomicBool>) {
    let open = Arc::new(AtomicBool::new(false));
    let willing = Arc::clone(&open);
    let sink = Behaviour::default()
        .answering(move |heard| {
            let refuses = heard.line.starts_with("RCPT") && !willing.load(Ordering::SeqCst);
            if refuses { Say::this("451 4.7.1 not today") } else { Say::Usual }
        })
        .start();
    (sink, open)
}

#[test]
fn below_the_floor_mail_is_refused_at_mail_while_deliveries_go_on() {
    let (sink, open) = closed();
    let mut postern = with_alice(Setup::new().route(&["*"], sink.port()));
    from_alice(&postern, "carol@there.test", "earlier");
    postern.wait_for_log("deferred");
    postern.change(|setup| setup.with("spool", "free_space_min", "\"900TiB\""));
    postern.restart();
    let mut client = postern.stranger();
    assert_eq!(client.command("MAIL FROM:<stranger@there.test>").codes(), "452 4.3.1");
    assert!(postern.json(&["status"])["accepting"].as_str().unwrap().starts_with("no"));
    open.store(true, Ordering::SeqCst);
    let _ = sink.wait_for_subject("earlier");
    until("an empty queue", LONG, || postern.queue().is_empty().then_some(()));
    assert_eq!(client.command("MAIL FROM:<stranger@there.test>").code, 452);
}

#[test]
fn a_disk_that_fills_up_refuses_before_it_is_full_and_loses_nothing() {
    require!(root());
    let (sink, open) = closed();
    let setup = Setup::default().domain_with("here.test", &["x"], "aliases = { out = [\"carol@there.test\"] }");
    let setup = setup.route(&["*"], sink.port()).with("spool", "free_space_min", "\"8MiB\"");
    let mut postern = setup.prepare();
    std::fs::create_dir(postern.data_dir()).unwrap();
    // The small disk is seen by the server alone, and goes with it.
    let script = "mount -t tmpfs -o size=48m,mode=777 none \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(postern.data_dir()).arg(binary());
    command.arg("serve").arg("--config").arg(postern.configuration_file()).stdin(Stdio::null());
    postern.start_by(&mut command);

    let body = "0123456789012345678901234567890123456789012345678901234567890123456789\n".repeat(1500);
    let mut taken = Vec::new();
    let refused = loop {
        let subject = format!("filling {}", taken.len());
        let text = format!("{}{body}", message(STRANGER, "out@here.test", &subject));
        let mut client = postern.stranger();
        let reply = client.mail(STRANGER, &["out@here.test"], &text);
        if reply.code != 250 {
            break reply;
        }
        taken.push(subject);
        assert!(taken.len() < 1000, "the disk never fills");
    };
    assert_eq!(refused.codes(), "452 4.3.1");
    assert!(taken.len() > 50, "only {} messages of 100 KiB fit", taken.len());
    open.store(true, Ordering::SeqCst);
    for subject in &taken {
        let _ = sink.wait_for_subject(subject);
    }
    until("room again", LONG, || {
        let mut client = postern.stranger();
        (client.command("MAIL FROM:<stranger@there.test>").code == 250).then_some(())
    });
}
