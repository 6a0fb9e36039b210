//! Mail to domains that have a policy on TLS (MTA-STS, RFC 8461), and the policy we show ourselves.

use std::net::SocketAddr;

use postern_testkit::dns::TestDns;
use postern_testkit::policy_host::{HostAuthority, PolicyHost};
use postern_testkit::wait::free_port;

use crate::prelude::*;

pub(crate) struct World {
    pub(crate) authority: HostAuthority,
    pub(crate) dns: TestDns,
    pub(crate) port: u16,
    folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = postern_testkit::peers::open_folder();
        Self { authority: HostAuthority::new(), dns: TestDns::start(), port: free_port(), folder }
    }

    /// A domain with one exchanger, and a record that says that there is a policy.
    pub(crate) fn domain(&self, domain: &str, last: u8, id: &str) {
        self.dns.mx(domain, 10, &format!("mx.{domain}")).address_of(&format!("mx.{domain}"), &format!("127.0.0.{last}"));
        self.dns.txt(&format!("_mta-sts.{domain}"), &format!("v=STSv1; id={id};"));
        self.dns.address_of(&format!("mta-sts.{domain}"), "127.0.0.1");
    }

    pub(crate) fn exchanger(&self, last: u8, name: Option<&str>) -> Sink {
        let behaviour = match name {
            Some(name) => Behaviour::default().tls_config(self.authority.server(&[name])),
            None => Behaviour::default(),
        };
        behaviour.start_at(SocketAddr::from(([127, 0, 0, last], self.port)))
    }

    pub(crate) fn sending(&self, host: &PolicyHost) -> Setup {
        let file = self.folder.path().join("ca.pem");
        self.authority.write(&file);
        Setup::new()
            .dns(&self.dns)
            .with("outbound", "port", &self.port.to_string())
            .with("outbound", "ca_file", &format!("{:?}", file.display().to_string()))
            .with("outbound.mta_sts", "port", &host.port().to_string())
            .with("outbound.mta_sts", "private_networks", "true")
    }
}

pub(crate) fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n")
}

#[test]
fn an_enforced_policy_is_kept_to_and_one_that_is_tried_out_forbids_nothing() {
    let world = World::new();
    let host = PolicyHost::start(&world.authority, &["good.test", "unnamed.test", "clear.test", "forged.test", "testing.test"]);
    for (domain, last) in [("good.test", 31), ("unnamed.test", 32), ("clear.test", 33), ("forged.test", 34), ("testing.test", 35)]
    {
        world.domain(domain, last, "1");
        host.shows(domain, &policy("enforce", &format!("*.{domain}")));
    }
    host.shows("unnamed.test", &policy("enforce", "other.unnamed.test"));
    host.shows("testing.test", &policy("testing", "other.testing.test"));
    let good = world.exchanger(31, Some("mx.good.test"));
    let unnamed = world.exchanger(32, Some("mx.unnamed.test"));
    let clear = world.exchanger(33, None);
    let forged = world.exchanger(34, Some("somebody.else.test"));
    let testing = world.exchanger(35, None);
    let mut postern = with_alice(world.sending(&host));
    for domain in ["good", "unnamed", "clear", "forged", "testing"] {
        from_alice(&postern, &format!("carol@{domain}.test"), domain);
    }
    assert!(good.wait_for_subject("good").tls);
    let line = postern.wait_for_log("to=\"carol@good.test\"");
    assert!(line.contains("delivered") && line.contains("(MTA-STS)"), "{line}");
    assert!(!testing.wait_for_subject("testing").tls, "what is tried out keeps no mail away");
    let expected = [
        ("unnamed", "the domain's policy (MTA-STS) does not name this host"),
        ("clear", "TLS is required here and not offered"),
        ("forged", "TLS: "),
    ];
    for (domain, why) in expected {
        let line = postern.wait_for_log(&format!("to=\"carol@{domain}.test\""));
        assert!(line.contains("deferred") && line.contains(why), "{line}");
    }
    for sink in [&unnamed, &clear, &forged] {
        assert!(!sink.lines().iter().any(|line| line.starts_with("MAIL")), "{:?}", sink.lines());
    }
    assert_eq!(unnamed.connections(), 0);
}

#[test]
fn a_policy_outlives_a_restart_and_its_host_and_a_policy_that_cannot_be_had_forbids_nothing() {
    let world = World::new();
    let host = PolicyHost::start(&world.authority, &["kept.test", "moved.test"]);
    world.domain("kept.test", 36, "1");
    world.domain("moved.test", 37, "1");
    host.shows("kept.test", &policy("enforce", "mx.kept.test"));
    // A redirect is not followed, and what it stands for is no policy.
    host.answers("moved.test", 301, &policy("enforce", "other.test"));
    let (kept, moved) = (world.exchanger(36, Some("mx.kept.test")), world.exchanger(37, None));
    let mut postern = with_alice(world.sending(&host));
    from_alice(&postern, "carol@kept.test", "before");
    let _ = kept.wait_for_subject("before");
    from_alice(&postern, "carol@moved.test", "moved");
    let _ = moved.wait_for_subject("moved");
    assert_eq!((host.asked("kept.test"), host.asked("moved.test")), (1, 1));
    // Somebody takes the host and its certificate away, and says that there is a new policy.
    host.answers("kept.test", 500, "");
    world.dns.forget("_mta-sts.kept.test").txt("_mta-sts.kept.test", "v=STSv1; id=2;");
    drop(kept);
    let forged = until("the port", LONG, || {
        let bound = std::net::TcpListener::bind(("127.0.0.36", world.port)).is_ok();
        bound.then(|| world.exchanger(36, None))
    });
    postern.restart();
    from_alice(&postern, "carol@kept.test", "after");
    let line = postern.wait_for_log("to=\"carol@kept.test\"");
    assert!(line.contains("deferred") && line.contains("TLS is required here and not offered"), "{line}");
    assert!(forged.messages().is_empty());
    assert_eq!(host.asked("kept.test"), 2);
}

#[test]
fn our_own_policy_is_shown_at_its_host() {
    let setup = Setup::new().without_tables().table(
        "[[domain]]\nname = \"here.test\"\nrecipients = \"any\"\nmta_sts = \"enforce\"\nmta_sts_mx = [\"mx1.here.test\", \"mx2.here.test\"]\n\
         [[domain]]\nname = \"quiet.test\"\nrecipients = \"any\"",
    );
    let postern = setup.start();
    let get = |host: &str| {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(postern.http()).unwrap();
        write!(stream, "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let shown = get("mta-sts.here.test");
    assert!(shown.starts_with("HTTP/1.1 200") && shown.to_lowercase().contains("content-type: text/plain"), "{shown}");
    assert!(
        shown.ends_with("version: STSv1\r\nmode: enforce\r\nmx: mx1.here.test\r\nmx: mx2.here.test\r\nmax_age: 604800\r\n"),
        "{shown}"
    );
    assert!(get("MTA-STS.quiet.test:8025").ends_with("version: STSv1\r\nmode: none\r\nmax_age: 604800\r\n"));
    for other in ["here.test", "mta-sts.elsewhere.test", "mta-sts.", ""] {
        assert!(get(other).starts_with("HTTP/1.1 404"), "{other}");
    }
}
