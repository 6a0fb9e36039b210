//! Addresses beside names in raw ISO-2022-JP (RFC 1468), which Japanese programs put into header fields without encoding them. Promise: what comes out are the
//! addresses for readers who know the character set and for those who take its octets for ASCII; where these would differ, nothing comes out.
//!
//! The octets of a name may be `<`, `@`, quotation marks or brackets to the latter. So every `@` outside of names has to be that of an address that is found, wherever
//! a quotation mark seems to begin or to end; and none within a name may have a domain behind it.

use crate::address::Mailbox;
use crate::message::mailbox_list;

const ESCAPE: char = '\u{1b}';
/// Stands for a name while addresses are looked for: an atom wherever one may be.
const NAME: char = '\u{3013}';

/// Looks for something like a domain behind an `@` of a name, up to the bracket in which the address is.
#[derive(Default)]
struct Behind {
    is_open: bool,
    last: [char; 2],
}

impl Behind {
    /// False when there is one.
    fn passes(&mut self, text: &str, is_name: bool) -> bool {
        for c in text.chars() {
            if self.is_open && self.last[0].is_alphanumeric() && self.last[1] == '.' && c.is_alphanumeric() {
                return false;
            }
            self.last = [self.last[1], c];
            match c {
                '@' if is_name => self.is_open = true,
                '<' if !is_name => self.is_open = false,
                _ => {}
            }
        }
        true
    }
}

/// A name up to its end, and what is behind that.
fn name(text: &str) -> Option<(String, &str)> {
    let mut rest = text;
    let mut octets = String::new();
    loop {
        rest = rest.strip_prefix("$B").or_else(|| rest.strip_prefix("$@"))?;
        let (run, behind) = rest.split_once(ESCAPE)?;
        // Two octets are one character.
        if run.len() % 2 != 0 || !run.bytes().all(|octet| octet.is_ascii_graphic()) {
            return None;
        }
        octets.push_str(run);
        match behind.strip_prefix("(B").or_else(|| behind.strip_prefix("(J")) {
            Some(rest) => return Some((octets, rest)),
            None => rest = behind,
        }
    }
}

/// Reads a field with such names in it.
pub(super) fn every(text: &str) -> Option<Vec<Mailbox>> {
    let mut plain = String::with_capacity(text.len());
    let mut behind = Behind::default();
    let mut rest = text;
    loop {
        let (outside, escaped) = rest.split_once(ESCAPE).map_or((rest, None), |(outside, escaped)| (outside, Some(escaped)));
        plain.push_str(outside);
        if outside.contains(['\\', NAME]) || !behind.passes(outside, false) {
            return None;
        }
        let Some(escaped) = escaped else { break };
        // A name is no part of an address.
        if !plain.chars().next_back().is_none_or(|c| " \t\",:>".contains(c) || c == NAME) {
            return None;
        }
        let (octets, after) = name(escaped)?;
        if !behind.passes(&octets, true) || !after.chars().next().is_none_or(|c| " \t\"<".contains(c) || c == ESCAPE) {
            return None;
        }
        plain.push(NAME);
        rest = after;
    }
    let found = mailbox_list::parse(&plain)?;
    (plain.matches('@').count() == found.len()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::mailbox_list::every;

    fn read(text: &str) -> Option<Vec<String>> {
        every(text).map(|found| found.iter().map(ToString::to_string).collect())
    }

    const AOKI: &str = "\u{1b}$B@DLZ\u{1b}(B";

    #[test]
    fn the_address_beside_a_raw_japanese_name_is_found_though_its_octets_look_like_specials() {
        for name in [
            AOKI,
            "\u{1b}$B@>@n\u{1b}(B \u{1b}$B$\"$(\u{1b}(J",
            "\"\u{1b}$B@PEg\u{1b}(B Taro\"",
            "Taro \u{1b}$@@DLZ\u{1b}(B\u{1b}$B$,$<\u{1b}(B",
        ] {
            assert_eq!(read(&format!("{name} <aoki@a.test>")), Some(vec!["aoki@a.test".to_owned()]), "{name:?}");
        }
        assert_eq!(read(&format!("{AOKI} <a@a.test>, {AOKI} <b@b.test>")).unwrap().len(), 2);
    }

    #[test]
    fn what_may_be_another_address_to_a_reader_who_does_not_know_the_character_set_is_not_read() {
        for text in [
            // An address, or its domain, within a name.
            "\u{1b}$B<ceo@bank.test>!\u{1b}(B <a@evil.test>",
            "\u{1b}$Bceo@\u{1b}(B bank.test <a@evil.test>",
            "\u{1b}$Bceo@\u{1b}(B\u{1b}$Bbank.test!\u{1b}(B <a@evil.test>",
            "\u{1b}$Bceo@[192.0.2.1]\u{1b}(B <a@evil.test>",
            // A quotation mark in a name that ends, or begins, what is quoted for others.
            "\u{1b}$B$\"\u{1b}(B \"<ceo@bank.test>\" <a@evil.test>",
            "\u{1b}$B$(\u{1b}(B (<ceo@bank.test>) <a@evil.test>",
            // A name as a part of an address.
            "<a@evil.test\u{1b}$B.b\u{1b}(B>",
            "a@evil.test\u{1b}$B.bank.test!\u{1b}(B",
            "\u{1b}$B@D\u{1b}(Ba@evil.test",
            "a@[\u{1b}$B@D\u{1b}(B]",
            // No end, half a character, or another set.
            "\u{1b}$B@DLZ <a@evil.test>",
            "\u{1b}$B@DL\u{1b}(B <a@evil.test>",
            "\u{1b}$B@D LZ\u{1b}(B <a@evil.test>",
            "\u{1b}(I1\u{1b}(B <a@evil.test>",
            "\u{1b}A <a@evil.test>",
            "\"\u{1b}$B@D\u{1b}(J\\\" <a@evil.test>",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "[\u{1b}$(B@<>\"a.,b \\\\]{0,40}") {
            let _ = every(&text);
        }
    }
}
