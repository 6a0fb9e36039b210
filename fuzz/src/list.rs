//! Any text ends in entries or in mistakes; an entry that is written reads back, and no reason is longer than a reason.

use postern_mail::envelope::UnixMillis;
use postern_mail::list::{Entry, Family, Format, line, parse, read, told, write};
use postern_mail::netset::{NetSetBuilder, REASON_BYTES_MAX};

/// The property.
pub fn check(data: &[u8]) {
    for format in Format::ALL {
        let (mut builder, mut texts) = (NetSetBuilder::new(), Vec::new());
        let whole = read(format, data, |entry| {
            assert!(entry.reason.len() <= REASON_BYTES_MAX, "{} octets of reason", entry.reason.len());
            assert!(told(&entry.reason, entry.subject).len() <= REASON_BYTES_MAX);
            let Entry { subject, action, until, .. } = entry;
            let written = line(&entry);
            let again = parse(&written).unwrap_or_else(|why| panic!("{written:?}: {why}"));
            // A list holds whole seconds.
            let seconds = |until: Option<UnixMillis>| until.map(|until| until.0 / 1000);
            assert_eq!((again.subject, again.action, seconds(again.until)), (subject, action, seconds(until)), "{written:?}");
            builder.add(subject, action.unwrap_or(postern_mail::netset::Action::Block), &entry.reason, until);
            texts.push(written);
        });
        if whole.is_err() {
            continue;
        }
        let set = builder.build();
        let all: Vec<Entry<'_>> = set.iter().map(Entry::from).collect();
        for to in Format::ALL {
            for family in [Family::V4, Family::V6] {
                let written = write(to, family, all.iter().cloned(), UnixMillis(0));
                let read = read(to, written.text.as_bytes(), |_| {});
                assert!(read.is_ok(), "{}\n{}", written.text, read.unwrap_err().words("l"));
            }
        }
    }
}
