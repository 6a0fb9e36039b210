//! Asking an issuer for its keys, over HTTPS and nothing else.
//!
//! Promise: five seconds for everything, 256 KiB for each document, no redirect is followed, and the issuer's certificate is verified.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::keys::{self, Key};

/// For both documents together, from the first look-up of a name.
const TIME_MAX: Duration = Duration::from_secs(5);
/// For one of its addresses.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// Addresses of an issuer that are tried.
const ADDRESSES_MAX: usize = 4;
/// Of one document.
const BYTES_MAX: usize = 256 * 1024;
/// Of the header of one answer.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// How issuers' certificates are verified.
pub(super) fn tls(authorities: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let Some(pem) = authorities else {
        let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| error.to_string())?;
        // The library calls it dangerous to bring a verifier; this one verifies by the authorities of the system.
        return Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()));
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("there is no certificate of an authority in its ca_file".to_owned());
    }
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// The keys an issuer has now.
///
/// # Errors
/// In words, for the log.
pub(super) async fn keys(tls: &Arc<ClientConfig>, issuer: &str) -> Result<Vec<Key>, String> {
    let both = async {
        // OpenID Connect Discovery 1.0 §4: below the issuer's name, whatever its path. RFC 8414 §3 puts it elsewhere for issuers that
        // are no OpenID providers; RFC 8414 §5 lets those be found here.
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let discovery: Discovery =
            serde_json::from_slice(&get(tls, &place).await?).map_err(|error| format!("{place} does not read: {error}"))?;
        // RFC 8414 §3.3: to the letter, or it is somebody else's.
        if discovery.issuer != issuer {
            return Err(format!("{place} is that of another issuer"));
        }
        keys::read(&get(tls, &discovery.jwks_uri).await?)
    };
    tokio::time::timeout(TIME_MAX, both).await.unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
}

/// To the first that answers: one that is a black hole must not use up the time of the others.
async fn connect(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.take(ADDRESSES_MAX) {
        match tokio::time::timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(failure)
}

async fn get(tls: &Arc<ClientConfig>, place: &str) -> Result<Bytes, String> {
    let uri: Uri = place.parse().map_err(|_| "a place it names is no address".to_owned())?;
    let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("a place it names is not https".to_owned());
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| "a place it names has no host".to_owned())?;
    let words = |what: &str, error: &dyn std::fmt::Display| format!("{what} {host}: {error}");
    let addresses = tokio::net::lookup_host((host, authority.port_u16().unwrap_or(443))).await;
    let tcp = connect(addresses.map_err(|error| words("looking up", &error))?).await;
    let tcp = tcp.map_err(|error| words("connecting to", &error))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.map_err(|error| words("TLS with", &error))?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| words("HTTP with", &error))?;
    // Ends with this function, however that ends.
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header("host", authority.as_str())
        .header("accept", "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| words("asking", &error))?;
    let response = sender.send_request(request).await.map_err(|error| words("HTTP with", &error))?;
    // A redirect would lead to where nobody was told to look.
    if response.status() != hyper::StatusCode::OK {
        return Err(format!("{host} answered with status {}", response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| words("the answer of", &error))
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn an_address_that_is_a_black_hole_leaves_time_for_the_next() {
        // Whose queue is full, the kernel answers nobody.
        let hole = TcpSocket::new_v4().unwrap();
        hole.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let hole = hole.listen(0).unwrap();
        let hole_at = hole.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(hole_at)).await {
            waiting.push(stream);
        }
        let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good_at = good.local_addr().unwrap();
        let found = connect([refused, hole_at, good_at].into_iter()).await.unwrap();
        assert_eq!(found.peer_addr().unwrap(), good_at);
        let too_many = std::iter::repeat_n(refused, ADDRESSES_MAX).chain([good_at]);
        assert!(connect(too_many).await.is_err());
    }
}
