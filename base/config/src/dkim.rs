//! `[[dkim]]`: signatures on mail that leaves. Promise: nothing is signed in a name that is not written here, and a key takes over only when its record is out.

use std::path::PathBuf;
use std::time::Duration;

use postern_mail::message::signed_fields;
use postern_mail::{Domain, Mailbox};

use crate::Config;
use crate::table::section;

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = DAY.saturating_mul(365);

section! {
    /// Signatures (DKIM, RFC 6376) on mail of this domain that leaves: that of accounts and relay networks, and our own reports. Two of them, RSA with
    /// 2048 bits and Ed25519 (RFC 8463), in the name of the author's domain or of one above it that is named here. Mail of strangers that is sent on is sealed
    /// instead, as `[arc]` says. Keys are made when the server starts or reloads and finds none; `postern dkim show` prints the records to publish.
    pub struct Dkim by domain {
        /// Whose signature it is. Mail from addresses in it or below it is signed; where several are named, by the nearest.
        #[key(example = "\"example.org\"", why = "only you can publish records in its name")]
        pub domain: Domain;
        /// What the names of keys begin with; the day they were made on and a letter follow, as in `p20261124r`.
        #[key(example = "\"mx1\"", why = "any name will do; of several servers with keys of their own each needs another")]
        pub selector: String = "p".to_owned();
        /// The folder with the private keys, in a folder for each domain, PKCS #8 in PEM, readable by the server's user only. Where a reload finds no such folder, no
        /// keys are made in it, and mail waits.
        #[key(example = "\"/var/lib/postern-keys\"", why = "beside everything else this server keeps", shown = "data_dir/dkim")]
        pub keys: Option<PathBuf> = None;
        /// New keys are made when those that sign are this old, and sign once their records are seen published. 0s: only by `postern dkim rotate`.
        #[key(example = "\"180d\"", why = "somebody has to publish the records, and should know when", within = Duration::ZERO..=YEAR.saturating_mul(10))]
        pub rotate_after: Duration = Duration::ZERO;
        /// How long the record of a key is needed behind its last signature: mail waits in queues, and is looked at late.
        #[key(example = "\"14d\"", why = "longer than mail waits anywhere", within = DAY..=YEAR)]
        pub overlap: Duration = DAY.saturating_mul(7);
        /// Fields that are signed, each as often as it is there and, but for `Sender` and those of lists, once more, so that none can be added.
        #[key(
            example = "[\"From\", \"To\", \"Subject\", \"Date\"]",
            why = "all that readers see or their programs go by",
            shown = "From, Sender, Reply-To, To, Cc, Subject, Date, Message-ID, In-Reply-To, References, MIME-Version, Content-Type, Content-Transfer-Encoding, and those of lists"
        )]
        pub headers: Vec<String> = signed_fields::DEFAULT.map(str::to_owned).to_vec();
        /// A signature is good for this long. 0s: without an end.
        #[key(example = "\"14d\"", why = "mail that is read late is not worse for it", within = Duration::ZERO..=YEAR)]
        pub expires_after: Duration = Duration::ZERO;
        /// Mail that cannot be signed, because a key cannot be read, waits in the queue. `false`: it leaves without.
        #[key(example = "false", why = "where a policy asks for signatures, mail without them is refused for good")]
        pub required: bool = true;
    }
}

impl Config {
    /// Who signs mail of this author: the nearest domain at or above his.
    #[must_use]
    pub fn dkim_for(&self, author: &Mailbox) -> Option<&Dkim> {
        let author = author.domain()?;
        self.dkim.iter().filter(|own| author.is_within(&own.domain)).max_by_key(|own| own.domain.as_str().len())
    }
}
