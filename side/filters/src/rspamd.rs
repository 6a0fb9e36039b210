//! rspamd over HTTP: a message to `/checkv2`, an action, a score and the symbols behind it back. Promise: an answer that does not read is a
//! failure; what it says of itself goes no further than the words of the trail.

mod read;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use postern_config::{LmtpAddress, RspamdUse};
use postern_mail::Secret;

use crate::set::Shown;
use crate::{Opinion, Told};

pub(crate) async fn ask(
    address: &LmtpAddress,
    told: &Told<'_>,
    (usage, password): (RspamdUse, Option<&Secret>),
    shown: &Shown,
) -> Result<Opinion, String> {
    let answer = crate::http::send(address, request(told, password)?, shown).await?;
    read::understood(&answer, usage)
}

fn request(told: &Told<'_>, password: Option<&Secret>) -> Result<Request<Full<Bytes>>, String> {
    let body = Full::new(Bytes::copy_from_slice(told.message));
    let mut request = Request::post("/checkv2").header("host", "rspamd").body(body).map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    let mut put = |name: &'static str, value: &[u8]| {
        // What cannot stand in a header is not told; none of these can be that by the time a message is there, but names in UTF-8.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    put("ip", told.client.to_string().as_bytes());
    put("helo", told.helo.as_bytes());
    put("queue-id", told.id.as_bytes());
    put("mta-name", told.hostname.as_bytes());
    if let Some(name) = told.client_name {
        put("hostname", name.as_bytes());
    }
    put("from", told.from.mailbox().map(ToString::to_string).unwrap_or_default().as_bytes());
    for recipient in told.recipients {
        put("rcpt", recipient.to_string().as_bytes());
    }
    if let [only] = told.recipients {
        put("deliver-to", only.to_string().as_bytes());
    }
    if let Some(account) = told.account {
        put("user", account.as_bytes());
    }
    if let Some((version, cipher)) = told.tls {
        put("tls-version", version.as_bytes());
        put("tls-cipher", cipher.as_bytes());
    }
    if let Some(password) = password {
        put("password", password.expose());
    }
    Ok(request)
}
