//! New settings without a restart. Promise: all or nothing. Everything is read, checked and made before anything is put in force; when
//! any of it is wrong, all errors are logged and the old configuration goes on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use postern_config::{Change, Config, diff};

use crate::certs::{self, Files};
use crate::offline::Source;
use crate::serve::reach;
use crate::wire::dispatch::Order;
use crate::wire::{Live, Server, live};

/// Takes up changes of files.
pub(crate) struct Reloader {
    source: Source,
    server: Arc<Server>,
    own_addresses: Vec<SocketAddr>,
    data_dir: PathBuf,
    certificate_seen: Mutex<Option<(SystemTime, SystemTime)>>,
}

impl Reloader {
    /// For a server that began with this.
    #[must_use]
    pub(crate) fn new(source: Source, server: Arc<Server>, own_addresses: Vec<SocketAddr>, data_dir: PathBuf) -> Self {
        let reloader = Self { source, server, own_addresses, data_dir, certificate_seen: Mutex::new(None) };
        let seen = reloader.files(&reloader.server.live.load().config).and_then(|files| files.changed());
        *reloader.seen() = seen;
        reloader
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Option<(SystemTime, SystemTime)>> {
        self.certificate_seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self, config: &Config) -> Option<Files> {
        match (&config.tls.certificate, &config.tls.key) {
            (Some(certificate), Some(key)) => Some(Files { certificate: certificate.clone(), key: key.clone() }),
            _ => certs::self_signed(&self.data_dir, config.server.hostname.as_str()).ok(),
        }
    }

    /// Takes up the configuration file.
    ///
    /// # Errors
    /// All that is wrong, in words, logged already; nothing has changed then.
    pub(crate) async fn reload(&self) -> Result<Vec<Change>, String> {
        let result = self.prepare();
        match result {
            Err(what) => {
                for line in what.lines() {
                    tracing::error!("reload refused: {line}");
                }
                Err(what)
            }
            Ok((live, certificate, changes)) => {
                self.server.ceiling.adjust(live::ceiling(&live.config, self.server.open_files_max));
                let scheduler = Box::new(live::scheduler(&live.config));
                let old = self.server.live.swap(Arc::new(live));
                self.server.certificate.replace(certificate);
                let _ = self.server.dispatcher.send(Order::Reload(scheduler)).await;
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

    fn prepare(&self) -> Result<(Live, Arc<rustls::sign::CertifiedKey>, Vec<Change>), String> {
        let config = self.source.load()?;
        if let Some(folder) = self.server.confinement.out_of_reach(&reach(&config, &self.source, &self.data_dir)) {
            return Err(format!(
                "{}: out of reach, since the process locked itself in to the folders that were configured at its start; this takes a restart",
                folder.display()
            ));
        }
        let certificate = self.files(&config).ok_or("there is no certificate")?.load()?;
        let changes = diff(&self.server.live.load().config, &config);
        let live = Live::new(config, self.own_addresses.clone())?;
        Ok((live, certificate, changes))
    }

    /// Takes up the certificate when its files have changed. One that cannot be loaded is left alone until it changes again.
    pub(crate) fn renew_certificate(&self) {
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
