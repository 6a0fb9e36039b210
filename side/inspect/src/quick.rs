//! Links that are written just as a program asks for them, as nearly all are: `https://`, a name in small letters, a path without surprises. Promise: what
//! is read here reads the same in [`crate::target::careful`], and whatever might not goes there: other schemes, numbers for hosts, ports, user names,
//! backslashes, capital letters, characters nobody sees, labels of other scripts, steps upwards, names of the reader's own machine.

use postern_mail::domain::Domain;

use crate::target::{Address, Read};
use crate::{LinkHost, Tricks};

/// Reads a link without the standard's help. `None`: it takes the whole of it.
pub(crate) fn read(raw: &str) -> Option<Read> {
    let host_at = ["https://", "http://"].into_iter().find(|scheme| raw.starts_with(scheme))?.len();
    let behind = raw.get(host_at..)?;
    let (host, rest) = behind.split_at(behind.find('/').unwrap_or(behind.len()));
    if !is_plain_host(host) || !is_plain_rest(rest.as_bytes()) {
        return None;
    }
    let name = Domain::parse(host).ok()?;
    let mut text = String::with_capacity(raw.len() + usize::from(rest.is_empty()));
    text.push_str(raw);
    if rest.is_empty() {
        text.push('/');
    }
    let rest_at = host_at + host.len();
    Some(Read {
        address: Some(Address { text, host: host_at..rest_at, rest: rest_at }),
        raw: String::new(),
        host: LinkHost::Name(name),
        tricks: Tricks::default(),
        html: None,
    })
}

/// True for a name that is no number in any notation, has no label of another script, and is not the reader's own machine.
fn is_plain_host(host: &str) -> bool {
    let octets = host.as_bytes();
    let top = host.rsplit('.').next().unwrap_or_default();
    octets.iter().all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || matches!(octet, b'-' | b'.'))
        && top.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && top != "localhost"
        && !octets.windows(2).any(|two| two == b"--")
}

/// True for a path, query and fragment that stay as they are: nothing in them is escaped, taken out or turned round.
fn is_plain_rest(rest: &[u8]) -> bool {
    let end = rest.iter().position(|octet| matches!(octet, b'?' | b'#')).unwrap_or(rest.len());
    let (path, query) = rest.split_at(end);
    let stays = |octet: &u8| {
        octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'/'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b':'
                    | b'@'
            )
    };
    // Escapes stay as well, but two of them may be a step upwards.
    path.iter().all(stays)
        && !path.windows(2).any(|two| two == b"/.")
        && query.iter().all(|octet| stays(octet) || matches!(octet, b'%' | b'?' | b'#'))
        && query.iter().filter(|octet| **octet == b'#').count() <= 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::target::careful;

    #[test]
    fn ordinary_links_are_read_quickly_and_what_might_be_a_trick_is_not() {
        for link in [
            "http://a.example.com",
            "https://click.example.net/c/1?u=a.b%2Fc&m=1#x",
            "https://ab-c.co/a/b.png",
            "http://1and1.com/",
        ] {
            assert!(read(link).is_some(), "{link}");
        }
        for link in [
            "http://1.2.3.4/",
            "http://0x7f.1/",
            "http://a.0x1/",
            "http://2130706433",
            "http://a@b.com/",
            "http://b.com:80/",
            "http://b.com\\@c.com/",
            "http:/b.com/",
            "http:///b.com/",
            "http://%62.com/",
            "http://xn--80ak6aa92e.com/",
            "http://B.com/",
            "http://b.com./",
            "http://b.com?x",
            "http://b.com/../x",
            "http://b.com/%2e%2e/x",
            "http://b.com/a b",
            "http://b.com/\u{e9}",
            "http://localhost/",
            "http://a.localhost/",
            "http://-a.com/",
            "http://[::1]/",
            "ftp://b.com/",
            "HTTP://b.com/",
        ] {
            assert!(read(link).is_none(), "{link}");
        }
    }

    fn any_link() -> impl Strategy<Value = String> {
        let scheme = prop_oneof![8 => Just("https://"), 4 => Just("http://"), 1 => Just("HTTP://"), 1 => Just("http:/"), 1 => Just("http:\\\\"), 1 => Just("//")];
        let host = prop_oneof![
            8 => "[a-z0-9]{1,6}(-[a-z0-9]{1,3})?(\\.[a-z0-9]{1,5}){0,2}\\.(com|net|co\\.uk|localhost|x0)",
            4 => "[a-z0-9.@:%_\\-]{0,12}",
            1 => "[a-zA-Z0-9.\\[\\]\\\\]{0,12}",
            1 => Just("0x7f.1".to_owned()),
            1 => Just("a.xn--80ak6aa92e.com".to_owned()),
            1 => Just("1.2.3.4".to_owned()),
            1 => Just("b\u{ad}a\u{3002}com".to_owned()),
            1 => "[a-z]{60,70}\\.com",
        ];
        let rest = prop_oneof![8 => "(/[a-zA-Z0-9.~_%+-]{0,8}){0,4}(\\?[a-z0-9=&%.:/@'#]{0,16})?", 2 => "[/ -~]{0,16}", 1 => "/\\PC{0,8}"];
        (scheme, host, rest).prop_map(|(scheme, host, rest)| format!("{scheme}{host}{rest}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_link_that_is_read_quickly_reads_the_same_with_care(link in any_link()) {
            if let Some(quick) = read(&link) {
                prop_assert_eq!(Some(quick), careful(&link, None));
            }
        }
    }
}
