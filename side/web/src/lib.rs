//! HTTP for operators: metrics and a health check now; pages, forms and the API hang on the same server later.
//!
//! Promise: it is told what to show by functions it is given, and reaches into nothing. Exposure: loopback unless configured otherwise;
//! connections and request time are bounded.

mod proofs;

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use proofs::{Answers, prove};

/// Requests worked on at a time; one more waits its turn.
const REQUESTS_MAX: usize = 64;
/// One that takes longer is answered 503.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the pages show.
pub trait Source: Send + Sync + 'static {
    /// All metrics in the OpenMetrics text format.
    fn metrics(&self) -> String;
    /// The policy on TLS of the domain whose policy host this name is, if it is one (RFC 8461 §3.2).
    fn sts_policy(&self, host: &str) -> Option<String>;
    /// `Err` says in words why the server cannot do its work.
    ///
    /// # Errors
    /// When a load balancer should send no one here.
    fn health(&self) -> Result<(), String>;
}

struct Shared {
    source: Arc<dyn Source>,
    places: Semaphore,
}

fn plain(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const TEXT: &str = "text/plain; charset=utf-8";

async fn bounded(shared: Arc<Shared>, answer: impl FnOnce(&dyn Source) -> Response) -> Response {
    match timeout(REQUEST_TIMEOUT, shared.places.acquire()).await {
        Ok(Ok(_place)) => answer(&*shared.source),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, "too busy\n".to_owned()),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    bounded(shared, |source| plain(StatusCode::OK, kind, source.metrics())).await
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    bounded(shared, |source| match source.health() {
        Ok(()) => plain(StatusCode::OK, TEXT, "ok\n".to_owned()),
        Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
    })
    .await
}

/// RFC 8461 §3.3: at `mta-sts.` and the domain.
async fn sts_policy(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host =
        host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|octet| octet.is_ascii_digit())).map_or(host, |(host, _)| host);
    let found = |source: &dyn Source| match source.sts_policy(&host.to_ascii_lowercase()) {
        Some(policy) => plain(StatusCode::OK, TEXT, policy),
        None => plain(StatusCode::NOT_FOUND, TEXT, "no domain here has this policy host\n".to_owned()),
    };
    bounded(shared, found).await
}

async fn nothing() -> Response {
    plain(StatusCode::NOT_FOUND, TEXT, "nothing here; try /metrics or /health\n".to_owned())
}

/// Binds one address. Done as root before privileges are dropped.
///
/// # Errors
/// When the address is taken or not ours.
pub fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until `stop` resolves.
///
/// # Errors
/// When the socket cannot be given to the runtime.
pub async fn serve(
    listener: StdListener,
    source: Arc<dyn Source>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let shared = Arc::new(Shared { source, places: Semaphore::new(REQUESTS_MAX) });
    let pages = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/.well-known/mta-sts.txt", get(sts_policy))
        .fallback(nothing)
        .with_state(shared);
    axum::serve(TcpListener::from_std(listener)?, pages).with_graceful_shutdown(stop).await
}
