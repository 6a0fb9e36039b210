//! Programs with paths and users compiled in, run in a mount namespace where those are what the test wants.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::peers::root;

/// Whether that can be done here.
///
/// # Errors
/// What is missing.
pub(crate) fn possible() -> Result<(), &'static str> {
    root()?;
    let made = Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|output| output.status.success());
    if made { Ok(()) } else { Err("util-linux, and run where mount namespaces are allowed") }
}

/// A view of the file system for one program.
pub(crate) struct View<'a> {
    folder: &'a Path,
    script: String,
}

impl<'a> View<'a> {
    /// As it is, but with these system users.
    pub(crate) fn with_users(folder: &'a Path, users: &[(&str, u32)]) -> Self {
        let mut script = "set -e\n".to_owned();
        for (file, shape) in [("passwd", "::/nonexistent:/bin/false"), ("group", "")] {
            let mut text = std::fs::read_to_string(Path::new("/etc").join(file)).expect("users of this machine");
            for (name, number) in users {
                let _ = match file {
                    "passwd" => writeln!(text, "{name}:x:{number}:{number}{shape}"),
                    _ => writeln!(text, "{name}:x:{number}:"),
                };
            }
            std::fs::write(folder.join(file), text).expect("users of the test");
            let _ = writeln!(script, "mount --bind '{}/{file}' /etc/{file}", folder.display());
        }
        Self { folder, script }
    }

    /// With this in place of that.
    pub(crate) fn place(mut self, what: &Path, at: &str) -> Self {
        let _ = writeln!(self.script, "mount --bind '{}' '{at}'", what.display());
        self
    }

    /// With a file of this text in place of that.
    pub(crate) fn place_text(self, name: &str, text: &str, at: &str) -> Self {
        let file = self.folder.join(name);
        std::fs::write(&file, text).expect("a file");
        self.place(&file, at)
    }

    /// With nothing in this folder but these folders.
    pub(crate) fn empty(mut self, folder: &str, but: &[&str]) -> Self {
        let _ = writeln!(self.script, "mount -t tmpfs none '{folder}'");
        for inner in but {
            let _ = writeln!(self.script, "mkdir -p -m 711 '{folder}/{inner}'");
        }
        self
    }

    /// A program that sees it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &format!("{}exec \"$@\"", self.script), "sh"]).arg(program);
        command
    }
}
