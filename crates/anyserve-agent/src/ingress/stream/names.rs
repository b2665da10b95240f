//! Responses as the client of a stream knows them: by the names of their requests, and whether they are the last.

use anyserve_proto::inference::infer_parameter::ParameterChoice;
use anyserve_proto::inference::{
    InferParameter, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};

/// Whether a response is its request's last.
pub(super) const FINAL: &str = "triton_final_response";

/// How the client knows a request.
#[derive(Clone, Debug)]
pub(super) struct Name {
    id: String,
    model: String,
    version: String,
}

impl Name {
    pub(super) fn of(infer: &ModelInferRequest) -> Self {
        Self { id: infer.id.clone(), model: infer.model_name.clone(), version: infer.model_version.clone() }
    }

    /// A response without outputs.
    pub(super) fn into_response(self) -> ModelInferResponse {
        let Self { id, model, version } = self;
        ModelInferResponse { id, model_name: model, model_version: version, ..Default::default() }
    }
}

pub(super) fn answer(mut response: ModelInferResponse, last: bool) -> ModelStreamInferResponse {
    let last = InferParameter { parameter_choice: Some(ParameterChoice::BoolParam(last)) };
    response.parameters.insert(FINAL.to_owned(), last);
    ModelStreamInferResponse { error_message: String::new(), infer_response: Some(response) }
}

pub(super) fn is_true(parameter: Option<&InferParameter>) -> bool {
    let choice = parameter.and_then(|parameter| parameter.parameter_choice.as_ref());
    matches!(choice, Some(ParameterChoice::BoolParam(true)))
}
