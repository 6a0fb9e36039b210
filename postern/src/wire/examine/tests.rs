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
async fn messages_share_the_memory_and_the_largest_has_all_of_it_but_for_the_share_of_small_ones() {
    let memory = memory("1MiB");
    let largest = memory.room(1 << 40).await.unwrap();
    assert_eq!((memory.large.free.available_permits(), memory.small.free.available_permits()), (0, 128));
    let small = memory.room(4_000).await.unwrap();
    assert_eq!(memory.small.free.available_permits(), 128 - 4);
    let mut waits = Box::pin(memory.room(40_000));
    assert!(polled(&mut waits).is_none(), "there is no room while another has all of it");
    drop((largest, small));
    let other = polled(&mut waits).expect("there is room again").unwrap();
    assert_eq!(memory.large.free.available_permits(), 1024 - 128 - 40);
    drop(other);
    assert_eq!((memory.large.free.available_permits(), memory.small.free.available_permits()), (1024 - 128, 128));
}

#[tokio::test]
async fn who_finds_no_room_for_too_long_is_asked_to_come_again() {
    let memory = Memory { within: Duration::from_millis(5), ..memory("1MiB") };
    let _all = memory.room(1 << 40).await.unwrap();
    assert!(matches!(memory.room(1 << 20).await, Err(Outage::Overload)));
}

fn polled<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

fn links(html: &str) -> Vec<Link> {
    let message = format!("From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n{html}");
    postern_inspect::inspect(message.as_bytes(), &Limits::default()).links
}

#[test]
fn lists_are_asked_about_so_many_places_and_what_is_odd_or_clicked_comes_first() {
    let pictures: String = (0..50).map(|n| format!("<img src='http://good{n}.com/'>")).collect();
    let all = links(&format!("{pictures}<a href='http://bad.org/'>x</a><a href='http://0x7f.1/'>y</a>"));
    let (subjects, unasked) = link_subjects(&all, 3, true);
    assert_eq!((subjects.len(), unasked), (3, 49));
    assert_eq!(subjects[0], Subject::Address("127.0.0.1".parse().unwrap()));
    assert!(matches!(&subjects[1], Subject::Host { host, .. } if host.as_str() == "bad.org"), "{subjects:?}");
    let (subjects, unasked) = link_subjects(&all, 3, false);
    assert!(unasked == 48 && matches!(&subjects[0], Subject::Host { host, .. } if host.as_str() == "bad.org"), "{subjects:?}");
}

#[test]
fn of_one_domain_a_few_hosts_are_asked_about() {
    let many: String = (0..500).map(|n| format!("<a href='http://h{n}.good.com/'>x</a>")).collect();
    let (subjects, unasked) = link_subjects(&links(&many), 100, false);
    assert_eq!((subjects.len(), unasked), (HOSTS_MAX, 0));
}
