//! Filters that are slow, full, or come after others.

use postern_config::{Config, Machine, load};
use postern_mail::{Mailbox, ReversePath};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};

use super::*;

fn filters(text: &str) -> Filters {
    let config: Config = load(text, "f", &Machine::named("mx.here.example")).unwrap();
    Filters::new(&Settings {
        clamav: config.policy.clamav,
        rspamd: config.policy.rspamd.into_iter().map(|one| (one, None)).collect(),
        milters: config.policy.milters,
        message_bytes_max: 1 << 20,
    })
}

async fn ask(filters: &Filters, client: &str, message: &str) -> Came {
    ask_in(Mode::Enforce, filters, client, message).await
}

async fn ask_in(mode: Mode, filters: &Filters, client: &str, message: &str) -> Came {
    let recipients = [Mailbox::parse("b@here.example").unwrap()];
    let told = Told {
        hostname: "mx.here.example",
        id: "001",
        client: client.parse().unwrap(),
        port: 25,
        client_name: None,
        listener: ListenerKind::Mx,
        helo: "there.example",
        tls: None,
        account: None,
        from: &ReversePath::Null,
        recipients: &recipients,
        message: message.as_bytes(),
    };
    filters.ask(&told, mode).await
}

async fn listening() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// An rspamd that answers this once.
async fn rspamd_says(listener: &TcpListener, answer: &str) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = vec![0; 4_096];
    let _ = stream.read(&mut seen).await.unwrap();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn what_a_filter_discards_is_held_as_those_before_it_left_it() {
    let ((first, one), (second, two)) = (listening().await, listening().await);
    let filters = filters(&format!("[[policy.rspamd]]\naddress = \"{one}\"\n[[policy.rspamd]]\naddress = \"{two}\"\n"));
    let (came, (), ()) = tokio::join!(
        ask(&filters, "192.0.2.7", "A: 1\r\nEvil: yes\r\n\r\n"),
        rspamd_says(&first, r#"{"action":"accept","milter":{"remove_headers":{"Evil":0}}}"#),
        rspamd_says(&second, r#"{"action":"discard"}"#),
    );
    assert_eq!(came.said.last().unwrap().word, FilterWord::Discard);
    assert_eq!(came.message.as_deref(), Some(b"A: 1\r\n\r\n".as_slice()));
}

#[tokio::test]
async fn a_filter_that_a_message_is_too_large_for_says_so() {
    let (_nobody, address) = listening().await;
    let filters = filters(&format!("[[policy.milter]]\naddress = \"{address}\"\nmessage_size = \"1KiB\"\n"));
    let came = ask(&filters, "192.0.2.7", &"a: 1\r\n".repeat(200)).await;
    let said = &came.said[0];
    assert_eq!((&said.word, said.words.as_str()), (&FilterWord::Pass, "not shown: larger than 1KiB"));
    assert!(filters.unshown(ListenerKind::Mx, 1_024).is_empty());
    assert_eq!(filters.unshown(ListenerKind::Mx, 1_025).len(), 1);
}

#[tokio::test]
async fn where_the_policy_is_observed_a_refusal_stops_nobody_and_what_is_signed_stays_signed() {
    let ((first, one), (second, two), (third, three)) = (listening().await, listening().await, listening().await);
    let rspamd = |address: &str, mode: &str| format!("[[policy.rspamd]]\naddress = \"{address}\"\nmode = \"{mode}\"\n");
    let filters = filters(&[rspamd(&one, "enforce"), rspamd(&two, "enforce"), rspamd(&three, "observe")].concat());
    let (came, (), (), ()) = tokio::join!(
        ask_in(Mode::Observe, &filters, "192.0.2.7", "A: 1\r\n\r\n"),
        rspamd_says(&first, r#"{"action":"reject"}"#),
        rspamd_says(&second, r#"{"action":"add header","dkim-signature":"s","milter":{"remove_headers":{"A":0}}}"#),
        rspamd_says(&third, r#"{"action":"accept","dkim-signature":"of one that is only observed"}"#),
    );
    assert!(matches!(came.said[0].word, FilterWord::Refuse(_)), "{:?}", came.said);
    assert_eq!(came.message.as_deref().map(String::from_utf8_lossy).as_deref(), Some("DKIM-Signature: s\r\nA: 1\r\n\r\n"));
}

#[tokio::test]
async fn a_message_of_very_many_fields_is_refused_and_no_filter_fails_on_it() {
    let (_nobody, address) = listening().await;
    let mut filters = filters(&format!("[[policy.milter]]\naddress = \"{address}\"\n"));
    let message = format!("From: a@there.example\r\n{}\r\n", "a:\r\n".repeat(20_000));
    let came = ask(&filters, "192.0.2.7", &message).await;
    assert!(matches!(came.said[0].word, FilterWord::Refuse(_)), "{:?}", came.said);
    filters.filters[0].observed = true;
    assert!(ask(&filters, "192.0.2.7", &message).await.said[0].observed);
}

#[tokio::test]
async fn a_client_whose_messages_a_filter_fails_on_does_not_shut_it_for_all() {
    let (listener, address) = listening().await;
    let filters = filters(&format!("[[policy.rspamd]]\naddress = \"{address}\"\n"));
    for _ in 0..5 {
        let (came, ()) = tokio::join!(ask(&filters, "192.0.2.7", "A: 1\r\n\r\n"), rspamd_says(&listener, "nonsense"));
        assert!(matches!(came.said[0].word, FilterWord::Down(_)), "{:?}", came.said);
    }
    let (came, ()) = tokio::join!(ask(&filters, "192.0.2.8", "A: 1\r\n\r\n"), rspamd_says(&listener, r#"{"action":"accept"}"#));
    assert_eq!(came.said[0].word, FilterWord::Pass, "{:?}", came.said);
}

#[tokio::test]
async fn waiting_for_a_turn_is_no_failure_of_the_filter_and_takes_none_of_another() {
    let ((listener, address), (_slow, other)) = (listening().await, listening().await);
    let text = format!(
        "[[policy.rspamd]]\naddress = \"{address}\"\ntimeout = \"100ms\"\n[[policy.milter]]\naddress = \"{other}\"\ntimeout = \"100ms\"\n"
    );
    let filters = filters(&text);
    let all_turns = filters.filters[1].turns.acquire_many(64).await.unwrap();
    for _ in 0..4 {
        let (came, ()) =
            tokio::join!(ask(&filters, "192.0.2.7", "A: 1\r\n\r\n"), rspamd_says(&listener, r#"{"action":"accept"}"#));
        assert_eq!(came.said[0].word, FilterWord::Pass, "{:?}", came.said);
        assert!(came.said[1].words.contains("wait for it"), "{:?}", came.said);
    }
    drop(all_turns);
    assert!(filters.filters[1].breaker().ask(now()), "it was not even tried");
}

#[tokio::test]
async fn all_filters_together_have_a_time() {
    let ((_first, one), (_second, two)) = (listening().await, listening().await);
    let mut filters = filters(&format!("[[policy.milter]]\naddress = \"{one}\"\n[[policy.milter]]\naddress = \"{two}\"\n"));
    filters.all_max = Duration::from_millis(100);
    let came = ask(&filters, "192.0.2.7", "A: 1\r\n\r\n").await;
    assert!(came.said.iter().all(|said| matches!(said.word, FilterWord::Down(_))), "{:?}", came.said);
    assert!(came.said[1].words.contains("the time there is") || came.said[1].words.contains("wait for it"), "{:?}", came.said);
}

#[tokio::test]
async fn a_socket_whose_backlog_is_full_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let listener = UnixListener::from_std(socket).unwrap();
    // Until there is no more room.
    let mut there = Vec::new();
    while there.len() < 10_000 {
        match tokio::net::UnixStream::connect(&path).await {
            Ok(stream) => there.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    let address = LmtpAddress::Unix(path);
    let takes = async {
        tokio::task::yield_now().await;
        listener.accept().await.unwrap()
    };
    let (connected, _) = tokio::join!(crate::connect::connect(&address), takes);
    assert!(connected.is_ok());
}
