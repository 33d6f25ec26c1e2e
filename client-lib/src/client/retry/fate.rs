//! From an error of hyper to what became of the request. Pure.

use std::error::Error as StdError;

/// What became of an attempt that failed before a response head was seen. (After it a call is the caller's, and is never
/// sent again.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It never left this host: the dial failed, or the connection handed it back.
    NotSent,
    /// The peer goes, for no fault of anybody, and says it did not process it: a GOAWAY without an error whose last stream id is
    /// lower (RFC 9113 §6.8).
    SentAway,
    /// The peer says it did not process it: REFUSED_STREAM (§8.7), or such a GOAWAY with an error.
    Unprocessed,
    /// It may have been processed, or not: its connection is lost, and its peer answers on others.
    Stranded,
    /// It may have been processed, or not.
    Unknown,
}

/// Reads the fate of a request from hyper's error, when no response head was seen.
///
/// Believing a remote GOAWAY is sound only because one task drives
/// both halves of the connection (see [`driver`](crate::client::pool::driver)); with hyper's stock spawning a drain's
/// first GOAWAY can be reported to a request already on the wire.
pub(crate) fn fate(error: &(dyn StdError + 'static)) -> Fate {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(hyper) = error.downcast_ref::<hyper::Error>()
            && hyper.is_canceled()
        {
            return Fate::NotSent;
        }
        if let Some(h2) = error.downcast_ref::<h2::Error>() {
            let refused = h2.is_reset() && h2.is_remote() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            let above_last_id = h2.is_go_away() && h2.is_remote();
            return match h2.reason() {
                Some(h2::Reason::NO_ERROR) if above_last_id => Fate::SentAway,
                _ if refused || above_last_id => Fate::Unprocessed,
                _ => Fate::Unknown,
            };
        }
        next = error.source();
    }
    Fate::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_socket_tells_nothing_of_the_request() {
        assert_eq!(
            fate(&std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
            Fate::Unknown
        );
    }

    #[test]
    fn a_reset_of_our_own_making_is_no_refusal_by_the_peer() {
        assert_eq!(fate(&h2::Error::from(h2::Reason::REFUSED_STREAM)), Fate::Unknown);
    }
}
