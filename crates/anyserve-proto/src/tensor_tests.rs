use proptest::prelude::*;

use super::*;
use crate::inference::InferTensorContents;
use crate::inference::infer_parameter::ParameterChoice;
use crate::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};

fn input(datatype: &str, shape: &[i64], contents: Option<InferTensorContents>) -> InferInputTensor {
    InferInputTensor {
        name: "x".to_owned(),
        datatype: datatype.to_owned(),
        shape: shape.to_vec(),
        contents,
        ..Default::default()
    }
}

fn typed(tensor: InferInputTensor) -> ModelInferRequest {
    ModelInferRequest { inputs: vec![tensor], ..Default::default() }
}

fn raw(datatype: &str, shape: &[i64], bytes: &'static [u8]) -> ModelInferRequest {
    ModelInferRequest {
        inputs: vec![input(datatype, shape, None)],
        raw_input_contents: vec![Bytes::from_static(bytes)],
        ..Default::default()
    }
}

#[test]
fn typed_and_raw_contents_become_the_same_bytes() {
    let contents = InferTensorContents { int_contents: vec![1, -2], ..Default::default() };
    let mut first = typed(input("INT16", &[2], Some(contents)));
    let mut second = raw("INT16", &[2], &[1, 0, 0xfe, 0xff]);
    normalize(&mut first).unwrap();
    normalize(&mut second).unwrap();
    assert_eq!(first, second);
}

#[test]
fn typed_bytes_get_their_length_prefixes() {
    let contents = InferTensorContents {
        bytes_contents: vec![Bytes::from_static(b"hi"), Bytes::new()],
        ..Default::default()
    };
    let mut request = typed(input("BYTES", &[2], Some(contents)));
    normalize(&mut request).unwrap();
    assert_eq!(&request.raw_input_contents[0][..], b"\x02\0\0\0hi\0\0\0\0");
}

#[test]
fn errors_name_what_was_wrong_and_what_would_be_right() {
    let message = |mut request: ModelInferRequest| normalize(&mut request).unwrap_err().to_string();
    assert_eq!(
        message(raw("UINT8", &[2, 3], &[0; 5])),
        "input 'x': shape [2, 3] of UINT8 needs 6 bytes, but the contents hold 5"
    );
    assert_eq!(
        message(raw("BYTES", &[1], b"\x09\0\0\0abc")),
        "input 'x': element 0 of BYTES claims 9 bytes at offset 0, but only 3 are left"
    );
    assert_eq!(
        message(raw("BYTES", &[2], b"\x01\0\0\0a")),
        "input 'x': shape [2] needs 2 elements, but the contents hold 1"
    );
    assert_eq!(
        message(raw("UINT8", &[-1], b"")),
        "input 'x': shape [-1] has a negative or too large dimension"
    );
    assert!(message(raw("FLOAT", &[1], b"")).contains("datatype 'FLOAT' is unknown; known are BOOL"));
    let floats = InferTensorContents { fp32_contents: vec![1.0], ..Default::default() };
    assert_eq!(
        message(typed(input("INT8", &[1], Some(floats)))),
        "input 'x': INT8 belongs in int_contents, but the contents are in fp32_contents"
    );
    let large = InferTensorContents { int_contents: vec![300], ..Default::default() };
    assert_eq!(
        message(typed(input("INT8", &[1], Some(large.clone())))),
        "input 'x': value 300 does not fit the datatype"
    );
    let mut mixed = raw("INT32", &[1], &[0; 4]);
    mixed.inputs[0].contents = Some(large);
    assert_eq!(
        message(mixed),
        "input 'x' has typed contents beside raw_input_contents; send all one way or the other"
    );
    let mut twice = raw("UINT8", &[1], &[0]);
    twice.raw_input_contents.push(Bytes::from_static(&[0]));
    assert_eq!(message(twice.clone()), "1 inputs, but 2 raw_input_contents; there must be one for each");
    twice.inputs.push(twice.inputs[0].clone());
    assert_eq!(message(twice), "input 'x' is there twice; names must be unique");
}

#[test]
fn an_output_that_is_requested_twice_is_refused() {
    let mut request = raw("UINT8", &[1], &[0]);
    request.outputs = vec![InferRequestedOutputTensor { name: "y".to_owned(), ..Default::default() }; 2];
    let error = normalize(&mut request).unwrap_err();
    assert_eq!(error.to_string(), "requested output 'y' is there twice; names must be unique");
}

#[test]
fn a_shape_that_overflows_is_refused() {
    assert!(element_count(&[i64::MAX, i64::MAX]).is_err());
    assert!(check(Datatype::Fp64, &[i64::MAX], &[]).is_err());
    assert_eq!(element_count(&[]), Ok(1));
    assert_eq!(element_count(&[0, 7]), Ok(0));
}

proptest! {
    #[test]
    fn bytes_elements_read_back_what_was_put(elements: Vec<Vec<u8>>) {
        let mut out = BytesMut::new();
        for element in &elements {
            put_bytes_element(&mut out, element).unwrap();
        }
        let read: Result<Vec<_>, _> = BytesElements::new(&out).collect();
        prop_assert_eq!(read.unwrap(), elements);
    }

    #[test]
    fn garbage_never_panics(garbage: Vec<u8>, shape: Vec<i64>) {
        let _ = check(Datatype::Bytes, &shape, &garbage);
        let _ = check(Datatype::Int64, &shape, &garbage);
    }
}

#[test]
fn outputs_elsewhere_have_empty_contents_or_none() {
    let output = |name: &str, parameters| InferOutputTensor {
        name: name.to_owned(),
        datatype: "UINT8".to_owned(),
        shape: vec![2],
        parameters,
        contents: None,
    };
    let text = ParameterChoice::StringParam("region".to_owned());
    let there = InferParameter { parameter_choice: Some(text) };
    let there = BTreeMap::from([(SHARED_MEMORY_REGION.to_owned(), there)]);
    let (empty, given) = (Bytes::new(), Bytes::from_static(&[1, 2]));
    for (raw, good) in [
        (vec![given.clone()], true),
        (vec![empty.clone(), given.clone()], true),
        (vec![given.clone(), given.clone()], false),
        (vec![given.clone(), empty.clone()], false),
    ] {
        let outputs = vec![output("there", there.clone()), output("here", BTreeMap::new())];
        let mut response =
            ModelInferResponse { outputs, raw_output_contents: raw.clone(), ..Default::default() };
        assert_eq!(normalize_response(&mut response).is_ok(), good, "{raw:?}");
        if good {
            assert_eq!(response.raw_output_contents, [empty.clone(), given.clone()]);
        }
    }
}
