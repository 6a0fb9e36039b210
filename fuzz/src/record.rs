//! Any octets end in a record of decisions or in nothing.

use postern_mail::MessageId;
use postern_policy::record::{Record, What};

/// The property.
pub fn check(data: &[u8]) {
    let Some(record) = Record::read(data) else { return };
    let entries = record.entries.len();
    assert!(entries <= data.len(), "an entry takes an octet at least");
    let accepted: Vec<MessageId> = record
        .entries
        .iter()
        .filter_map(|entry| if let What::Accepted(id) = entry.what { Some(id) } else { None })
        .take(4)
        .collect();
    for id in accepted {
        assert!(
            record.clone().about(id).is_some_and(|about| about.entries.len() <= entries),
            "what is accepted in it is told of"
        );
    }
}
