//! Failures grouped by their text, so that a report can say what kind they were.

use std::error::Error;
use std::fmt::Write as _;

/// Texts kept; later ones share the last class.
const MOST: usize = 100;

/// The error texts seen so far. A class is a position in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classes(Vec<String>);

impl Classes {
    /// The class of `text`, a new one if it was never seen.
    pub fn class(&mut self, text: &str) -> u8 {
        let known = self.0.iter().position(|known| known == text);
        let class = known.unwrap_or_else(|| {
            if self.0.len() < MOST {
                self.0.push(if self.0.len() + 1 == MOST {
                    "other".into()
                } else {
                    text.to_owned()
                });
            }
            self.0.len() - 1
        });
        u8::try_from(class).unwrap_or(u8::MAX)
    }

    /// The texts, in the order of their classes.
    #[must_use]
    pub fn into_texts(self) -> Vec<String> {
        self.0
    }
}

/// The class text of a failed call: its gRPC code, its message, and every cause below it.
#[must_use]
pub(super) fn describe(status: &tonic::Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut cause = status.source();
    while let Some(error) = cause {
        let _ = write!(text, " <- {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_the_same_class() {
        let mut classes = Classes::default();
        assert_eq!([classes.class("a"), classes.class("b"), classes.class("a")], [0, 1, 0]);
        assert_eq!(classes.into_texts(), ["a", "b"]);
    }

    #[test]
    fn texts_beyond_the_bound_share_the_last_class() {
        let mut classes = Classes::default();
        for number in 0..1_000 {
            classes.class(&number.to_string());
        }
        assert_eq!(usize::from(classes.class("yet another")), MOST - 1);
        assert_eq!(classes.class("5"), 5);
        assert_eq!(classes.into_texts().last().map(String::as_str), Some("other"));
    }

    #[test]
    fn a_status_is_described_with_its_causes() {
        let cause = std::io::Error::other("connection reset");
        let status = tonic::Status::from_error(Box::new(cause));
        assert_eq!(describe(&status), "Unknown: connection reset <- connection reset");
    }
}
