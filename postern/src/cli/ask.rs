//! Asks the running server over its socket; what makes sense without one is done here when there is none.

use std::cell::OnceCell;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use postern_config::{Config, data_dir_of_broken};
use postern_mail::fact::{ClientFacts, Fact};
use postern_mail::netset::AskedName;
use postern_mail::scope::AccountScope;
use postern_mail::trouble::Outage;
use postern_state::Audit;
use postern_state::audit::chain::Act;

use crate::acts;
use crate::cli::Stop;
use crate::control::bans::BanOrder;
use crate::control::{Answer, ORDER_TIMEOUT, Order, carry_out_account};
use crate::explained::{self, Explained, Looked, WhatIf};
use crate::lists;
use crate::offline::{self, Source};
use crate::privilege::drop_root;
use crate::scopes::Habits;
use crate::wire::bans::carry_out_offline;
use crate::wire::control::socket_path;
use crate::wire::{account_facts, clock, live, signing};

/// Has an order carried out.
pub(crate) fn ask(source: &Source, order: Order) -> Result<Answer, Stop> {
    let config = match source.load() {
        Ok(config) => config,
        Err(errors) => return ask_in_spite_of(errors, source, &order),
    };
    let data_dir = std::path::absolute(&config.server.data_dir).map_err(|error| error.to_string())?;
    let path = socket_path(&data_dir);
    match UnixStream::connect(&path) {
        Ok(stream) => Ok(converse(stream, &order).map_err(|error| format!("the server at {}: {error}", path.display()))?),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => match without_reason(order) {
            (Order::WhatIf(asked), _) => what_if(&config, &data_dir, &asked),
            // A mirror without a server has nothing to follow: it must not become the server's user over that, nor make its folders.
            (order @ (Order::Account(_) | Order::List(_) | Order::Ban(_) | Order::Dkim(_) | Order::Dns(_)), reason)
                if !is_mirror(&order) =>
            {
                let who = acts::local_user();
                let act = acts::act(&Order::Because { reason, order: Box::new(order.clone()) });
                as_server(&config, &data_dir)?;
                let answer = match order {
                    Order::Account(order) => {
                        carry_out_account(&offline::accounts(&data_dir)?, clock(), &Habits::of(&config), order)
                    }
                    Order::List(order) => {
                        // What commands have made needs no file of others to be right.
                        let files_of = Some(&config).filter(|_| order.wants_files());
                        lists::carry_out(&offline::lists(&data_dir, files_of)?, &live::policy(&config), clock(), order)
                    }
                    Order::Dkim(order) => signing::offline(&config, &data_dir, order)?,
                    Order::Dns(order) => signing::plan_offline(&config, &data_dir, order)?,
                    Order::Ban(order) => carry_out_offline(&offline::bans(&data_dir)?, &config, &order)?,
                    _ => return Err(Stop(1, "this takes a running server".to_owned())),
                };
                if let Some((what, reason)) = act {
                    let result = acts::result(&answer);
                    let act = Act { who: &who, what: &what, reason: &reason, result: &result };
                    let written =
                        Audit::open(&data_dir, clock(), live::audit_keep(&config)).and_then(|audit| audit.append(clock(), act));
                    let written =
                        written.map(drop).map_err(|error| format!("it could not be written into the audit log: {error}"));
                    return Ok(acts::answered(written, answer));
                }
                Ok(answer)
            }
            _ => Err(Stop(
                1,
                format!("no server is running with the data directory {}; start it with: postern serve", data_dir.display()),
            )),
        },
        Err(error) => Err(Stop(1, format!("{}: {error}", path.display()))),
    }
}

/// Asks the server with this data directory; nothing where none runs.
pub(crate) fn running(data_dir: &Path, order: &Order) -> Result<Option<Answer>, Stop> {
    let path = socket_path(data_dir);
    match UnixStream::connect(&path) {
        Ok(stream) => match converse(stream, order) {
            Ok(Answer::Failed { exit, error }) => Err(Stop(exit, error)),
            Ok(answer) => Ok(Some(answer)),
            Err(error) => Err(Stop(1, format!("the server at {}: {error}", path.display()))),
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(Stop(1, format!("{}: {error}", path.display()))),
    }
}

/// A server that runs goes on with the configuration it has; who wants to see what it does need not mend the file first. Only what is
/// about the server's own state is asked so: all else may hang on what the file was meant to say.
fn ask_in_spite_of(errors: String, source: &Source, order: &Order) -> Result<Answer, Stop> {
    let (Source::File(file), true) = (source, is_about_state(order)) else { return Err(errors.into()) };
    let found = std::fs::read_to_string(file).ok().and_then(|text| data_dir_of_broken(&text));
    let Some(data_dir) = found.and_then(|found| std::path::absolute(found).ok()) else { return Err(errors.into()) };
    let path = socket_path(&data_dir);
    let Ok(stream) = UnixStream::connect(&path) else { return Err(errors.into()) };
    let shown = path.display();
    eprintln!("{errors}\nThe file is broken; the server that runs goes on without it and is asked at {shown}.");
    Ok(converse(stream, order).map_err(|error| format!("the server at {shown}: {error}"))?)
}

fn is_about_state(order: &Order) -> bool {
    match order {
        Order::Status
        | Order::DnsLists
        | Order::Queue(_)
        | Order::Ban(_)
        | Order::Greylist(_)
        | Order::Suppression(_)
        | Order::Reputation(_)
        | Order::Explain { .. }
        | Order::Trace { .. } => true,
        Order::Because { order, .. } => is_about_state(order),
        Order::Reload
        | Order::Account(_)
        | Order::List(_)
        | Order::WhatIf(_)
        | Order::Policy(_)
        | Order::Reports(_)
        | Order::Dkim(_)
        | Order::Dns(_) => false,
    }
}

fn is_mirror(order: &Order) -> bool {
    matches!(order, Order::Ban(BanOrder::Mirror { .. }))
}

fn without_reason(order: Order) -> (Order, String) {
    match order {
        Order::Because { reason, order } => (*order, reason),
        order => (order, String::new()),
    }
}

/// The accounts are opened only where one is named.
fn what_if(config: &Config, data_dir: &Path, asked: &WhatIf) -> Result<Answer, Stop> {
    let account = |name: &str| match offline::accounts(data_dir) {
        Ok(accounts) => account_facts(&accounts, name),
        Err(error) => (Fact::Unavailable(Outage::Service(error)), AccountScope::default()),
    };
    let opened = OnceCell::new();
    let listed = move |client: &ClientFacts, names: Option<&[AskedName]>| {
        let open =
            || offline::lists(data_dir, Some(config)).inspect_err(|error| eprintln!("warning: no list was looked at: {error}"));
        match (opened.get_or_init(open), names) {
            (Ok(lists), None) => lists.listed(client.address, client.listener, clock()),
            (Ok(lists), Some(names)) => lists.named(names, client.listener, clock()),
            (Err(_), _) => Vec::new(),
        }
    };
    match explained::what_if(config, &live::policy(config), account, listed, (asked, &Looked::default())) {
        Ok(explained) => {
            // After the lists: one at a time has the store open.
            let bans = carry_out_offline(&offline::bans(data_dir)?, config, &BanOrder::Explain { what: asked.ip.clone() })?;
            let by = asked.config.as_ref().map_or("the development default", |(name, _)| name);
            let by = Some(format!("{by}; nothing is looked up, since no server is running"));
            Ok(Answer::Explained(Box::new(explained::with_bans(Explained { by, ..explained }, &bans))))
        }
        Err(error) => Err(Stop(2, error)),
    }
}

/// As the user the server runs as, not as root: so the server can use what is made, and nothing in that user's folder can turn root's steps
/// elsewhere. A user that does not exist is no error here, but when the server starts.
pub(crate) fn as_server(config: &Config, data_dir: &PathBuf) -> Result<(), Stop> {
    match drop_root(&config.server.user, std::slice::from_ref(data_dir)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", data_dir.display()).into()),
        _ => Ok(()),
    }
}

fn converse(mut stream: UnixStream, order: &Order) -> std::io::Result<Answer> {
    stream.set_read_timeout(Some(ORDER_TIMEOUT))?;
    stream.set_write_timeout(Some(ORDER_TIMEOUT))?;
    let mut text = serde_json::to_vec(order)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(std::io::Error::new(ErrorKind::TimedOut, "it gave no answer in time"));
    }
    Ok(serde_json::from_str(&line)?)
}
