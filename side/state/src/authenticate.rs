//! Who a client proves to be: AUTH PLAIN, LOGIN, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 4954, RFC 4616, RFC 7677), by the token of an
//! issuer (RFC 7628), or by its certificate (RFC 4422 appendix A). The only place where [`Authenticated`] is minted.
//!
//! Promise: an attempt costs one slow hash, whether the account exists, is disabled, has twenty app passwords, or none of these; slow
//! hashes run a few at a time, and who would have to wait long is told to come again. Nothing a stranger sees or can time tells whether
//! an account exists. Before a password is verified, [`Guard`] is asked whether it is to be.
//! A token or a certificate is verified first, since its signature cannot be guessed: the guard hears of one that nobody we know has signed,
//! as a fault of the address it came from and never of the account it names.
//!
//! A password that was good is remembered for a minute as a keyed hash, so that a program that logs in for every message costs one slow
//! hash a minute. Any change of the account makes it forgotten. It is remembered for the network it came from and no other: from elsewhere
//! it would be a way to guess that the guard never sees. Equal claims of one network that come while the first is verified wait for what
//! comes of it: they are one fault and one slow hash.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use moka::sync::Cache;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::fact::{ClientCertificate, Mechanism};
use postern_mail::guess::{Ending, Guess, GuessRuling, Unheard};
use postern_mail::proof::{Authenticated, Means};
use postern_mail::trouble::Fault;
use postern_mail::{Mailbox, Quoted, Secret};
use postern_smtp::sasl::login::{Login, LoginStep};
use postern_smtp::sasl::oauthbearer::{self, BearerCredentials};
use postern_smtp::sasl::plain::{self, PlainCredentials};
use postern_smtp::sasl::scram::{ScramKeys, ScramServer};
use postern_smtp::sasl::{external, xoauth2};

use crate::account::{Account, CERTIFICATE, Credential, PASSWORD, TOKEN, canonical, print_fingerprint};
use crate::accounts::{Accounts, CertificateHolder, SCRAM_ITERATIONS};
use crate::guard::{Guard, Heard, tag};
use crate::hashers::Hashers;
use crate::known_networks::KnownNetworks;
use crate::oidc::{Issuers, Named, Refusal};
use crate::password::{self, Hashing};
use crate::store::{Store, random};
use crate::together::{Joined, Together};
use crate::trouble::StateFailure;
use crate::turns::{Class, Turns};

/// How much work strangers can make us do. The binary fills it from the configuration.
#[derive(Clone, Debug)]
pub struct AuthenticationSettings {
    /// Slow hashes that run at once, each on a thread of its own with 19 MiB. One less than there are cores.
    pub argon2_concurrency: usize,
    /// Attempts of strangers that wait for their turn, and as many of known clients; more are turned away at once.
    pub waiting_max: usize,
    /// How long one waits for its turn before it is turned away.
    pub wait: Duration,
    /// How long a good password is remembered; zero: not at all.
    pub remember_for: Duration,
    /// How many of them.
    pub remembered_max: u64,
    /// How long a network an account was proven from stays known.
    pub networks_known_for: Duration,
}

impl Default for AuthenticationSettings {
    fn default() -> Self {
        Self {
            argon2_concurrency: std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1)),
            waiting_max: 200,
            wait: Duration::from_secs(10),
            remember_for: Duration::from_secs(60),
            remembered_max: 10_000,
            networks_known_for: Duration::from_secs(60 * 86_400),
        }
    }
}

/// How an exchange begins (RFC 4954 §4).
#[derive(Clone, Debug)]
pub struct Start {
    /// Where the client is.
    pub client: IpAddr,
    /// What it chose.
    pub mechanism: Mechanism,
    /// Its initial response, decoded; `None` when it sent none.
    pub initial: Option<Secret>,
    /// `tls-exporter` of the connection (RFC 9266), where there is one.
    pub exporter: Option<Box<[u8; 32]>>,
    /// The connection was offered SCRAM-SHA-256-PLUS.
    pub offered_plus: bool,
    /// What the handshake has verified of the client, where it showed a certificate.
    pub certificate: Option<Box<ClientCertificate>>,
}

/// What comes next in an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, not yet in base64, and come back with the answer.
    Challenge(Vec<u8>),
    /// It is who it says.
    Authenticated(Authenticated),
    /// It is not, or cannot be asked: the client is told the same in each case. [`Exchange::why`] may say more to the operator.
    Denied,
    /// It was not verified, for this reason.
    Refused(Unheard),
    /// It could not be verified now, for this reason, which is the operator's: 454, come again.
    Unavailable(&'static str),
}

const CROWDED: &str = "too many attempts wait for their turn";
const AWAY: &str = "an issuer of tokens cannot be reached";

/// What came of a claim, for equal ones that waited for it.
#[derive(Clone)]
enum Shared {
    /// It was right, for this credential of the account as it was then.
    Right {
        generation: u64,
        credential: Arc<str>,
    },
    Wrong,
    /// It was not verified.
    Other(Step),
}

#[derive(Clone)]
struct Remembered {
    generation: u64,
    credential: Arc<str>,
    at: UnixMillis,
}

/// Verifies credentials.
pub struct Authenticator {
    accounts: Arc<Accounts>,
    hashing: Arc<dyn Hashing>,
    server_secret: Secret,
    /// For what is remembered: made at each start, so that the memory of one process is worth nothing to another.
    process_key: hmac::Key,
    /// What the passwords of accounts that do not exist are compared with.
    nobody: Arc<str>,
    turns: Arc<Turns>,
    hashers: Hashers,
    guard: Arc<dyn Guard>,
    known: Arc<KnownNetworks>,
    remembered: Cache<Vec<u8>, Remembered>,
    together: Together<Vec<u8>, Shared>,
    issuers: ArcSwap<Issuers>,
    settings: AuthenticationSettings,
}

impl Authenticator {
    /// Blocks for one slow hash.
    ///
    /// # Errors
    /// When the system gives no randomness, or the disk fails.
    pub fn new(
        store: &Store,
        accounts: Arc<Accounts>,
        hashing: Arc<dyn Hashing>,
        guard: Arc<dyn Guard>,
        settings: AuthenticationSettings,
    ) -> Result<Arc<Self>, StateFailure> {
        let nobody = hashing.hash(&random::<32>()?).into();
        let remembered = Cache::builder().max_capacity(settings.remembered_max).time_to_live(settings.remember_for).build();
        let known = Arc::new(KnownNetworks::open(store, &accounts, settings.networks_known_for)?);
        Ok(Arc::new(Self {
            accounts,
            hashing,
            guard,
            known,
            server_secret: store.secret().clone(),
            process_key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()?),
            nobody,
            turns: Turns::new(settings.argon2_concurrency, settings.waiting_max),
            hashers: Hashers::start(settings.argon2_concurrency)
                .map_err(|error| StateFailure::Disk(format!("a thread for hashes: {error}")))?,
            remembered,
            together: Together::default(),
            issuers: ArcSwap::default(),
            settings,
        }))
    }

    /// True where any account was proven from the network of this client lately: a home of somebody, whoever else is there.
    #[must_use]
    pub fn is_somebodys_home(&self, now: UnixMillis, client: IpAddr) -> bool {
        self.known.is_somebodys_home(now, client)
    }

    /// Somebody who has proven to be this account was let in from there: its network is known of the account from now on. Not for one whose scope
    /// keeps it out: what is refused may come from anywhere.
    pub fn at_home(&self, now: UnixMillis, client: IpAddr, account: &str) {
        let Some(account) = self.accounts.find(account).filter(|account| !account.disabled) else { return };
        if !self.guard.is_everybodys(now, client) && self.known.is_news(now, &account, client) {
            self.known.note(now, &account.name, client);
            let known = Arc::clone(&self.known);
            drop(tokio::task::spawn_blocking(move || known.write()));
        }
    }

    /// The account is gone, or an administrator has set its password: no network is known of it any more. Blocks on the disk.
    pub fn forget_homes(&self, account: &str) {
        self.known.forget(&canonical_user(account));
        self.known.write();
    }

    /// Networks some account was proven from, and when last. In no order, and each account has a few at most.
    #[must_use]
    pub fn homes(&self) -> Vec<(Subnet, UnixMillis)> {
        self.known.homes()
    }

    /// From now on, tokens of these issuers are good, and of no others.
    pub fn trust(&self, issuers: &Issuers) {
        self.issuers.store(Arc::new(issuers.keeping(&self.issuers.load())));
        // Who logged in by a token of one that is gone has to leave.
        self.accounts.tell_all();
    }

    /// True while a token of this issuer is good for this account.
    #[must_use]
    pub fn trusts(&self, issuer: &str, account: &str) -> bool {
        self.issuers.load().vouches(issuer, account)
    }

    /// Begins an exchange. The client may still change its mind: dropping the exchange ends it.
    pub async fn start(self: &Arc<Self>, now: UnixMillis, start: Start) -> (Exchange, Step) {
        let Start { client, mechanism, initial, exporter, offered_plus, certificate } = start;
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::Login(Login::User),
            Mechanism::ScramSha256 => State::ScramFirst { plus: false, exporter, offered_plus },
            Mechanism::ScramSha256Plus => State::ScramFirst { plus: true, exporter, offered_plus },
            Mechanism::OauthBearer => State::Bearer(oauthbearer::parse),
            Mechanism::Xoauth2 => State::Bearer(xoauth2::parse),
            Mechanism::External => State::External(certificate),
        };
        let mut exchange = Exchange { authenticator: Arc::clone(self), client, state, user: None, why: None };
        let step = match (initial, mechanism) {
            // RFC 4954 §4 DEPARTS: LOGIN, in which the server speaks first, may come with the user's name; many programs send it so.
            (Some(initial), _) => exchange.next(now, &initial).await,
            (None, Mechanism::Login) => Step::Challenge(postern_smtp::sasl::login::ASK_USER.to_vec()),
            // RFC 4954 §4: a mechanism in which the client speaks first gets an empty challenge.
            (None, _) => Step::Challenge(Vec::new()),
        };
        (exchange, step)
    }

    async fn verify(&self, now: UnixMillis, client: IpAddr, credentials: PlainCredentials) -> Step {
        let name = canonical_user(&credentials.user);
        if !acts_for_itself(credentials.authzid.as_deref(), &name) {
            return Step::Denied;
        }
        let password = credentials.password;
        let memory = self.memory_key(client, &name, &password);
        // What is known to be right is no guess.
        if let Some(known) = self.recall(now, &name, &memory) {
            return known;
        }
        match self.together.join(&memory).await {
            Joined::Leads(leader) => {
                let (step, shared) = self.compare(now, client, (&name, password), memory).await;
                leader.tell(shared);
                step
            }
            Joined::Done(Shared::Right { generation, credential }) => {
                let account = self.accounts.find(&name).filter(|account| account.generation == generation);
                let admitted = account.and_then(|account| {
                    let credential = account.credential(&credential)?;
                    Some(self.admit(now, &account, credential, None))
                });
                admitted.unwrap_or(Step::Denied)
            }
            // The guard counts it as a repeat, and says so when there were too many.
            Joined::Done(Shared::Wrong) => match self.heard(now, self.guess(now, client, &name, Some(&password))).await {
                Ok(heard) => {
                    heard.ended(Ending::Wrong);
                    Step::Denied
                }
                Err(why) => Step::Refused(why),
            },
            Joined::Done(Shared::Other(step)) => step,
        }
    }

    /// Of equal claims the one that is verified.
    async fn compare(
        &self,
        now: UnixMillis,
        client: IpAddr,
        (name, password): (&str, Secret),
        memory: Vec<u8>,
    ) -> (Step, Shared) {
        let unverified = |step: Step| (step.clone(), Shared::Other(step));
        let heard = match self.heard(now, self.guess(now, client, name, Some(&password))).await {
            Ok(heard) => heard,
            Err(why) => return unverified(Step::Refused(why)),
        };
        let class = if heard.guess.is_familiar { Class::Known } else { Class::Stranger };
        let turn = self.turns.take(class, Subnet::network(client), self.settings.wait).await;
        let Some(turn) = turn else { return unverified(Step::Unavailable(CROWDED)) };
        let account = self.accounts.find(name);
        let candidate = account.as_deref().and_then(|account| candidate(account, password.expose()));
        let hash: Arc<str> = candidate.map_or_else(|| Arc::clone(&self.nobody), |found| (&*found.verifier.hash).into());
        let hashing = Arc::clone(&self.hashing);
        let compared = self.hashers.run(move || {
            let _held_until_done = turn;
            hashing.matches(password.expose(), &hash)
        });
        match (compared.await, account.as_deref(), candidate) {
            (Some(true), Some(account), Some(credential)) => {
                let step = self.admit(now, account, credential, Some(memory));
                heard.ended(ending(&step));
                let right = Shared::Right { generation: account.generation, credential: Arc::clone(&credential.name) };
                let shared = if matches!(step, Step::Authenticated(_)) { right } else { Shared::Wrong };
                (step, shared)
            }
            (Some(_), _, _) => {
                heard.ended(Ending::Wrong);
                (Step::Denied, Shared::Wrong)
            }
            (None, _, _) => {
                tracing::error!("a password could not be verified");
                unverified(Step::Unavailable("a thread for hashes failed"))
            }
        }
    }

    /// A password was good, by itself or as a proof.
    fn admit(&self, now: UnixMillis, verified: &Account, credential: &Credential, memory: Option<Vec<u8>>) -> Step {
        let fresh = || !credential.way().is_expired(now) && credential.standing.disabled.is_none();
        let Some((account, proof)) = fresh().then(|| self.mint(verified, &credential.name)).flatten() else {
            return Step::Denied;
        };
        if let Some(memory) = memory {
            let credential = Arc::clone(&credential.name);
            self.remembered.insert(memory, Remembered { generation: account.generation, credential, at: now });
        }
        Step::Authenticated(proof.by(Means::Password { mark: credential.mark() }, None))
    }

    /// The one place where the proof is made: a credential was verified, and the account still is what it was verified against.
    fn mint(&self, verified: &Account, credential: &Arc<str>) -> Option<(Arc<Account>, Authenticated)> {
        let unchanged = self.accounts.find(&verified.name).filter(|account| account.generation == verified.generation);
        let account = unchanged.filter(|account| !account.disabled)?;
        let proof = Authenticated::mint_after_verification(Arc::clone(&account.name), Arc::clone(credential));
        Some((account, proof))
    }

    /// The token names the account; one that names none of ours is refused like one that is not good. What is denied has its reason in `why`.
    async fn verify_token(
        &self,
        now: UnixMillis,
        client: IpAddr,
        credentials: BearerCredentials,
        why: &mut Option<Box<str>>,
    ) -> Step {
        let issuers = self.issuers.load_full();
        let named = match issuers.name_in(now, credentials.token.expose()).await {
            Ok(named) => named,
            Err(Refusal::Away) => return Step::Unavailable(AWAY),
            Err(Refusal::Unsigned(reason)) => {
                *why = Some(format!("the token is not good: {reason}").into());
                return self.unproven(now, client, &credentials.token).await;
            }
            Err(Refusal::Unfit(issuer, reason)) => {
                *why = Some(format!("a token of {issuer} is not good: {reason}").into());
                return Step::Denied;
            }
        };
        let Named { account, issuer, until } = named;
        let deny = |reason: &str| {
            let account = Quoted::text(&account);
            Some(format!("a token of {issuer} for {account} is good, but {reason}").into())
        };
        if !acts_for_itself(credentials.user.as_deref(), &account) {
            *why = deny("another account was asked for");
        // Asking the issuer may have taken seconds.
        } else if !self.trusts(&issuer, &account) {
            *why = deny("its issuer is not believed any more");
        } else {
            let minted = self.accounts.find(&account).map(|account| self.mint(&account, &TOKEN.into()));
            match minted {
                Some(Some((_, proof))) => return Step::Authenticated(proof.by(Means::Token { issuer }, Some(until))),
                Some(None) => *why = deny("the account is disabled, or was changed just now"),
                None => *why = deny("there is no such account"),
            }
        }
        Step::Denied
    }

    /// Nobody we know vouches for what was shown. Whom it names does not matter, or anybody could keep an account's owner out.
    async fn unproven(&self, now: UnixMillis, client: IpAddr, shown: &Secret) -> Step {
        let guess = Guess {
            client,
            account: tag(&self.process_key, "shown from", Subnet::host(client).to_string().as_bytes()),
            password: Some(tag(&self.process_key, "shown", shown.expose())),
            is_familiar: false,
        };
        match self.heard(now, guess).await {
            Ok(heard) => {
                heard.ended(Ending::Wrong);
                Step::Denied
            }
            Err(unheard) => Step::Refused(unheard),
        }
    }

    /// RFC 4422 appendix A: the certificate was verified in the handshake; here it is found whose it is, if it is one account's. What is
    /// denied has its reason in `why`.
    async fn verify_certificate(
        &self,
        now: UnixMillis,
        client: IpAddr,
        certificate: Option<&ClientCertificate>,
        authzid: Option<&str>,
        why: &mut Option<Box<str>>,
    ) -> Step {
        let Some(certificate) = certificate else {
            *why = Some("no certificate was shown".into());
            return Step::Denied;
        };
        let candidates = self.accounts.holders(certificate);
        let mut fitting = candidates.iter().filter(|holder| acts_for_itself(authzid, &holder.account.name));
        let reason = match (fitting.next(), fitting.next()) {
            _ if certificate.until <= now => "has ended since it was shown",
            (Some(CertificateHolder { is_disabled: true, .. }), None) => "is disabled, since nobody used it",
            (Some(CertificateHolder { account, is_noted, .. }), None) => {
                if let Some((_, proof)) = self.mint(account, &CERTIFICATE.into()) {
                    let (fingerprint, epoch) = (certificate.fingerprint, certificate.epoch);
                    let means = Means::Certificate { fingerprint, is_noted: *is_noted, epoch };
                    return Step::Authenticated(proof.by(means, Some(certificate.until)));
                }
                "is that of an account that is disabled, or was changed just now"
            }
            // One that is several accounts' must be told which is meant.
            (Some(_), Some(_)) => "is several accounts', and it was not said which is meant",
            (None, _) if candidates.is_empty() => "is no account's",
            (None, _) => "is not that of the account that was asked for",
        };
        *why = Some(format!("the certificate {} {reason}", print_fingerprint(&certificate.fingerprint)).into());
        self.unproven(now, client, &Secret::new(certificate.fingerprint.to_vec())).await
    }

    fn memory_key(&self, client: IpAddr, name: &str, password: &Secret) -> Vec<u8> {
        let mut tag = hmac::Context::with_key(&self.process_key);
        // A NUL can stand in none of them, so no two triples give the same octets.
        tag.update(Subnet::network(client).to_string().as_bytes());
        tag.update(&[0]);
        tag.update(name.as_bytes());
        tag.update(&[0]);
        tag.update(password.expose());
        tag.sign().as_ref().to_vec()
    }

    fn recall(&self, now: UnixMillis, name: &str, memory: &Vec<u8>) -> Option<Step> {
        let known = self.remembered.get(memory)?;
        let is_fresh = known.at <= now && now.since(known.at) < self.settings.remember_for;
        let account = self.accounts.find(name).filter(|account| account.generation == known.generation && is_fresh)?;
        let credential = account.credential(&known.credential)?;
        Some(self.admit(now, &account, credential, None))
    }

    /// A claim in the words of the guard. The name counts as it was given, whether there is such an account or not.
    fn guess(&self, now: UnixMillis, client: IpAddr, name: &str, password: Option<&Secret>) -> Guess {
        let account = self.accounts.find(name);
        Guess {
            client,
            account: tag(&self.process_key, "account", name.as_bytes()),
            password: password.map(|password| tag(&self.process_key, "password", password.expose())),
            is_familiar: self.known.knows(now, name, account.as_deref(), client) && !self.guard.is_everybodys(now, client),
        }
    }

    /// Asks the guard, and waits where it says so, while nobody's turn is taken.
    async fn heard(&self, now: UnixMillis, guess: Guess) -> Result<Heard, Unheard> {
        let mut waited = Duration::ZERO;
        loop {
            match self.guard.before(now.plus(waited), &guess) {
                GuessRuling::Verify { after } => {
                    let heard = Heard::new(&self.guard, now.plus(waited), guess);
                    if !after.is_zero() {
                        tokio::time::sleep(after).await;
                    }
                    return Ok(heard);
                }
                GuessRuling::AskAgain { after } if waited < self.settings.wait => {
                    tokio::time::sleep(after).await;
                    waited += after;
                }
                GuessRuling::AskAgain { .. } => {
                    let now = now.plus(waited);
                    return match self.guard.at_last(now, &guess) {
                        GuessRuling::Verify { .. } => Ok(Heard::new(&self.guard, now, guess)),
                        GuessRuling::AskAgain { .. } => Err(Unheard::Crowd),
                        GuessRuling::Refuse(why) => Err(why),
                    };
                }
                GuessRuling::Refuse(why) => return Err(why),
            }
        }
    }

    /// The keys a client's proof will be checked against, or such as nobody has.
    fn keys(&self, user: &str) -> ScramKeys {
        let name = canonical_user(user);
        match self.accounts.find(&name) {
            Some(account) => account.credentials.first().map_or_else(|| self.decoy(&name), |credential| account.keys(credential)),
            None => self.decoy(&name),
        }
    }

    fn decoy(&self, name: &str) -> ScramKeys {
        ScramKeys::decoy(self.server_secret.expose(), name, SCRAM_ITERATIONS)
    }

    /// SCRAM: the client's last message. Gives what to send it, and who it is.
    async fn prove(
        &self,
        now: UnixMillis,
        client: IpAddr,
        server: &ScramServer,
        client_final: &[u8],
    ) -> Result<(Vec<u8>, Authenticated), Step> {
        let name = canonical_user(server.user());
        let heard = self.heard(now, self.guess(now, client, &name, None)).await.map_err(Step::Refused)?;
        let proven = self.proven(now, server, client_final);
        heard.ended(if proven.is_some() { Ending::Right } else { Ending::Wrong });
        proven.ok_or(Step::Denied)
    }

    fn proven(&self, now: UnixMillis, server: &ScramServer, client_final: &[u8]) -> Option<(Vec<u8>, Authenticated)> {
        let name = canonical_user(server.user());
        let account = self.accounts.find(&name);
        let credentials: Vec<&Credential> = account.iter().flat_map(|account| &account.credentials).collect();
        let candidates = match &account {
            Some(account) => credentials.iter().map(|credential| account.keys(credential)).collect(),
            None => vec![self.decoy(&name)],
        };
        let (place, server_final) = server.last_of(client_final, &candidates).ok()?;
        match self.admit(now, account.as_deref()?, credentials.get(place)?, None) {
            Step::Authenticated(who) => Some((server_final, who)),
            _ => None,
        }
    }
}

fn ending(step: &Step) -> Ending {
    if matches!(step, Step::Authenticated(_)) { Ending::Right } else { Ending::Wrong }
}

/// The one credential a password can be for: the app password whose selector it begins with, or the account's own.
fn candidate<'a>(account: &'a Account, password: &[u8]) -> Option<&'a Credential> {
    let selected = password::selector(password)
        .and_then(|selector| account.credentials.iter().find(|other| other.selector.as_deref() == Some(&*selector)));
    selected.or_else(|| account.credential(PASSWORD))
}

fn canonical_user(user: &str) -> String {
    Mailbox::parse(user).map_or_else(|_| user.to_lowercase(), |address| canonical(&address))
}

/// RFC 4616 §2, RFC 5802 §5.1: nobody acts for another.
fn acts_for_itself(authzid: Option<&str>, name: &str) -> bool {
    authzid.is_none_or(|authzid| canonical_user(authzid) == name)
}

enum State {
    Plain,
    Login(Login),
    ScramFirst {
        plus: bool,
        exporter: Option<Box<[u8; 32]>>,
        offered_plus: bool,
    },
    ScramLast(Box<ScramServer>),
    /// Our last message is on its way; the client answers it with an empty line.
    Proven(Authenticated),
    /// What the client sends is read by this.
    Bearer(fn(&[u8]) -> Result<BearerCredentials, Fault>),
    /// The token was denied, and the client told so within the exchange; it answers before it hears it in plain.
    TokenDenied,
    External(Option<Box<ClientCertificate>>),
    Over,
}

/// One attempt.
pub struct Exchange {
    authenticator: Arc<Authenticator>,
    client: IpAddr,
    state: State,
    user: Option<String>,
    why: Option<Box<str>>,
}

impl Exchange {
    /// Who the client says it is, once it has said so. Raw: to be quoted where it is printed.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Why it was denied, for the operator, where there is more to say than that the credentials were wrong. Peer text in it is quoted.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    /// True once the client was denied within the exchange, by a challenge. What comes after says it in plain, and is nothing new.
    #[must_use]
    pub fn is_denied_within(&self) -> bool {
        matches!(self.state, State::TokenDenied)
    }

    /// Takes the client's answer to the last challenge. After anything but a challenge the exchange is over, and every further answer is
    /// denied.
    pub async fn next(&mut self, now: UnixMillis, response: &Secret) -> Step {
        let response = response.expose();
        match std::mem::replace(&mut self.state, State::Over) {
            State::Plain => match plain::parse(response) {
                Ok(credentials) => self.verify(now, credentials).await,
                Err(_) => Step::Denied,
            },
            State::Login(login) => match login.next(response) {
                Ok(LoginStep::Challenge(login, challenge)) => {
                    self.state = State::Login(login);
                    Step::Challenge(challenge.to_vec())
                }
                Ok(LoginStep::Done(credentials)) => self.verify(now, credentials).await,
                Err(_) => Step::Denied,
            },
            State::ScramFirst { plus, exporter, offered_plus } => {
                self.scram_first(response, plus, exporter.as_deref(), offered_plus)
            }
            State::ScramLast(server) => match self.authenticator.prove(now, self.client, &server, response).await {
                Ok((server_final, who)) => {
                    // RFC 4954 §4: SMTP has no place for data in a success, so it goes as one more challenge.
                    self.state = State::Proven(who);
                    Step::Challenge(server_final)
                }
                Err(step) => step,
            },
            State::Proven(who) if response.is_empty() => Step::Authenticated(who),
            State::Bearer(parse) => match parse(response) {
                Ok(credentials) => self.bearer(now, credentials).await,
                Err(_) => Step::Denied,
            },
            State::External(certificate) => match external::parse(response) {
                Ok(authzid) => {
                    self.user.clone_from(&authzid);
                    let (certificate, authzid) = (certificate.as_deref(), authzid.as_deref());
                    self.authenticator.verify_certificate(now, self.client, certificate, authzid, &mut self.why).await
                }
                Err(_) => Step::Denied,
            },
            // RFC 7628 §3.2.3: the client answers the error with a kvsep, or anything; then it is denied.
            State::TokenDenied => {
                self.state = State::TokenDenied;
                Step::Denied
            }
            State::Proven(_) | State::Over => Step::Denied,
        }
    }

    async fn bearer(&mut self, now: UnixMillis, credentials: BearerCredentials) -> Step {
        self.user.clone_from(&credentials.user);
        match self.authenticator.verify_token(now, self.client, credentials, &mut self.why).await {
            Step::Denied => {
                // RFC 7628 §3.2.2: the error goes as one more challenge.
                self.state = State::TokenDenied;
                Step::Challenge(oauthbearer::REFUSED.to_vec())
            }
            other => other,
        }
    }

    async fn verify(&mut self, now: UnixMillis, credentials: PlainCredentials) -> Step {
        self.user = Some(credentials.user.clone());
        self.authenticator.verify(now, self.client, credentials).await
    }

    fn scram_first(&mut self, message: &[u8], plus: bool, exporter: Option<&[u8; 32]>, offered_plus: bool) -> Step {
        let Ok(nonce) = random::<18>() else { return Step::Unavailable("the system gives no randomness") };
        let nonce = STANDARD_NO_PAD.encode(nonce);
        let keys = |user: &str| self.authenticator.keys(user);
        match ScramServer::first(message, plus, exporter, offered_plus, &nonce, keys) {
            Ok((server, server_first)) if acts_for_itself(server.authzid(), &canonical_user(server.user())) => {
                self.user = Some(server.user().to_owned());
                self.state = State::ScramLast(Box::new(server));
                Step::Challenge(server_first)
            }
            Ok(_) | Err(_) => Step::Denied,
        }
    }
}

#[cfg(test)]
mod tests;
