//! The address of a webhook: where each message of a domain is posted. Promise: `https`, or this machine; nothing in it is a secret that a log would show.

use crate::next_hop::Target;
use crate::value::text_values;

/// `https://host[:port]/path`; `http` for loopback only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl {
    text: String,
    /// Under TLS, with a certificate that is verified.
    pub tls: bool,
    /// Which host.
    pub host: Target,
    /// Its TCP port.
    pub port: u16,
    /// Path and query, as they go into the request.
    pub path: String,
}

impl WebhookUrl {
    /// The host and port as they stand in the address.
    #[must_use]
    pub fn authority(&self) -> &str {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("it must begin with https://".to_owned()),
        };
        if !rest.bytes().all(|octet| octet.is_ascii_graphic() && !b"#@\\\"<>".contains(&octet)) {
            return Err("a host and perhaps a path are needed, without user or fragment".to_owned());
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let bracketed = authority.ends_with(']');
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !bracketed => {
                (host, port.parse().ok().filter(|port| *port > 0).ok_or("the port must be a number from 1 to 65535")?)
            }
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = Target::parse(host)?;
        // A name, even `localhost`, is what somebody's DNS says it is.
        let is_here = matches!(&host, Target::Address(address) if address.is_loopback());
        if !tls && !is_here {
            return Err("mail would go out in clear: http:// is for this machine only (127.0.0.1, [::1])".to_owned());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { text: text.to_owned(), tls, host, port, path })
    }
}

text_values! {
    WebhookUrl, "address of a webhook", WebhookUrl::parse, |url| url.text.clone();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_this_machine_and_holds_no_user() {
        let url = WebhookUrl::parse("https://app.example.org/in?for=mail").unwrap();
        assert_eq!((url.port, &*url.path, url.authority()), (443, "/in?for=mail", "app.example.org"));
        let url = WebhookUrl::parse("http://[::1]:8080").unwrap();
        assert_eq!((url.port, &*url.path, url.tls, url.authority()), (8080, "/", false, "[::1]:8080"));
        assert_eq!(WebhookUrl::parse("https://[2001:db8::1]/x").unwrap().port, 443);
        assert_eq!(WebhookUrl::parse("https://a.example?x").unwrap().path, "/?x");
        for wrong in [
            "http://app.example.org/in",
            "http://192.0.2.1/",
            "http://localhost/",
            "ftp://a.example/",
            "https://",
            "https://u:p@a.example/",
            "https://a.example/#x",
            "https://a.example:0/",
            "https://a.example/ x",
            "https://a.example/\r\nX: y",
            "https://a.example:99999/",
        ] {
            assert!(WebhookUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
