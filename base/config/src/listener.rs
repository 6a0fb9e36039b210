//! `[[listener]]`: where mail comes in.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use postern_mail::client::ListenerKind;

use crate::table::section;
use crate::value::choice_value;

choice_value!(ListenerKind, [ListenerKind::Mx, ListenerKind::Submission, ListenerKind::Submissions]);

section! {
    /// Where mail comes in. Any number of each kind. Without any, the development set holds: `mx` on 127.0.0.1:2525, `submission`
    /// on 127.0.0.1:2587 and `submissions` on 127.0.0.1:2465, which needs no root and is reached by nobody else.
    pub struct Listener {
        /// What it is for: `mx` takes mail from other servers and never offers AUTH; `submission` takes mail from accounts after
        /// STARTTLS (RFC 6409), `submissions` with TLS from the first byte (RFC 8314 §3.3).
        #[key(example = "\"mx\"", why = "the kinds differ too much to guess", restart = true)]
        pub kind: ListenerKind;
        /// Addresses and ports to listen on. `[::]` takes IPv6 only, so name both families. Port 0 takes any free port.
        #[key(example = "[\"0.0.0.0:25\", \"[::]:25\"]", why = "the administrator decides who can reach it", restart = true)]
        pub bind: Vec<SocketAddr>;
        /// Proxies that must begin each connection with a PROXY header, version 1 or 2. From all other clients it is no command, and
        /// what it says of their address is not believed.
        #[key(example = "[\"127.0.0.1/32\"]", why = "a header from a stranger would let the stranger choose an address")]
        pub proxy_protocol_from: Vec<IpNet> = Vec::new();
    }
}

impl Listener {
    /// The listeners of a configuration that names none.
    #[must_use]
    pub fn development_set() -> Vec<Self> {
        [(ListenerKind::Mx, 2525), (ListenerKind::Submission, 2587), (ListenerKind::Submissions, 2465)]
            .map(|(kind, port)| Self {
                kind,
                bind: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))],
                proxy_protocol_from: Vec::new(),
            })
            .into()
    }
}
