//! Generated pages: written by one command each, compared in CI.

use std::fs;

use crate::{Outcome, rfc, root};

const CONFIG: &str = "docs/config.md";
const RFC: &str = "docs/rfc.md";

fn write(page: &str, text: &str) -> Outcome {
    fs::write(root().join(page), text).map_err(|error| format!("{page}: {error}"))
}

pub(crate) fn write_config() -> Outcome {
    write(CONFIG, &postern_config::markdown())
}

pub(crate) fn write_rfc() -> Outcome {
    write(RFC, &rfc::table()?)
}

/// The simulator stands in the test kit, which the chores do without; a test of the kit compares the page with it.
pub(crate) fn write_guard() -> Outcome {
    let mut command = std::process::Command::new(crate::cargo());
    command.args(["run", "--quiet", crate::ANY_RUST, "--package", "postern-testkit", "--example", "guard_table"]);
    let output =
        command.current_dir(root()).stderr(std::process::Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("the simulator failed: {}", output.status));
    }
    write("docs/GUARD.md", &String::from_utf8_lossy(&output.stdout))
}

/// Fails when a generated page is not what its source says.
pub(crate) fn check() -> Outcome {
    for (page, text, command) in [(CONFIG, postern_config::markdown(), "config-doc"), (RFC, rfc::table()?, "rfc-table")] {
        if fs::read_to_string(root().join(page)).unwrap_or_default() != text {
            return Err(format!("{page} is not what the code says; run: cargo xtask {command}"));
        }
    }
    Ok(())
}
