//! The certificate from an authority, in the running server: when it is asked for, where its questions are answered, how a new one is taken up. Promise: what
//! is shown goes on until there is something better, and no failure stops the server or asks the authority more often than it may be asked.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postern_acme::plan::{Lifetime, renew_at};
use postern_acme::{Challenges, Kept, Settings};
use postern_config::{Acme, Config};
use postern_mail::Quoted;
use postern_mail::envelope::UnixMillis;
use tokio::sync::watch;

use crate::certs;
use crate::wire::reload::Reloader;
use crate::wire::{Server, clock, live, report, stopped};

/// The authority is not asked for its suggestion more often, nor trusted to wish it less often.
const SUGGESTION_WAIT: std::ops::RangeInclusive<Duration> = Duration::from_secs(3_600)..=Duration::from_secs(86_400);

/// Binds where questions are answered. Done as root before privileges are dropped.
///
/// # Errors
/// The address that cannot be had, and why.
pub(crate) fn bind(config: &Config) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let addresses = config.tls.acme.iter().flat_map(|acme| &acme.bind);
    addresses.map(|address| postern_listener::bind(*address).map_err(|error| (*address, error))).collect()
}

/// Answers questions, and asks for certificates when it is time.
pub(crate) fn start(server: &Arc<Server>, reloader: &Arc<Reloader>, sockets: Vec<TcpListener>, stopping: &watch::Receiver<bool>) {
    let challenges = Arc::new(Challenges::default());
    for socket in sockets {
        let (challenges, mut stopping) = (Arc::clone(&challenges), stopping.clone());
        let answers = Box::new(move |token: &str| challenges.answer(token));
        tokio::spawn(postern_web::prove(socket, answers, async move { stopped(&mut stopping).await }));
    }
    tokio::spawn(watch(Arc::clone(server), Arc::clone(reloader), challenges, stopping.clone()));
}

/// What the authority has said of the certificate that is kept.
struct Suggestion {
    of: Option<Kept>,
    window: Option<Lifetime>,
    ask_again: UnixMillis,
}

impl Suggestion {
    fn of(kept: Option<Kept>) -> Self {
        Self { of: kept, window: None, ask_again: UnixMillis(0) }
    }
}

async fn watch(server: Arc<Server>, reloader: Arc<Reloader>, challenges: Arc<Challenges>, mut stopping: watch::Receiver<bool>) {
    let mut suggestion = Suggestion::of(None);
    // The same for the life of the process, so that what is due does not wander.
    let chance = u16::try_from(report::seed() >> 48).unwrap_or(0);
    loop {
        let live = server.live.load_full();
        if let Some(acme) = &live.config.tls.acme {
            let looked = async {
                let settings = settings(&live.config, acme, reloader.data_dir())?;
                look(acme, &settings, (&challenges, chance), &mut suggestion).await
            };
            match looked.await {
                Ok(true) => reloader.renew_certificate(),
                Ok(false) => {}
                Err(why) => {
                    tracing::error!(why = %Quoted::text(&why), "no certificate could be had of the authority; what is shown goes on")
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(live.config.tls.check_interval) => {}
            () = stopped(&mut stopping) => return,
        }
    }
}

fn settings(config: &Config, acme: &Acme, data_dir: &Path) -> Result<Settings, String> {
    let read = |path: &std::path::PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    Ok(Settings {
        directory: acme.directory.as_str().to_owned(),
        contact: acme.contact.iter().map(ToString::to_string).collect(),
        names: acme.names(&config.server.hostname).iter().map(|name| name.as_str().to_owned()).collect(),
        authorities: acme.ca_file.as_ref().map(read).transpose()?,
        folder: certs::acme_folder(data_dir),
    })
}

/// True when there is a new one.
async fn look(
    acme: &Acme,
    settings: &Settings,
    (challenges, chance): (&Challenges, u16),
    suggestion: &mut Suggestion,
) -> Result<bool, String> {
    // After the directory was changed, what the one before gave is nobody's to renew and perhaps nobody's to trust.
    let is_ours = |kept: &Kept| kept.is_for(&settings.names) && postern_acme::is_from(&settings.folder, &settings.directory);
    let kept = Kept::load(&settings.folder).filter(is_ours);
    if let Some(kept) = &kept {
        ask_for_suggestion(settings, kept, suggestion).await;
        if renew_at(kept.life, suggestion.window, chance) > clock() {
            return Ok(false);
        }
    }
    let mut tries = postern_acme::tries(&settings.folder);
    let now = clock();
    if tries.not_before(now, live::number(acme.orders_per_day), chance) > now {
        return Ok(false);
    }
    tries.begin(now);
    postern_acme::keep_tries(&settings.folder, &tries)?;
    tracing::info!(names = settings.names.join(" "), directory = settings.directory, "asking for a certificate");
    let kept = postern_acme::obtain(settings, challenges).await?;
    tries.succeeded();
    postern_acme::keep_tries(&settings.folder, &tries)?;
    tracing::info!(names = kept.names.join(" "), until = kept.life.until.0 / 1_000, "there is a new certificate");
    Ok(true)
}

async fn ask_for_suggestion(settings: &Settings, kept: &Kept, suggestion: &mut Suggestion) {
    let now = clock();
    let is_new = suggestion.of.as_ref() != Some(kept);
    if !is_new && suggestion.ask_again > now {
        return;
    }
    if is_new {
        *suggestion = Suggestion::of(Some(kept.clone()));
    }
    let wait = match postern_acme::suggested(settings, kept).await {
        Ok((window, wait)) => {
            suggestion.window = Some(window);
            wait
        }
        Err(why) => {
            tracing::debug!(why = %Quoted::text(&why), "the authority suggests no time for renewal");
            Duration::ZERO
        }
    };
    suggestion.ask_again = now.plus(wait.clamp(*SUGGESTION_WAIT.start(), *SUGGESTION_WAIT.end()));
}
