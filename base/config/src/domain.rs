//! `[[domain]]`: mail we take in, for whom, and where it is put.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use postern_mail::{Domain, LocalPart, Mailbox, Quoted};
use toml::de::DeValue;

use crate::next_hop::{Credentials, LmtpAddress, Target, TlsMode};
use crate::read::{Fields, Node, Report};
use crate::table::{Kind, section};
use crate::value::{Secrets, Value, choice, path_word, print_table, quote, text_of, text_values};

mod call_ahead;
mod resolve;
mod webhook;

pub use call_ahead::{CallAhead, WhenDown};
pub use resolve::Resolution;
pub(crate) use resolve::{ALIAS_TARGETS_MAX, Expansion, expand};
pub use webhook::WebhookUrl;

section! {
    /// Mail we take in: for which recipients, and where it is put.
    pub struct HostedDomain by name {
        /// The domain.
        #[key(example = "\"example.org\"", why = "there is none for everybody")]
        pub name: Domain;
        /// Who exists there: a list of names, `"any"`, a file with one name a line, or whoever the host that gets the mail says
        /// (`call_ahead`). Others are refused with 550 while the
        /// sender is still there, so that no bounces are made. Upper and lower case are the same. `postmaster` always exists.
        ///
        /// With `{ call_ahead = true }` the host that `deliver` names (`lmtp` or `relay`) is asked at RCPT, with `MAIL FROM:<>` and
        /// without a message; a 5yz that speaks of the address means that nobody is there. Beside it: `known_for` (`"1h"`) and `unknown_for` (`"5m"`), how
        /// long its answers are remembered; `remembered` (20000), how many; `deadline` (`"15s"`) for an answer; `at_once` (4)
        /// questions under way; `pause` (`"20s"`) after a host that gave none; and `when_down`, what becomes of recipients meanwhile:
        /// `"defer"` (451) or `"accept"` (taken, and bounced where they do not exist).
        #[key(example = "[\"alice\", \"bob\", \"sales\"]", why = "taking mail for people who do not exist makes backscatter")]
        pub recipients: Recipients;
        /// Names whose mail goes to other mailboxes, here or elsewhere. An alias may name itself to keep a copy.
        #[key(example = "{ \"info\" = [\"alice@example.org\", \"partner@example.net\"] }", why = "only you know them")]
        pub aliases: Aliases = Aliases::default();
        /// Who gets the mail of everybody who does not exist.
        #[key(example = "\"alice@example.org\"", why = "a catch-all collects spam")]
        pub catch_all: Option<Mailbox> = None;
        /// What separates a name from a tag of the owner's choice: mail to `alice+shop` is for `alice`. Empty turns it off.
        #[key(example = "\"-\"", why = "what most servers do")]
        pub subaddress_separator: Separator = Separator(Some('+'));
        /// What we ask of servers that send to this domain (MTA-STS, RFC 8461): `enforce` TLS with a verified certificate, be told of what would fail
        /// in `testing`, or `none`. It is shown as `/.well-known/mta-sts.txt` by `[http]`, in clear: a proxy with a certificate for
        /// `mta-sts.` and the domain stands before it. Nobody asks for it without a record `_mta-sts` in DNS.
        #[key(example = "\"testing\"", why = "a policy that does not fit the certificate keeps mail away")]
        pub mta_sts: StsMode = StsMode::None;
        /// The hosts in that policy: those of the domain's MX records.
        #[key(example = "[\"mx.example.org\"]", why = "most domains have one", shown = "server.hostname")]
        pub mta_sts_mx: Vec<Domain> = Vec::new();
        /// Where the mail is put: `kind` and the keys of that kind.
        #[key(example = "{ kind = \"lmtp\", address = \"127.0.0.1:24\" }", why = "needs nothing else to be installed")]
        pub deliver: Deliver = Deliver::default();
    }
}

choice! {
    /// What a policy of MTA-STS asks for.
    pub enum StsMode {
        /// Nothing.
        None = "none",
        /// To be told of what would fail.
        Testing = "testing",
        /// TLS with a verified certificate.
        Enforce = "enforce",
    }
}

/// Who exists in a domain.
#[derive(Clone, Debug, PartialEq)]
pub enum Recipients {
    /// Everybody.
    Any,
    /// These, in lower case.
    List(BTreeSet<LocalPart>),
    /// Those in a file, one a line.
    File {
        /// Which file.
        path: PathBuf,
        /// What it holds, once the caller has read it and given its text to
        /// [`Config::fill_recipients`](crate::Config::fill_recipients).
        names: Option<BTreeSet<LocalPart>>,
    },
    /// Whoever the host takes that the mail is delivered to.
    CallAhead(CallAhead),
}

/// A name in lower case: in a domain of our own, the case of a name means nothing (RFC 5321 §2.3.11 leaves that to its host).
pub(crate) fn folded(local: &LocalPart) -> LocalPart {
    // What grows over the length limit by folding is kept as it is.
    LocalPart::parse(&local.to_string().to_lowercase()).unwrap_or_else(|_| local.clone())
}

text_values! {
    LocalPart, "mailbox name", |text| LocalPart::parse(text).map_err(|fault| format!("{fault}; it is what stands before the @")),
        ToString::to_string;
}

impl Value for Recipients {
    fn kind() -> Kind {
        Kind::plain("list of mailbox names, \"any\", { file = \"..\" } or { call_ahead = true }")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        match node.value.get_ref() {
            DeValue::Array(_) => {
                let names = Vec::<LocalPart>::read(node, report)?;
                Some(Self::List(names.iter().map(folded).collect()))
            }
            DeValue::Table(entries) if entries.iter().any(|(name, _)| name.get_ref() == "call_ahead") => {
                let keys = CallAhead::read(node, report)?;
                if !keys.call_ahead {
                    report.wrong(node, "call_ahead = false names nobody; list the names, or take \"any\"");
                    return None;
                }
                Some(Self::CallAhead(keys))
            }
            DeValue::Table(_) => {
                let keys = RecipientKeys::read(node, report)?;
                Some(Self::File { path: keys.file, names: None })
            }
            _ => {
                let text = text_of(node, "\"any\"", report)?;
                if text != "any" {
                    report.wrong(node, format!("{} is neither a list nor \"any\"", Quoted::text(text)));
                    return None;
                }
                Some(Self::Any)
            }
        }
    }

    fn print(&self, secrets: Secrets) -> String {
        match self {
            Self::Any => quote("any"),
            Self::List(names) => names.iter().cloned().collect::<Vec<_>>().print(secrets),
            Self::File { path, .. } => print_table([("file", path.print(secrets).as_str())].into_iter()),
            Self::CallAhead(call_ahead) => call_ahead.print(secrets),
        }
    }
}

section! {
    /// Recipients in a file.
    pub(crate) struct RecipientKeys {
        /// One name or address a line; empty lines and what follows a `#` are skipped. Read at the start and at each reload.
        #[key(example = "\"/etc/postern/recipients\"", why = "only you know where it is")]
        pub file: PathBuf;
    }
}

/// Names whose mail goes to other mailboxes, in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aliases(pub BTreeMap<LocalPart, Vec<Mailbox>>);

impl Value for Aliases {
    fn kind() -> Kind {
        Kind::plain("table of names with lists of mailboxes")
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let DeValue::Table(entries) = node.value.get_ref() else {
            report.wrong(node, format!("a table is needed here, not {}", node.sort()));
            return None;
        };
        let mut aliases = BTreeMap::new();
        let mut all_right = true;
        for (name, value) in entries {
            let entry =
                Node { value, path: format!("{}.{}", node.path, path_word(&name.get_ref().to_lowercase())), key: node.key };
            report.note(&entry);
            let targets = Vec::<Mailbox>::read(&entry, report);
            let local = LocalPart::parse(name.get_ref());
            if local.is_err() {
                report.wrong(&entry, format!("{} is not a mailbox name", Quoted::text(name.get_ref())));
            }
            match (local, targets) {
                (Ok(_), Some(targets)) if targets.is_empty() => {
                    report.wrong(&entry, "an alias for nobody; name at least one mailbox");
                    all_right = false;
                }
                (Ok(local), Some(targets)) => {
                    if aliases.insert(folded(&local), targets).is_some() {
                        report.wrong(&entry, "there is one of this name in another case");
                        all_right = false;
                    }
                }
                _ => all_right = false,
            }
        }
        all_right.then_some(Self(aliases))
    }

    fn print(&self, secrets: Secrets) -> String {
        let entries: Vec<_> = self.0.iter().map(|(name, targets)| (quote(&name.to_string()), targets.print(secrets))).collect();
        print_table(entries.iter().map(|(name, targets)| (name.as_str(), targets.as_str())))
    }
}

/// What separates a name from a tag; `None` where tags are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator(pub Option<char>);

text_values! {
    Separator, "separator", parse_separator, |separator| separator.0.map(String::from).unwrap_or_default();
}

fn parse_separator(text: &str) -> Result<Separator, String> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Ok(Separator(None)),
        (Some(c), None) if "!#$%&'*+-/=?^_`{|}~".contains(c) => Ok(Separator(Some(c))),
        _ => Err("it is one sign that may stand in a mailbox name, or nothing".to_owned()),
    }
}

/// Where the mail of a domain is put.
#[derive(Clone, Debug, PartialEq)]
pub enum Deliver {
    /// Into a Maildir for each mailbox.
    Maildir {
        /// Its path, with `{data_dir}`, `{domain}` and `{local}` to be filled in.
        path: String,
    },
    /// To an LMTP server (RFC 2033).
    Lmtp {
        /// Where it listens.
        address: LmtpAddress,
    },
    /// To another SMTP server.
    Relay {
        /// Which host.
        host: Target,
        /// Its TCP port.
        port: u16,
        /// How TLS is used with it.
        tls: TlsMode,
        /// What we log in with.
        credentials: Option<Credentials>,
    },
    /// To an application, over HTTPS.
    Webhook {
        /// Where it is posted.
        url: WebhookUrl,
        /// A file whose first line is what requests are signed with.
        secret_file: PathBuf,
    },
    /// Nowhere: it is accepted and thrown away.
    Discard,
}

/// Where a Maildir is without a word about it.
pub(crate) const MAILDIR_DEFAULT: &str = "{data_dir}/mail/{domain}/{local}";

impl Default for Deliver {
    fn default() -> Self {
        Self::Maildir { path: MAILDIR_DEFAULT.to_owned() }
    }
}

choice! {
    /// The kinds of delivery for a hosted domain.
    pub(crate) enum DeliverKind {
        /// Into Maildirs.
        Maildir = "maildir",
        /// To an LMTP server.
        Lmtp = "lmtp",
        /// To an SMTP server.
        Relay = "relay",
        /// To an application.
        Webhook = "webhook",
        /// Thrown away.
        Discard = "discard",
    }
}

section! {
    /// Where the mail of a domain is put.
    pub(crate) struct DeliverKeys {
        /// `maildir`: into a Maildir for each mailbox. `lmtp`: to an LMTP server such as Dovecot. `relay`: to another SMTP
        /// server. `webhook`: posted to an application. `discard`: thrown away.
        #[key(example = "\"maildir\"", why = "the kinds differ too much to guess")]
        pub kind: DeliverKind;
        /// Of a Maildir: its path, absolute or beginning with `{data_dir}`, with `{domain}` and `{local}` filled in for each
        /// mailbox.
        #[key(example = "\"/var/mail/{domain}/{local}\"", why = "beside everything else this server keeps")]
        pub path: String = MAILDIR_DEFAULT.to_owned();
        /// Of an LMTP server: `host:port` or `unix:/path`.
        #[key(example = "\"127.0.0.1:24\"", why = "there is no usual port")]
        pub address: Option<LmtpAddress> = None;
        /// Of a relay: its name (its addresses are used, not its MX) or address.
        #[key(example = "\"10.0.0.5\"", why = "there is no host for everybody")]
        pub host: Option<Target> = None;
        /// Of a relay: its TCP port.
        #[key(example = "25", why = "where mail servers listen", within = 1..=u16::MAX)]
        pub port: u16 = 25;
        /// Of a relay: `none`, `opportunistic`, `require` or `verify`, as with routes.
        #[key(example = "\"verify\"", why = "works with every host and is not readable by passive listeners")]
        pub tls: TlsMode = TlsMode::Opportunistic;
        /// Of a relay: what we log in with, only ever under TLS.
        #[key(
            example = "{ user = \"postern\", password_file = \"/etc/postern/relay.password\" }",
            why = "most hosts inside need none"
        )]
        pub credentials: Option<Credentials> = None;
        /// Of a webhook: where each message is posted, as `message/rfc822`, once for each recipient. `https`, with a certificate that is
        /// verified (`outbound.ca_file`); `http` only to this machine; redirects are not followed. Fields of the request:
        /// `Postern-From` and `Postern-To` (percent-encoded where an address is not visible ASCII), `Postern-Message`,
        /// `Idempotency-Key` (the same for each try for this recipient) and `Postern-Signature: t=SECONDS,v1=HEX`, the HMAC-SHA256
        /// over the lines time, key, from and to, each ended by LF, and the message. 2xx means that it is there; 410 (nobody of this
        /// address), 413 and 422 return it to its sender; after everything else it is tried again until `outbound.retry.give_up`.
        #[key(example = "\"https://app.example.org/in\"", why = "only you know your applications")]
        pub url: Option<WebhookUrl> = None;
        /// Of a webhook: a file whose first line, of at least 16 octets, signs the requests. Read for each.
        #[key(example = "\"/etc/postern/webhook.secret\"", why = "whoever knows it can make up mail")]
        pub secret_file: Option<PathBuf> = None;
    }
}

impl Value for Deliver {
    fn kind() -> Kind {
        Kind::table(DeliverKeys::TABLE)
    }

    fn read(node: &Node<'_>, report: &mut Report<'_>) -> Option<Self> {
        let fields = Fields::of(node, DeliverKeys::TABLE, report)?;
        let keys = DeliverKeys::read_fields(&fields, report)?;
        let belongs: &[&str] = match keys.kind {
            DeliverKind::Maildir => &["path"],
            DeliverKind::Lmtp => &["address"],
            DeliverKind::Relay => &["host", "port", "tls", "credentials"],
            DeliverKind::Webhook => &["url", "secret_file"],
            DeliverKind::Discard => &[],
        };
        let mut all_right = true;
        for key in DeliverKeys::TABLE.keys {
            if key.name != "kind" && fields.has(key.name) && !belongs.contains(&key.name) {
                let problem = format!("has no meaning with kind = \"{}\"; remove it", keys.kind.as_str());
                fields.wrong(key.name, &problem, report);
                all_right = false;
            }
        }
        let deliver = match keys.kind {
            DeliverKind::Maildir => match check_template(&keys.path) {
                Ok(()) => Some(Self::Maildir { path: keys.path }),
                Err(why) => {
                    fields.wrong("path", &why, report);
                    None
                }
            },
            DeliverKind::Lmtp => {
                if keys.address.is_none() {
                    fields.wrong("address", "is needed with kind = \"lmtp\"", report);
                }
                keys.address.map(|address| Self::Lmtp { address })
            }
            DeliverKind::Relay => {
                if keys.host.is_none() {
                    fields.wrong("host", "is needed with kind = \"relay\"", report);
                }
                keys.host.map(|host| Self::Relay { host, port: keys.port, tls: keys.tls, credentials: keys.credentials })
            }
            DeliverKind::Webhook => {
                for (name, is_there) in [("url", keys.url.is_some()), ("secret_file", keys.secret_file.is_some())] {
                    if !is_there {
                        fields.wrong(name, "is needed with kind = \"webhook\"", report);
                    }
                }
                keys.url.zip(keys.secret_file).map(|(url, secret_file)| Self::Webhook { url, secret_file })
            }
            DeliverKind::Discard => Some(Self::Discard),
        };
        deliver.filter(|_| all_right)
    }

    fn print(&self, secrets: Secrets) -> String {
        let (kind, rest) = match self {
            Self::Maildir { path } => (DeliverKind::Maildir, vec![("path", path.print(secrets))]),
            Self::Lmtp { address } => (DeliverKind::Lmtp, vec![("address", address.print(secrets))]),
            Self::Relay { host, port, tls, credentials } => {
                let mut rest = vec![("host", host.print(secrets)), ("port", port.print(secrets)), ("tls", tls.print(secrets))];
                rest.extend(credentials.as_ref().map(|credentials| ("credentials", credentials.print(secrets))));
                (DeliverKind::Relay, rest)
            }
            Self::Webhook { url, secret_file } => {
                (DeliverKind::Webhook, vec![("url", url.print(secrets)), ("secret_file", secret_file.print(secrets))])
            }
            Self::Discard => (DeliverKind::Discard, Vec::new()),
        };
        let kind = kind.print(secrets);
        let entries = std::iter::once(("kind", kind.as_str())).chain(rest.iter().map(|(name, value)| (*name, value.as_str())));
        print_table(entries)
    }
}

/// A template must be anchored, must not climb, and knows three words.
fn check_template(path: &str) -> Result<(), String> {
    if !path.starts_with('/') && !path.starts_with("{data_dir}/") {
        return Err("must be absolute, or begin with {data_dir}/".to_owned());
    }
    if path.split('/').any(|piece| piece == "..") || path.contains('\0') {
        return Err("must not hold .. or NUL".to_owned());
    }
    let mut rest = path;
    while let Some(open) = rest.find(['{', '}']) {
        let word = rest.get(open..).unwrap_or_default();
        let known = ["{data_dir}", "{domain}", "{local}"].into_iter().find(|known| word.starts_with(known));
        let known = known.ok_or("the words in braces are {data_dir}, {domain} and {local}")?;
        rest = word.get(known.len()..).unwrap_or_default();
    }
    Ok(())
}
