//! One request and its answer on an HTTP/1.1 connection.

use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;

use super::gauge::Gauge;
use super::slot::Unanswered;
use crate::client::call::Outbound;

/// How long a connection may take to be done with the request before. Most are at once; one whose server answered before
/// it had read all of a request may never be.
const TURNAROUND: Duration = Duration::from_millis(100);

/// Sends a request and waits for the head of its response. The sender comes back with it, for the next one.
///
/// # Cancel safety
///
/// Dropping the future ends the connection: HTTP/1.1 has no other way to give up a request.
pub(super) async fn exchange(
    mut sender: SendRequest<Outbound>,
    gauge: &Gauge,
    mut request: Request<Outbound>,
    movable: bool,
) -> Result<(Response<Incoming>, Option<SendRequest<Outbound>>), Unanswered> {
    match tokio::time::timeout(TURNAROUND, sender.ready()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(Unanswered::NotSent(Some(error))),
        Err(_) => return Err(Unanswered::NotSent(None)),
    }
    in_origin_form(&mut request);
    let mut answer = std::pin::pin!(sender.try_send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // A request that met the end of the connection is left behind in hyper's channel while the sender lives.
        () = gauge.over() => {
            if movable && gauge.is_stranded() {
                return Err(Unanswered::Stranded);
            }
            drop(sender);
            return Ok((answer.await?, None));
        }
    };
    Ok((answer?, Some(sender)))
}

/// The target as servers expect it (RFC 9112 §3.2.1): a path, and the host in a header.
fn in_origin_form(request: &mut Request<Outbound>) {
    if !request.headers().contains_key(HOST)
        && let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(host_of(authority.as_str()))
    {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
}

/// Without the user, whom a header of its own names.
fn host_of(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn sent(request: http::request::Builder) -> (String, Option<HeaderValue>) {
        let body = Outbound::Whole {
            data: Bytes::new(),
            trailers: None,
        };
        let mut request = request.body(body).unwrap();
        in_origin_form(&mut request);
        (request.uri().to_string(), request.headers().get(HOST).cloned())
    }

    #[test]
    fn the_path_is_the_target_and_the_authority_the_host() {
        let (target, host) = sent(Request::get("http://me@shop.test:8080/cart?id=7"));
        assert_eq!(
            (target.as_str(), host.unwrap().as_bytes()),
            ("/cart?id=7", &b"shop.test:8080"[..])
        );
        assert_eq!(sent(Request::get("http://shop.test")).0, "/");
    }

    #[test]
    fn a_host_the_caller_gave_stays() {
        let (_, host) = sent(Request::get("http://10.0.0.7/").header(HOST, "shop.test"));
        assert_eq!(host.unwrap(), "shop.test");
    }
}
