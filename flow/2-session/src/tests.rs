//! Tests of the whole conversation: every file in `transcripts/` is one.

mod direct;
mod pump;
mod random;
mod transcript;
mod world;

use std::panic::catch_unwind;

use postern_mail::Reply;

use crate::Session;

fn whole(segment: &[u8]) -> Vec<Vec<u8>> {
    vec![segment.to_vec()]
}

/// At 10,000 idle connections every octet of a session is 10 kB of the server.
#[test]
fn a_session_is_small() {
    let size = size_of::<Session>();
    assert!(size <= 256, "{size} octets");
}

#[test]
fn every_transcript_goes_as_it_is_written() {
    let transcripts = transcript::all();
    assert!(transcripts.len() >= 60, "only {} transcripts", transcripts.len());
    let fails = |transcript: &&transcript::Transcript| catch_unwind(|| transcript.run(&mut whole)).is_err();
    let failed: Vec<&str> = transcripts.iter().filter(fails).map(|transcript| transcript.name.as_str()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// Smuggling and framing bugs show where the bytes are cut.
#[test]
fn every_transcript_goes_the_same_when_its_bytes_come_one_by_one() {
    for transcript in transcript::all().iter().filter(|transcript| !transcript.depends_on_segments()) {
        transcript.run(&mut |segment| segment.chunks(1).map(<[u8]>::to_vec).collect());
    }
}

/// RFC 2034 §4: every reply carries a status of its class, but for the greeting, the replies to EHLO and HELO, 334 and 354.
#[test]
fn every_reply_carries_a_status_of_its_class() {
    let replies: Vec<Reply> = transcript::all().iter().flat_map(|transcript| transcript.run(&mut whole)).collect();
    assert!(replies.len() > 200, "only {} replies", replies.len());
    for reply in replies {
        match (reply.code.0, reply.status) {
            (_, Some(status)) => assert_eq!(u16::from(status.class), reply.code.0 / 100, "{reply:?}"),
            (220, None) => assert!(reply.text().ends_with(" ESMTP"), "{reply:?}"),
            (250, None) => assert!(reply.text().starts_with("here.example"), "{reply:?}"),
            (334 | 354, None) => {}
            (_, None) => panic!("{reply:?}"),
        }
    }
}
