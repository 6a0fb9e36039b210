//! parse(print(x)) = x for everything that stands in an envelope.

use postern_mail::{Domain, HeloName, Host, Mailbox};
use postern_smtp::params::{MailParams, decode_xtext, encode_xtext, parse_rcpt};
use postern_smtp::path::Bracketed;

/// The property.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(mailbox) = Mailbox::parse(text) {
        let printed = mailbox.to_string();
        assert_eq!(Mailbox::parse(&printed).as_ref(), Ok(&mailbox), "{printed:?}");
        assert!(!printed.chars().any(char::is_control));
        let bracketed = format!("<{printed}> SIZE=1");
        let path = Bracketed::take(&bracketed).expect("a printed mailbox stands in brackets");
        assert_eq!((path.inner, path.rest), (printed.as_str(), " SIZE=1"));
    }
    if let Ok(domain) = Domain::parse(text) {
        assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain));
        assert!(domain.as_str().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/'));
    }
    if let Ok(host) = Host::parse(text) {
        assert_eq!(Host::parse(&host.to_string()).as_ref(), Ok(&host));
    }
    if let Ok(name) = HeloName::parse(text) {
        assert_eq!(HeloName::parse(name.as_str()).as_ref(), Ok(&name));
    }
    if let Ok(path) = Bracketed::take(text) {
        assert_eq!(format!("<{}>{}", path.inner, path.rest), text);
        let _ = (path.reverse(), path.forward());
    }
    if let Ok(decoded) = decode_xtext(text) {
        assert!(!decoded.chars().any(char::is_control));
        assert_eq!(decode_xtext(&encode_xtext(&decoded)).as_ref(), Ok(&decoded));
    }
    let _ = (MailParams::parse(text), parse_rcpt(text));
}
