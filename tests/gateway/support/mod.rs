//! A whole gateway on port 0 with certificates and people of its own, clients that send any bytes, and upstreams
//! that remember what they got and answer any bytes.

mod client;
mod gateway;
mod issuer;
mod message;
mod upstream;

use std::future::Future;
use std::time::Duration;

pub(crate) use client::{Answer, Client, request, request2};
pub(crate) use gateway::{Gateway, HOST, ORIGIN, Setup};

pub(crate) use issuer::{Issuer, KeyServer, Serve, now};
pub(crate) use message::{Framing, Head};
pub(crate) use upstream::{Log, Say, Upstream};

/// No wait of a test is longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, but not for ever.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("must not take that long")
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("{what}"));
}
