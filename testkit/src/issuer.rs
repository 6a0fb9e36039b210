//! An OpenID Connect issuer on loopback, over HTTPS with an authority of its own: it signs tokens, turns its keys over, and misbehaves when told
//! to. And certificates for clients, from an authority made for a test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer as Signer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::peers::allow;

/// What the issuer does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Well,
    /// Closes without an answer.
    Away,
    /// Says nothing, until it feels otherwise.
    Silent,
    /// Says it moved.
    Redirects,
    /// Sends more than anybody should read.
    Huge,
    /// Says it is another issuer.
    Another,
}

struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

struct Shared {
    address: SocketAddr,
    key: Mutex<Key>,
    mood: Mutex<Mood>,
    mood_changed: Condvar,
    asked: AtomicUsize,
    stop: AtomicBool,
}

/// One issuer.
pub struct TestIssuer(Arc<Shared>);

fn new_key(number: usize) -> Key {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    Key { id: format!("key-{number}"), pair }
}

fn encode(octets: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// Seconds since 1970.
#[must_use]
pub fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

impl TestIssuer {
    /// Starts one, and writes its authority to `issuer-ca.pem` in this folder.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let authority = Authority::new(folder, "issuer-ca.pem");
        let tls = authority.server();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            key: Mutex::new(new_key(0)),
            mood: Mutex::new(Mood::Well),
            mood_changed: Condvar::new(),
            asked: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.stop.load(Ordering::Relaxed) {
                    return;
                }
                let _ = answer(&served, &tls, stream);
            }
        });
        Self(shared)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("https://{}", self.0.address)
    }

    /// From now on it does this.
    ///
    /// # Panics
    /// Never.
    pub fn feel(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
        self.0.mood_changed.notify_all();
    }

    /// A new key in place of the old one.
    ///
    /// # Panics
    /// Never.
    pub fn turn_key(&self, number: usize) {
        *self.0.key.lock().unwrap() = new_key(number);
    }

    /// Connections so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// A token with these claims, good until told otherwise; `claims` are added or replace what is there.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn token(&self, email: &str, claims: &serde_json::Value) -> String {
        let mut all = serde_json::json!({
            "iss": self.name(), "aud": "postern", "exp": seconds() + 600, "iat": seconds(), "sub": "7", "email": email, "email_verified": true,
        });
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let key = self.0.key.lock().unwrap();
        let header = serde_json::json!({ "alg": "ES256", "typ": "JWT", "kid": key.id });
        let signed = format!("{}.{}", encode(header.to_string()), encode(all.to_string()));
        let signature = key.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature.as_ref()))
    }

    /// A token signed with what anybody can read, its public key, as if that were a secret shared with it (RFC 8725 §2.1).
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn signed_with_its_public_key(&self, email: &str) -> String {
        let unsigned = self.forged(email, "HS256", b"");
        let signed = unsigned.trim_end_matches('.');
        let key = self.0.key.lock().unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.pair.public_key().as_ref());
        format!("{signed}.{}", encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    }

    /// The same token with another algorithm in its header, and this for a signature.
    #[must_use]
    pub fn forged(&self, email: &str, algorithm: &str, signature: &[u8]) -> String {
        let token = self.token(email, &serde_json::Value::Null);
        let claims = token.split('.').nth(1).unwrap_or_default().to_owned();
        let header = serde_json::json!({ "alg": algorithm, "kid": "key-0" });
        format!("{}.{claims}.{}", encode(header.to_string()), encode(signature))
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
        self.feel(Mood::Away);
        drop(TcpStream::connect(self.0.address));
    }
}

fn documents(shared: &Shared, path: &str) -> String {
    let name = format!("https://{}", shared.address);
    if path == "/keys" {
        let key = shared.key.lock().unwrap();
        let point = key.pair.public_key().as_ref();
        let jwk = serde_json::json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id, "x": encode(&point[1..33]), "y": encode(&point[33..]),
        });
        // One that nobody may take for a key to verify with, and one of a sort nobody knows.
        let secret = serde_json::json!({ "kty": "oct", "kid": "key-0", "k": encode("shared") });
        return serde_json::json!({ "keys": [secret, { "kty": "new" }, jwk] }).to_string();
    }
    let issuer =
        if *shared.mood.lock().unwrap() == Mood::Another { "https://elsewhere.example".to_owned() } else { name.clone() };
    serde_json::json!({ "issuer": issuer, "jwks_uri": format!("{name}/keys") }).to_string()
}

fn answer(shared: &Shared, tls: &Arc<ServerConfig>, tcp: TcpStream) -> std::io::Result<()> {
    shared.asked.fetch_add(1, Ordering::Relaxed);
    let mood = shared.mood.lock().unwrap();
    let mood = *shared.mood_changed.wait_while(mood, |mood| *mood == Mood::Silent).unwrap();
    if mood == Mood::Away {
        return Ok(());
    }
    tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(tls)).unwrap(), tcp);
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            count => request.extend_from_slice(&piece[..count]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("/");
    let body = match mood {
        Mood::Huge => " ".repeat(400_000) + &documents(shared, path),
        _ => documents(shared, path),
    };
    let status = if mood == Mood::Redirects { "302 Found\r\nlocation: /keys" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// An authority made for a test.
pub struct Authority {
    signer: Signer<'static, KeyPair>,
}

/// A client's certificate.
#[derive(Debug)]
pub struct Holder {
    /// SHA-256, in hexadecimal digits.
    pub fingerprint: String,
    serial: SerialNumber,
}

impl Authority {
    /// Writes its certificate into this folder, under this name.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn new(folder: &Path, file: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(file), certificate.pem()).unwrap();
        allow(&folder.join(file), 0o644);
        Self { signer: Signer::new(params, key) }
    }

    fn for_loopback(&self) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.signer).unwrap(), key)
    }

    /// A certificate of this authority for a server at 127.0.0.1, as `server.pem` and `server-key.pem`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write_server(&self, folder: &Path) {
        let (certificate, key) = self.for_loopback();
        std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("server-key.pem"), key.serialize_pem()).unwrap();
    }

    /// A server at 127.0.0.1 with a certificate of this authority.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        let (certificate, key) = self.for_loopback();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(tls.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap())
    }

    /// Makes a certificate for a client of this address, as `client.pem` and `client-key.pem`; one that ended a day ago where `ended`.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn client(&self, folder: &Path, address: &str, ended: bool) -> Holder {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if ended {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let serial = SerialNumber::from(seconds());
        params.serial_number = Some(serial.clone());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.signer).unwrap();
        std::fs::write(folder.join("client.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("client-key.pem"), key.serialize_pem()).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
        Holder { fingerprint: digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect(), serial }
    }

    /// Writes a list of what it revoked into this folder, as `client-crl.pem`.
    ///
    /// # Panics
    /// When it cannot.
    pub fn revoke(&self, folder: &Path, holders: &[&Holder]) {
        self.revoke_until(folder, holders, 2090);
    }

    /// The same, with a next update at the beginning of this year.
    ///
    /// # Panics
    /// When it cannot.
    pub fn revoke_until(&self, folder: &Path, holders: &[&Holder], year: i32) {
        let revoked = |holder: &&Holder| RevokedCertParams {
            serial_number: holder.serial.clone(),
            revocation_time: rcgen::date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2021, 1, 1),
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: holders.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.signer).unwrap();
        // Replaced, not written over: whoever looks meanwhile sees a whole file.
        let new = folder.join("client-crl.pem.new");
        std::fs::write(&new, list.pem().unwrap()).unwrap();
        allow(&new, 0o644);
        std::fs::rename(&new, folder.join("client-crl.pem")).unwrap();
    }
}
