//! Segments and groups: what was written reads back, and what is torn, foreign or of an earlier life does not.

use super::*;

const SALT: u64 = 0x1234_5678_9abc_def0;

fn group(number: u64, run: u32, payloads: &[&[u8]]) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut builder = GroupBuilder::new(&mut buffer, SALT, number, run);
    for (index, payload) in payloads.iter().enumerate() {
        builder.push(Kind::Message, MessageId(index as u64 + 1), &[payload]);
    }
    builder.finish(MessageId(9));
    buffer
}

#[test]
fn a_group_reads_back_as_it_was_written() {
    let bytes = group(7, 3, &[b"one", b"", &[5; 5000]]);
    assert_eq!(bytes.len() % 4096, 0);
    let header = GroupHeader::decode(&bytes, SALT).unwrap();
    assert_eq!((header.number, header.newest, header.count, header.bytes()), (7, MessageId(9), 3, bytes.len() as u64));
    let records = header.records(&bytes, SALT).unwrap();
    assert_eq!(records.iter().map(|(_, r)| r.payload.len()).collect::<Vec<_>>(), [3, 0, 5000]);
}

#[test]
fn any_changed_octet_before_the_padding_makes_a_group_invalid() {
    let bytes = group(7, 3, &[b"one", b"two and more"]);
    let used = GROUP_HEADER + record_bytes(3) + record_bytes(12);
    let valid = |bytes: &[u8]| GroupHeader::decode(bytes, SALT).and_then(|h| h.records(bytes, SALT).map(|r| r.len())).is_some();
    assert!(valid(&bytes));
    for at in 0..used {
        let mut broken = bytes.clone();
        broken[at] ^= 0x40;
        // Padding between records is the one place that says nothing.
        let padding = (GROUP_HEADER + RECORD_HEADER + 3..GROUP_HEADER + record_bytes(3)).contains(&at)
            || (GROUP_HEADER + record_bytes(3) + RECORD_HEADER + 12..used).contains(&at);
        assert_eq!(valid(&broken), padding, "octet {at}");
    }
}

#[test]
fn records_of_another_life_of_the_segment_never_validate() {
    let bytes = group(7, 3, &[b"one"]);
    assert!(GroupHeader::decode(&bytes, SALT + 1).is_none());
    assert!(record(&bytes[GROUP_HEADER..], SALT).is_some());
    assert!(record(&bytes[GROUP_HEADER..], SALT + 1).is_none());
    assert!(record(&bytes[GROUP_HEADER..], SALT ^ (1 << 40)).is_none());
}

#[test]
fn sectors_of_two_runs_do_not_make_a_group_together() {
    let old = group(7, 3, &[&[1; 480], &[2; 480]]);
    let new = group(7, 4, &[&[1; 480], &[2; 480]]);
    let mut mixed = new.clone();
    mixed[GROUP_HEADER + record_bytes(480)..].copy_from_slice(&old[GROUP_HEADER + record_bytes(480)..]);
    let header = GroupHeader::decode(&mixed, SALT).unwrap();
    assert!(header.records(&mixed, SALT).is_none());
}

#[test]
fn a_segment_header_round_trips_and_notices_damage() {
    let header = SegmentHeader { generation: 12, salt: SALT, bytes: 1 << 20 };
    let block = header.encode();
    assert_eq!(SegmentHeader::decode(&block), Some(header));
    for at in 0..36 {
        let mut broken = block.clone();
        broken[at] ^= 1;
        assert_eq!(SegmentHeader::decode(&broken), None, "octet {at}");
    }
}
