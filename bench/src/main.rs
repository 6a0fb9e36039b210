//! Measuring SMTP servers on loopback: a generator of load, a sink that stores nothing, a holder of idle connections, and a comparison that runs
//! postern, Postfix and the sink in alternation.
//!
//! Promise: every target is on loopback, every loop is bounded in count and time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

mod attack;
mod client;
mod compare;
mod dovecot;
mod hold;
mod jobs;
mod load;
mod machine;
mod names;
mod postern;
mod postfix;
mod report;
mod server;
mod sink;

const HELP: &str = "\
postern-bench COMMAND --option value ...     every command prints one JSON object

  load   --target IP:PORT   --sessions 20 --messages 2000 --per-session 1 (0: as many as there are) --size 4096
         --recipients 1 --to rcpt@sink.test --from load@src.test
         --pipelining (MAIL, RCPT, DATA in one write)  --bdat (BDAT LAST, with --pipelining all in one write)  --starttls
         --seconds 30 (stop then)  --rate 0 (messages a second; 0: as fast as they are taken)  --unique (a recipient for each message)
  sink   --listen IP:PORT   --seconds 600 (stop then)  --starttls
  hold   --target IP:PORT   --count 10000 --seconds 20 --sources 250 (addresses 127.3.0.1 and up)
  attack --way idle|drip|churn|guess --target IP:PORT --submission IP:PORT (where accounts log in)  --seconds 10
         --count N (connections in all)  --victims NAME,.. (accounts whose passwords are guessed)   from 127.3, 127.32, 127.66 and 127.80 and up
  compare [--quick] [--jobs NAME,..] [--rounds 3] [--seconds 4]   servers side by side, in alternation; prints tables
         --out FILE (put the tables into this page, between its marks)  --without postfix  --postern PATH
         --dir FOLDER (data of the servers; on the disk that is to be measured, and open to the user nobody)
         --patience 30 (seconds to wait for a quiet machine, before each measurement)
         --other PATH (another generator of load, for the job generator; it is given the options of load)
         --idle 10000 (connections)  --queued 1000000 (messages)  --large 100 (sessions of 50 MiB)
         Run it as root, so that Postfix can start. Ten thousand connections need as many open files: ulimit -n.
";

/// `--name value` or a bare `--flag`.
pub(crate) struct Options(HashMap<String, String>);

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = HashMap::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--").ok_or_else(|| format!("unexpected argument {argument:?}"))?;
            let value = rest.next_if(|next| !next.starts_with("--")).cloned().unwrap_or_default();
            options.insert(name.to_owned(), value);
        }
        Ok(Self(options))
    }

    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| format!("--{name} wants a number, not {value:?}")),
        }
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| default.to_owned())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn seconds(&self, default: u64) -> Result<Duration, String> {
        Ok(Duration::from_secs(self.number("seconds", default)?))
    }

    pub(crate) fn loopback(&self, name: &str) -> Result<SocketAddr, String> {
        let text = self.0.get(name).ok_or_else(|| format!("--{name} IP:PORT is needed"))?;
        let address: SocketAddr = text.parse().map_err(|_| format!("--{name} wants IP:PORT, not {text:?}"))?;
        if address.ip().is_loopback() {
            Ok(address)
        } else {
            Err(format!("{address} is not on loopback; nothing else is ever a target"))
        }
    }
}

fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build().map_err(|error| error.to_string())
}

fn command(arguments: &[String]) -> Result<serde_json::Value, String> {
    let (name, rest) = arguments.split_first().ok_or_else(|| HELP.to_owned())?;
    let options = Options::parse(rest)?;
    let threads = usize::try_from(options.number("threads", 2)?).unwrap_or(2);
    match name.as_str() {
        "load" => runtime(threads)?.block_on(load::run(&Arc::new(load::Load::from_options(&options)?))).map(|taken| taken.json()),
        "attack" => attack::run(&options),
        "compare" => compare::run(&options),
        "sink" => runtime(1)?.block_on(sink::run(&options)),
        "hold" => runtime(1)?.block_on(hold::run(&options)),
        _ => Err(format!("{HELP}\njobs: {}", jobs::names())),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command(&arguments) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}
