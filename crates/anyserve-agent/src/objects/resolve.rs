//! Tensors that are not in their request: brought to it, or found where they are.

use std::time::Instant;

use anyserve_core::Reference;
use anyserve_proto::inference::ModelInferRequest;
use anyserve_proto::tensor::{self, RequestError};
use bytes::Bytes;

use super::client_shm::{Targets, is_for_shm};
use super::object::Object;
use super::{ObjectError, Objects};

/// Why a request's references could not be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("input '{name}': {source}")]
    Object { name: String, source: ObjectError },
    #[error("output '{name}': {source}")]
    Output { name: String, source: ObjectError },
    #[error(transparent)]
    Tensor(#[from] RequestError),
}

impl Objects {
    /// Fills in the contents of the inputs that are elsewhere; waits for objects that other agents have, at most until
    /// then. Returns where outputs are to go.
    pub(crate) async fn resolve(
        &self,
        request: &mut ModelInferRequest,
        until: Option<Instant>,
    ) -> Result<Targets, ResolveError> {
        for (input, contents) in request.inputs.iter_mut().zip(&mut request.raw_input_contents) {
            if !tensor::is_elsewhere(&input.parameters) {
                continue;
            }
            let Some(text) = tensor::object_ref(&input.parameters) else {
                *contents = self.client_shm().input(input).await?;
                continue;
            };
            let in_input = |source| ResolveError::Object { name: input.name.clone(), source };
            let reference: Reference = text.parse().map_err(|error| in_input(ObjectError::from(error)))?;
            *contents = self.fetch(&reference, until).await.map_err(in_input)?.0;
            tensor::check_input(input, contents)?;
        }
        self.client_shm().targets(&mut request.outputs)
    }

    /// Makes a request one that another agent can serve: what lies in a client's shared memory comes along, objects stay
    /// where they are. Returns where outputs are to go.
    pub(crate) async fn resolve_for_another(
        &self,
        request: &mut ModelInferRequest,
    ) -> Result<Targets, ResolveError> {
        let given = std::mem::take(&mut request.raw_input_contents);
        for (input, contents) in request.inputs.iter_mut().zip(given) {
            if !tensor::is_elsewhere(&input.parameters) {
                request.raw_input_contents.push(contents);
            } else if tensor::object_ref(&input.parameters).is_none() {
                let in_input =
                    |name: &str, source: ObjectError| ResolveError::Object { name: name.to_owned(), source };
                let contents = self.client_shm().input(input).await?;
                let contents = self.settled(contents).map_err(|error| in_input(&input.name, error.into()))?;
                request.raw_input_contents.push(contents);
            }
        }
        self.client_shm().targets(&mut request.outputs)
    }

    /// True if outputs are to be put into a client's shared memory.
    pub(crate) fn wants_outputs_here(request: &ModelInferRequest) -> bool {
        request.outputs.iter().any(is_for_shm)
    }

    /// True if a request needs [`Self::resolve`].
    pub(crate) fn has_references(request: &ModelInferRequest) -> bool {
        request.inputs.iter().any(|input| tensor::is_elsewhere(&input.parameters))
            || request.outputs.iter().any(is_for_shm)
    }

    /// The object of that reference, from wherever it is.
    pub(crate) async fn fetch(
        &self,
        reference: &Reference,
        until: Option<Instant>,
    ) -> Result<(Bytes, Object), ObjectError> {
        if let Some(found) = self.find(reference)? {
            return Ok(found);
        }
        self.pulls().pull(reference, until).await
    }
}
