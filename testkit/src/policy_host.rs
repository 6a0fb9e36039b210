//! The host of policies on TLS (MTA-STS) inside the test: HTTPS with certificates of an authority of its own.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// An authority that signs certificates of hosts.
pub struct HostAuthority {
    signer: Issuer<'static, KeyPair>,
    pem: String,
}

impl HostAuthority {
    /// A new one.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { signer: Issuer::new(params, key), pem }
    }

    /// Writes its certificate to a file.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    pub fn write(&self, file: &Path) {
        std::fs::write(file, &self.pem).unwrap();
        crate::peers::allow(file, 0o644);
    }

    /// A server with a certificate for these names.
    ///
    /// # Panics
    /// When one of them is no name.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.signer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap())
    }
}

impl Default for HostAuthority {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Default)]
struct Shown {
    policies: HashMap<String, (u16, String)>,
    asked: Vec<String>,
    stopped: bool,
}

/// A running policy host, for all domains it is told of.
pub struct PolicyHost {
    address: SocketAddr,
    shown: Arc<Mutex<Shown>>,
}

impl PolicyHost {
    /// Starts it with a certificate for `mta-sts.` and these domains.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(authority: &HostAuthority, domains: &[&str]) -> Self {
        let names: Vec<String> = domains.iter().map(|domain| format!("mta-sts.{domain}")).collect();
        let tls = authority.server(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shown) = (listener.local_addr().unwrap(), Arc::<Mutex<Shown>>::default());
        let inner = Arc::clone(&shown);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if inner.lock().unwrap().stopped {
                    return;
                }
                let _ = answer(&inner, &tls, stream);
            }
        });
        Self { address, shown }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on this is the policy of a domain.
    ///
    /// # Panics
    /// Never.
    pub fn shows(&self, domain: &str, policy: &str) -> &Self {
        self.answers(domain, 200, policy)
    }

    /// From now on it answers with this status.
    ///
    /// # Panics
    /// Never.
    pub fn answers(&self, domain: &str, status: u16, policy: &str) -> &Self {
        self.shown.lock().unwrap().policies.insert(format!("mta-sts.{domain}"), (status, policy.to_owned()));
        self
    }

    /// How often it was asked for a domain's policy.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn asked(&self, domain: &str) -> usize {
        let host = format!("mta-sts.{domain}");
        self.shown.lock().unwrap().asked.iter().filter(|asked| **asked == host).count()
    }
}

impl Drop for PolicyHost {
    fn drop(&mut self) {
        if let Ok(mut shown) = self.shown.lock() {
            shown.stopped = true;
        }
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn answer(shown: &Mutex<Shown>, tls: &Arc<ServerConfig>, stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = ServerConnection::new(Arc::clone(tls)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let (mut first, mut host) = (String::new(), String::new());
    stream.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("host")
        {
            value.trim().clone_into(&mut host);
        }
    }
    let (status, text) = {
        let mut shown = shown.lock().unwrap();
        shown.asked.push(host.clone());
        let is_here = first == "GET /.well-known/mta-sts.txt HTTP/1.1\r\n";
        shown.policies.get(&host).filter(|_| is_here).cloned().unwrap_or((404, String::new()))
    };
    let header = format!("HTTP/1.1 {status} x\r\nContent-Type: text/plain\r\nLocation: https://elsewhere.test/\r\n");
    let stream = stream.get_mut();
    write!(stream, "{header}Content-Length: {}\r\nConnection: close\r\n\r\n{text}", text.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}
