//! `[tls]`: the certificate this server shows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use postern_mail::{Domain, Mailbox};

use crate::oidc::IssuerUrl;
use crate::table::section;
use crate::value::choice;

choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// RFC 5246.
        Tls12 = "1.2",
        /// RFC 8446.
        Tls13 = "1.3",
    }
}

choice! {
    /// What in a client's certificate says whose it is.
    pub enum ClientIdentity {
        /// Only what was noted for an account.
        Fingerprint = "fingerprint",
        /// That, and the addresses in it.
        Address = "address",
    }
}

section! {
    /// The certificate this server shows. With neither certificate nor key nor `acme`, a self-signed one is made in `data_dir` on the
    /// first start: good enough for mail from other servers, not for mail programs, which check it.
    pub struct Tls: Default {
        /// The chain in PEM, the server's own certificate first. Read again when the file changes.
        #[key(
            example = "\"/etc/postern/fullchain.pem\"",
            why = "TLS works before anything is configured: a self-signed certificate is made"
        )]
        pub certificate: Option<PathBuf> = None;
        /// Its private key in PEM.
        #[key(example = "\"/etc/postern/key.pem\"", why = "as with the certificate")]
        pub key: Option<PathBuf> = None;
        /// The oldest version spoken with clients.
        #[key(
            example = "\"1.2\"",
            why = "RFC 8996 forbids what is older; with 1.3 some senders would fall back to clear text",
            restart = true
        )]
        pub version_min: TlsVersion = TlsVersion::Tls12;
        /// How often certificate and key, and what `client_ca` and `client_crl` name, are looked at for a change.
        #[key(
            example = "\"1m\"",
            why = "a renewed certificate is in use within a minute, for two looks at a file",
            within = Duration::from_secs(1)..=Duration::from_secs(86_400)
        )]
        pub check_interval: Duration = Duration::from_secs(60);
        /// Authorities whose certificates clients may log in with by EXTERNAL, in PEM. With it, clients are asked for a certificate on
        /// `submission` and `submissions` listeners; who has none goes on without.
        #[key(
            example = "\"/etc/postern/client-ca.pem\"",
            why = "nobody is asked for a certificate that no authority of yours vouches for"
        )]
        pub client_ca: Option<PathBuf> = None;
        /// What in such a certificate says whose it is: `fingerprint`, noted by `postern account certificate`, or `address`, which also
        /// believes the authority when it says which address a certificate is for.
        #[key(
            example = "\"address\"",
            why = "an authority that was chosen for something else might not check addresses, and taking a fingerprint back is enough then"
        )]
        pub client_identity: ClientIdentity = ClientIdentity::Fingerprint;
        /// Lists of revoked certificates of these authorities, in PEM. A certificate that is on one, and one that none speaks of, is refused in
        /// the handshake; past its next update a list speaks of none. A renewed one is taken up as a renewed certificate is.
        #[key(
            example = "\"/etc/postern/client-crl.pem\"",
            why = "not every authority has one; without it an account's certificate is taken back in the account"
        )]
        pub client_crl: Option<PathBuf> = None;
        /// An authority that the certificate is got from and renewed by.
        #[key(example = "", why = "an authority is asked by those who agree to its terms")]
        pub acme: Option<Acme> = None;
    }
}

section! {
    /// Certificates from an ACME authority (RFC 8555), such as Let's Encrypt. Naming one means that you agree to its terms. Until the
    /// first certificate is there, the self-signed one is shown; each is renewed when the authority suggests it, and after two thirds
    /// of its life at the latest. That the names are ours is proved by http-01: the authority asks them on port 80.
    pub struct Acme {
        /// The address of its directory.
        #[key(example = "\"https://acme-v02.api.letsencrypt.org/directory\"", why = "there is no authority everybody trusts")]
        pub directory: IssuerUrl;
        /// Where it may write to, about certificates that end.
        #[key(example = "[\"hostmaster@example.org\"]", why = "authorities do not ask for it any more")]
        pub contact: Vec<Mailbox> = Vec::new();
        /// Names of the certificate.
        #[key(example = "[\"mx.example.org\", \"mail.example.org\"]", why = "what clients connect to", shown = "`server.hostname`")]
        pub domains: Vec<Domain> = Vec::new();
        /// Where the authority's questions are answered, and nothing else is. It asks on port 80; elsewhere only behind something that
        /// passes `/.well-known/acme-challenge/` on.
        #[key(example = "[\"127.0.0.1:8080\"]", why = "authorities ask nowhere else", restart = true)]
        pub bind: Vec<SocketAddr> = everywhere();
        /// Orders in a day, failed ones too.
        #[key(example = "2", why = "one is enough in two months; authorities shut out who asks too often", within = 1..=50)]
        pub orders_per_day: u32 = 5;
        /// Authorities that vouch for its own certificate, in PEM.
        #[key(example = "\"/etc/postern/company-ca.pem\"", why = "the system's own are enough for public ones", shown = "the system's")]
        pub ca_file: Option<PathBuf> = None;
    }
}

fn everywhere() -> Vec<SocketAddr> {
    [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)]
        .map(|address| SocketAddr::new(address, 80))
        .to_vec()
}

impl Acme {
    /// Names of the certificate: `hostname` where none is named.
    #[must_use]
    pub fn names(&self, hostname: &Domain) -> Vec<Domain> {
        if self.domains.is_empty() { vec![hostname.clone()] } else { self.domains.clone() }
    }
}
