//! A chunk takes exactly its octets at every split, and a message is judged the same in however many chunks it comes.

use postern_smtp::body::Cleanliness;
use postern_smtp::chunk::ChunkReader;

/// Reads one chunk that arrives in pieces; gives its content and what came behind it.
fn read(size: u64, pieces: &[&[u8]], clean: &mut Cleanliness) -> (Vec<u8>, Vec<u8>) {
    let (mut chunk, mut content, mut behind) = (ChunkReader::new(size), Vec::new(), Vec::new());
    for piece in pieces {
        let before = chunk.remaining();
        let _ = chunk.take(piece, clean);
        let taken = usize::try_from(before - chunk.remaining()).expect("no more than was there");
        content.extend_from_slice(&piece[..taken]);
        behind.extend_from_slice(&piece[taken..]);
    }
    assert_eq!(chunk.is_done(), chunk.remaining() == 0);
    (content, behind)
}

/// The property.
pub fn check(data: &[u8]) {
    let (pieces, whole) = crate::split(data);
    let sizes = [0, u64::try_from(whole.len() / 2).unwrap_or(0), whole.len() as u64, u64::MAX];
    for size in sizes {
        let (mut clean, mut clean_at_once) = (Cleanliness::new(), Cleanliness::new());
        let (content, behind) = read(size, &pieces, &mut clean);
        assert_eq!((content.clone(), behind.clone()), read(size, &[whole], &mut clean_at_once));
        assert_eq!(clean, clean_at_once);
        assert_eq!(content.len() as u64, size.min(whole.len() as u64));
        assert_eq!([content, behind].concat(), whole);
    }

    let (mut in_chunks, mut in_one) = (Cleanliness::new(), Cleanliness::new());
    for piece in &pieces {
        let _ = ChunkReader::new(piece.len() as u64).take(piece, &mut in_chunks);
    }
    let _ = in_one.scan(whole);
    assert_eq!(in_chunks, in_one);
    let bare = whole.iter().enumerate().any(|(at, byte)| match byte {
        0 => true,
        b'\r' => whole.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || whole.get(at - 1) != Some(&b'\r'),
        _ => false,
    });
    assert_eq!(in_one.finish().is_err(), bare);
}
