//! HTTPS with the authority. Promise: its certificate is verified, no redirect is followed, and each answer has an end in time and in octets.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Bytes;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For one request and its answer.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Of an answer; a chain of certificates is the longest.
const BYTES_MAX: usize = 256 * 1024;
/// Of its header.
const HEADER_BYTES_MAX: usize = 64 * 1024;

type Failure = Box<dyn StdError + Send + Sync>;

/// A client for one authority.
pub(crate) struct Https {
    tls: Arc<ClientConfig>,
}

impl Https {
    /// Verifies by these authorities, as PEM, or by the system's.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn new(authorities: Option<&[u8]>) -> Result<Self, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match authorities {
            None => {
                let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| error.to_string())?;
                // The library calls it dangerous to bring a verifier; this one verifies by the authorities of the system.
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
            }
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| error.to_string())?;
                    roots.add(certificate).map_err(|error| error.to_string())?;
                }
                if roots.is_empty() {
                    return Err("there is no certificate of an authority in ca_file".to_owned());
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        Ok(Self { tls: Arc::new(config) })
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = Arc::clone(&self.tls);
        Box::pin(async move {
            let answer = tokio::time::timeout(TIME_MAX, ask(tls, request)).await;
            answer.unwrap_or_else(|_| Err("no answer in time".into())).map_err(Error::Other)
        })
    }
}

async fn ask(tls: Arc<ClientConfig>, mut request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
    let uri = request.uri().clone();
    let (Some("https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("{uri} is not https").into());
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned())?;
    let tcp = TcpStream::connect((host, authority.port_u16().unwrap_or(443))).await?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // Ends with this function, however that ends.
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    request.headers_mut().insert("host", authority.as_str().parse()?);
    let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(path);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, BYTES_MAX).collect().await?.to_bytes();
    Ok(BytesResponse { parts, body: Box::new(body) })
}
