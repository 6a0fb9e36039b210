//! A clamd, by its `INSTREAM` command: the message in chunks, each behind its length, an empty one at the end, and one line back. Promise: the
//! line is bounded, and what is no answer is a failure and not "nothing found".

use postern_config::{LmtpAddress, OnFound};
use postern_mail::filter::FilterWord;
use postern_mail::{Reply, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connect::connect;
use crate::set::Shown;
use crate::{Opinion, Told};

const CHUNK_BYTES: usize = 64 * 1024;
const ANSWER_BYTES_MAX: u64 = 1_024;

pub(crate) async fn ask(address: &LmtpAddress, told: &Told<'_>, found: OnFound, shown: &Shown) -> Result<Opinion, String> {
    let words = |error: std::io::Error| error.to_string();
    let mut stream = connect(address).await.map_err(words)?;
    shown.begins();
    let sent = async {
        stream.write_all(b"zINSTREAM\0").await?;
        for chunk in told.message.chunks(CHUNK_BYTES) {
            stream.write_u32(u32::try_from(chunk.len()).unwrap_or_default()).await?;
            stream.write_all(chunk).await?;
        }
        stream.write_u32(0).await?;
        stream.flush().await
    };
    // Who finds the stream too long says so and closes: its answer is worth more than our failure to write.
    let sent = sent.await;
    let mut answer = Vec::new();
    let read = (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
    if answer.is_empty() {
        sent.map_err(words)?;
        read.map_err(words)?;
    }
    understood(&answer, found)
}

fn understood(answer: &[u8], found: OnFound) -> Result<Opinion, String> {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim_matches(['\0', '\n', '\r', ' ']);
    let said = text.strip_prefix("stream: ").unwrap_or(text);
    if said == "OK" {
        return Ok(Opinion::of(FilterWord::Pass, "nothing found"));
    }
    let Some(name) = said.strip_suffix(" FOUND") else {
        return Err(if said.is_empty() { "it said nothing".to_owned() } else { format!("it said {said}") });
    };
    let word = match found {
        OnFound::Hold => FilterWord::Hold,
        OnFound::Refuse => {
            let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(80).collect();
            let reply = Reply::of_filter(554, Some(Status::new(5, 7, 1)), format!("The message holds {name}"));
            FilterWord::Refuse(reply.unwrap_or_else(Reply::refused_by_policy))
        }
    };
    Ok(Opinion::of(word, format!("found {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_named_and_what_is_no_answer_is_a_failure() {
        assert_eq!(understood(b"stream: OK\0", OnFound::Refuse).unwrap().word, FilterWord::Pass);
        let found = understood(b"stream: Eicar-Signature FOUND\0", OnFound::Refuse).unwrap();
        assert!(matches!(found.word, FilterWord::Refuse(reply) if reply.text().contains("Eicar-Signature")));
        assert_eq!(understood(b"stream: X FOUND\n", OnFound::Hold).unwrap().word, FilterWord::Hold);
        for answer in [b"".as_slice(), b"\0", b"INSTREAM size limit exceeded. ERROR\0", b"stream: ", b"UNKNOWN COMMAND", b"\xff"]
        {
            assert!(understood(answer, OnFound::Refuse).is_err(), "{answer:?}");
        }
    }
}
