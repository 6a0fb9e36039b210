//! A service manager may bind the ports and hand them over (LISTEN_FDS), so that the server never needs root.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use postern_testkit::peers::postern::binary;

use crate::prelude::*;

#[test]
fn a_socket_that_was_handed_over_is_used() {
    let mut postern = Setup::new().prepare();
    let bound = TcpListener::bind(postern.mx()).unwrap();
    // The first socket stands at descriptor 3, as sd_listen_fds(3) has it.
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"", "sh"]).arg(binary());
    command.arg("serve").arg("--config").arg(postern.configuration_file()).stdin(Stdio::from(OwnedFd::from(bound)));
    postern.start_by(&mut command);
    from_stranger(&postern, ALICE, "handed over");
    let _ = postern.maildir(ALICE).wait_for_subject("handed over", LONG);
}
