//! Our own server's settings for a measurement: its defaults, but for the limits on what one client may do, since all load comes from one
//! address. Under attack, which comes from many addresses, the limits are the defaults too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::names::{LINKS, LISTS, SILENT};
use crate::server::{Lists, Setup, certificate};

/// Nothing listens there, so what is sent there stays in the queue.
const CLOSED_PORT: u16 = 1;

/// All load comes from one address, and for longer than a client would be given.
const LIMITS: &str = "connections = 20000
connections_per_address = 20000
connections_per_network = 20000
connections_per_listener = 20000
connections_reserved = 0
connections_per_minute_per_address = 1000000
connections_per_minute_per_network = 1000000
handshakes_per_minute_per_address = 1000000
bytes_per_connection = \"1024TiB\"
messages_per_hour = 1000000000
recipients_per_hour = 1000000000
bytes_per_hour = \"3TiB\"
stress_at = 1.0
messages_per_connection = 1000000000
message_size = \"64MiB\"
command_timeout = \"10m\"
";
/// Ten thousand that are held, and room for others: the default is ten thousand in all.
const LIMITS_UNDER_ATTACK: &str = "connections = 12000\nconnections_per_listener = 12000\n";

/// What the DNS is needed for, and what reads messages, is a measurement of its own.
const NOTHING_LOOKED_UP: &str = "[policy.authenticity]\nenabled = false\n[policy.links]\nenabled = false\n";

/// The lists; everything else about strangers' mail is as it is by default.
fn inspecting(lists: Lists) -> String {
    let zones = LISTS.into_iter().chain(lists.with_silent.then_some(SILENT));
    let list = |zone| format!("[[policy.dnsbl]]\nzone = \"{zone}\"\nmode = \"enforce\"\npoints = {{ \"127.0.0.2\" = 10.0 }}\n");
    let links = format!("[[policy.uribl]]\nzone = \"{LINKS}\"\nmode = \"enforce\"\nbits = {{ 2 = 10.0 }}\n");
    zones.map(list).chain([links]).collect()
}

/// Writes the configuration and gives its path.
pub(crate) fn configure(folder: &Path, port: u16, submission_port: u16, setup: &Setup) -> io::Result<PathBuf> {
    let next_hop = setup.next_hop.map_or(CLOSED_PORT, |address| address.port());
    let tls = if setup.tls {
        let (certificate, key) = certificate(folder)?;
        // Read before root is dropped; afterwards nobody needs to.
        format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
    } else {
        String::new()
    };
    let data = folder.join("data");
    let (submission, limits) = if setup.accounts.is_empty() {
        (String::new(), LIMITS)
    } else {
        (format!("[[listener]]\nkind = \"submission\"\nbind = [\"127.0.0.1:{submission_port}\"]\n"), LIMITS_UNDER_ATTACK)
    };
    let (resolver, policy) = match setup.lists {
        Some(lists) => (lists.resolver.to_string(), inspecting(lists)),
        None => (format!("127.0.0.1:{CLOSED_PORT}"), NOTHING_LOOKED_UP.to_owned()),
    };
    let text = format!(
        "[server]
hostname = \"postern.test\"
data_dir = {data:?}
user = \"nobody\"

{tls}
[dns]
servers = [\"{resolver}\"]

[http]
bind = []

[[listener]]
kind = \"mx\"
bind = [\"127.0.0.1:{port}\"]

{submission}
[[domain]]
name = \"sink.test\"
recipients = \"any\"
deliver = {{ kind = \"relay\", host = \"127.0.0.1\", port = {next_hop}, tls = \"none\" }}

[limits]
{limits}
{policy}
[outbound]
delay_warning_after = \"0s\"

[outbound.retry]
first = \"1d\"
longest = \"7d\"
give_up = \"30d\"

[outbound.lanes]
pause_first = \"1d\"
pause_longest = \"1d\"
"
    );
    let path = folder.join("postern.toml");
    fs::write(&path, text)?;
    Ok(path)
}
