//! What counting costs a message: many sessions at once, each counting before it goes on, as the server does before it commits.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a stopwatch")]

use std::sync::Arc;
use std::time::Instant;

use postern_mail::envelope::UnixMillis;
use postern_mail::scope::Quota;
use postern_state::{Claim, Quotas, Store};

const EACH: u32 = 2_000;

#[tokio::main]
async fn main() {
    for sessions in [1_u32, 16, 128] {
        let folder = tempfile::tempdir().unwrap();
        let quotas = Quotas::open(&Store::open(folder.path()).unwrap()).unwrap();
        let began = Instant::now();
        let tasks: Vec<_> = (0..sessions)
            .map(|number| {
                let quotas = Arc::clone(&quotas);
                tokio::spawn(async move {
                    let quota =
                        Quota { messages_per_hour: Some(1_000_000), recipients_per_day: Some(1_000_000), ..Quota::default() };
                    let claims = [Claim { key: format!("account{}@here.example", number % 20).into(), quota }];
                    for _ in 0..EACH {
                        let mut reservation = quotas.reserve(UnixMillis(1_800_000_000_000), &claims).unwrap();
                        reservation.recipient(UnixMillis(1_800_000_000_000), &claims).unwrap();
                        reservation.count(UnixMillis(1_800_000_000_000)).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let took = began.elapsed();
        let messages = sessions * EACH;
        println!(
            "{sessions} sessions: {:.0} messages/s, {:?} each session waits",
            f64::from(messages) / took.as_secs_f64(),
            took / EACH
        );
    }
}
