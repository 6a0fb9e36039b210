//! What must hold for any input, one module per target: not only that nothing panics, but that a split of the bytes never matters and
//! that what is printed parses to what was printed.
//!
//! Promise: each check is a plain function of bytes, so that an input that was found once runs again as a test without libFuzzer.

pub mod address;
pub mod bdat;
pub mod body;
pub mod command;
pub mod dialogue;
pub mod inspect;
pub mod line;
pub mod list;
pub mod record;
pub mod reply;
pub mod reports;
pub mod sasl;
pub mod session;

/// How many of the last octets of an input say where to split the rest.
const SIZES: usize = 4;

/// Splits an input into pieces whose sizes its last octets choose; gives the pieces and their whole.
#[must_use]
pub fn split(data: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let (whole, sizes) = data.split_at(data.len().saturating_sub(SIZES));
    let (mut pieces, mut rest) = (Vec::new(), whole);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(rest.len().min(usize::from(*size % 64) + 1));
        pieces.push(piece);
        rest = behind;
    }
    (pieces, whole)
}

#[cfg(test)]
mod tests {
    /// Every seed and every input that was found once.
    #[test]
    fn the_stored_inputs_hold() {
        type Check = fn(&[u8]);
        let checks: [(&str, Check); 11] = [
            ("address", crate::address::check),
            ("bdat", crate::bdat::check),
            ("body", crate::body::check),
            ("command", crate::command::check),
            ("dialogue", crate::dialogue::check),
            ("line", crate::line::check),
            ("list", crate::list::check),
            ("record", crate::record::check),
            ("reply", crate::reply::check),
            ("sasl", crate::sasl::check),
            ("session", crate::session::check),
        ];
        for (target, check) in checks {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
            let mut inputs = 0;
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                println!("{}", path.display());
                check(&std::fs::read(path).unwrap());
                inputs += 1;
            }
            assert!(inputs > 0, "{target} has seeds");
        }
    }

    #[test]
    fn pieces_make_up_the_whole() {
        for data in [&b""[..], b"abc", b"abcdefgh", b"a long input with sizes at its end\x00\x05\x3f\x01"] {
            let (pieces, whole) = super::split(data);
            assert_eq!(pieces.concat(), whole);
        }
    }
}
