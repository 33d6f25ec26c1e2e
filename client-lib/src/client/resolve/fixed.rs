//! Endpoints that never change.

use super::{Endpoint, Resolve, Resolving, Sets};

/// A fixed list of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed(Vec<Endpoint>);

impl<E: Into<Endpoint>> FromIterator<E> for Fixed {
    fn from_iter<I: IntoIterator<Item = E>>(endpoints: I) -> Self {
        Self(endpoints.into_iter().map(Into::into).collect())
    }
}

impl Resolve for Fixed {
    fn run(self: Box<Self>, mut sets: Sets) -> Resolving {
        Box::pin(async move { sets.publish(self.0).await })
    }
}
