//! Any text ends in entries or in mistakes; an entry that is written reads back, and no reason is longer than a reason.

use postern_mail::envelope::UnixMillis;
use postern_mail::list::{Entry, Family, Format, line, parse, read, told, write};
use postern_mail::netset::{NameKind, NetSetBuilder, REASON_BYTES_MAX};

/// The property.
pub fn check(data: &[u8]) {
    let kinds = || std::iter::once(None).chain(NameKind::ALL.map(Some));
    for (format, of) in Format::ALL.into_iter().flat_map(|format| kinds().map(move |of| (format, of))) {
        let (mut builder, mut texts) = (NetSetBuilder::new(), Vec::new());
        let whole = read(format, of, data, |entry| {
            assert!(entry.reason.len() <= REASON_BYTES_MAX, "{} octets of reason", entry.reason.len());
            assert!(told(&entry.reason, &entry.subject).len() <= REASON_BYTES_MAX);
            let written = line(&entry);
            let Entry { subject, action, reason, until } = entry;
            let again = parse(&written).unwrap_or_else(|why| panic!("{written:?}: {why}"));
            // A list holds whole seconds.
            let seconds = |until: Option<UnixMillis>| until.map(|until| until.0 / 1000);
            assert_eq!((again.subject, again.action, seconds(again.until)), (subject.clone(), action, seconds(until)), "{written:?}");
            builder.add(&subject, action.unwrap_or(postern_mail::netset::Action::Block), &reason, until);
            texts.push(written);
        });
        if whole.is_err() {
            continue;
        }
        let set = builder.build();
        let all: Vec<Entry<'_>> = set.iter().map(Entry::from).collect();
        for to in Format::ALL {
            for family in [Family::V4, Family::V6].into_iter().chain(NameKind::ALL.map(Family::Names)) {
                let written = write(to, family, all.iter().cloned(), UnixMillis(0));
                let of = if let Family::Names(kind) = family { Some(kind) } else { None };
                let read = read(to, of.filter(|_| to == Format::Rbldnsd), written.text.as_bytes(), |_| {});
                assert!(read.is_ok(), "{}\n{}", written.text, read.unwrap_err().words("l"));
            }
        }
    }
}
