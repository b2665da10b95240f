//! What the reader makes of bodies, beside what the decoder makes of the same bytes.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::task::Waker;

use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use anyserve_proto::inference::{InferParameter, InferTensorContents};
use bytes::{BufMut, BytesMut};
use hyper::body::Frame;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

use super::*;
use crate::objects::{Objects, Tcp};

const LIMIT: usize = 1 << 20;

/// A body that came in these pieces.
struct Pieces(VecDeque<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// The first part of a body, and nothing more for now.
struct Unfinished(Option<Bytes>);
impl Body for Unfinished {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |data| Poll::Ready(Some(Ok(Frame::data(data)))))
    }
}

/// Room for every message that the tests send.
static ROOMY: LazyLock<Intake> = LazyLock::new(|| {
    Intake::new(
        Arc::clone(Objects::new(64 << 20, None, Box::new(Tcp::new(1, false)), false).unwrap().landing()),
        LIMIT,
        1,
    )
});

/// All messages of `body`, which comes cut at these places.
fn read(body: &[u8], cuts: &[Index]) -> Result<Vec<ModelInferRequest>, Status> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    let piece = |ends: &[usize]| Frame::data(Bytes::copy_from_slice(&body[ends[0]..ends[1]]));
    let mut reader = Reader::new(Pieces(cuts.windows(2).map(piece).collect()), ROOMY.clone(), None);
    let mut context = Context::from_waker(Waker::noop());
    let mut found = Vec::new();
    loop {
        match Pin::new(&mut reader).poll_next(&mut context) {
            Poll::Ready(Some(Ok(infer))) => found.push(infer),
            Poll::Ready(Some(Err(ReadError::Status(status)))) => return Err(status),
            Poll::Ready(Some(Err(error))) => panic!("{error:?}"),
            Poll::Ready(None) => return Ok(found),
            Poll::Pending => panic!("there is room, and the body is there"),
        }
    }
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put_slice(message);
    }
    body
}

/// A message of one field.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let text = || "[a-zß]{0,12}";
    let size = prop_oneof![4 => 0..40_usize, 2 => 8190..8196_usize, 2 => 8193..40_000_usize];
    let raw = (size, any::<u8>()).prop_map(|(size, byte)| ModelInferRequest {
        raw_input_contents: vec![vec![byte; size].into()],
        ..Default::default()
    });
    let named = text().prop_map(|name| ModelInferRequest {
        model_name: name.clone(),
        id: name,
        ..Default::default()
    });
    let parameter = text().prop_map(|name| {
        let parameter = InferParameter { parameter_choice: Some(ParameterChoice::StringParam(name.clone())) };
        ModelInferRequest { parameters: BTreeMap::from([(name, parameter)]), ..Default::default() }
    });
    let input = (text(), prop_oneof![0..20_usize, 3000..4000_usize]).prop_map(|(name, count)| {
        let contents = InferTensorContents { int_contents: vec![300; count], ..Default::default() };
        let input = InferInputTensor { name, contents: Some(contents), ..Default::default() };
        ModelInferRequest { inputs: vec![input], ..Default::default() }
    });
    let output = text().prop_map(|name| ModelInferRequest {
        outputs: vec![InferRequestedOutputTensor { name, ..Default::default() }],
        ..Default::default()
    });
    // A group with a raw content in it, which is not one of the message's.
    let mut group = vec![0xa3, 0x06, 0x3a];
    group.extend([0x80, 0x50]);
    group.extend([7; 0x2800]);
    group.extend([0xa4, 0x06]);
    // Keys and lengths may have more bytes than they need.
    let mut long_winded = vec![0xba, 0x80, 0x00, 0x80, 0xd0, 0x80, 0x00];
    long_winded.extend([8; 0x2800]);
    let others = prop::sample::select(vec![
        vec![0xa0, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0xa1, 0x06, 1, 2, 3, 4, 5, 6, 7, 8],
        vec![0xa5, 0x06, 1, 2, 3, 4],
        vec![0xa2, 0x06, 0x00],
        group,
        long_winded,
    ]);
    let known = prop_oneof![4 => raw, 1 => named, 1 => parameter, 1 => input, 1 => output];
    prop_oneof![8 => known.prop_map(|message| message.encode_to_vec()), 1 => others]
}

/// A message of such fields, in that order.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(field(), 0..8).prop_map(|fields| fields.concat())
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_fields_in_any_order_cut_anywhere(messages in prop::collection::vec(message(), 0..4), cuts in cuts()) {
        let expected: Vec<_> =
            messages.iter().map(|message| ModelInferRequest::decode(&message[..]).unwrap()).collect();
        prop_assert!(read(&framed(&messages), &cuts).unwrap() == expected);
    }

    #[test]
    fn what_the_decoder_refuses_is_refused_in_its_words(
        message in message(),
        spoiled in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        length in any::<Index>(),
        cuts in cuts(),
    ) {
        let mut message = message;
        message.truncate(length.index(message.len() + 1));
        for (place, byte) in spoiled {
            if !message.is_empty() {
                // Most of a message is content, and its heads are what matters.
                let end = message.len().min(64);
                message[place.index(end)] = byte;
            }
        }
        let found = read(&framed(&[message.clone()]), &cuts);
        match ModelInferRequest::decode(&message[..]) {
            Ok(expected) => prop_assert!(found.unwrap() == [expected]),
            Err(error) => {
                let status = found.unwrap_err();
                prop_assert_eq!(status.code(), Code::InvalidArgument);
                prop_assert_eq!(status.message(), format!("the message is not valid protobuf: {error}"));
            }
        }
    }

    #[test]
    fn no_garbage_takes_more_memory_than_it_has_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        fields in message(),
        cuts in cuts(),
    ) {
        let _ = read(&bytes, &cuts);
        let message = [fields, bytes].concat();
        let mut assembly = Assembly::new(message.len());
        let (mut stake, mut input) = (Stake::default(), Bytes::from(message.clone()));
        while let Fed::Land(ask) = assembly.feed(&mut input) {
            assembly.land(ROOMY.try_land(&mut stake, ask).unwrap());
        }
        // What is gathered may have twice the room that it needs, and has at least 512 bytes.
        prop_assert!(assembly.taken() <= 2 * message.len() + 512);
    }
}

#[test]
fn a_body_that_ends_too_early_is_an_invalid_argument() {
    let message =
        ModelInferRequest { raw_input_contents: vec![vec![1; 20_000].into()], ..Default::default() };
    let body = framed(&[message.encode_to_vec()]);
    for end in [1, 4, 5, 6, 100, body.len() - 1] {
        let status = read(&body[..end], &[]).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{end}");
    }
    assert_eq!(read(&[], &[]).unwrap(), []);
}

#[test]
fn what_is_over_the_limit_is_refused_by_its_head() {
    let mut head = BytesMut::from(&[0][..]);
    head.put_u32(u32::try_from(LIMIT).unwrap() + 1);
    let status = read(&head, &[]).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), over_limit(LIMIT).message());
}

#[test]
fn what_is_compressed_without_saying_how_is_an_internal_error() {
    for flag in [1, 2, 255] {
        assert_eq!(read(&[flag, 0, 0, 0, 0], &[]).unwrap_err().code(), Code::Internal);
    }
}

#[test]
fn trailers_end_a_body() {
    let trailers = HeaderMap::from_iter([(http::header::AGE, http::HeaderValue::from_static("7"))]);
    let frames = [Frame::data(Bytes::from(framed(&[vec![]]))), Frame::trailers(trailers.clone())];
    let mut reader = Reader::new(Pieces(frames.into()), ROOMY.clone(), None);
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(Pin::new(&mut reader).poll_next(&mut context), Poll::Ready(Some(Ok(_)))));
    assert!(matches!(Pin::new(&mut reader).poll_next(&mut context), Poll::Ready(None)));
    assert_eq!(reader.take_trailers(), Some(trailers));
}

#[test]
fn who_leaves_in_the_middle_gives_the_slot_back() {
    let message =
        ModelInferRequest { raw_input_contents: vec![vec![1; 20_000].into()], ..Default::default() };
    let mut body = Bytes::from(framed(&[message.encode_to_vec()]));
    let objects = Objects::new(1 << 20, None, Box::new(Tcp::new(1, false)), false).unwrap();
    let budget = objects.store().budget();
    let intake = Intake::new(Arc::clone(objects.landing()), LIMIT, 1);
    let mut reader = Reader::new(Unfinished(Some(body.split_to(10_000))), intake, None);
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut reader).poll_next(&mut context).is_pending());
    assert_eq!(budget.used(), 20_480);
    drop(reader);
    assert_eq!(budget.used(), 0);
}
