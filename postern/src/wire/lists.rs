//! Local lists of the running server: what is read at the start and at a reload, and the task that looks at the files for a change. Promise: lists that
//! are in force are only ever replaced by whole ones, and what is wrong with a file is told once.

use std::sync::Arc;

use postern_config::Config;
use postern_state::{FileSettings, Files, ListSettings};
use tokio::sync::watch;

use crate::wire::{Server, live, stopped};

/// The files a configuration names.
#[must_use]
pub(crate) fn settings(config: &Config) -> FileSettings {
    let policy = &config.policy;
    FileSettings {
        lists: policy
            .lists
            .iter()
            .map(|list| ListSettings {
                file: list.file.0.clone(),
                format: list.format,
                action: list.default_action(),
                mode: list.mode,
                listeners: list.listeners.clone(),
            })
            .collect(),
        asns: policy.asn_file.clone(),
        countries: policy.country_file.clone(),
        entries_max: live::number(policy.list_entries_max),
    }
}

/// Reads all files, and warns of what can never be found in them.
///
/// # Errors
/// Everything that is wrong, a line each.
pub(crate) fn read(config: &Config) -> Result<Files, String> {
    let files = Files::read(settings(config))?;
    for sentence in files.blind_spots() {
        tracing::warn!("{sentence}");
    }
    Ok(files)
}

/// Takes up files that change while the server runs.
pub(crate) async fn watch(server: Arc<Server>, mut stopping: watch::Receiver<bool>) {
    let mut told = None;
    loop {
        let interval = server.live.load().config.policy.lists_check_interval;
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stopped(&mut stopping) => return,
        }
        let lists = Arc::clone(&server.lists);
        let before = told.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let found = lists.fingerprint();
            let renewed = if before.as_ref() == Some(&found) { None } else { lists.renew() };
            (found, renewed)
        });
        let Ok((found, Some(renewed))) = looked.await else { continue };
        match renewed {
            Ok(sentences) => {
                told = None;
                for sentence in sentences {
                    tracing::info!("list taken up: {sentence}");
                }
            }
            Err(what) => {
                told = Some(found);
                for line in what.lines() {
                    tracing::error!("a changed list is not taken: {line}");
                }
            }
        }
    }
}
