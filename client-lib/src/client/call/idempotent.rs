//! May this request be processed twice? By its method, its extension or the caller's word. Pure.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

/// Put into a request's extensions: this call may be processed twice (or, with `Idempotent(false)`, must not be, though
/// its method says so). Without it, a classifier given to the builder decides, then the method (RFC 9110 §9.2.2).
///
/// ```
/// let mut request = http::Request::post("/inventory.v1.Inventory/Get").body(()).unwrap();
/// request.extensions_mut().insert(obit::Idempotent(true));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotent(pub bool);

/// The caller's word on requests without the extension; `None` leaves it to the method.
#[derive(Clone)]
pub(crate) struct Classifier(Arc<Classify>);

type Classify = dyn Fn(&Parts) -> Option<bool> + Send + Sync;

impl Classifier {
    pub(crate) fn new(classify: impl Fn(&Parts) -> Option<bool> + Send + Sync + 'static) -> Self {
        Self(Arc::new(classify))
    }

    /// The answer for one request.
    pub(crate) fn idempotent(&self, head: &Parts) -> bool {
        if let Some(Idempotent(word)) = head.extensions.get() {
            return *word;
        }
        (self.0)(head).unwrap_or_else(|| head.method.is_idempotent())
    }
}

impl Default for Classifier {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classifier")
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, extension: Option<bool>) -> Parts {
        let mut request = Request::builder().method(method).body(()).unwrap();
        if let Some(word) = extension {
            request.extensions_mut().insert(Idempotent(word));
        }
        request.into_parts().0
    }

    #[test]
    fn the_method_decides_when_nobody_else_does() {
        let classifier = Classifier::default();
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert!(classifier.idempotent(&head(method, None)), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "LOCK"] {
            assert!(!classifier.idempotent(&head(method, None)), "{method}");
        }
    }

    #[test]
    fn the_extension_outranks_the_classifier_and_that_the_method() {
        let classifier = Classifier::new(|head| (head.method == http::Method::POST).then_some(true));
        assert!(classifier.idempotent(&head("POST", None)));
        assert!(!classifier.idempotent(&head("POST", Some(false))));
        assert!(!classifier.idempotent(&head("PATCH", None)));
        assert!(!classifier.idempotent(&head("GET", Some(false))));
    }
}
