//! Calls of any method by its path, with any bytes as the message.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::{
    Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Every method that the descriptors declare.
pub(crate) fn declared_methods() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(boss_proto::FILE_DESCRIPTOR_SET).unwrap();
    let services = files.file.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
    let methods = services.flat_map(|(file, service)| {
        let prefix = format!("/{}.{}", file.package(), service.name());
        service.method.iter().map(move |method| format!("{prefix}/{}", method.name()))
    });
    methods.collect()
}

/// The method with an empty message, as nobody.
pub(crate) async fn call(channel: tonic::transport::Channel, method: &str) -> Result<(), Status> {
    raw(channel, method, Request::new(Bytes::new())).await
}

/// The same with a token.
pub(crate) async fn call_as(channel: tonic::transport::Channel, method: &str, token: &str) -> Result<(), Status> {
    let mut request = Request::new(Bytes::new());
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    raw(channel, method, request).await
}

/// The method with any message; the answer's first message is awaited.
pub(crate) async fn raw(
    channel: tonic::transport::Channel,
    method: &str,
    request: Request<Bytes>,
) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::try_from(method).unwrap();
    let request = request.map(tokio_stream::once);
    let mut answers = client.streaming(request, path, RawCodec).await?.into_inner();
    answers.message().await.map(|_| ())
}

/// Bytes as they are: no message type is needed to be refused.
#[derive(Clone, Copy, Default)]
pub(crate) struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
