//! What a worker's handlers want of the agent, and the tasks that see to what takes time.

mod answer;
mod infer;
mod servers;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{self, Waker};
use std::time::{Duration, Instant};

use anyserve_core::Reference;
use anyserve_core::scheduler::WorkerId;
use anyserve_proto::worker::answer::Result as Answered;
use anyserve_proto::worker::{Call, HungUp, Infer, Taken};
use bytes::Bytes;
use tokio::task::{AbortHandle, JoinSet};

use self::infer::Serving;
pub(super) use self::servers::Servers;
use self::window::Window;
use super::session::Context;
use crate::dispatch::{CallMessage, Dispatcher, Violation};
use crate::failure::Failure;
use crate::objects::{Called, Objects, WorkerMemory};

/// How many requests of one worker's handlers may be under way.
const MOST: usize = 1024;

/// The calls of one worker. Those that have not been answered end with it.
#[derive(Debug)]
pub(super) struct Calls {
    worker: WorkerId,
    dispatcher: Arc<Dispatcher>,
    memory: Arc<WorkerMemory>,
    servers: Arc<Servers>,
    /// Each says which of `open` it was, if any.
    running: JoinSet<Option<u64>>,
    /// The requests among them.
    open: HashMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    task: AbortHandle,
    /// How far its answers may be ahead of the worker, if there are many.
    window: Option<Arc<Window>>,
}

impl Calls {
    pub(super) fn new(worker: WorkerId, context: &Context, memory: &Arc<WorkerMemory>) -> Self {
        Self {
            worker,
            dispatcher: Arc::clone(&context.dispatcher),
            memory: Arc::clone(memory),
            servers: Arc::clone(&context.servers),
            running: JoinSet::new(),
            open: HashMap::new(),
        }
    }

    /// Acts on what the worker says of its calls.
    pub(super) fn receive(&mut self, message: CallMessage) -> Result<(), Violation> {
        match message {
            CallMessage::Begin(call, payload) => self.begin(*call, payload)?,
            CallMessage::Taken(Taken { call, answers, bytes }) => {
                if let Some(window) = self.open.get(&call).and_then(|open| open.window.as_ref()) {
                    window.open(answers, bytes);
                }
            }
            CallMessage::HungUp(HungUp { calls }) => {
                for open in calls.iter().filter_map(|call| self.open.remove(call)) {
                    open.task.abort();
                }
            }
        }
        Ok(())
    }

    /// Answers a call, or sees that it is answered.
    fn begin(&mut self, call: Call, payload: Bytes) -> Result<(), Violation> {
        while let Some(ended) = self.running.try_join_next() {
            if let Ok(Some(call)) = ended {
                self.open.remove(&call);
            }
        }
        match self.dispatcher.objects().call(&self.memory, call, payload)? {
            Called::Done => {}
            Called::Remote { call, reference, timeout } => {
                let (objects, memory) = (Arc::clone(self.dispatcher.objects()), Arc::clone(&self.memory));
                self.running.spawn(async move {
                    get(&objects, &memory, call, reference, timeout).await;
                    None
                });
            }
            Called::Lookup { call, lookup } => {
                let (objects, memory) = (Arc::clone(self.dispatcher.objects()), Arc::clone(&self.memory));
                self.running.spawn(async move {
                    memory.answer(call, objects.look_up(lookup).await.map(Answered::Found));
                    None
                });
            }
            Called::Short { call, size } => {
                let (objects, memory) = (Arc::clone(self.dispatcher.objects()), Arc::clone(&self.memory));
                self.running.spawn(async move {
                    objects.allocate(&memory, call, size).await;
                    None
                });
            }
            Called::Infer { call, infer, contents } => self.infer(call, infer, contents)?,
        }
        Ok(())
    }

    /// Has a request served.
    fn infer(&mut self, call: u64, mut infer: Infer, contents: Vec<Bytes>) -> Result<(), Violation> {
        if self.open.contains_key(&call) {
            return Err(Violation::CallTwice(call));
        }
        if self.open.len() >= MOST {
            answer::fail(&self.memory, call, answer::of_failure(&Failure::TooManyCalls(MOST)));
            return Ok(());
        }
        let begun = self.dispatcher.begin_call(self.worker, &std::mem::take(&mut infer.callers));
        let (inherited, open) = match begun {
            Ok(begun) => begun,
            Err(failure) => {
                answer::fail(&self.memory, call, answer::of_failure(&failure));
                return Ok(());
            }
        };
        let window = infer.stream.then(Arc::<Window>::default);
        let serving = Serving {
            dispatcher: Arc::clone(&self.dispatcher),
            memory: Arc::clone(&self.memory),
            servers: Arc::clone(&self.servers),
            call,
            window: window.clone(),
        };
        let mut served = Box::pin(serving.serve(infer, contents, inherited, open));
        // As a rule that sends the request to its worker, and no other thread has to be woken for it. Whoever is to be woken
        // later says so when the task polls it.
        if served.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_ready() {
            return Ok(());
        }
        let task = self.running.spawn(async move {
            served.await;
            Some(call)
        });
        self.open.insert(call, Open { task, window });
        Ok(())
    }
}

/// Brings an object that another agent has.
async fn get(
    objects: &Objects,
    memory: &WorkerMemory,
    call: u64,
    reference: Reference,
    timeout: Option<Duration>,
) {
    match objects.fetch(&reference, timeout.map(|timeout| Instant::now() + timeout)).await {
        Ok((bytes, object)) => {
            let got = objects.got(&object.described_by(reference));
            memory.answer_object(call, got, bytes);
        }
        Err(error) => memory.answer(call, Err(error)),
    }
}
