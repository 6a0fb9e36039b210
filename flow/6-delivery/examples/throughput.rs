//! Messages a second through one `Delivery` into a sink in the same process: `cargo run --release -p postern-delivery --example throughput
//! [tasks] [messages] [octets]`. Both ends share the processors, so the figure is a lower bound for delivery alone.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement, not the server")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use postern_delivery::{Delivery, InlineBody, Message, NextHop, Roots, Settings, TlsClient};
use postern_mail::envelope::{DsnRequest, MessageId};
use postern_mail::{Envelope, Mailbox, Outcome, Recipient, ReversePath};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let tasks = arguments.next().unwrap_or(20);
    let messages = arguments.next().unwrap_or(20_000);
    let octets = arguments.next().unwrap_or(4096);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for keywords in [("PIPELINING", "CHUNKING"), ("PIPELINING", "8BITMIME"), ("SIZE", "8BITMIME")] {
        let rate = runtime.block_on(run(keywords, tasks, messages, octets));
        println!("{keywords:?}: {tasks} tasks, {octets} octets: {rate:.0} messages/s");
    }
}

async fn run(keywords: (&'static str, &'static str), tasks: usize, messages: usize, octets: usize) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sink = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, keywords));
        }
    });
    let settings = Settings::new(&postern_config::Outbound::default(), "us.example", Vec::new());
    let delivery = Arc::new(Delivery::new(settings, TlsClient::new(&Roots::Platform).unwrap()));
    let began = Instant::now();
    let senders: Vec<_> =
        (0..tasks).map(|_| tokio::spawn(send(Arc::clone(&delivery), address, messages / tasks, octets))).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    sink.abort();
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let rate = (messages / tasks * tasks) as f64 / seconds;
    rate
}

async fn send(delivery: Arc<Delivery>, address: SocketAddr, count: usize, octets: usize) {
    let envelope = Envelope::plain(ReversePath::Mailbox(Mailbox::parse("s@us.example").unwrap()), Vec::new());
    let to = [Recipient::restored_from_spool(Mailbox::parse("a@sink.example").unwrap(), false, DsnRequest::default())];
    let body = InlineBody([b"Subject: x\r\n\r\n".to_vec(), b"0123456789abcdef0123456789abcd\r\n".repeat(octets / 32)].concat());
    let hop = NextHop::at("sink.example", address);
    for _ in 0..count {
        let message = Message { id: MessageId(1), envelope: &envelope, recipients: &to, body: &body };
        let outcomes = delivery.deliver(&hop, message).await;
        assert!(matches!(outcomes.as_slice(), [Outcome::Delivered { .. }]), "{outcomes:?}");
    }
}

async fn serve(stream: TcpStream, keywords: (&'static str, &'static str)) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::with_capacity(16 * 1024, stream);
    let _ = stream.get_mut().write_all(b"220 sink\r\n").await;
    let (mut line, mut out) = (Vec::new(), Vec::new());
    loop {
        if stream.buffer().is_empty() && !out.is_empty() {
            let _ = stream.get_mut().write_all(&out).await;
            out.clear();
        }
        line.clear();
        if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
            return;
        }
        match line.get(..4).unwrap_or_default() {
            b"EHLO" => {
                let (first, last) = keywords;
                out.extend_from_slice(format!("250-sink\r\n250-{first}\r\n250 {last}\r\n").as_bytes());
            }
            b"BDAT" => {
                let count = str::from_utf8(&line).unwrap().split(' ').nth(1).unwrap().parse().unwrap();
                let mut body = vec![0; count];
                if stream.read_exact(&mut body).await.is_err() {
                    return;
                }
                out.extend_from_slice(b"250 taken\r\n");
            }
            b"DATA" => {
                out.extend_from_slice(b"354 go\r\n");
                let _ = stream.get_mut().write_all(&out).await;
                out.clear();
                while line != b".\r\n" {
                    line.clear();
                    if stream.read_until(b'\n', &mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                out.extend_from_slice(b"250 taken\r\n");
            }
            b"QUIT" => return,
            _ => out.extend_from_slice(b"250 ok\r\n"),
        }
    }
}
