//! Postfix from the system's package, with a configuration and a queue of its own, set up so that it does no work that is not measured: no
//! look-ups in the DNS, no chroot to fill, no brake on the inflow. Mail that is not relayed is deferred, as for a next hop that is down; or set aside in
//! the hold queue, which is the least Postfix can do with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::dovecot;
use crate::names::LISTS;
use crate::server::{Lists, Setup, certificate};

/// What Debian's own file starts too, without chroot.
const SERVICES: &str = "\
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
local     unix - n n - - local
virtual   unix - n n - - virtual
lmtp      unix - - n - - lmtp
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
";

pub(crate) fn program() -> Result<PathBuf, String> {
    ["/usr/sbin/postfix", "/usr/local/sbin/postfix"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| "Postfix is not installed: cargo xtask packages, or leave it out with --without postfix".to_owned())
}

/// What postscreen, in place of smtpd on port 25, starts.
const POSTSCREEN: &str = "\
smtpd     pass - - n - - smtpd
dnsblog   unix - - n - 0 dnsblog
tlsproxy  unix - - n - 0 tlsproxy
";

/// The lines of `main.cf` and `master.cf` that make everybody but 127.0.0.1 a stranger. Who comes from [`BANNED`] is refused by postscreen
/// itself with one reply, before a process of the SMTP server is asked: the least work Postfix can do for a connection. Limits are the
/// defaults.
fn under_attack(config: &Path, folder: &Path, port: u16, submission_port: u16) -> io::Result<(String, String)> {
    let denied = config.join("denied.cidr");
    fs::write(&denied, format!("{BANNED} reject\n"))?;
    let main = format!(
        "mynetworks = 127.0.0.1/32
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
postscreen_access_list = permit_mynetworks, cidr:{}
postscreen_denylist_action = drop
smtpd_sasl_type = dovecot
smtpd_sasl_path = {}
",
        denied.display(),
        dovecot::socket(folder).display()
    );
    let master = format!(
        "127.0.0.1:{port} inet n - n - 1 postscreen
127.0.0.1:{submission_port} inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_auth_only=yes
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
{POSTSCREEN}"
    );
    Ok((main, master))
}

/// The lines that make everybody a stranger whom lists are asked about, and the file that says which name server to ask.
fn strangers(folder: &Path, port: u16, lists: Lists) -> io::Result<(String, String)> {
    fs::write(folder.join(RESOLVER), format!("nameserver {}\noptions timeout:3 attempts:1\n", lists.resolver.ip()))?;
    let asked: String = LISTS.iter().map(|zone| format!(", reject_rbl_client {zone}")).collect();
    let main = format!(
        "mynetworks = 192.0.2.1/32
smtpd_recipient_restrictions = reject_unauth_destination{asked}
smtpd_client_connection_count_limit = 0
smtpd_timeout = 600
"
    );
    Ok((main, format!("127.0.0.1:{port} inet n - n - - smtpd\n")))
}

const RESOLVER: &str = "resolv.conf";

/// How it is started. The name server that the C library asks is the machine's; so that ours is asked, Postfix sees a file of its own.
pub(crate) fn command(config: &Path, setup: &Setup) -> Result<(PathBuf, Vec<String>), String> {
    let own = [program()?.display().to_string(), "-c".to_owned(), config.display().to_string(), "start-fg".to_owned()];
    if setup.lists.is_none() {
        let [program, arguments @ ..] = own;
        return Ok((program.into(), arguments.into()));
    }
    let resolver = config.with_file_name(RESOLVER).display().to_string();
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"".to_owned();
    let words = ["--mount".to_owned(), "sh".to_owned(), "-c".to_owned(), script, resolver];
    Ok(("unshare".into(), words.into_iter().chain(own).collect()))
}

/// The network that is refused at the door.
pub(crate) const BANNED: &str = "127.66.0.0/16";

/// Writes the configuration and gives its folder. With `hold`, nothing is ever tried.
pub(crate) fn configure(folder: &Path, port: u16, submission_port: u16, setup: &Setup, hold: bool) -> io::Result<PathBuf> {
    let (config, queue, data) = (folder.join("config"), folder.join("queue"), folder.join("state"));
    for path in [&config, &queue, &data] {
        fs::create_dir_all(path)?;
    }
    let (user, group) = owner().ok_or_else(|| io::Error::other("there is no user postfix"))?;
    std::os::unix::fs::chown(&data, Some(user), Some(group))?;
    let hold = if hold { "check_recipient_access static:HOLD, " } else { "" };
    let transport = setup.next_hop.map_or_else(
        || "defer_transports = relay\n".to_owned(),
        |address| format!("relay_transport = relay:[127.0.0.1]:{}\n", address.port()),
    );
    let tls = if setup.tls {
        let (certificate, key) = certificate(folder)?;
        format!("smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {}, {}\n", key.display(), certificate.display())
    } else {
        String::new()
    };
    let (clients, listeners) = if let Some(lists) = setup.lists {
        strangers(folder, port, lists)?
    } else if setup.accounts.is_empty() {
        let main = format!(
            "mynetworks = 127.0.0.0/8
smtpd_recipient_restrictions = {hold}permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_timeout = 600
"
        );
        (main, format!("127.0.0.1:{port} inet n - n - - smtpd\n"))
    } else {
        under_attack(&config, folder, port, submission_port)?
    };
    let main = format!(
        "compatibility_level = 3.6
myhostname = postfix.test
queue_directory = {}
data_directory = {}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
relay_domains = sink.test
{transport}{tls}{clients}smtpd_peername_lookup = no
smtp_dns_support_level = disabled
alias_maps =
alias_database =
default_process_limit = 100
in_flow_delay = 0
message_size_limit = 104857600
mailbox_size_limit = 0
",
        queue.display(),
        data.display()
    );
    fs::write(config.join("main.cf"), main)?;
    fs::write(config.join("master.cf"), format!("{listeners}{SERVICES}"))?;
    Ok(config)
}

/// The number of the process that starts all others.
pub(crate) fn master(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join("queue/pid/master.pid")).ok()?.trim().parse().ok()
}

fn owner() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = users.lines().find(|line| line.starts_with("postfix:"))?.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}
