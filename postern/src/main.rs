//! postern: a hardened SMTP server in one binary. It reads the configuration, drops privileges and joins the steps; what it
//! decides itself is only the order of these.

mod acts;
mod certs;
mod cli;
mod control;
mod dkim;
mod dns_plan;
mod explained;
mod lists;
mod offline;
mod own_addresses;
mod privilege;
mod replay;
mod scopes;
mod serve;
mod telemetry;
mod wire;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // One provider for whatever asks the library for its default; everything of ours names it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    privilege::keep_private();
    cli::run()
}
