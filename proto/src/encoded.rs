//! The registry's service with answers whose objects are bytes already: a stored object goes out as it was stored, and
//! one event to any number of watchers, without being copied field by field or encoded again. On the wire nothing
//! differs, because a message field and a bytes field look the same. Knows no object.

use std::marker::PhantomData;

use bytes::Bytes;
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::v1;

/// A buffer begins with so many bytes: a usual object fits, and twenty thousand idle watches cost ten megabytes.
const BUFFER_BYTES: usize = 512;
/// What is ready goes out in one frame up to about this size.
const FRAME_BYTES: usize = 32 * 1024;

/// [`v1::WriteResponse`] with its object encoded.
#[derive(Clone, PartialEq, Message)]
pub struct WriteResponse {
    /// A [`v1::Object`]; empty when it is not shown.
    #[prost(bytes = "bytes", tag = "1")]
    pub object: Bytes,
    /// Of the write.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
}

/// [`v1::DeleteResponse`] with its object encoded.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteResponse {
    /// A [`v1::Object`]; empty when it is not shown.
    #[prost(bytes = "bytes", tag = "1")]
    pub object: Bytes,
    /// Of the write.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    /// It is no more, nothing had to happen first.
    #[prost(bool, tag = "3")]
    pub gone: bool,
}

/// [`v1::GetResponse`] with its object encoded.
#[derive(Clone, PartialEq, Message)]
pub struct GetResponse {
    /// A [`v1::Object`].
    #[prost(bytes = "bytes", tag = "1")]
    pub object: Bytes,
    /// The registry's revision at which the object was read.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
}

/// [`v1::ListResponse`] with its objects encoded.
#[derive(Clone, PartialEq, Message)]
pub struct ListResponse {
    /// Each a [`v1::Object`].
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub items: Vec<Bytes>,
    /// Of every page of the list.
    #[prost(uint64, tag = "2")]
    pub revision: u64,
    /// Empty on the last page.
    #[prost(bytes = "bytes", tag = "3")]
    pub next_page_token: Bytes,
}

/// [`v1::WatchResponse`] with its object encoded.
#[derive(Clone, PartialEq, Message)]
pub struct WatchResponse {
    /// What is told.
    #[prost(oneof = "WatchBody", tags = "1, 2")]
    pub body: Option<WatchBody>,
}

/// What a watch tells.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum WatchBody {
    /// Something happened.
    #[prost(message, tag = "1")]
    Event(WatchEvent),
    /// Everything up to a revision was told.
    #[prost(message, tag = "2")]
    Bookmark(v1::Bookmark),
}

/// [`v1::WatchEvent`] with its object encoded.
#[derive(Clone, PartialEq, Message)]
pub struct WatchEvent {
    /// What happened.
    #[prost(enumeration = "v1::watch_event::Type", tag = "1")]
    pub r#type: i32,
    /// A [`v1::Object`].
    #[prost(bytes = "bytes", tag = "2")]
    pub object: Bytes,
    /// Of the change.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
}

/// tonic's usual codec with buffers that fit one message at a time.
#[derive(Debug, Clone)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Codec<T, U>;
    type Decoder = Codec<T, U>;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<T: Message, U> Encoder for Codec<T, U> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // A page of a list grows the buffer once, not again and again.
        buffer.reserve(item.encoded_len());
        item.encode(buffer).expect("the buffer grows");
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, FRAME_BYTES)
    }
}

impl<T, U: Message + Default> Decoder for Codec<T, U> {
    type Item = U;
    type Error = Status;

    #[expect(clippy::disallowed_methods, reason = "a codec has no other way to say that it failed")]
    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bad = |error: prost::DecodeError| Status::internal(format!("the message cannot be read: {error}"));
        U::decode(buffer).map(Some).map_err(bad)
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, FRAME_BYTES)
    }
}

#[allow(clippy::all, clippy::allow_attributes_without_reason, unreachable_pub, rustdoc::all, reason = "generated code")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/encoded/boss.v1.rs"));
}
pub use generated::registry_server;

#[cfg(test)]
mod tests;
