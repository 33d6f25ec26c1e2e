//! Which version of HTTP a client speaks.

/// The versions of HTTP a client may speak with its endpoints. HTTP/2 carries all calls to an endpoint on one connection;
/// HTTP/1.1 one at a time on each, so that connections are opened as calls need them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// `http://`: HTTP/2 with prior knowledge (h2c). `https://`: what the endpoint chooses (ALPN), HTTP/2 offered first, and
    /// HTTP/1.1 where it does not choose.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

/// What is spoken on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

impl Protocol {
    /// Where nothing is agreed on beforehand.
    pub(super) fn in_clear(self) -> Spoken {
        match self {
            Self::Auto | Self::Http2 => Spoken::Http2,
            Self::Http1 => Spoken::Http1,
        }
    }

    /// Whether connections that carry one call at a time can come of it.
    pub(super) fn may_be_http1(self) -> bool {
        self.in_clear() == Spoken::Http1 || (cfg!(feature = "tls") && self == Self::Auto)
    }
}

#[cfg(feature = "tls")]
impl Protocol {
    /// What is offered, in the order of preference (RFC 7301's registry).
    pub(super) fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Auto => &[b"h2", b"http/1.1"],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }

    /// What the peer's choice means; `None` if it is not among what may be spoken.
    pub(super) fn agreed(self, alpn: Option<&[u8]>) -> Option<Spoken> {
        match (self, alpn) {
            (Self::Auto | Self::Http2, Some(b"h2")) => Some(Spoken::Http2),
            // A server without ALPN speaks HTTP/1.1 (RFC 9113 §3.2 asks for ALPN).
            (Self::Auto | Self::Http1, Some(b"http/1.1") | None) => Some(Spoken::Http1),
            _ => None,
        }
    }
}
