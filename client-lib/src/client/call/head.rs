//! The head of a request, made complete: HTTP/2 needs scheme and authority, and some callers (tonic) give neither. Pure.

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};

use super::payload::Outbound;
use crate::client::Error;

/// Adds what the request's URI lacks.
pub(crate) fn complete(head: &mut Parts, scheme: &Scheme, authority: &Authority) -> Result<(), Error> {
    if head.uri.scheme().is_some() && head.uri.authority().is_some() {
        return Ok(());
    }
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.scheme.get_or_insert_with(|| scheme.clone());
    parts.authority.get_or_insert_with(|| authority.clone());
    parts
        .path_and_query
        .get_or_insert_with(|| PathAndQuery::from_static("/"));
    head.uri =
        Uri::from_parts(parts).map_err(|_| Error::InvalidRequest("its URI has no valid form with an authority"))?;
    Ok(())
}

/// The request of one attempt. Extensions stay behind: nothing on the wire comes from them, but for the one hyper
/// knows, the protocol of an extended CONNECT.
pub(crate) fn request(head: &Parts, body: Outbound) -> Request<Outbound> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.headers_mut() = head.headers.clone();
    if let Some(protocol) = head.extensions.get::<hyper::ext::Protocol>() {
        request.extensions_mut().insert(protocol.clone());
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(uri: &str) -> String {
        let (mut head, ()) = Request::get(uri).body(()).unwrap().into_parts();
        complete(&mut head, &Scheme::HTTP, &Authority::from_static("api:8080")).unwrap();
        head.uri.to_string()
    }

    #[test]
    fn a_path_gets_scheme_and_authority() {
        assert_eq!(
            completed("/demo.v1.Demo/Say?x=1"),
            "http://api:8080/demo.v1.Demo/Say?x=1"
        );
    }

    #[test]
    fn what_the_caller_said_stays() {
        assert_eq!(completed("https://other.example/x"), "https://other.example/x");
    }
}
