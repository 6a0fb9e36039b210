//! Who a message is from, as far as DNS and signatures tell: SPF, DKIM, DMARC, ARC and the client's name, all within one deadline. Promise: whatever a
//! message and strangers' zones say, no more than [`SIGNATURES_MAX`] signatures and [`AUTHORS_MAX`] author domains are looked at; what is not known when the
//! time is over is `temperror`; and nobody has the policy of another domain skipped by a zone that is slow.
//!
//! For that, each signature and each author waits for its own name server, all of them at once; identifiers have half of the time, policies all of it; and
//! DMARC is a `temperror` only where the policy itself, or an identifier that is aligned with it, could not be looked up.
//!
//! Signatures, DMARC and ARC are the library's. It asks through a resolver of its own, which has the same name servers, times and bounds as ours and honours
//! times to live; its memory is below the texts, so that a text that was read as one kind of record is read again as another. Unlike our resolver it answers
//! `localhost` by itself, which nobody can publish a policy under.

mod pulse;
mod texts;

use std::future::{Future, pending, poll_fn};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError as NetDnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use mail_auth::crypto::Algorithm;
use mail_auth::dkim::DkimError;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcResult, DnsError, Error, MessageAuthenticator, Parameters, SpfOutput,
    SpfResult, TxtRecord,
};
use postern_mail::authenticity::{
    AUTHORS_MAX, Arc as Chain, AuthResult, Authenticity, Disposition, Dkim, Dmarc, Iprev, SEALERS_MAX, SIGNATURES_MAX, Spf, Words,
};
use postern_mail::message::auth_results::passed_authors;
use postern_mail::message::headers::HEADER_BYTES_MAX;
use postern_mail::{Domain, ReversePath};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use self::pulse::Pulse;
pub(crate) use self::texts::Keys;
use self::texts::Texts;
use crate::resolver::{LookupSettings, QUESTIONS_AT_ONCE_MAX, Resolver, SetupFailure, name_servers};
use crate::spf::{self, SpfAsked};
use crate::{reverse_dns, seal};

/// Fields that a signature may cover; long lists name some dozens.
const NAMES_MAX: usize = 200;
/// RFC 5322 §3.6 and RFC 2045 §3: fields that stand in a message once.
const SHOWN_ONCE: [&str; 8] = ["From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Content-Type"];

/// Whose domains the From field names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authors {
    /// Of each author, once.
    Domains(Vec<Domain>),
    /// There is nobody to go by, and why.
    Nobody(&'static str),
}

/// A message to be looked at.
#[derive(Clone, Debug)]
pub struct MessageAsked {
    /// The client.
    pub client: IpAddr,
    /// What it called itself.
    pub helo: String,
    /// MAIL FROM.
    pub from: ReversePath,
    /// Our own name.
    pub receiver: Arc<str>,
    /// Whose message it says it is.
    pub authors: Authors,
    /// For everything together.
    pub within: Duration,
}

/// A message of which the signatures were found and the body was hashed, as they ask.
pub struct ReadMessage<'a>(pub(crate) AuthenticatedMessage<'a>);

impl<'a> ReadMessage<'a> {
    /// Reads it. Takes the processor for as long as hashing takes: some milliseconds for a MiB.
    #[must_use]
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        AuthenticatedMessage::parse(octets).map(Self)
    }
}

/// An answer of DNS.
pub(crate) enum Asked {
    Records(Vec<RData>),
    Nothing,
    Failed(String),
}

/// Looks messages up. Cheap to clone; clones share servers and memory.
#[derive(Clone)]
pub struct Authenticator {
    pub(crate) library: MessageAuthenticator,
    resolver: Resolver,
    pulse: Pulse,
}

/// How long one message waits.
struct Patience {
    /// For identifiers.
    half: Instant,
    /// For policies.
    whole: Instant,
    /// Name servers do not answer at all.
    silence: watch::Receiver<bool>,
}

impl Patience {
    /// `None`: there was no answer in time.
    async fn until<T>(&self, until: Instant, work: impl Future<Output = T>) -> Option<T> {
        let mut silence = self.silence.clone();
        tokio::select! {
            biased;
            done = work => Some(done),
            () = sleep_until(until) => None,
            _ = silence.wait_for(|is_silent| *is_silent) => None,
        }
    }
}

/// What authors are compared with.
struct Identified {
    spf: Option<Spf>,
    passes: Vec<Pass>,
}

/// A few works at once, each to its end.
async fn together<T>(works: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut works: Vec<_> = works.map(|work| (Box::pin(work), None)).collect();
    poll_fn(|context| {
        let mut is_open = false;
        for (work, done) in &mut works {
            if done.is_none() {
                match work.as_mut().poll(context) {
                    Poll::Ready(value) => *done = Some(value),
                    Poll::Pending => is_open = true,
                }
            }
        }
        if is_open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    works.into_iter().filter_map(|(_, done)| done).collect()
}

impl Authenticator {
    /// With the servers and bounds of `resolver`.
    ///
    /// # Errors
    /// When no name server is known.
    pub fn new(resolver: &Resolver) -> Result<Self, SetupFailure> {
        let settings: &LookupSettings = &resolver.settings;
        let mut options = ResolverOpts::default();
        let attempts = settings.attempts.max(1);
        options.timeout = settings.timeout / attempts;
        options.attempts = usize::try_from(attempts.saturating_sub(1)).unwrap_or(1);
        options.ndots = 0;
        // As our own resolver: over one connection of TCP, a few slow zones would else keep everybody's questions from being asked.
        options.max_active_requests = QUESTIONS_AT_ONCE_MAX;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = u64::try_from(settings.cache_entries_max).unwrap_or(u64::MAX);
        options.positive_max_ttl = Some(settings.cache_time_max);
        options.negative_max_ttl = Some(settings.cache_negative_time_max);
        let config = ResolverConfig::from_parts(None, Vec::new(), name_servers(settings)?);
        let library = MessageAuthenticator::new(config, options).map_err(|error| SetupFailure::because(&error))?;
        Ok(Self { library, resolver: resolver.clone(), pulse: Pulse::default() })
    }

    pub(crate) async fn ask(&self, name: Name, kind: RecordType) -> Asked {
        match self.library.resolver().lookup(name.clone(), kind).await {
            Ok(found) => {
                let records: Vec<RData> = found
                    .answers()
                    .iter()
                    .filter(|record| record.record_type() == kind)
                    .map(|record| record.data.clone())
                    .collect();
                if records.is_empty() { Asked::Nothing } else { Asked::Records(records) }
            }
            Err(NetError::Dns(NetDnsError::NoRecordsFound(_))) => Asked::Nothing,
            Err(error) => Asked::Failed(format!("{name} {kind}: {error}")),
        }
    }

    /// Finds out all there is; a message that could not be read has no signatures.
    pub async fn examine(&self, asked: &MessageAsked, message: Option<ReadMessage<'_>>) -> Authenticity {
        let now = Instant::now();
        let (tell, silence) = watch::channel(false);
        let patience = Patience { half: now + asked.within / 2, whole: now + asked.within, silence };
        let silent = async {
            self.pulse.stops(&self.resolver).await;
            tell.send_replace(true);
            pending::<Authenticity>().await
        };
        tokio::select! {
            biased;
            found = self.look(asked, message, &patience) => found,
            none = silent => none,
        }
    }

    async fn look(&self, asked: &MessageAsked, message: Option<ReadMessage<'_>>, patience: &Patience) -> Authenticity {
        let (tell, identified) = watch::channel(None);
        let identify = async {
            let found = Box::pin(self.identify(asked, message, patience)).await;
            // RFC 9989 takes the domain of MAIL FROM, and RFC 7208 §2.4 that of HELO for mail without one.
            let spf = found.0.spf_mail.as_ref().or(found.0.spf_helo.as_ref()).cloned();
            tell.send_replace(Some(Arc::new(Identified { spf, passes: found.1 })));
            found.0
        };
        let (domains, no_author) = match &asked.authors {
            Authors::Nobody(why) => (&[][..], *why),
            Authors::Domains(domains) if domains.len() > AUTHORS_MAX => (&[][..], "the From field names too many domains"),
            Authors::Domains(domains) => (domains.as_slice(), ""),
        };
        let (found, dmarc) =
            tokio::join!(identify, together(domains.iter().map(|domain| self.author(domain, identified.clone(), patience))));
        Authenticity { dmarc, no_author: Words::new(no_author), ..found }
    }

    /// What an author's domain asks for is looked up before it is known who the message is from, so that nothing slow can delay it.
    async fn author(
        &self,
        domain: &Domain,
        mut identified: watch::Receiver<Option<Arc<Identified>>>,
        patience: &Patience,
    ) -> Dmarc {
        let texts = Texts::default();
        let nobody = Identified { spf: None, passes: Vec::new() };
        let first = patience.until(patience.whole, self.dmarc(domain, &nobody, &texts)).await;
        let Some(first) = first else { return unknown_dmarc(domain) };
        if first.result == AuthResult::None {
            return first;
        }
        // Whoever identifies is done when half of the time is over.
        let Ok(identified) = identified.wait_for(Option::is_some).await.map(|found| found.clone()) else { return first };
        let Some(identified) = identified else { return first };
        let compared = patience.until(patience.whole, self.dmarc(domain, &identified, &texts)).await;
        compared.unwrap_or_else(|| Dmarc { asked: first.asked, testing: first.testing, ..unknown_dmarc(domain) })
    }

    async fn identify(
        &self,
        asked: &MessageAsked,
        message: Option<ReadMessage<'_>>,
        patience: &Patience,
    ) -> (Authenticity, Vec<Pass>) {
        let mail_from = asked.from.mailbox().map(ToString::to_string);
        let (spf_helo, spf_mail, signed, iprev) = tokio::join!(
            self.spf(asked, None, patience),
            async {
                match &mail_from {
                    Some(path) => Some(self.spf(asked, Some(path), patience).await),
                    None => None,
                }
            },
            self.signatures(message, patience),
            async {
                patience.until(patience.half, reverse_dns::iprev(&self.resolver, asked.client)).await.unwrap_or_else(no_iprev)
            },
        );
        let found = Authenticity {
            spf_helo: Some(spf_helo),
            spf_mail,
            dkim: signed.dkim,
            arc: signed.arc,
            iprev: Some(iprev),
            ..Authenticity::default()
        };
        (found, signed.passes)
    }

    async fn spf(&self, asked: &MessageAsked, mail_from: Option<&str>, patience: &Patience) -> Spf {
        let question = SpfAsked {
            client: asked.client,
            helo: &asked.helo,
            mail_from,
            receiver: &asked.receiver,
            now: seal::seconds(),
            aside_within: asked.within / 8,
        };
        match patience.until(patience.half, spf::check(self, &question)).await {
            Some(spf) => spf,
            None => no_spf(mail_from.and_then(|path| path.rsplit_once('@')).map_or(&asked.helo, |(_, domain)| domain)),
        }
    }

    /// The keys of all signatures, each waited for by itself. Only names that are still unknown after that are asked for again by nobody.
    async fn keys(&self, message: &AuthenticatedMessage<'_>, patience: &Patience) -> Keys {
        let found = together(message.dkim_signatures().iter().map(|header| async move {
            let name = format!("{}._domainkey.{}.", header.header.s, header.header.d);
            let key = patience.until(patience.half, self.key(&name)).await;
            let key = key.unwrap_or_else(|| TxtRecord::Error(Error::Dns(DnsError::Resolver("no answer in time".to_owned()))));
            (name, key)
        }));
        Keys::new(found.await)
    }

    async fn key(&self, name: &str) -> TxtRecord {
        let Ok(asked) = Name::from_str_relaxed(name) else { return TxtRecord::Error(Error::Parse) };
        match self.ask(asked, RecordType::TXT).await {
            Asked::Records(records) => texts::key(&spf::texts(&records)),
            Asked::Nothing => TxtRecord::Error(Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain))),
            Asked::Failed(why) => TxtRecord::Error(Error::Dns(DnsError::Resolver(why))),
        }
    }

    /// The keys of a chain, in the shape of which [`texts::key`] says whether they are for mail.
    pub(crate) async fn chain_keys(&self, message: &AuthenticatedMessage<'_>) -> Keys {
        let names = seal::key_names(message);
        Keys::new(together(names.into_iter().map(|name| async move { (name.clone(), self.key(&name).await) })).await)
    }

    async fn signatures(&self, message: Option<ReadMessage<'_>>, patience: &Patience) -> Signed {
        let Some(ReadMessage(mut message)) = message else {
            return Signed { dkim: Vec::new(), passes: Vec::new(), arc: None };
        };
        if let Some(why) = too_much(&message) {
            let words = Words::default;
            let (domain, selector, algorithm, signature) = (words(), words(), words(), words());
            let one = Dkim { domain, selector, algorithm, signature, result: AuthResult::PermError, why: Words::new(why) };
            return Signed { dkim: vec![one], passes: Vec::new(), arc: seal::has_arc(&message).then(|| broken(why)) };
        }
        let mut dkim = Vec::new();
        let repeated = repeated(&message);
        let unreadable = message.errors().iter().filter(|error| matches!(error.header, Error::Dkim(_))).count();
        let mut looked_at = 0;
        message.retain_dkim_signatures(|signature| {
            looked_at += 1;
            match unacceptable(signature, &repeated) {
                _ if looked_at > SIGNATURES_MAX => {}
                Some((result, why)) => dkim.push(word(signature, result, why)),
                None => return Ok(()),
            }
            Err(DkimError::UnsupportedAlgorithm)
        });
        let (keys, arc) = tokio::join!(self.keys(&message, patience), patience.until(patience.half, self.chain(&message)));
        let arc = arc.unwrap_or_else(|| Some(Chain { result: AuthResult::TempError, ..broken("no answer in time") }));
        let mut passes = Vec::new();
        let outputs = self.library.verify_dkim(Parameters::new(&message).with_cache(&keys)).await;
        let (without, with): (Vec<_>, Vec<_>) = outputs.into_iter().partition(|output| output.signature().is_none());
        for output in &with {
            if let Some(signature) = output.signature() {
                let (result, why) = dkim_result(output.result());
                dkim.push(word(signature, result, &why));
                passes.push(Pass { domain: signature.d.clone(), result });
            }
        }
        for output in without.iter().take(unreadable) {
            let (result, why) = dkim_result(output.result());
            let none = Words::default;
            dkim.push(Dkim {
                domain: none(),
                selector: none(),
                algorithm: none(),
                signature: none(),
                result,
                why: Words::new(&why),
            });
        }
        dkim.truncate(SIGNATURES_MAX);
        Signed { dkim, passes, arc }
    }

    /// RFC 8617 §4.4: a chain is there and holds, is there and is broken, or is not there.
    async fn chain(&self, message: &AuthenticatedMessage<'_>) -> Option<Chain> {
        if !seal::has_arc(message) {
            return None;
        }
        if names_too_many(message) {
            return Some(broken("a message signature names too many fields"));
        }
        let mut output = self.library.verify_arc(message).await;
        let keys;
        if *output.result() == DkimResult::Pass {
            // RFC 8617 §4.1.2, §4.1.3: keys are those of DKIM. The library does not look at what they are for. Only now, since they are remembered: a chain
            // that is broken anyway has nobody asked for its keys.
            keys = self.chain_keys(message).await;
            output = self.library.verify_arc(Parameters::new(message).with_cache(&keys)).await;
        }
        let sealers = message.arc_seals().iter().take(SEALERS_MAX).map(|seal| Words::new(&seal.header.d)).collect();
        let (result, why) = match dkim_result(output.result()) {
            (AuthResult::None, _) => (AuthResult::Fail, "an incomplete set".to_owned()),
            (AuthResult::Pass, _) => match seal::wrong_in(message) {
                Some(why) => (AuthResult::Fail, why.to_owned()),
                None => (AuthResult::Pass, String::new()),
            },
            (AuthResult::TempError, why) => (AuthResult::TempError, why),
            (_, why) => (AuthResult::Fail, why),
        };
        let last = message.arc_authentication_results().iter().max_by_key(|results| results.header.i);
        let passed = last.map(|results| passed_authors(&String::from_utf8_lossy(results.value))).unwrap_or_default();
        let passed = passed.iter().take(AUTHORS_MAX).map(|author| Words::new(author)).collect();
        Some(Chain { result, sealers, why: Words::new(&why), passed })
    }

    async fn dmarc(&self, domain: &Domain, Identified { spf, passes }: &Identified, texts: &Texts) -> Dmarc {
        // The library takes the author from a message. It is given one that has nothing but the author we have read.
        let from = format!("From: <a@{domain}>\r\n\r\n");
        let Some(message) = AuthenticatedMessage::parse(from.as_bytes()) else { return unknown_dmarc(domain) };
        let signatures: Vec<(mail_auth::dkim::Signature, AuthResult)> = passes
            .iter()
            .map(|pass| (mail_auth::dkim::Signature { d: pass.domain.clone(), ..Default::default() }, pass.result))
            .collect();
        let outputs: Vec<DkimOutput<'_>> = signatures
            .iter()
            .map(|(signature, result)| {
                let result = match result {
                    AuthResult::Pass => DkimResult::Pass,
                    AuthResult::TempError => DkimResult::TempError(Error::Dns(DnsError::Resolver(String::new()))),
                    _ => DkimResult::Neutral(Error::NotAligned),
                };
                DkimOutput::from(result).with_signature(signature)
            })
            .collect();
        let spf = spf.as_ref();
        let spf_domain = spf.map_or("", |spf| spf.domain.as_str());
        let spf_output = SpfOutput::new(spf_domain.to_owned()).with_result(match spf.map(|spf| spf.result) {
            Some(AuthResult::Pass) => SpfResult::Pass,
            Some(AuthResult::TempError) => SpfResult::TempError,
            _ => SpfResult::None,
        });
        let parameters = Parameters::new(DmarcParameters::new(&message, &outputs, spf_domain, &spf_output));
        let output = self.library.verify_dmarc(parameters.with_cache(texts)).await;
        let (result, why) = match output.result() {
            DmarcResult::Pass => (AuthResult::Pass, String::new()),
            DmarcResult::Fail(_) => (AuthResult::Fail, not_aligned(spf, passes)),
            DmarcResult::TempError(error) => (AuthResult::TempError, error.to_string()),
            DmarcResult::PermError(error) => (AuthResult::PermError, error.to_string()),
            DmarcResult::None => (AuthResult::None, String::new()),
        };
        Dmarc {
            domain: Words::new(domain.as_str()),
            result,
            asked: match output.policy() {
                Policy::Reject => Disposition::Reject,
                Policy::Quarantine => Disposition::Quarantine,
                Policy::None | Policy::Unspecified => Disposition::None,
            },
            testing: output.record().is_some_and(|record| record.t),
            aligned_spf: *output.spf_result() == DmarcResult::Pass,
            aligned_dkim: *output.dkim_result() == DmarcResult::Pass,
            why: Words::new(&why),
        }
    }
}

struct Signed {
    dkim: Vec<Dkim>,
    passes: Vec<Pass>,
    arc: Option<Chain>,
}

/// A signature as far as alignment looks at it.
struct Pass {
    domain: String,
    result: AuthResult,
}

/// Why no signature of it is verified: for each name that one covers the library goes through all fields.
pub(crate) fn too_much(message: &AuthenticatedMessage<'_>) -> Option<&'static str> {
    // With its empty line.
    (message.body_offset() > HEADER_BYTES_MAX + 2).then_some("the header section is too long")
}

/// A chain with a signature that is not verified for that reason.
pub(crate) fn names_too_many(message: &AuthenticatedMessage<'_>) -> bool {
    message.arc_message_signatures().iter().any(|signature| signature.header.h.len() > NAMES_MAX)
}

fn broken(why: &str) -> Chain {
    Chain { result: AuthResult::Fail, sealers: Vec::new(), why: Words::new(why), passed: Vec::new() }
}

/// Fields that programs show once, or go by, and that stand there more often: how often.
fn repeated(message: &AuthenticatedMessage<'_>) -> Vec<(&'static str, usize)> {
    let count = |name: &'static str| {
        let own = |field: &[u8]| field.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        (name, message.headers().iter().filter(|(field, _)| own(field)).count())
    };
    SHOWN_ONCE.into_iter().map(count).filter(|(_, count)| *count > 1).collect()
}

/// What the library lets through and we do not.
fn unacceptable(
    signature: &mail_auth::dkim::Signature,
    repeated: &[(&'static str, usize)],
) -> Option<(AuthResult, &'static str)> {
    if signature.h.len() > NAMES_MAX {
        return Some((AuthResult::PermError, "the signature names too many fields"));
    }
    let covered = |name: &str| signature.h.iter().filter(|own| own.trim().eq_ignore_ascii_case(name)).count();
    if repeated.iter().any(|(name, count)| *count > covered(name)) {
        // RFC 6376 §8.15: whoever adds a second one in front has his own shown.
        return Some((AuthResult::Policy, "a field that should stand there once is there again, unsigned"));
    }
    if signature.v != 1 {
        // RFC 6376 §3.5: the tag is required.
        return Some((AuthResult::PermError, "the signature has no v=1"));
    }
    if signature.a == Algorithm::RsaSha1 {
        // RFC 8301 §3.1: not to be used, and not to be believed.
        return Some((AuthResult::PermError, "rsa-sha1 is not accepted"));
    }
    // RFC 6376 §5.4: From is always signed.
    (!signature.h.iter().any(|name| name.eq_ignore_ascii_case("from"))).then_some((AuthResult::PermError, "From is not signed"))
}

fn word(signature: &mail_auth::dkim::Signature, result: AuthResult, why: &str) -> Dkim {
    Dkim {
        domain: Words::new(&signature.d),
        selector: Words::new(&signature.s),
        algorithm: Words::new(signature.a.name()),
        signature: Words::new(&seal::base64_start(&signature.b)),
        result,
        why: Words::new(why),
    }
}

fn dkim_result(result: &DkimResult) -> (AuthResult, String) {
    match result {
        DkimResult::Pass => (AuthResult::Pass, String::new()),
        // RFC 8601 §2.7.1: a signature that does not verify is `fail`; the library calls a changed body and an old signature neutral.
        DkimResult::Neutral(error @ Error::Dkim(DkimError::BodyHashMismatch | DkimError::SignatureExpired)) => {
            (AuthResult::Fail, error.to_string())
        }
        DkimResult::Neutral(error @ Error::Dkim(DkimError::BodyLengthTag)) => (AuthResult::Policy, error.to_string()),
        DkimResult::Neutral(error) => (AuthResult::Neutral, error.to_string()),
        DkimResult::Fail(error) => (AuthResult::Fail, error.to_string()),
        DkimResult::PermError(error) => (AuthResult::PermError, error.to_string()),
        DkimResult::TempError(error) => (AuthResult::TempError, error.to_string()),
        DkimResult::None => (AuthResult::None, String::new()),
    }
}

fn not_aligned(spf: Option<&Spf>, passes: &[Pass]) -> String {
    let spf = spf.map_or_else(String::new, |spf| format!("SPF {} for {}", spf.result, spf.domain));
    let signed: Vec<&str> =
        passes.iter().filter(|pass| pass.result == AuthResult::Pass).map(|pass| pass.domain.as_str()).collect();
    let dkim =
        if signed.is_empty() { "no valid DKIM signature".to_owned() } else { format!("DKIM pass for {}", signed.join(", ")) };
    [spf, dkim].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn no_spf(domain: &str) -> Spf {
    Spf {
        domain: Words::new(domain),
        result: AuthResult::TempError,
        why: Words::new("no answer in time"),
        explanation: Words::default(),
    }
}

fn no_iprev() -> Iprev {
    Iprev { result: AuthResult::TempError, name: Words::default() }
}

fn unknown_dmarc(domain: &Domain) -> Dmarc {
    Dmarc {
        domain: Words::new(domain.as_str()),
        result: AuthResult::TempError,
        asked: Disposition::None,
        testing: false,
        aligned_spf: false,
        aligned_dkim: false,
        why: Words::new("no answer in time"),
    }
}
