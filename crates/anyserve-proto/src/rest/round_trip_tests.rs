use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::tests::{decode, json_of, response};
use super::*;
use crate::tensor::Datatype;

/// A datatype with a form in JSON, and raw contents of that many elements.
fn contents() -> impl Strategy<Value = (Datatype, usize, Bytes)> {
    let sized = [
        Datatype::Uint8,
        Datatype::Uint16,
        Datatype::Uint32,
        Datatype::Uint64,
        Datatype::Int8,
        Datatype::Int16,
        Datatype::Int32,
        Datatype::Int64,
        Datatype::Fp32,
        Datatype::Fp64,
    ];
    let numbers = (prop::sample::select(sized.to_vec()), prop::collection::vec(any::<[u8; 8]>(), 0..20));
    let numbers = numbers.prop_map(|(datatype, elements)| {
        let size = datatype.size().expect("they have one");
        let raw: Vec<u8> = elements.iter().flat_map(|bytes| bytes[..size].iter().copied()).collect();
        (datatype, elements.len(), Bytes::from(raw))
    });
    let booleans = prop::collection::vec(0..2_u8, 0..20);
    let booleans = booleans.prop_map(|bytes| (Datatype::Bool, bytes.len(), Bytes::from(bytes)));
    let texts = prop::collection::vec(any::<String>(), 0..8).prop_map(|texts| {
        let mut raw = BytesMut::new();
        for text in &texts {
            raw.put_u32_le(u32::try_from(text.len()).expect("short"));
            raw.put_slice(text.as_bytes());
        }
        (Datatype::Bytes, texts.len(), raw.freeze())
    });
    prop_oneof![6 => numbers, 1 => booleans, 2 => texts]
}

/// The same, but for what distinguishes one NaN from another, which JSON does not keep.
fn same(datatype: Datatype, left: &[u8], right: &[u8]) -> bool {
    let nans = |left: f64, right: f64| left.is_nan() && right.is_nan();
    match datatype {
        Datatype::Fp32 => left.as_chunks().0.iter().zip(right.as_chunks().0).all(|(&left, &right)| {
            left == right || nans(f32::from_le_bytes(left).into(), f32::from_le_bytes(right).into())
        }),
        Datatype::Fp64 => left.as_chunks().0.iter().zip(right.as_chunks().0).all(|(&left, &right)| {
            left == right || nans(f64::from_le_bytes(left), f64::from_le_bytes(right))
        }),
        _ => left == right,
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again((datatype, count, contents) in contents()) {
        let json = json_of(&response(datatype, count, contents.clone()));
        let json = json.replace(r#""outputs":"#, r#""inputs":"#);
        let again = decode(&json).unwrap().request.raw_input_contents.remove(0);
        prop_assert_eq!(again.len(), contents.len());
        prop_assert!(same(datatype, &again, &contents), "{}", json);
    }

    #[test]
    fn binary_outputs_are_what_they_were((datatype, count, contents) in contents()) {
        let form = decode(r#"{"inputs": [], "parameters": {"binary_data_output": true}}"#).unwrap().form;
        let encoded = encode_response(&response(datatype, count, contents.clone()), &form).unwrap();
        prop_assert_eq!(encoded.header_length, Some(encoded.json.len()));
        let json = String::from_utf8(encoded.json).unwrap().replace(r#""outputs":"#, r#""inputs":"#);
        let body = Bytes::from([json.as_bytes(), &encoded.binary.concat()].concat());
        let again = decode_infer(&body, Some(json.len()), "m", "").unwrap().request;
        prop_assert_eq!(&again.raw_input_contents[0], &contents);
    }

    #[test]
    fn garbage_is_refused_and_nothing_else_happens(body in any::<Vec<u8>>(), header in 0..50_usize) {
        let body = Bytes::from(body);
        let _ = decode_infer(&body, Some(header), "m", "");
        let _ = decode_infer(&body, None, "m", "");
        let _ = decode_generate(&body, &[], "m", "");
    }

    #[test]
    fn a_broken_request_is_refused(at in 0..200_usize, byte in any::<u8>()) {
        let mut json = br#"{"id": "\u00e9", "inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [[1.5], [-2e3]]}],
            "parameters": {"a": true}, "outputs": [{"name": "y", "parameters": {"binary_data": false}}]}"#.to_vec();
        let at = at % json.len();
        json[at] = byte;
        let _ = decode_infer(&Bytes::from(json), None, "m", "");
    }
}
