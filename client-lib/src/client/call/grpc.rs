//! How a gRPC caller hears of a failure: a response of trailers only, or trailers in place of a cut body. Pure.

use std::fmt::{self, Display, Write as _};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};

use super::response::Body;
use crate::client::Error;

/// UNAVAILABLE: the one code gRPC callers take for "try again elsewhere".
const UNAVAILABLE: HeaderValue = HeaderValue::from_static("14");

/// Whether a request speaks gRPC (`application/grpc`, `application/grpc+proto`, …; not grpc-web).
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// A response of trailers only that says UNAVAILABLE and why.
pub(crate) fn unavailable(error: &Error) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    *headers = status(error);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// `grpc-status` and `grpc-message`, for a trailer.
pub(crate) fn status(error: &Error) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(3);
    trailers.insert("grpc-status", UNAVAILABLE);
    if let Ok(message) = HeaderValue::from_maybe_shared(percent_encoded(error)) {
        trailers.insert("grpc-message", message);
    }
    trailers
}

/// Most messages are shorter, bytes.
const MESSAGE: usize = 160;

fn percent_encoded(message: impl Display) -> Bytes {
    let mut encoded = PercentEncoded(BytesMut::with_capacity(MESSAGE));
    let _ = write!(encoded, "{message}");
    encoded.0.freeze()
}

/// The encoding of `grpc-message`: space to tilde but for `%` as they are, every other byte as `%XX`.
struct PercentEncoded(BytesMut);

impl fmt::Write for PercentEncoded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for byte in part.bytes() {
            match byte {
                b' '..=b'~' if byte != b'%' => self.0.put_u8(byte),
                _ => write!(self.0, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_grpc_itself_counts_as_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web+proto", false),
            ("application/proto", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_grpc(&headers), expected, "{content_type}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn a_message_is_percent_encoded_as_grpc_wants_it() {
        assert_eq!(percent_encoded("100 % tot\u{e9}\n"), "100 %25 tot%C3%A9%0A");
    }
}
