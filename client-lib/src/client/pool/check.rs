//! Active health checks: the endpoint itself is asked, on a connection that calls use.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request};
use http_body::Body as _;
use prost::Message;

use super::Pool;
use super::slot::Slot;
use crate::client::call::{Body, Outbound, complete};

/// More than this of an answer is not read.
const READ_BYTES: usize = 64 * 1024;

/// Asks endpoints whether they are well. Default, where a client is given none: they are not asked.
///
/// ```
/// use std::time::Duration;
/// use obit::HealthCheck;
///
/// # let builder = obit::Client::builder("http://shop.default.svc");
/// let builder = builder.health_check(HealthCheck::grpc("").every(Duration::from_secs(1)));
/// ```
///
/// An endpoint that says that it is not well, or does not answer in time, is out of rotation until it says otherwise. Its
/// connections stay, and so does what is in flight. Below the panic floor, with fewer than half of the endpoints in rotation,
/// it takes calls all the same.
#[derive(Debug, Clone)]
pub struct HealthCheck {
    question: Question,
    interval: Duration,
    timeout: Duration,
    unwell_after: u32,
    well_after: u32,
}

#[derive(Debug, Clone)]
enum Question {
    Http(PathAndQuery),
    Grpc(String),
}

impl HealthCheck {
    /// A GET of this path, answered with a status of 200 to 299. Without a path that is one, `/`.
    #[must_use]
    pub fn http(path: &str) -> Self {
        let path = path.parse().unwrap_or_else(|_| PathAndQuery::from_static("/"));
        Self::of(Question::Http(path))
    }

    /// The gRPC health protocol (`grpc.health.v1.Health/Check`), answered with SERVING. An empty `service` asks for the
    /// server as a whole.
    #[must_use]
    pub fn grpc(service: impl Into<String>) -> Self {
        Self::of(Question::Grpc(service.into()))
    }

    fn of(question: Question) -> Self {
        Self {
            question,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            unwell_after: 2,
            well_after: 1,
        }
    }

    /// How often each endpoint is asked. Default: 5 s.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// How long an answer may take. Default: 1 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// After how many bad answers in a row an endpoint is unwell, and after how many good ones it is well again. Default: 2
    /// and 1. The first answer of an endpoint always counts.
    #[must_use]
    pub fn thresholds(self, unwell_after: u32, well_after: u32) -> Self {
        Self {
            unwell_after: unwell_after.max(1),
            well_after: well_after.max(1),
            ..self
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Asks once. Cancel safe: dropping the future resets the stream.
    pub(super) async fn ask(&self, slot: Slot, pool: &Pool) -> bool {
        let head = |path| head(path, pool.scheme(), pool.authority());
        let asked = async {
            match &self.question {
                Question::Http(path) => ask_http(slot, head(path.clone())?).await,
                Question::Grpc(service) => {
                    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
                    ask_grpc(slot, head(path)?, service).await
                }
            }
        };
        matches!(tokio::time::timeout(self.timeout, asked).await, Ok(Some(true)))
    }
}

/// What an endpoint's answers amount to. Pure.
#[derive(Debug, Default)]
pub(super) struct Wellness {
    /// `None` before the first answer.
    well: Option<bool>,
    /// How many answers in a row say otherwise.
    against: u32,
}

impl Wellness {
    /// Takes an answer; returns how the endpoint is, if that has changed.
    pub(super) fn hear(&mut self, check: &HealthCheck, answer: bool) -> Option<bool> {
        let Some(well) = self.well else {
            self.well = Some(answer);
            return Some(answer);
        };
        if answer == well {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if well { check.unwell_after } else { check.well_after };
        if self.against < needed {
            return None;
        }
        *self = Self {
            well: Some(answer),
            against: 0,
        };
        Some(answer)
    }
}

/// Of a GET of `path`, completed as calls are.
fn head(path: PathAndQuery, scheme: &Scheme, authority: &Authority) -> Option<Parts> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.uri = path.into();
    complete(&mut head, scheme, authority).ok()?;
    Some(head)
}

fn whole(head: Parts, data: Bytes) -> Request<Outbound> {
    Request::from_parts(head, Outbound::Whole { data, trailers: None })
}

async fn ask_http(slot: Slot, head: Parts) -> Option<bool> {
    let response = slot.send(whole(head, Bytes::new()), true).await.ok()?;
    let well = response.status().is_success();
    // Read to its end, which an HTTP/1.1 connection needs to go on.
    read(Body::wrap(response, slot, &Method::GET, false).into_body()).await?;
    Some(well)
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`
const SERVING: i32 = 1;

async fn ask_grpc(slot: Slot, mut head: Parts, service: &str) -> Option<bool> {
    let message = HealthCheckRequest {
        service: service.to_owned(),
    };
    let mut data = BytesMut::new();
    data.put_u8(0);
    data.put_u32(u32::try_from(message.encoded_len()).ok()?);
    message.encode(&mut data).ok()?;
    head.method = Method::POST;
    head.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.insert(TE, HeaderValue::from_static("trailers"));
    let response = slot.send(whole(head, data.freeze()), true).await.ok()?;
    let mut answer = read(Body::wrap(response, slot, &Method::POST, true).into_body()).await?;
    if answer.remaining() < 5 {
        return Some(false);
    }
    answer.advance(5);
    Some(HealthCheckResponse::decode(answer).ok()?.status == SERVING)
}

/// All of a body, unless it is too long.
async fn read(mut body: Body) -> Option<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > READ_BYTES {
            return None;
        }
    }
    Some(all.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_counts_at_once_and_a_change_needs_as_many_as_it_needs() {
        let (check, mut wellness) = (HealthCheck::http("/").thresholds(2, 3), Wellness::default());
        let answers = [
            true, false, true, false, false, true, true, false, true, true, true, true,
        ];
        let changes: Vec<_> = answers.map(|answer| wellness.hear(&check, answer)).into();
        let (none, well, unwell) = (None, Some(true), Some(false));
        assert_eq!(
            changes,
            [well, none, none, none, unwell, none, none, none, none, none, well, none]
        );
    }

    #[test]
    fn a_question_keeps_the_origin() {
        let path = PathAndQuery::from_static("/healthz?x");
        let head = head(path, &Scheme::HTTPS, &Authority::from_static("shop.test:8443")).unwrap();
        assert_eq!(head.uri, "https://shop.test:8443/healthz?x");
    }
}
