//! Builds the fuzz targets with the coverage instrumentation libFuzzer wants, on the stable compiler, and runs each for a while.

use std::fs;
use std::process::Command;

use crate::{ANY_RUST, Outcome, cargo, root};

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Cdebug-assertions -Ccodegen-units=1";

/// Build scripts must not be instrumented, and are not when a target is named.
fn host() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| "rustc -vV names no host".to_owned())
}

fn targets() -> Result<Vec<String>, String> {
    let text = fs::read_to_string(root().join("fuzz/Cargo.toml")).map_err(|error| format!("fuzz/Cargo.toml: {error}"))?;
    let manifest: toml::Table = text.parse().map_err(|error| format!("fuzz/Cargo.toml: {error}"))?;
    let bins = manifest.get("bin").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    Ok(bins.iter().filter_map(|bin| bin.get("name").and_then(toml::Value::as_str).map(str::to_owned)).collect())
}

/// Runs every target for this many seconds.
pub(crate) fn run(seconds: u32) -> Outcome {
    let host = host()?;
    let folder = root().join("fuzz");
    let status = Command::new(cargo())
        .args(["build", "--release", ANY_RUST, "--target", &host])
        .env("RUSTFLAGS", FLAGS)
        .current_dir(&folder)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("building the fuzz targets: {status}"));
    }
    for target in targets()? {
        let corpus = folder.join("corpus").join(&target);
        fs::create_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
        let binary = folder.join("target").join(&host).join("release").join(&target);
        eprintln!("fuzzing {target} for {seconds} s");
        let output = Command::new(&binary)
            // New inputs go to the first folder; the seeds lead to where chance alone does not come in a few seconds.
            .arg(&corpus)
            .arg(folder.join("seeds").join(&target))
            .arg("-dict=smtp.dict")
            .args([
                &format!("-max_total_time={seconds}"),
                // The same beginning each time, so that what is green today is not red tomorrow by chance alone; hunting takes more seconds.
                "-seed=1",
                "-timeout=5",
                "-rss_limit_mb=1024",
                "-verbosity=0",
                "-print_final_stats=1",
            ])
            .current_dir(&folder)
            .output()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("fuzz target {target} found something:\n{said}"));
        }
        let runs = said.lines().find(|line| line.contains("number_of_executed_units")).unwrap_or("no statistics");
        eprintln!("  {runs}");
    }
    Ok(())
}
