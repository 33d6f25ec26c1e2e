//! How a client's endpoints stand, for eyes and for programs.

use std::fmt::Write as _;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Response};

use super::{Client, EndpointStatus};

/// Answers a request for a client's debug page: JSON for whoever accepts `application/json` or asks with `?json`, else a page
/// of HTML without scripts that reads well on a phone. Under axum:
///
/// ```no_run
/// # fn app(client: obit::Client) -> axum::Router {
/// use axum::extract::Request;
/// use axum::routing::get;
///
/// axum::Router::new().route(
///     "/debug/obit",
///     get(async move |request: Request| obit::debug_page(&client, &request.into_parts().0)),
/// )
/// # }
/// ```
///
/// The JSON is an object of `waiting`, the calls in the queue, and `endpoints`, each an [`EndpointStatus`]. It names the
/// endpoints' addresses: show it to those who may know them.
#[must_use]
pub fn debug_page(client: &Client, request: &Parts) -> Response<String> {
    let endpoints = client.snapshot();
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("application/json"));
    let json = request.uri.query() == Some("json") || request.headers.get_all(ACCEPT).iter().any(accepts);
    let (kind, body) = if json {
        let text = serde_json::json!({ "waiting": client.waiting(), "endpoints": endpoints }).to_string();
        ("application/json", text)
    } else {
        ("text/html; charset=utf-8", html(client.waiting(), &endpoints))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
<meta name=color-scheme content=\"light dark\"><title>obit</title><style>body{font:14px system-ui;margin:1rem}\
table{border-collapse:collapse}td,th{padding:.2rem .6rem;text-align:left;border-bottom:1px solid #8884}\
@media(max-width:40rem){th:nth-child(n+6),td:nth-child(n+6){display:none}}</style>";

fn html(waiting: usize, endpoints: &[EndpointStatus]) -> String {
    let ready = endpoints.iter().filter(|it| it.phase == super::Phase::Ready).count();
    let mut page = format!(
        "{HEAD}<h1>{ready} of {} endpoints ready, {waiting} calls waiting</h1><table><tr><th>endpoint<th>phase<th>since<th>\
         why<th>in flight<th>connections<th>round trip<th>last evidence<th>dial time saved",
        endpoints.len()
    );
    for it in endpoints {
        let evidence = it.last_evidence.map_or_else(String::new, |(cause, at)| {
            format!("{cause}, {:.1} s ago", at.elapsed().as_secs_f64())
        });
        let rtt = it.rtt.map_or_else(String::new, |rtt| format!("{} µs", rtt.as_micros()));
        // Nothing of it comes from a peer but its address; so nothing needs escaping.
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{:.1} s<td>{}<td>{}<td>{}<td>{rtt}<td>{evidence}<td>{:.1} s",
            it.peer,
            it.phase,
            it.since.elapsed().as_secs_f64(),
            it.cause,
            it.in_flight,
            it.connections,
            it.time_saved.as_secs_f64()
        );
    }
    page.push_str("</table></html>");
    page
}
