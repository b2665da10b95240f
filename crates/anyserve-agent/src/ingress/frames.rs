//! Messages to the pieces that are sent: large contents as they are, all else encoded between them.

use std::collections::VecDeque;

use anyserve_channel::INLINE_LIMIT;
use anyserve_proto::inference::{ModelInferRequest, ModelInferResponse, ModelStreamInferResponse};
use bytes::{BufMut, Bytes, BytesMut};
use prost::{Message, encode_length_delimiter, length_delimiter_len};
use tonic::Status;

/// The key of `ModelInferResponse.raw_output_contents`: field 6, of a length.
const RAW_CONTENT: u8 = 6 << 3 | 2;
/// The key of `ModelInferRequest.raw_input_contents`: field 7, of a length.
const RAW_INPUT: u8 = 7 << 3 | 2;
/// The key of `ModelStreamInferResponse.infer_response`: field 2, of a length.
const INFER_RESPONSE: u8 = 2 << 3 | 2;

/// The length of what stands before each message.
const HEAD: usize = 5;

/// Messages to be sent.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// What goes before `gathered`.
    pieces: VecDeque<Bytes>,
    gathered: BytesMut,
}

impl Frames {
    /// Adds a message. Fails on one that is larger than gRPC can say.
    pub(crate) fn push(&mut self, mut response: ModelInferResponse) -> Result<(), Status> {
        let contents = std::mem::take(&mut response.raw_output_contents);
        self.push_with(&response, RAW_CONTENT, contents)
    }

    /// The same for a request.
    pub(crate) fn push_request(&mut self, mut request: ModelInferRequest) -> Result<(), Status> {
        let contents = std::mem::take(&mut request.raw_input_contents);
        self.push_with(&request, RAW_INPUT, contents)
    }

    /// The same for one of another kind.
    pub(crate) fn push_message(&mut self, message: &impl Message) -> Result<(), Status> {
        self.push_with(message, RAW_CONTENT, Vec::new())
    }

    /// The same for a message of a stream.
    pub(super) fn push_streamed(&mut self, mut response: ModelStreamInferResponse) -> Result<(), Status> {
        let Some(mut infer) = response.infer_response.take() else {
            let length = response.encoded_len();
            self.begin(length, HEAD + length, &[])?;
            return self.put(&response);
        };
        let contents = std::mem::take(&mut infer.raw_output_contents);
        let body = infer.encoded_len() + encoded_len(&contents);
        let length = response.encoded_len() + 1 + length_delimiter_len(body) + body;
        self.begin(length, HEAD + length, &contents)?;
        self.put(&response)?;
        self.gathered.put_u8(INFER_RESPONSE);
        self.put_length(body)?;
        self.put(&infer)?;
        self.put_contents(RAW_CONTENT, contents)
    }

    /// The next piece to send, if one is complete.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.pieces.pop_front()
    }

    /// The same; what was gathered is complete.
    pub(crate) fn pop_all(&mut self) -> Option<Bytes> {
        self.pop().or_else(|| (!self.gathered.is_empty()).then(|| self.gathered.split().freeze()))
    }

    /// How many bytes are gathered.
    pub(super) fn gathered(&self) -> usize {
        self.gathered.len()
    }

    fn push_with(&mut self, message: &impl Message, key: u8, contents: Vec<Bytes>) -> Result<(), Status> {
        let body = message.encoded_len() + encoded_len(&contents);
        self.begin(body, HEAD + body, &contents)?;
        self.put(message)?;
        self.put_contents(key, contents)
    }

    /// Makes room for what is gathered of `total` bytes, and puts the head of a message.
    fn begin(&mut self, length: usize, total: usize, contents: &[Bytes]) -> Result<(), Status> {
        let head = u32::try_from(length).map_err(|_| {
            Status::resource_exhausted(format!(
                "Cannot return body with more than 4GB of data but got {length} bytes"
            ))
        })?;
        let apart: usize = contents.iter().filter(|content| is_large(content)).map(Bytes::len).sum();
        self.gathered.reserve(total - apart);
        self.gathered.put_u8(0);
        self.gathered.put_u32(head);
        Ok(())
    }

    fn put(&mut self, message: &impl Message) -> Result<(), Status> {
        message
            .encode(&mut self.gathered)
            .map_err(|error| Status::internal(format!("cannot encode the message: {error}")))
    }

    fn put_length(&mut self, length: usize) -> Result<(), Status> {
        encode_length_delimiter(length, &mut self.gathered)
            .map_err(|error| Status::internal(format!("cannot encode the message: {error}")))
    }

    fn put_contents(&mut self, key: u8, contents: Vec<Bytes>) -> Result<(), Status> {
        for content in contents {
            self.gathered.put_u8(key);
            self.put_length(content.len())?;
            if is_large(&content) {
                self.pieces.push_back(self.gathered.split().freeze());
                self.pieces.push_back(content);
            } else {
                self.gathered.put_slice(&content);
            }
        }
        Ok(())
    }
}

/// True if it is worth a piece of its own.
fn is_large(content: &Bytes) -> bool {
    content.len() > INLINE_LIMIT
}

/// How many bytes the contents take in a message.
fn encoded_len(contents: &[Bytes]) -> usize {
    contents.iter().map(|content| 1 + length_delimiter_len(content.len()) + content.len()).sum()
}

#[cfg(test)]
mod tests {
    use anyserve_proto::inference::model_infer_response::InferOutputTensor;

    use super::*;

    fn response(sizes: &[usize]) -> ModelInferResponse {
        ModelInferResponse {
            model_name: "echo".to_owned(),
            id: "7".to_owned(),
            outputs: vec![InferOutputTensor { name: "OUT".to_owned(), ..Default::default() }; sizes.len()],
            raw_output_contents: sizes.iter().map(|&size| vec![9; size].into()).collect(),
            ..Default::default()
        }
    }

    fn framed(message: &impl Message) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
        message.encode(&mut bytes).unwrap();
        bytes
    }

    fn all(frames: &mut Frames) -> Vec<Bytes> {
        std::iter::from_fn(|| frames.pop_all()).collect()
    }

    #[test]
    fn what_is_sent_is_what_the_encoder_makes_of_it() {
        for sizes in [&[][..], &[0], &[16, 300], &[9000], &[9000, 1, 100_000, 20_000, 0]] {
            let response = response(sizes);
            let mut frames = Frames::default();
            frames.push(response.clone()).unwrap();
            assert_eq!(all(&mut frames).concat(), framed(&response), "{sizes:?}");
            let request = ModelInferRequest {
                model_name: "echo".to_owned(),
                raw_input_contents: response.raw_output_contents.clone(),
                ..Default::default()
            };
            frames.push_request(request.clone()).unwrap();
            assert_eq!(all(&mut frames).concat(), framed(&request), "{sizes:?}");
            let error_message = "no".to_owned();
            let streamed = ModelStreamInferResponse { error_message, infer_response: Some(response) };
            frames.push_streamed(streamed.clone()).unwrap();
            frames.push_streamed(ModelStreamInferResponse::default()).unwrap();
            let both = [framed(&streamed), framed(&ModelStreamInferResponse::default())].concat();
            assert_eq!(all(&mut frames).concat(), both, "{sizes:?}");
        }
    }

    #[test]
    fn a_large_content_is_not_copied_and_small_ones_go_together() {
        let response = response(&[10, INLINE_LIMIT, 20_000, 10]);
        let large = response.raw_output_contents[2].clone();
        let mut frames = Frames::default();
        frames.push(response).unwrap();
        let sent = all(&mut frames);
        assert_eq!(sent.len(), 3);
        assert_eq!(sent[1].as_ptr(), large.as_ptr());
    }
}
