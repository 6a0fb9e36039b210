//! One HTTP request to a filter, over TCP or a socket in the file system. Promise: no redirect is followed, and the answer is bounded.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use postern_config::LmtpAddress;

use crate::connect::connect;
use crate::set::Shown;

/// Of one answer: a thousand symbols with words of their own.
const ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Of its header.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Sends it, and gives back what was answered with 200.
pub(crate) async fn send(address: &LmtpAddress, request: Request<Full<Bytes>>, shown: &Shown) -> Result<Bytes, String> {
    let stream = connect(address).await.map_err(|error| error.to_string())?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with this function, however that ends.
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    shown.begins();
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
    if status != hyper::StatusCode::OK {
        return Err(format!("it answered with status {}", status.as_u16()));
    }
    Ok(body.to_bytes())
}
