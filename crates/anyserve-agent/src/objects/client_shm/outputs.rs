//! Outputs to a client's shared memory: written where the client wants them.

use std::sync::Arc;

use anyserve_channel::INLINE_LIMIT;
use anyserve_proto::inference::ModelInferResponse;
use anyserve_proto::inference::model_infer_request::InferRequestedOutputTensor;
use anyserve_proto::inference::model_infer_response::InferOutputTensor;
use anyserve_proto::tensor::{self, SHARED_MEMORY_REGION};
use bytes::Bytes;

use super::super::Objects;
use super::super::resolve::ResolveError;
use super::error::ClientShmError;
use super::place::Place;
use super::region::{Region, read};
use super::registry::ClientShm;

/// Copying so many bytes is not done where requests of others wait for it.
const LONG: usize = 1 << 20;

/// The outputs of a request that its client wants in its shared memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(Option<Arc<[Target]>>);

#[derive(Debug)]
struct Target {
    output: String,
    place: Place,
    /// Held, so that it is there when the response comes.
    region: Arc<Region>,
}

impl ClientShm {
    /// Where the requested outputs are wanted; those behind the agent are not told.
    pub(in super::super) fn targets(
        &self,
        outputs: &mut [InferRequestedOutputTensor],
    ) -> Result<Targets, ResolveError> {
        if !outputs.iter().any(is_for_shm) {
            return Ok(Targets::default());
        }
        let mut targets = Vec::new();
        for output in outputs {
            let target = self.target(output).map_err(|source| {
                let name = output.name.clone();
                ResolveError::Output { name, source: source.into() }
            })?;
            targets.extend(target);
        }
        Ok(Targets(Some(targets.into())))
    }

    fn target(&self, output: &mut InferRequestedOutputTensor) -> Result<Option<Target>, ClientShmError> {
        let Some(place) = Place::take(&mut output.parameters)? else {
            return Ok(None);
        };
        let region = self.find(&place.region)?;
        region.check(place.offset, place.size)?;
        Ok(Some(Target { output: output.name.clone(), place, region }))
    }
}

/// True if the output is wanted in a client's shared memory.
pub(in super::super) fn is_for_shm(output: &InferRequestedOutputTensor) -> bool {
    output.parameters.contains_key(SHARED_MEMORY_REGION)
}

impl Targets {
    /// True if it wants none there.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn find(&self, output: &str) -> Option<&Target> {
        self.0.as_deref()?.iter().find(|target| target.output == output)
    }
}

impl Objects {
    /// Brings the contents of a response to where its client wants them, and away from memory that may vanish while
    /// they are sent.
    pub(crate) async fn deliver(
        self: &Arc<Self>,
        targets: &Targets,
        response: ModelInferResponse,
    ) -> Result<ModelInferResponse, ResolveError> {
        if !self.is_deliverable(targets, &response) {
            return Ok(response);
        }
        if response.raw_output_contents.iter().map(Bytes::len).sum::<usize>() < LONG {
            return self.deliver_now(targets, response);
        }
        let (objects, targets) = (Arc::clone(self), targets.clone());
        let delivered = tokio::task::spawn_blocking(move || objects.deliver_now(&targets, response)).await;
        delivered.unwrap_or_else(|_| {
            let source = ClientShmError::Invalid("the agent is shutting down".to_owned());
            Err(ResolveError::Output { name: String::new(), source: source.into() })
        })
    }

    /// True if a response may need [`Self::deliver`].
    pub(crate) fn is_deliverable(&self, targets: &Targets, response: &ModelInferResponse) -> bool {
        !targets.is_empty() || response.raw_output_contents.iter().any(|content| self.may_vanish(content))
    }

    fn deliver_now(
        &self,
        targets: &Targets,
        mut response: ModelInferResponse,
    ) -> Result<ModelInferResponse, ResolveError> {
        let mut given = std::mem::take(&mut response.raw_output_contents).into_iter();
        let mut contents = Vec::with_capacity(response.outputs.len());
        for output in &mut response.outputs {
            if tensor::is_elsewhere(&output.parameters) {
                // With entries for those in shared memory, there is one for every output.
                contents.extend((!targets.is_empty()).then(Bytes::new));
                continue;
            }
            let content = given.next().unwrap_or_default();
            let brought = match targets.find(&output.name) {
                Some(target) => self.place(target, output, &content).map(|()| Bytes::new()),
                None => self.settled(content),
            };
            contents.push(brought.map_err(|source| {
                let name = output.name.clone();
                ResolveError::Output { name, source: source.into() }
            })?);
        }
        response.raw_output_contents = contents;
        Ok(response)
    }

    /// Writes an output to where it is wanted.
    fn place(
        &self,
        target: &Target,
        output: &mut InferOutputTensor,
        content: &Bytes,
    ) -> Result<(), ClientShmError> {
        let (Target { place, region, .. }, size) = (target, content.len() as u64);
        if size > place.size {
            return Err(ClientShmError::Invalid(format!(
                "its {size} bytes do not fit the {} bytes of shared memory region '{}' that the request has for it",
                place.size, place.region
            )));
        }
        let is_there = self.locate(content).is_some_and(|(known, offset)| {
            known.id == region.known.id && offset == region.in_file(place.offset)
        });
        if !is_there {
            region.write(place.offset, content)?;
            self.client_shm().copied.add(size);
        }
        Place { size, ..place.clone() }.note(&mut output.parameters);
        Ok(())
    }

    /// Contents that stay as they are: a copy of those that a client's file is behind.
    pub(in super::super) fn settled(&self, content: Bytes) -> Result<Bytes, ClientShmError> {
        let Some((known, offset)) = self.locate_large(&content) else {
            return Ok(content);
        };
        let Some(file) = &known.file else {
            return Ok(content);
        };
        let size = content.len() as u64;
        self.client_shm().copied.add(size);
        read(file, offset, size).map_err(|_| ClientShmError::Gone)
    }

    fn may_vanish(&self, content: &Bytes) -> bool {
        self.locate_large(content).is_some_and(|(known, _)| known.file.is_some())
    }

    /// Where contents lie, if they are so large that they may be in shared memory.
    fn locate_large(&self, content: &Bytes) -> Option<(Arc<super::super::segments::Known>, u64)> {
        if content.len() > INLINE_LIMIT { self.locate(content) } else { None }
    }
}
