//! Inputs in a client's shared memory: where they are, they stay.

use std::sync::Arc;

use anyserve_channel::INLINE_LIMIT;
use anyserve_proto::inference::model_infer_request::InferInputTensor;
use anyserve_proto::tensor::{self, Datatype, RequestError};
use bytes::Bytes;

use super::super::resolve::ResolveError;
use super::elements;
use super::error::ClientShmError;
use super::place::Place;
use super::region::Region;
use super::registry::ClientShm;

/// A layout of so many bytes is checked beside the requests of others.
const LONG: u64 = 1 << 20;

impl ClientShm {
    /// The contents of an input, in place if they are large; from now on the input is like any other.
    pub(in super::super) async fn input(&self, input: &mut InferInputTensor) -> Result<Bytes, ResolveError> {
        let name = input.name.clone();
        let in_input = |source: ClientShmError| ResolveError::Object { name, source: source.into() };
        let located = Place::take(&mut input.parameters).and_then(|place| {
            let place = place.ok_or_else(|| ClientShmError::Invalid("no region is named".to_owned()))?;
            let region = self.find(&place.region)?;
            let content = region.content(place.offset, place.size, &self.copied)?;
            Ok((place, region, content))
        });
        let (place, region, content) = located.map_err(in_input.clone())?;
        let in_place = content.len() > INLINE_LIMIT;
        if in_place && Datatype::parse(&input.datatype).is_ok_and(|datatype| datatype == Datatype::Bytes) {
            let checked = check_elements(region, &place, input.shape.clone()).await;
            let tensor = |source| RequestError::Tensor { kind: "input", name: input.name.clone(), source };
            checked.map_err(in_input)?.map_err(tensor)?;
        } else {
            // Of what is in place, this takes the length and no more.
            tensor::check_input(input, &content)?;
        }
        Ok(content)
    }
}

/// Checks the layout of a `BYTES` tensor.
async fn check_elements(
    region: Arc<Region>,
    place: &Place,
    shape: Vec<i64>,
) -> Result<Result<(), tensor::TensorError>, ClientShmError> {
    let (start, size) = (region.in_file(place.offset), place.size);
    let check = move || {
        let checked = elements::check(region.file(), start, size, &shape);
        checked.map_err(|error| ClientShmError::system(&region.name, &error))
    };
    if size < LONG {
        return check();
    }
    let stopped = |_| ClientShmError::Invalid("the agent is shutting down".to_owned());
    tokio::task::spawn_blocking(check).await.map_err(stopped)?
}
