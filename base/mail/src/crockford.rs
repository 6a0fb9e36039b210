//! Crockford's base 32: numbers as people can read them over the telephone, without I, L, O and U. Promise: what is printed reads back, in
//! upper and lower case, and sorts as the numbers do.

use std::fmt;

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Prints the lowest `chars` digits.
pub(crate) fn print(value: u64, chars: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for place in (0..chars).rev() {
        let digit = (value >> (place * 5)) & 31;
        let byte = DIGITS.get(usize::try_from(digit).unwrap_or(0)).copied().unwrap_or(b'0');
        write!(f, "{}", char::from(byte))?;
    }
    Ok(())
}

/// Reads exactly `chars` digits; `None` for anything else and for what 64 bits do not hold.
pub(crate) fn read(text: &str, chars: usize) -> Option<u64> {
    if text.len() != chars {
        return None;
    }
    text.bytes().try_fold(0_u64, |value, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte.to_ascii_uppercase())?;
        value.checked_mul(32)?.checked_add(digit as u64)
    })
}
