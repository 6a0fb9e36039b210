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
        later "acme" = "certificates from an ACME authority";
    }
}
