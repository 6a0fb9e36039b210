//! Asking a domain's policy host for its policy, over HTTPS and nothing else (RFC 8461 §3.3).
//!
//! Promise: a minute for everything, 64 KiB for the policy, no redirect is followed, the host's certificate is verified for its name, and nobody
//! makes us connect to a network that is not everybody's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::TokioIo;
use postern_mail::{Domain, TlsFailure};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{StsPolicy, record_id};
use crate::cache::Answer;
use crate::resolver::{Resolver, clock};
use crate::{LookupFailure, spf};

/// RFC 8461 §3.3: for all of it.
const TIME_MAX: Duration = Duration::from_secs(60);
/// For one address of the host.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Addresses that are tried.
const ADDRESSES_MAX: usize = 4;
/// Of a policy.
const BYTES_MAX: usize = 64 * 1024;
/// Of the header of the answer.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Why there is no policy, in the words of reports and in ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsFault {
    /// Which kind of failure.
    pub failure: TlsFailure,
    /// What happened.
    pub why: Box<str>,
}

fn fault(failure: TlsFailure, why: impl Into<Box<str>>) -> StsFault {
    StsFault { failure, why: why.into() }
}

/// Asks policy hosts.
#[derive(Clone)]
pub struct Fetcher {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
    port: u16,
    private: bool,
}

impl Fetcher {
    /// `tls` verifies; `private`: hosts may be on networks that are not everybody's.
    #[must_use]
    pub fn new(resolver: Resolver, tls: Arc<ClientConfig>, port: u16, private: bool) -> Self {
        Self { resolver, tls, port, private }
    }

    /// The id in a domain's record; nothing where it has none, or more than one (RFC 8461 §3.1).
    ///
    /// # Errors
    /// When DNS does not answer.
    pub async fn id(&self, domain: &Domain) -> Result<Option<Box<str>>, LookupFailure> {
        let Ok(owner) = Domain::parse(&format!("_mta-sts.{domain}")) else { return Ok(None) };
        let answer = self.resolver.records(clock(), &owner, hickory_resolver::proto::rr::RecordType::TXT).await?;
        let Answer::Records(records) = answer else { return Ok(None) };
        let texts: Vec<Vec<u8>> = spf::texts(&records).into_iter().filter(|text| text.starts_with(b"v=STSv1")).collect();
        Ok(match texts.as_slice() {
            [one] => std::str::from_utf8(one).ok().and_then(record_id).map(Into::into),
            _ => None,
        })
    }

    /// A domain's policy.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn policy(&self, domain: &Domain) -> Result<StsPolicy, StsFault> {
        let text = timeout(TIME_MAX, self.get(domain)).await;
        let text = text.unwrap_or_else(|_| Err(fault(TlsFailure::PolicyFetch, "its host did not answer in time")))?;
        StsPolicy::read(&text).map_err(|why| fault(TlsFailure::PolicyInvalid, why))
    }

    async fn get(&self, domain: &Domain) -> Result<String, StsFault> {
        let failed = |why: &dyn std::fmt::Display| fault(TlsFailure::PolicyFetch, why.to_string());
        let host = Domain::parse(&format!("mta-sts.{domain}")).map_err(|why| failed(&why))?;
        let name = ServerName::try_from(host.to_string()).map_err(|why| failed(&why))?;
        let addresses = self.resolver.addresses(&host).await.map_err(|why| failed(&why))?;
        let tcp = self.connect(&addresses).await.map_err(|why| failed(&why))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.map_err(|error| {
            // RFC 8460 §4.3.2.2: what is wrong with the certificate is told apart from what is wrong with the way there.
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let of_certificate = matches!(inner, Some(rustls::Error::InvalidCertificate(_)));
            let failure = if of_certificate { TlsFailure::PolicyHost } else { TlsFailure::PolicyFetch };
            fault(failure, error.to_string())
        })?;
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(HEADER_BYTES_MAX);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|why| failed(&why))?;
        // Ends with this function, however that ends.
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let request = Request::get("/.well-known/mta-sts.txt").header("host", host.as_str());
        let request = request.body(Empty::<Bytes>::new()).map_err(|why| failed(&why))?;
        let response = sender.send_request(request).await.map_err(|why| failed(&why))?;
        // RFC 8461 §3.3: anything but 200 is a failure; a redirect would lead to where the certificate says nothing about the domain.
        if response.status() != hyper::StatusCode::OK {
            return Err(failed(&format!("its host answered with status {}", response.status().as_u16())));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        // RFC 8461 §3.2: some hosts let strangers put files there, but no plain text.
        if !kind.eq_ignore_ascii_case("text/plain") {
            return Err(fault(TlsFailure::PolicyInvalid, "it is not text/plain"));
        }
        let body = Limited::new(response.into_body(), BYTES_MAX).collect().await.map_err(|why| failed(&why))?;
        String::from_utf8(body.to_bytes().to_vec()).map_err(|_| fault(TlsFailure::PolicyInvalid, "it is no text"))
    }

    async fn connect(&self, addresses: &[IpAddr]) -> Result<TcpStream, String> {
        let mut why = "its host is on a network that is not everybody's".to_owned();
        for address in addresses.iter().filter(|address| self.private || is_public(address)).take(ADDRESSES_MAX) {
            match timeout(CONNECT_TIME_MAX, TcpStream::connect(SocketAddr::new(*address, self.port))).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => "its host does not answer".clone_into(&mut why),
            }
        }
        Err(why)
    }
}

/// An address that a stranger may make us connect to.
fn is_public(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // RFC 6598 §7: 100.64.0.0/10 is shared address space.
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast())
                && !(a == 100 && (b & 0xc0) == 64)
                && a != 0
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_that_are_not_everybodys_are_not_connected_to() {
        for inside in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.1.1", "0.0.0.0"] {
            assert!(!is_public(&inside.parse().unwrap()), "{inside}");
        }
        for inside in ["::1", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1"] {
            assert!(!is_public(&inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.2.1", "100.128.0.1", "2001:db8::1"] {
            assert!(is_public(&outside.parse().unwrap()), "{outside}");
        }
    }
}
