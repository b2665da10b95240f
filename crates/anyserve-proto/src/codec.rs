//! The gRPC codec: protobuf, with the output buffer sized once.
//!
//! tonic's own codec lets its buffer grow by doubling, which copies a large response twice over. This one knows the
//! encoded length before it starts.

use std::marker::PhantomData;

use prost::{DecodeError, Message};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct TensorCodec<T, U>(PhantomData<(T, U)>);

/// The encoding half of [`TensorCodec`].
#[derive(Debug)]
pub struct TensorEncoder<T>(PhantomData<T>);

/// The decoding half of [`TensorCodec`].
#[derive(Debug)]
pub struct TensorDecoder<U>(PhantomData<U>);

impl<T, U> Default for TensorCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for TensorCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = TensorEncoder<T>;
    type Decoder = TensorDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        TensorEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        TensorDecoder(PhantomData)
    }
}

impl<T: Message> Encoder for TensorEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|error| Status::internal(format!("cannot encode the message: {error}")))
    }
}

impl<U: Message + Default> Decoder for TensorDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        U::decode(buffer).map(Some).map_err(|error| malformed(&error))
    }
}

/// What the sender of a message hears that cannot be decoded.
pub fn malformed(error: &DecodeError) -> Status {
    Status::invalid_argument(format!("the message is not valid protobuf: {error}"))
}
