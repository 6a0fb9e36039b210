//! Prints the manual of settings: `cargo run -p postern-config --example manual > docs/config.md`.

fn main() {
    print!("{}", postern_config::markdown());
}
