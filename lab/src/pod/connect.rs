//! The Connect protocol's unary call, for clients that speak it instead of gRPC: the bare message as body, protobuf or
//! JSON by content type, errors as JSON.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use prost::Message as _;

use super::proto::{CallRequest, CallResponse};

/// The encodings of a unary Connect message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `application/proto`
    Proto,
    /// `application/json`
    Json,
}

impl Encoding {
    /// The encoding a content type asks for; `None` if it is not Connect's.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/proto" => Some(Self::Proto),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Proto => "application/proto",
            Self::Json => "application/json",
        }
    }

    /// The id in a request's body; a sentence when it cannot be read.
    pub(super) fn decode(self, body: Bytes) -> Result<u64, String> {
        match self {
            Self::Proto => CallRequest::decode(body)
                .map(|request| request.id)
                .map_err(|error| error.to_string()),
            Self::Json => json_id(&body),
        }
    }

    /// The successful response.
    pub(super) fn answer(self, response: &CallResponse) -> Response<Bytes> {
        let body = match self {
            Self::Proto => response.encode_to_vec(),
            Self::Json => serde_json::json!({ "pod": response.pod }).to_string().into_bytes(),
        };
        respond(StatusCode::OK, self.content_type(), body)
    }
}

/// A failed call, with the status that Connect gives to `code`.
pub(super) fn failure(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "code": code, "message": message }).to_string();
    respond(status, "application/json", body.into_bytes())
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// protobuf's JSON writes 64-bit integers as strings and accepts both; a field left out is zero.
fn json_id(body: &[u8]) -> Result<u64, String> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
        Text(String),
    }
    #[derive(serde::Deserialize)]
    struct Request {
        id: Option<Id>,
    }
    let request: Request = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    match request.id {
        None => Ok(0),
        Some(Id::Number(id)) => Ok(id),
        Some(Id::Text(text)) => text.parse().map_err(|_| format!("{text:?} is not a uint64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_chooses_the_encoding() {
        assert_eq!(Encoding::of("application/proto"), Some(Encoding::Proto));
        assert_eq!(Encoding::of("application/json; charset=utf-8"), Some(Encoding::Json));
        assert_eq!(Encoding::of("application/grpc"), None);
        assert_eq!(Encoding::of("text/html"), None);
    }

    #[test]
    fn json_ids_are_numbers_or_strings_and_zero_when_left_out() {
        for (body, id) in [
            (r#"{"id":7}"#, 7),
            (r#"{"id":"18446744073709551615"}"#, u64::MAX),
            ("{}", 0),
        ] {
            assert_eq!(
                Encoding::Json.decode(Bytes::from_static(body.as_bytes())),
                Ok(id),
                "{body}"
            );
        }
        assert!(
            Encoding::Json
                .decode(Bytes::from_static(b"{\"id\":\"x\"}"))
                .unwrap_err()
                .contains("uint64")
        );
        assert!(Encoding::Json.decode(Bytes::from_static(b"[")).is_err());
    }

    #[test]
    fn an_answer_is_the_bare_message() {
        let response = CallResponse { pod: "pod-2".into() };
        let answered = Encoding::Json.answer(&response);
        assert_eq!(answered.headers()[header::CONTENT_TYPE], "application/json");
        assert_eq!(answered.body(), r#"{"pod":"pod-2"}"#);
        assert_eq!(
            CallResponse::decode(Encoding::Proto.answer(&response).into_body()),
            Ok(response)
        );
    }
}
