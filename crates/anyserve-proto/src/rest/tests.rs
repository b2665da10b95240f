use bytes::Bytes;

use super::*;
use crate::inference::infer_parameter::ParameterChoice;
use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::inference::model_metadata_response::TensorMetadata;
use crate::inference::{InferParameter, ModelInferRequest, ModelInferResponse};
use crate::tensor::{self, Datatype};

pub(super) fn decode(json: &str) -> Result<InferCall, RestError> {
    decode_infer(&Bytes::copy_from_slice(json.as_bytes()), None, "m", "")
}

fn input(datatype: &str, shape: &str, data: &str) -> Result<ModelInferRequest, RestError> {
    let tensor = format!(r#"{{"name": "x", "datatype": "{datatype}", "shape": {shape}, "data": {data}}}"#);
    let mut request = decode(&format!(r#"{{"inputs": [{tensor}]}}"#))?.request;
    // What is decoded is what the rest of the agent takes.
    tensor::normalize(&mut request).expect("well formed");
    Ok(request)
}

fn raw(datatype: &str, shape: &str, data: &str) -> Bytes {
    input(datatype, shape, data).unwrap().raw_input_contents.remove(0)
}

fn refusal(result: Result<impl std::fmt::Debug, RestError>) -> String {
    result.unwrap_err().to_string()
}

pub(super) fn response(datatype: Datatype, count: usize, raw: Bytes) -> ModelInferResponse {
    let shape = vec![i64::try_from(count).unwrap()];
    let output = InferOutputTensor {
        name: "y".to_owned(),
        datatype: datatype.name().to_owned(),
        shape,
        ..Default::default()
    };
    ModelInferResponse {
        model_name: "m".to_owned(),
        outputs: vec![output],
        raw_output_contents: vec![raw],
        ..Default::default()
    }
}

pub(super) fn json_of(response: &ModelInferResponse) -> String {
    let encoded = encode_response(response, &OutputForm::default()).unwrap();
    assert_eq!((encoded.binary.len(), encoded.header_length), (0, None));
    String::from_utf8(encoded.json).unwrap()
}

#[test]
fn elements_become_raw_contents() {
    assert_eq!(raw("BOOL", "[2]", "[true, false]")[..], [1, 0]);
    assert_eq!(raw("INT8", "[3]", "[-128, 127, -0]")[..], [0x80, 0x7f, 0]);
    assert_eq!(raw("UINT8", "[2]", "[-0, 255]")[..], [0, 255]);
    assert_eq!(raw("UINT64", "[1]", "[18446744073709551615]")[..], u64::MAX.to_le_bytes());
    assert_eq!(raw("INT64", "[1]", "[-9223372036854775808]")[..], i64::MIN.to_le_bytes());
    assert_eq!(raw("FP32", "[2]", "[0.1, 16777217]")[..4], 0.1_f32.to_le_bytes());
    assert_eq!(raw("FP64", "[1]", "[1e-320]")[..], 1e-320_f64.to_le_bytes());
    assert_eq!(
        raw("BYTES", "[2]", r#"["", "\u00e9\ud83d\ude00\n"]"#)[..],
        *b"\0\0\0\0\x07\0\0\0\xc3\xa9\xf0\x9f\x98\x80\n"
    );
    assert!(raw("INT32", "[0]", "[]").is_empty());
    assert!(raw("INT32", "[2, 0]", "[[], []]").is_empty());
    assert_eq!(raw("INT8", "[]", "7")[..], [7]);
}

#[test]
fn what_is_no_number_goes_as_triton_writes_it() {
    let bytes = raw("FP64", "[5]", "[NaN, Infinity, -Infinity, Inf, -Inf]");
    let values: Vec<_> = bytes.as_chunks().0.iter().map(|&chunk| f64::from_le_bytes(chunk)).collect();
    assert!(values[0].is_nan());
    assert_eq!(values[1..], [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY]);
    let json = json_of(&response(Datatype::Fp64, 5, bytes));
    assert!(json.ends_with("\"data\":[NaN,Infinity,-Infinity,Infinity,-Infinity]}]}"), "{json}");
}

#[test]
fn nested_and_flat_arrays_are_the_same() {
    let flat = raw("INT16", "[2, 3]", "[1, 2, 3, 4, 5, 6]");
    assert_eq!(raw("INT16", "[2, 3]", "[[1, 2, 3], [4, 5, 6]]"), flat);
    for uneven in ["[[1, 2], [3], [4, 5, 6]]", "[1, [2, 3, 4, 5, 6]]", "[[1, 2, 3], 4, 5, 6]", "[[[1]], [2]]"]
    {
        assert!(refusal(input("INT16", "[2, 3]", uneven)).contains("nested unevenly"), "{uneven}");
    }
}

#[test]
fn data_may_stand_before_its_datatype() {
    let request = decode(
        r#"{"inputs": [{"data": [1, 2], "shape": [2], "name": "x", "datatype": "UINT8"}], "id": "7"}"#,
    );
    let request = request.unwrap().request;
    assert_eq!((request.id.as_str(), &request.raw_input_contents[0][..]), ("7", &[1, 2][..]));
}

#[test]
fn parameters_keep_their_types() {
    let json = r#"{"parameters": {"a": true, "b": -1, "c": 18446744073709551615, "d": 1.5, "e": "x"}, "inputs": [],
        "outputs": [{"name": "y", "parameters": {"binary_data": true, "shared_memory_byte_size": 8}}], "other": [null]}"#;
    let call = decode(json).unwrap();
    let choices: Vec<_> =
        call.request.parameters.into_values().filter_map(|value| value.parameter_choice).collect();
    let expected = [
        ParameterChoice::BoolParam(true),
        ParameterChoice::Int64Param(-1),
        ParameterChoice::Uint64Param(u64::MAX),
        ParameterChoice::DoubleParam(1.5),
        ParameterChoice::StringParam("x".to_owned()),
    ];
    assert_eq!(choices, expected);
    assert_eq!(call.request.outputs[0].parameters.keys().collect::<Vec<_>>(), ["shared_memory_byte_size"]);
    assert!(call.form.is_binary("y") && !call.form.is_binary("z"));
}

#[test]
fn binary_contents_are_slices_of_the_body() {
    let json = r#"{"parameters": {"binary_data_output": true}, "inputs": [
        {"name": "a", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}},
        {"name": "b", "datatype": "INT8", "shape": [1], "data": [5]},
        {"name": "c", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}]}"#;
    let body = Bytes::from([json.as_bytes(), b"ab\x01\0\0\0c"].concat());
    let call = decode_infer(&body, Some(json.len()), "m", "1").unwrap();
    let contents = &call.request.raw_input_contents;
    assert_eq!(contents.iter().map(|raw| &raw[..]).collect::<Vec<_>>(), [&b"ab"[..], &[5], b"\x01\0\0\0c"]);
    assert_eq!(contents[0].as_ptr(), body[json.len()..].as_ptr());
    assert!(call.request.parameters.is_empty() && call.request.inputs[0].parameters.is_empty());
    assert!(call.form.is_binary("anything"));
    let long = Bytes::from([&body[..], b"x"].concat());
    assert!(
        refusal(decode_infer(&long, Some(json.len()), "m", ""))
            .starts_with("1 bytes of the body belong to no")
    );
    let short = body.slice(..body.len() - 1);
    assert!(refusal(decode_infer(&short, Some(json.len()), "m", "")).contains("only 4 bytes are left"));
    assert!(refusal(decode_infer(&body, Some(1000), "m", "")).contains("the body has only"));
    let no_header = body.slice(..json.len());
    assert!(
        refusal(decode_infer(&no_header, None, "m", ""))
            .contains("no header Inference-Header-Content-Length")
    );
}

#[test]
fn contents_elsewhere_have_no_raw_contents() {
    let json = r#"{"inputs": [{"name": "x", "datatype": "INT8", "shape": [4],
        "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 4}}]}"#;
    let mut request = decode(json).unwrap().request;
    assert!(request.raw_input_contents.is_empty());
    tensor::normalize(&mut request).unwrap();
}

#[test]
fn every_refusal_says_what_and_where() {
    let refused = [
        ("", "the request has no JSON"),
        ("{", "it ends where a name in quotes is expected"),
        ("[]", "an array; it must be an object"),
        ("{}", "the request has no 'inputs'"),
        (r#"{"inputs": [],}"#, "'}' stands where a name in quotes is expected"),
        (r#"{"inputs": []} x"#, "'x' stands where the end is expected"),
        (r#"{"inputs": [], "inputs": []}"#, "the request has 'inputs' twice"),
        (r#"{"inputs": {}}"#, "'inputs' is an object; it must be an array"),
        (r#"{"inputs": [{}]}"#, "an input has no 'name'"),
        (r#"{"inputs": [{"name": 1}]}"#, "'inputs': input 0: 'name' is a number; it must be a string"),
        (r#"{"inputs": [{"name": "x"}]}"#, "input 'x' has no 'datatype'"),
        (r#"{"inputs": [{"datatype": "INT99"}]}"#, "input 0: 'datatype' INT99"),
        (r#"{"inputs": [{"name": "x", "datatype": "INT8", "shape": [1]}]}"#, "input 'x' has no contents"),
        (r#"{"inputs": [], "parameters": {"a": null}}"#, "parameter 'a' is null"),
        (r#"{"inputs": [], "parameters": {"a": 99999999999999999999}}"#, "does not fit 64 bits"),
        (r#"{"inputs": [], "id": 5}"#, "'id' is a number; it must be a string"),
        (
            r#"{"inputs": [], "outputs": [{"name": "y", "parameters": {"classification": 3}}]}"#,
            "'classification'",
        ),
        (
            r#"{"inputs": [], "outputs": [{"name": "y", "parameters": {"binary_data": 1}}]}"#,
            "must be true or false",
        ),
        (r#"{"inputs": [], "outputs": [{}]}"#, "output 0 has no 'name'"),
    ];
    for (json, expected) in refused {
        let message = refusal(decode(json));
        let expected = if expected.contains("INT99") { "datatype 'INT99' is unknown" } else { expected };
        assert!(message.contains(expected), "{json}: {message}");
    }
    let elements = [
        ("UINT8", "[256]", "256 is no UINT8"),
        ("INT32", "[1.0]", "1.0 is no INT32"),
        ("UINT16", "[-1]", "-1 is no UINT16"),
        ("FP32", "[1e39]", "1e39 is no FP32"),
        ("BOOL", "[1]", "a number; it must be a boolean"),
        ("BYTES", "[1]", "a number; it must be a string"),
        ("FP16", "[1]", "FP16 has no form in JSON"),
        ("INT8", "[1, 2]", "needs 1 elements, but the contents hold 2"),
        ("INT8", "[01]", "',' or ']'"),
        ("FP32", "[.5]", "a value"),
        ("BYTES", r#"["\ud800"]"#, "the digits of a character"),
    ];
    for (datatype, data, expected) in elements {
        let message = refusal(input(datatype, "[1]", data));
        assert!(message.contains(expected), "{datatype} {data}: {message}");
    }
    let deep = format!(r#"{{"x": {}"#, "[".repeat(100_000));
    assert!(refusal(decode(&deep)).contains("nested deeper than 64"));
    assert!(
        refusal(decode_infer(&Bytes::from_static(b"{\"a\xff"), None, "", "")).contains("byte 3 is not UTF-8")
    );
}

#[test]
fn outputs_without_a_form_in_json_say_so() {
    let half = response(Datatype::Fp16, 1, Bytes::from_static(&[0, 0]));
    assert!(refusal(encode_response(&half, &OutputForm::default())).contains("'y' is FP16"));
    let bytes = response(Datatype::Bytes, 1, Bytes::from_static(b"\x01\0\0\0\xff"));
    assert!(refusal(encode_response(&bytes, &OutputForm::default())).contains("not UTF-8 at element 0"));
    assert!(refusal(encode_generate(&bytes)).contains("not UTF-8"));
}

fn declared(name: &str, datatype: &str, shape: &[i64]) -> TensorMetadata {
    TensorMetadata { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec() }
}

fn generate(json: &str, declared: &[TensorMetadata]) -> Result<Vec<(InferInputTensor, Bytes)>, RestError> {
    let request = decode_generate(json.as_bytes(), declared, "m", "")?;
    Ok(request.inputs.into_iter().zip(request.raw_input_contents).collect())
}

#[test]
fn generate_makes_tensors_of_what_is_declared() {
    let declared = [declared("text_input", "BYTES", &[-1, 1]), declared("n", "FP32", &[1])];
    let json = r#"{"text_input": "hi", "id": "a", "seed": 3, "parameters": {"n": 2, "stream": false}}"#;
    let request = decode_generate(json.as_bytes(), &declared, "m", "").unwrap();
    let shapes: Vec<_> = request.inputs.iter().map(|input| (input.name.as_str(), &input.shape[..])).collect();
    assert_eq!(shapes, [("text_input", &[1, 1][..]), ("n", &[1])]);
    assert_eq!(request.raw_input_contents, [&b"\x02\0\0\0hi"[..], &2_f32.to_le_bytes()]);
    assert_eq!(request.parameters.keys().collect::<Vec<_>>(), ["seed", "stream"]);
    assert_eq!(request.id, "a");
    assert!(refusal(generate(r#"{"seed": [1]}"#, &declared)).contains("parameter 'seed' is an array"));
    assert!(refusal(generate(r#"{"n": 1, "n": 2}"#, &declared)).contains("'n' twice"));
    assert!(refusal(generate(r#"{"n": "x"}"#, &declared)).contains("'n' is a string; it must be a number"));
}

#[test]
fn generate_goes_by_the_types_of_json_where_nothing_is_declared() {
    let json = r#"{"a": "x", "b": [1, 2.5], "c": [[true], [false]], "d": 4, "parameters": {"e": 1}}"#;
    let tensors = generate(json, &[]).unwrap();
    let seen: Vec<_> = tensors.iter().map(|(input, _)| (input.datatype.as_str(), &input.shape[..])).collect();
    assert_eq!(seen, [("BYTES", &[1][..]), ("FP64", &[2]), ("BOOL", &[2, 1]), ("INT64", &[1])]);
    assert!(refusal(generate(r#"{"a": []}"#, &[])).contains("'a': an empty array has no datatype"));
    assert!(refusal(generate(r#"{"a": null}"#, &[])).contains("'a' is null"));
}

#[test]
fn generate_answers_flat_objects() {
    let mut answer = response(Datatype::Bytes, 1, Bytes::from_static(b"\x02\0\0\0hi"));
    answer.outputs.push(InferOutputTensor {
        name: "z".to_owned(),
        datatype: "INT8".to_owned(),
        shape: vec![1, 2],
        ..Default::default()
    });
    answer.raw_output_contents.push(Bytes::from_static(&[1, 2]));
    let last = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(true)) };
    answer.parameters.insert("triton_final_response".to_owned(), last.clone());
    answer.parameters.insert("stop".to_owned(), last);
    let json = String::from_utf8(encode_generate(&answer).unwrap()).unwrap();
    assert_eq!(json, r#"{"model_name":"m","model_version":"","stop":true,"y":"hi","z":[1,2]}"#);
}

#[test]
fn documents_are_read_and_written() {
    let request = documents::register_shared_memory(br#"{"key": "/k", "byte_size": 8}"#, "r").unwrap();
    assert_eq!(
        (request.name.as_str(), request.key.as_str(), request.offset, request.byte_size),
        ("r", "/k", 0, 8)
    );
    assert!(refusal(documents::register_shared_memory(br#"{"key": "/k"}"#, "r")).contains("no 'byte_size'"));
    let parameters =
        documents::repository_parameters(br#"{"parameters": {"config": "{}", "x": true}}"#).unwrap();
    assert_eq!(
        parameters.into_iter().collect::<Vec<_>>(),
        [("config".to_owned(), false), ("x".to_owned(), true)]
    );
    assert!(documents::repository_parameters(b"").unwrap().is_empty());
    assert!(documents::index_is_of_ready(br#"{"ready": true}"#).unwrap());
    assert_eq!(documents::error("a \"b\"\u{1}"), br#"{"error":"a \"b\"\u0001"}"#);
}
