//! What is looked at, and within which memory.

use std::borrow::Cow;

use postern_config::{Machine, load};

use super::*;

fn memory(setting: &str) -> Memory {
    let text = format!("[policy]\nexamine_memory = \"{setting}\"\n");
    Memory::new(&load(&text, "f", &Machine::named("mx.example")).unwrap())
}

#[test]
fn what_was_cut_out_of_the_section_is_there_for_those_who_look_and_ours_is_not() {
    let stored = b"Received: x\r\nFrom: a@b.test\r\n\r\nbody\r\n";
    let came = Came::new(Cow::Borrowed(stored), 13, None);
    assert_eq!(came.as_ref(), b"From: a@b.test\r\n\r\nbody\r\n");
    let cut = Cut { came: b"X-Spam-Flag: NO\r\nFrom: a@b.test\r\n\r\n".to_vec(), stored: 18 };
    let came = Came::new(Cow::Borrowed(stored), 13, Some(&cut));
    assert_eq!(came.as_ref(), b"X-Spam-Flag: NO\r\nFrom: a@b.test\r\n\r\nbody\r\n");
}

#[tokio::test]
async fn messages_share_the_memory_and_the_largest_has_all_of_it() {
    let memory = memory("1MiB");
    let largest = memory.room(1 << 40).await.unwrap();
    assert_eq!(memory.free.available_permits(), 0);
    let mut waits = Box::pin(memory.room(4_000));
    assert!(polled(&mut waits).is_none(), "there is no room while another has all of it");
    drop(largest);
    let small = polled(&mut waits).flatten().expect("there is room again");
    assert_eq!(memory.free.available_permits(), 1024 - 4);
    drop(small);
    assert_eq!(memory.free.available_permits(), 1024);
}

fn polled<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
