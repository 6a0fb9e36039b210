//! Every chore as Rust: `cargo xtask test` on a fresh machine, `cargo xtask ci` before a commit, and the generated pages.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod docs;
mod fuzz;
mod packages;
mod rfc;
mod tidy;

const HELP: &str = "\
cargo xtask COMMAND

  test          install what the tests need (Debian packages), then run them all
  ci            everything that must be green: format, lints, tidy, generated pages, fuzzing, tests
  tidy          the rules of the house that the compiler does not know
  fuzz [SECS]   build the fuzz targets and run each for SECS seconds (default 9)
  config-doc    write docs/config.md from the table of settings
  rfc-table     write docs/rfc.md from the RFC comments in the code
  guard-table   write docs/GUARD.md: what the guard of accounts does to simulated owners and thieves
  bench [ARGS]  measure against Postfix and a sink (cargo xtask bench --help)
  schedule-plot draw docs/schedule.svg: a million recipients on a virtual clock
  packages      install the Debian packages that tests and benchmarks use
";

/// The folder of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// What went wrong, in words.
type Outcome = Result<(), String>;

/// Runs a program in the workspace's folder and fails if it does.
fn run(program: &str, arguments: &[&str]) -> Outcome {
    run_with(program, arguments, &[])
}

fn run_with(program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    eprintln!("$ {program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(root())
        .status()
        .map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {}: {status}", arguments.join(" "))) }
}

/// See `.cargo/config.toml`.
const ANY_RUST: &str = "--ignore-rust-version";

fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn have_nextest() -> bool {
    Command::new(cargo()).args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}

fn test() -> Outcome {
    packages::install()?;
    // The stories run the server itself, as it is shipped.
    run(&cargo(), &["build", "--release", ANY_RUST, "--bin", "postern"])?;
    if have_nextest() {
        run(&cargo(), &["test", "--workspace", ANY_RUST, "--doc", "--quiet"])?;
        run(&cargo(), &["nextest", "run", "--workspace", ANY_RUST])
    } else {
        run(&cargo(), &["test", "--workspace", ANY_RUST])
    }
}

fn ci() -> Outcome {
    run(&cargo(), &["fmt", "--all", "--check"])?;
    tidy::check()?;
    docs::check()?;
    run(&cargo(), &["clippy", "--workspace", "--all-targets", ANY_RUST, "--", "-D", "warnings"])?;
    fuzz::run(9)?;
    test()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => test(),
        ["ci"] => ci(),
        ["tidy"] => tidy::check(),
        ["fuzz"] => fuzz::run(9),
        ["fuzz", seconds] => seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds")).and_then(fuzz::run),
        ["config-doc"] => docs::write_config(),
        ["rfc-table"] => docs::write_rfc(),
        ["guard-table"] => docs::write_guard(),
        ["schedule-plot"] => {
            let example = ["run", "--release", ANY_RUST, "-p", "postern-scheduler", "--example", "schedule", "docs/schedule.svg"];
            run(&cargo(), &example)
        }
        ["packages"] => packages::install(),
        ["bench", rest @ ..] => {
            let build = run(&cargo(), &["build", "--release", ANY_RUST, "-p", "postern", "-p", "postern-bench", "--bins"]);
            build.and_then(|()| run("target/release/postern-bench", &[&["compare"], rest].concat()))
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("xtask: {what}");
            ExitCode::FAILURE
        }
    }
}
