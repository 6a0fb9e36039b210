//! Carries out what `postern dkim` orders, in the server and, where none runs, in the command.

use std::path::Path;
use std::time::Duration;

use postern_config::{Config, Dkim};
use postern_dkim::{Published, State};
use postern_lookup::Resolver;
use postern_mail::{Domain, Quoted};

use tokio::time::{Instant, timeout_at};

use super::keeper::{Keeper, Told};
use crate::control::Answer;
use crate::control::dkim::{DkimDomain, DkimKey, DkimKeys, DkimOrder};
use crate::control::dns::DnsOrder;
use crate::dns_plan;
use crate::wire::{clock, live};

/// For all questions of one order, well within the time for the order.
const LOOK_WITHIN: Duration = Duration::from_secs(30);

fn key(told: Told) -> DkimKey {
    let Told { pair: _, selector, algorithm, state, times: (made, signs_since, retired), looked, record } = told;
    let found = looked.map(|(what, _)| what);
    let advice = match (state, &found) {
        (State::Made | State::SigningUnseen | State::Signing, Some(what)) if *what != Published::Yes => {
            Some("publish this record".to_owned())
        }
        (State::Retired, Some(what)) if *what != Published::Yes => {
            Some("publish this record again: mail that it signed is still on its way".to_owned())
        }
        (State::Over, Some(Published::Yes)) => {
            Some(format!("nobody needs this record any more: publish \"{}\", or take it out", record.revoked()))
        }
        (_, None) => Some("nobody could tell whether this record is out".to_owned()),
        _ => None,
    };
    DkimKey {
        selector,
        algorithm: algorithm.as_str().to_owned(),
        state: state.as_str().to_owned(),
        made,
        signs_since,
        retired,
        published: found.map(|what| what.as_str().to_owned()),
        quoted: record.quoted(),
        zone_line: record.zone_line(),
        name: record.name,
        value: record.value,
        advice,
    }
}

/// Those that are named, or all.
fn chosen<'a>(config: &'a Config, domain: Option<&str>) -> Result<Vec<&'a Dkim>, Answer> {
    if config.dkim.is_empty() {
        return Err(Answer::nothing("nothing is signed: no [[dkim]] names a domain"));
    }
    let Some(text) = domain else { return Ok(config.dkim.iter().collect()) };
    let named =
        Domain::parse(text).map_err(|fault| Answer::Failed { exit: 2, error: format!("{}: {fault}", Quoted::text(text)) })?;
    match config.dkim.iter().find(|own| own.domain == named) {
        Some(own) => Ok(vec![own]),
        None => Err(Answer::nothing(format!("no [[dkim]] names {named}"))),
    }
}

async fn show(keeper: &Keeper, resolver: &Resolver, own: &Dkim, until: Instant) -> Result<(DkimDomain, bool), String> {
    // What could not be found out in time is told as it was known before.
    let switched = timeout_at(until, keeper.look(own, resolver, clock())).await.unwrap_or(Ok(false))?;
    let keys = keeper.told(own, clock())?.into_iter().map(key).collect();
    Ok((DkimDomain { domain: own.domain.to_string(), keys }, switched))
}

/// Carries it out.
pub(crate) async fn carry_out(keeper: &Keeper, config: &Config, resolver: &Resolver, order: DkimOrder) -> Answer {
    let named = match &order {
        DkimOrder::Show { domain } => domain.as_deref(),
        DkimOrder::Rotate { domain, .. } => Some(domain.as_str()),
    };
    let chosen = match chosen(config, named) {
        Ok(chosen) => chosen,
        Err(answer) => return answer,
    };
    let mut done = None;
    if let (DkimOrder::Rotate { unseen, dry_run, .. }, Some(own)) = (&order, chosen.first()) {
        match rotate(keeper, own, *unseen, *dry_run).await {
            Ok(words) => done = Some(words),
            Err(why) => return Answer::failed(why),
        }
    }
    let mut domains = Vec::new();
    let until = Instant::now() + LOOK_WITHIN;
    for own in chosen {
        match show(keeper, resolver, own, until).await {
            Ok((domain, switched)) => {
                if switched {
                    done = Some(format!("{}: the records of the new keys are out: they sign from now on", own.domain));
                }
                domains.push(domain);
            }
            Err(why) => return Answer::failed(why),
        }
    }
    Answer::DkimKeys(Box::new(DkimKeys { domains, done }))
}

async fn rotate(keeper: &Keeper, own: &Dkim, unseen: bool, dry_run: bool) -> Result<String, String> {
    let domain = &own.domain;
    if dry_run {
        let is_waiting = keeper.told(own, clock())?.iter().any(|told| told.state == State::Made);
        return Ok(match (is_waiting, unseen) {
            (_, true) => format!("{domain}: nothing is changed; without --dry-run new keys would sign at once"),
            (true, false) => format!("{domain}: nothing is changed; new keys are there already and wait for their records"),
            (false, false) => format!("{domain}: nothing is changed; without --dry-run new keys would be made"),
        });
    }
    let made = keeper.rotate(own, clock()).await?;
    if unseen {
        keeper.switch(own, clock()).await?;
        return Ok(format!("{domain}: the new keys sign from now on; publish their records at once"));
    }
    Ok(match made {
        true => format!("{domain}: new keys were made; they sign once their records are seen published"),
        false => format!("{domain}: new keys are there already; they sign once their records are seen published"),
    })
}

fn alone<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    Ok(runtime.block_on(work))
}

/// The same without a server.
///
/// # Errors
/// In words.
pub(crate) fn offline(config: &Config, data_dir: &Path, order: DkimOrder) -> Result<Answer, String> {
    alone(async {
        let resolver = Resolver::new(live::lookup(config)).map_err(|failure| failure.to_string())?;
        Ok(carry_out(&Keeper::new(data_dir.to_path_buf()), config, &resolver, order).await)
    })?
}

/// What to publish for a domain, without a server.
///
/// # Errors
/// In words.
pub(crate) fn plan_offline(config: &Config, data_dir: &Path, order: DnsOrder) -> Result<Answer, String> {
    alone(dns_plan::carry_out(&Keeper::new(data_dir.to_path_buf()), config, order))
}
