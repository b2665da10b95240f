//! A request in the making: large contents go into slots as they come, all else is gathered for the decoder.

use anyserve_channel::INLINE_LIMIT;
use anyserve_proto::codec::malformed;
use anyserve_proto::inference::ModelInferRequest;
use anyserve_shm::SlotMut;
use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use tonic::Status;

use super::scan::{Found, Scan};
use crate::objects::Ask;

/// Room for what comes beside the large contents of most messages.
const SMALLEST: usize = 512;

/// A message of which not everything has come.
#[derive(Debug)]
pub(super) struct Assembly {
    scan: Scan,
    /// How many bytes are still to come.
    left: usize,
    /// How many of the next ones are content that is gathered.
    plain: usize,
    /// Everything but large contents.
    gathered: BytesMut,
    /// Where in it the last field starts.
    field: usize,
    /// How many raw contents there were.
    contents: usize,
    /// The large ones, and which they are.
    landed: Vec<(usize, Bytes)>,
    filling: Option<Filling>,
}

/// A slot of which so many bytes are there.
#[derive(Debug)]
struct Filling {
    slot: SlotMut,
    filled: usize,
}

/// Why [`Assembly::feed`] stopped.
#[derive(Debug)]
pub(super) enum Fed {
    /// There was no more.
    More,
    /// A slot is needed: [`Assembly::land`].
    Land(Ask),
    /// The message is complete: [`Assembly::finish`].
    Done,
}

impl Assembly {
    /// A message of that many bytes, none of which has come.
    pub(super) fn new(length: usize) -> Self {
        Self {
            scan: Scan::default(),
            left: length,
            plain: 0,
            gathered: BytesMut::new(),
            field: 0,
            contents: 0,
            landed: Vec::new(),
            filling: None,
        }
    }

    /// Takes what it needs off `input`.
    pub(super) fn feed(&mut self, input: &mut Bytes) -> Fed {
        loop {
            if self.filling.is_some() {
                self.fill(input);
                if self.filling.is_some() {
                    return Fed::More;
                }
            } else if self.left == 0 {
                return Fed::Done;
            } else if input.is_empty() {
                return Fed::More;
            } else if self.plain > 0 {
                self.gather(input);
            } else if let Some(ask) = self.scan(input) {
                return Fed::Land(ask);
            }
        }
    }

    /// What the last content goes into.
    pub(super) fn land(&mut self, slot: SlotMut) {
        self.filling = Some(Filling { slot, filled: 0 });
    }

    /// The complete message.
    pub(super) fn finish(self) -> Result<ModelInferRequest, Status> {
        let mut infer = decode(self.gathered.freeze())?;
        if !self.landed.is_empty() {
            let mut small = std::mem::take(&mut infer.raw_input_contents).into_iter();
            let mut contents = Vec::with_capacity(self.contents);
            for (index, content) in self.landed {
                contents.extend(small.by_ref().take(index - contents.len()));
                contents.push(content);
            }
            contents.extend(small);
            infer.raw_input_contents = contents;
        }
        Ok(infer)
    }

    /// How many bytes of memory it has taken so far.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        let landed = self.landed.iter().map(|(_, content)| content.len()).sum::<usize>();
        self.gathered.capacity() + landed + self.filling.as_ref().map_or(0, |filling| filling.slot.len())
    }

    /// Reads field heads until there is content to take, or a slot is needed.
    fn scan(&mut self, input: &mut Bytes) -> Option<Ask> {
        let available = input.len().min(self.left);
        for read in 0..available {
            let (byte, left) = (input[read], self.left - read - 1);
            let found = self.scan.read(byte, left);
            if found == Found::Nothing {
                continue;
            }
            self.take(input, read + 1);
            return self.found(found);
        }
        self.take(input, available);
        None
    }

    fn found(&mut self, found: Found) -> Option<Ask> {
        match found {
            Found::Nothing => {}
            Found::Field(length) => self.plain = length.min(self.left),
            Found::Content(length) if length > INLINE_LIMIT => {
                // The decoder does not hear of it.
                self.gathered.truncate(self.field);
                self.contents += 1;
                return Some(Ask { length, rest: self.left - length });
            }
            Found::Content(length) => {
                self.contents += 1;
                self.plain = length;
            }
            Found::Garbage => self.plain = self.left,
        }
        if self.plain == 0 {
            self.field = self.gathered.len();
        } else {
            self.make_room(self.plain);
        }
        None
    }

    fn gather(&mut self, input: &mut Bytes) {
        let count = self.plain.min(input.len());
        self.take(input, count);
        self.plain -= count;
        if self.plain == 0 {
            self.field = self.gathered.len();
        }
    }

    fn take(&mut self, input: &mut Bytes, count: usize) {
        self.make_room(count);
        self.gathered.extend_from_slice(&input[..count]);
        input.advance(count);
        self.left -= count;
    }

    /// Lets what is gathered grow by so many bytes, and never beyond the message.
    fn make_room(&mut self, count: usize) {
        let (length, capacity) = (self.gathered.len(), self.gathered.capacity());
        if capacity - length < count {
            let larger = (length + count).max(capacity * 2).max(SMALLEST).min(length + self.left);
            let gathered = std::mem::replace(&mut self.gathered, BytesMut::with_capacity(larger));
            self.gathered.extend_from_slice(&gathered);
        }
    }

    /// The one copy of a large content.
    fn fill(&mut self, input: &mut Bytes) {
        let Some(Filling { slot, filled }) = &mut self.filling else {
            return;
        };
        let free = &mut slot[*filled..];
        let count = free.len().min(input.len());
        free[..count].copy_from_slice(&input[..count]);
        input.advance(count);
        *filled += count;
        self.left -= count;
        if *filled == slot.len()
            && let Some(Filling { slot, .. }) = self.filling.take()
        {
            self.landed.push((self.contents - 1, slot.freeze().into_bytes()));
        }
    }
}

/// A request from all of its bytes.
pub(super) fn decode(message: Bytes) -> Result<ModelInferRequest, Status> {
    ModelInferRequest::decode(message).map_err(|error| malformed(&error))
}
