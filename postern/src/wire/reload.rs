//! New settings without a restart. Promise: all or nothing. Everything is read, checked and made before anything is put in force; when
//! any of it is wrong, all errors are logged and the old configuration goes on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use postern_config::{Change, Config, diff};
use postern_mail::Recipient;
use postern_state::{Files as ListFiles, Issuers};

use crate::certs::{self, Files};
use crate::offline::Source;
use crate::serve::reach;
use crate::wire::dispatch::Order;
use crate::wire::login::{self, Asking};
use crate::wire::{Live, Server, bans, clock, lists, live, routing};

/// Gives queued mail a ticket in the lane it goes by from now on. Without one, a recipient whose way has changed would wait in the spool until
/// the next start when the rest of its old lane is done.
///
/// What is on its way by the old lane at this very moment may be sent by the new one too.
async fn reroute(server: Arc<Server>, old: Arc<Live>, new: Arc<Live>) {
    let mut moved = 0_usize;
    for id in server.spool.ids() {
        // What has left the queue in the meantime needs no way, and what cannot be read is told of where it is tried.
        let Ok((envelope, progress, _)) = server.spool.load_envelope(id).await else { continue };
        let open = progress.open().filter_map(|index| envelope.recipients.get(index)).map(Recipient::address);
        let changed = open.filter(|to| routing::destination(&old.config, to) != routing::destination(&new.config, to));
        let tickets = routing::tickets(&new.config, id, &envelope, changed, (progress.due, progress.attempts));
        if tickets.is_empty() {
            continue;
        }
        moved += 1;
        let order = if progress.held.is_some() { Order::InsertHeld(tickets) } else { Order::Insert(tickets) };
        if server.dispatcher.send(order).await.is_err() {
            return;
        }
    }
    if moved > 0 {
        tracing::info!(messages = moved, "queued mail goes other ways from now on");
    }
}

/// All that a reload puts in force.
struct Prepared {
    live: Live,
    certificate: Arc<rustls::sign::CertifiedKey>,
    asking: Option<Asking>,
    issuers: Issuers,
    changes: Vec<Change>,
    lists: ListFiles,
}

/// Takes up changes of files.
pub(crate) struct Reloader {
    source: Source,
    server: Arc<Server>,
    own_addresses: Vec<SocketAddr>,
    data_dir: PathBuf,
    certificate_seen: Mutex<Option<(SystemTime, SystemTime)>>,
    /// One reload at a time, so that what was read last is what is in force.
    turn: tokio::sync::Mutex<()>,
}

impl Reloader {
    /// For a server that began with this.
    #[must_use]
    pub(crate) fn new(source: Source, server: Arc<Server>, own_addresses: Vec<SocketAddr>, data_dir: PathBuf) -> Self {
        let reloader = Self {
            source,
            server,
            own_addresses,
            data_dir,
            certificate_seen: Mutex::new(None),
            turn: tokio::sync::Mutex::default(),
        };
        let seen = reloader.files(&reloader.server.live.load().config).and_then(|files| files.changed());
        *reloader.seen() = seen;
        reloader
    }

    /// Where the data is.
    pub(crate) fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<(SystemTime, SystemTime)>> {
        self.certificate_seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self, config: &Config) -> Option<Files> {
        match (&config.tls.certificate, &config.tls.key) {
            (Some(certificate), Some(key)) => Some(Files { certificate: certificate.clone(), key: key.clone() }),
            _ => certs::own(config, &self.data_dir).ok(),
        }
    }

    /// Takes up the configuration file because of a signal. What went wrong has been logged, and nothing was changed then.
    pub(crate) async fn reload_by_signal(&self) {
        let result = match self.reload().await {
            Ok(changes) => format!("done: reloaded, {} changes", changes.len()),
            Err(what) => format!("failed: {what}"),
        };
        let _logged = self.server.audit("signal".to_owned(), "reload".to_owned(), String::new(), result).await;
    }

    /// Takes up the configuration file.
    ///
    /// # Errors
    /// All that is wrong, in words, logged already; nothing has changed then.
    pub(crate) async fn reload(&self) -> Result<Vec<Change>, String> {
        let _turn = self.turn.lock().await;
        let result = self.prepare();
        match result {
            Err(what) => {
                for line in what.lines() {
                    tracing::error!("reload refused: {line}");
                }
                Err(what)
            }
            Ok(Prepared { live, certificate, asking, issuers, changes, lists }) => {
                self.server.ceiling.adjust(live::ceiling(&live.config, self.server.open_files_max));
                self.server.auth_guard.adjust(&live.config);
                self.server.strangers.adjust(&live.config);
                self.server.dnsbl.adjust(&live.config);
                self.server.signing.prepare(&live.config.dkim, clock());
                let scheduler = Box::new(live::scheduler(&live.config));
                let live = Arc::new(live);
                let old = self.server.live.swap(Arc::clone(&live));
                // Behind it: what is signed from here on is signed by what is in force.
                self.server.signing.forget(&live.config.dkim);
                // Behind the policy: it may be what spares our own from a list that is new.
                self.server.lists.put(lists);
                // After the configuration is in force: sessions look at it when they are told to look again.
                self.server.authenticator.trust(&issuers);
                self.server.certificate.replace(certificate);
                if self.server.tls.put(asking) {
                    self.server.accounts.tell_all();
                }
                bans::adjust(&self.server, &live.config, &self.own_addresses);
                let _ = self.server.dispatcher.send(Order::Reload(scheduler)).await;
                if changes.iter().any(|change| change.path.starts_with("domain") || change.path.starts_with("route")) {
                    tokio::spawn(reroute(Arc::clone(&self.server), Arc::clone(&old), live));
                }
                old.delivery.close_all().await;
                for change in &changes {
                    let (from, to) = (change.from.as_deref().unwrap_or("(none)"), change.to.as_deref().unwrap_or("(none)"));
                    if change.needs_restart {
                        tracing::warn!("reload: {} is still {from}; {to} takes a restart", change.path);
                    } else {
                        tracing::info!("reload: {} was {from}, is {to}", change.path);
                    }
                }
                tracing::info!(changes = changes.len(), "reloaded");
                Ok(changes)
            }
        }
    }

    fn prepare(&self) -> Result<Prepared, String> {
        let config = self.source.load()?;
        if let Some(folder) = self.server.confinement.out_of_reach(&reach(&config, &self.source, &self.data_dir)) {
            return Err(format!(
                "{}: out of reach, since the process locked itself in to the folders that were configured at its start; this takes a restart",
                folder.display()
            ));
        }
        let certificate = self.files(&config).ok_or("there is no certificate")?.load()?;
        let lists = tokio::task::block_in_place(|| lists::read(&self.server, &config))?;
        let changes = diff(&self.server.live.load().config, &config);
        let asking = self.server.tls.prepare(&config)?;
        let issuers = login::issuers(&config)?;
        let live = Live::new(config, self.own_addresses.clone())?;
        Ok(Prepared { live, certificate, asking, issuers, changes, lists })
    }

    /// Takes up the certificate when its files have changed, and what clients' certificates are verified by. What cannot be loaded is left
    /// alone until it changes again.
    pub(crate) fn renew_certificate(&self) {
        if self.server.tls.renew(&self.server.live.load().config, clock()) {
            self.server.accounts.tell_all();
        }
        let Some(files) = self.files(&self.server.live.load().config) else { return };
        let changed = files.changed();
        {
            let mut seen = self.seen();
            if changed.is_none() || *seen == changed {
                return;
            }
            *seen = changed;
        }
        match files.load() {
            Ok(certificate) => {
                self.server.certificate.replace(certificate);
                tracing::info!(file = %files.certificate.display(), "certificate renewed");
            }
            Err(what) => tracing::error!("the changed certificate is not taken: {what}"),
        }
    }
}
