//! `[tls]`: the certificate this server shows.

use std::path::PathBuf;
use std::time::Duration;

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

section! {
    /// The certificate this server shows. With neither certificate nor key, a self-signed one is made in `data_dir` on the first
    /// start: good enough for mail from other servers, not for mail programs, which check it.
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
        /// How often certificate and key are looked at for a change.
        #[key(
            example = "\"1m\"",
            why = "a renewed certificate is in use within a minute, for two looks at a file",
            within = Duration::from_secs(1)..=Duration::from_secs(86_400)
        )]
        pub check_interval: Duration = Duration::from_secs(60);
        later "acme" = "certificates from an ACME authority";
    }
}
