//! Frames: a 4-byte big-endian length, then one protobuf message.

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec, LengthDelimitedCodecError};

/// The largest frame either side sends or accepts, without its length prefix.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// A frame that could not be read or written. The byte stream is of no use after one.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length prefix, or the message to be sent, is beyond the limit.
    #[error("the frame is larger than {limit} bytes")]
    TooLarge {
        /// The largest size allowed, in bytes.
        limit: usize,
    },
    /// The bytes of a frame are not a message of the protocol.
    #[error("the frame is not a message of the protocol: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The underlying transport failed, or ended within a frame.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Reads frames that each hold one `In`, and writes frames that each hold one `Out`.
///
/// ```
/// use bytes::BytesMut;
/// use obit_protocol::{ClientMessage, FrameCodec, Ping, client_message};
/// use tokio_util::codec::{Decoder, Encoder};
///
/// let mut codec = FrameCodec::<ClientMessage, ClientMessage>::default();
/// let ping = ClientMessage { message: Some(client_message::Message::Ping(Ping { token: 7 })) };
/// let mut bytes = BytesMut::new();
/// codec.encode(ping.clone(), &mut bytes)?;
/// assert_eq!(codec.decode(&mut bytes)?, Some(ping));
/// # Ok::<(), obit_protocol::FrameError>(())
/// ```
#[derive(Debug)]
pub struct FrameCodec<In, Out> {
    lengths: LengthDelimitedCodec,
    messages: PhantomData<fn(Out) -> In>,
}

impl<In, Out> FrameCodec<In, Out> {
    /// A codec that refuses frames of more than `limit` bytes in either direction.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        let lengths = LengthDelimitedCodec::builder()
            .length_field_type::<u32>()
            .max_frame_length(limit)
            .new_codec();
        Self {
            lengths,
            messages: PhantomData,
        }
    }

    fn explain(&self, error: std::io::Error) -> FrameError {
        if error
            .get_ref()
            .is_some_and(|inner| inner.is::<LengthDelimitedCodecError>())
        {
            FrameError::TooLarge {
                limit: self.lengths.max_frame_length(),
            }
        } else {
            FrameError::Io(error)
        }
    }
}

impl<In, Out> Default for FrameCodec<In, Out> {
    fn default() -> Self {
        Self::with_limit(MAX_FRAME_BYTES)
    }
}

impl<In: Message + Default, Out> Decoder for FrameCodec<In, Out> {
    type Item = In;
    type Error = FrameError;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<In>, FrameError> {
        let frame = self.lengths.decode(bytes).map_err(|error| self.explain(error))?;
        Ok(frame.map(In::decode).transpose()?)
    }
}

impl<In, Out: Message> Encoder<Out> for FrameCodec<In, Out> {
    type Error = FrameError;

    fn encode(&mut self, message: Out, bytes: &mut BytesMut) -> Result<(), FrameError> {
        let limit = self.lengths.max_frame_length();
        if message.encoded_len() > limit {
            return Err(FrameError::TooLarge { limit });
        }
        self.lengths
            .encode(Bytes::from(message.encode_to_vec()), bytes)
            .map_err(|error| self.explain(error))
    }
}
