//! Who a transaction belongs to, what that account may do now, and when a session's authority has ended. No decisions: the words come
//! from scopes, the judgement from policy, the counts from the state store.
//!
//! Promise: what was taken from an account since it logged in is gone at its next command, and its sessions end at once.

use std::sync::Arc;
use std::time::Duration;

use postern_config::ClientIdentity;
use postern_listener::pump::Revocation;
use postern_mail::client::Subnet;
use postern_mail::envelope::UnixMillis;
use postern_mail::event::Event;
use postern_mail::fact::{AccountName, ClientFacts};
use postern_mail::proof::{Authenticated, Means};
use postern_mail::scope::{AccountScope, Breach, Narrowed, Quota, QuotaFull};
use postern_mail::trouble::Outage;
use postern_mail::{Envelope, Reply};
use postern_policy::rules::scope::Scopes;
use postern_state::{Account, Claim, Counted, Credential, Reservation, Way};

use crate::wire::{Live, Server, clock};

/// A timer this long is as good as none.
const FOREVER: Duration = Duration::from_secs(86_400);

static NO_SCOPE: AccountScope = AccountScope {
    listeners: None,
    networks: None,
    senders: None,
    recipients: None,
    quota: Quota { messages_per_hour: None, messages_per_day: None, recipients_per_hour: None, recipients_per_day: None },
    message_bytes_max: None,
    valid_from: None,
    valid_until: None,
};

/// What a session was allowed by is gone, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended(pub(crate) &'static str);

/// Whose transaction it is. As things are now: asked for anew at each command.
pub(crate) struct Holder {
    name: AccountName,
    /// A relay network has none until somebody gives it a scope.
    account: Option<Arc<Account>>,
    credential: Option<Arc<str>>,
    pub(crate) now: UnixMillis,
}

/// The account and the credential a client proved to be, where both still stand.
fn standing(server: &Server, who: &Authenticated, now: UnixMillis) -> Result<Arc<Account>, Ended> {
    let account = server.accounts.find(who.account()).ok_or(Ended("the account was removed"))?;
    if account.disabled {
        return Err(Ended("the account is disabled"));
    }
    let ended = match who.means() {
        Some(Means::Password { mark }) => match account.credential(who.credential()) {
            Some(credential) if credential.mark() != *mark => Some("the password was changed"),
            None => Some("the password was taken back"),
            Some(credential) if credential.standing.disabled.is_some() => Some("the password is disabled"),
            Some(credential) if credential.way().is_expired(now) => Some("the password has ended"),
            Some(_) => None,
        },
        Some(Means::Token { .. }) if has_ended(who, now) => Some("the token has ended"),
        Some(Means::Token { issuer }) => {
            (!server.authenticator.trusts(issuer, who.account())).then_some("the issuer of the token is not believed any more")
        }
        Some(Means::Certificate { .. }) if has_ended(who, now) => Some("the certificate has ended"),
        Some(Means::Certificate { fingerprint, is_noted, epoch }) => {
            let live = server.live.load();
            let tls = &live.config.tls;
            let own = account.certificate(fingerprint);
            if tls.client_ca.is_none() {
                Some("certificates are not taken any more")
            } else if *epoch != server.tls.epoch() {
                Some("what certificates are verified by was changed; connect again")
            } else if own.is_some_and(|own| own.standing.disabled.is_some()) {
                Some("the certificate is disabled")
            } else if *is_noted {
                own.is_none().then_some("the certificate was taken back")
            } else {
                let believes = tls.client_identity == ClientIdentity::Address;
                (!believes).then_some("addresses in certificates are not believed any more")
            }
        }
        None => None,
    };
    ended.map_or(Ok(account), |why| Err(Ended(why)))
}

fn has_ended(who: &Authenticated, now: UnixMillis) -> bool {
    who.until().is_some_and(|until| until <= now)
}

/// The password a client proved to be the account by. By a token or a certificate none is meant, whatever an app password may be called.
fn password_of<'a>(account: &'a Account, who: &Authenticated) -> Option<&'a Credential> {
    account.credential(who.password()?)
}

/// What is kept of what a client proved to be the account by, and what it is called: a password, or a certificate noted for the account. Of
/// tokens, and of certificates that are believed by the address in them, nothing is.
fn way_of<'a>(account: &'a Account, who: &Authenticated) -> Option<(Arc<str>, Way<'a>)> {
    if let Some(Means::Certificate { fingerprint, .. }) = who.means() {
        return account.certificate(fingerprint).map(|certificate| (certificate.name(), certificate.way()));
    }
    password_of(account, who).map(|password| (Arc::clone(&password.name), password.way()))
}

impl Holder {
    /// `None`: mail of another server, which nobody here answers for.
    pub(crate) fn of(
        server: &Server,
        live: &Live,
        client: &ClientFacts,
        who: Option<&Authenticated>,
    ) -> Result<Option<Self>, Ended> {
        let now = clock();
        if let Some(who) = who {
            let account = Some(standing(server, who, now)?);
            return Ok(Some(Self { name: Arc::clone(who.account()), account, credential: who.password().cloned(), now }));
        }
        let Some(name) = live.policy.network_account(client.address) else { return Ok(None) };
        let account = server.accounts.find(&name);
        if account.as_ref().is_some_and(|account| account.disabled) {
            return Err(Ended("the account of this network is disabled"));
        }
        Ok(Some(Self { name, account, credential: None, now }))
    }

    fn credential(&self) -> Option<&Credential> {
        self.account.as_ref()?.credential(self.credential.as_deref()?)
    }

    fn narrowed(&self) -> Narrowed<'_> {
        Narrowed {
            account: self.account.as_ref().map_or(&NO_SCOPE, |account| &account.scope),
            credential: self.credential().map(|credential| &credential.standing.scope),
        }
    }

    /// What they say is a fact for the rules.
    pub(crate) fn scopes(&self) -> Scopes<'_> {
        Scopes { narrowed: self.narrowed(), now: self.now }
    }

    /// What is counted: the account by its scope and the defaults, the credential by its scope where that has counts.
    fn claims(&self, live: &Live) -> Vec<Claim> {
        let outbound = &live.config.outbound;
        let defaults = Quota {
            messages_per_hour: Some(outbound.messages_per_hour),
            recipients_per_day: Some(outbound.recipients_per_day),
            ..Quota::default()
        };
        let narrowed = self.narrowed();
        let mut claims = vec![Claim { key: Arc::clone(&self.name), quota: narrowed.account.quota.or(defaults) }];
        if let (Some(scope), Some(label)) = (narrowed.credential, &self.credential)
            && !scope.quota.is_unlimited()
        {
            claims.push(Claim { key: credential_key(&self.name, label), quota: scope.quota });
        }
        claims
    }

    /// One message.
    pub(crate) fn reserve(&self, server: &Server, live: &Live) -> Result<Reservation, QuotaFull> {
        server.quotas.reserve(self.now, &self.claims(live))
    }

    /// One recipient.
    pub(crate) fn recipient(&self, live: &Live, reservation: Option<&mut Box<Reservation>>) -> Result<(), QuotaFull> {
        reservation.map_or(Ok(()), |reservation| reservation.recipient(self.now, &self.claims(live)))
    }
}

/// Under which an app password is counted. A NUL can stand in no account's name.
pub(crate) fn credential_key(account: &str, label: &str) -> Arc<str> {
    format!("{account}\0{label}").into()
}

/// Keeps of a reservation what its envelope uses; a recipient named twice was reserved twice.
pub(crate) fn settle(reservation: Option<&mut Box<Reservation>>, envelope: &Envelope) {
    if let Some(reservation) = reservation {
        reservation.keep_recipients(u32::try_from(envelope.recipients.len()).unwrap_or(u32::MAX));
    }
}

/// Counted for whoever watches the server.
pub(crate) fn quota_full(server: &Server, full: Option<QuotaFull>) {
    if let Some(full) = full {
        server.metrics.quota_full(full.part);
    }
}

/// Counts a message before it is committed.
pub(crate) async fn count(reservation: Option<Box<Reservation>>) -> Result<Option<Counted>, Outage> {
    let Some(reservation) = reservation else { return Ok(None) };
    reservation.count(clock()).await.map(Some).map_err(|failure| Outage::Disk(failure.to_string()))
}

/// After a right proof: whether it still stands, what its scope says against this place and time, and where it was used from.
pub(crate) fn login_refused(server: &Arc<Server>, client: &ClientFacts, who: &Authenticated) -> Option<(Reply, String)> {
    let now = clock();
    let account = match standing(server, who, now) {
        Ok(account) => account,
        // It was taken back while it was verified. Not 235, which would count as a login of what proves nothing any more.
        Err(Ended(why)) => {
            return Some((Reply::authentication_failed(), format!("the credential {} is right, but {why}", who.credential())));
        }
    };
    let way = way_of(&account, who);
    let scope = way.as_ref().map(|(_, way)| &way.standing.scope);
    let narrowed = Narrowed { account: &account.scope, credential: scope };
    let name = way.as_ref().map_or_else(|| Arc::clone(who.credential()), |(name, _)| Arc::clone(name));
    if let Err(breach) = narrowed.place(now, client) {
        let because = format!("the credential {name} is right, but: {}: {}", breach.part, breach.words);
        strayed(server, client, (who.account(), name), &breach, now);
        return Some((Reply::login_out_of_scope(&breach), because));
    }
    let (_, way) = way?;
    if server.accounts.is_news(now, &account, &name) {
        // Only here: whoever is refused by the scope must not keep a forgotten credential alive.
        let (accounts, who, name) = (Arc::clone(&server.accounts), who.clone(), Arc::clone(&name));
        drop(tokio::task::spawn_blocking(move || accounts.note_used(now, who.account(), &name)));
    }
    let place = Subnet::network(client.address).to_string();
    if way.standing.is_news(now, &place) {
        let (server, who) = (Arc::clone(server), who.clone());
        // It writes to the disk. Nobody waits for it.
        drop(tokio::task::spawn_blocking(move || {
            let new_max = server.live.load().config.auth.new_networks_per_day;
            if server.accounts.note_place(now, who.account(), &name, &place, new_max) {
                let because = format!("used from more new networks within a day than usual, now {place}");
                noted(&server, who.account(), &name, "new-networks", because);
            }
        }));
    }
    None
}

/// Somebody has a password and is not where it may be used: a thief, or an owner who moved.
fn strayed(
    server: &Arc<Server>,
    client: &ClientFacts,
    (account, credential): (&AccountName, Arc<str>),
    breach: &Breach,
    now: UnixMillis,
) {
    let place = Subnet::network(client.address).to_string();
    let (server, account, words) = (Arc::clone(server), Arc::clone(account), breach.words.clone());
    // It writes to the disk. Nobody waits for it.
    drop(tokio::task::spawn_blocking(move || {
        if server.accounts.note_strayed(now, &account, &credential, &place) {
            let because = format!("the right credential from {place}, which its scope refuses: {words}");
            noted(&server, &account, &credential, "out-of-scope", because);
        }
    }));
}

fn noted(server: &Server, account: &AccountName, credential: &Arc<str>, what: &'static str, because: String) {
    server.emit(Event::Credential { account: Arc::clone(account), credential: Arc::clone(credential), what, because });
}

/// What ends a session from outside: `None` as long as it may go on, and then until when.
fn ends(server: &Server, client: &ClientFacts, who: &Authenticated, now: UnixMillis) -> Result<Option<UnixMillis>, String> {
    let account = standing(server, who, now).map_err(|Ended(why)| why.to_owned())?;
    let credential = password_of(&account, who);
    let narrowed = Narrowed { account: &account.scope, credential: credential.map(|credential| &credential.standing.scope) };
    narrowed.place(now, client).map_err(|breach| format!("this credential {} (scope: {})", breach.words, breach.part))?;
    let until = [narrowed.valid_until(), credential.and_then(|credential| credential.expires), who.until()];
    match until.into_iter().flatten().min() {
        // Each was looked at above. But whatever comes to be among them, a session that waits for what is over would never wait.
        Some(until) if until <= now => Err("its time is over".to_owned()),
        until => Ok(until),
    }
}

/// Resolves when the session must end. Wakes up when its own account changes, and when its time is over; never otherwise.
pub(crate) fn revocation(server: Arc<Server>, hostname: Arc<str>, client: ClientFacts, who: Authenticated) -> Revocation {
    Box::pin(async move {
        // Before the first look: what changes after it is heard.
        let mut changes = server.accounts.watch(who.account());
        loop {
            let now = clock();
            let left = match ends(&server, &client, &who, now) {
                Ok(until) => until.map_or(FOREVER, |until| until.since(now).min(FOREVER)),
                Err(why) => {
                    noted(
                        &server,
                        who.account(),
                        who.credential(),
                        "session-ended",
                        format!("{} was logged in: {why}", client.address),
                    );
                    return Reply::authority_ended(&hostname, &why);
                }
            };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    // The watch is only taken down with nobody listening, so this is the end of the server.
                    std::future::pending::<()>().await;
                },
                () = tokio::time::sleep(left) => {}
            }
        }
    })
}
