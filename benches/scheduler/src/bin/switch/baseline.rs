//! What others do: least recently used out, first come first served.
//!
//! As in Ollama's `server/sched.go` ([`Kind::Blocking`]): requests are taken in the order of their arrival. One whose
//! model is loaded, or being loaded, goes to it, and waits there if it is busy. The first one whose model is not loaded has
//! the least recently used idle model unloaded; if all are busy, the least recently used one as soon as it is idle, which
//! it soon is, because meanwhile nothing else is taken from the queue. At most 512 wait in it.
//!
//! As with llama-swap and many a proxy ([`Kind::PerModel`]): the same, but only the requests for models that are not
//! loaded, or are to be unloaded, wait; those models are loaded in the order of their first request.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use crate::model::{Request, Setting};
use crate::outcome::Outcome;

/// As in `OLLAMA_MAX_QUEUE`.
const LONGEST_QUEUE: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Blocking,
    PerModel,
}

/// A model in memory, or on its way there or out of it.
#[derive(Debug)]
struct Loaded {
    model: usize,
    state: State,
    running: usize,
    waiting: VecDeque<usize>,
    used: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Loading,
    Ready,
    /// It is unloaded as soon as it is idle.
    Leaving,
    Unloading,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End(usize),
    Loaded(usize),
    Unloaded(usize),
    Arrival(usize),
}

struct Machine<'a> {
    setting: &'a Setting,
    requests: &'a [Request],
    kind: Kind,
    now: Duration,
    /// Requests that no model has, in the order of their arrival.
    queue: VecDeque<usize>,
    loaded: Vec<Loaded>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    outcome: Outcome,
}

pub(crate) fn run(setting: &Setting, requests: &[Request], kind: Kind) -> Outcome {
    let arrivals = requests.iter().enumerate();
    let events = arrivals.map(|(index, request)| Reverse((request.arrival, Event::Arrival(index)))).collect();
    let outcome = Outcome::new(requests.len());
    let (now, queue, loaded) = (Duration::ZERO, VecDeque::new(), Vec::new());
    let mut machine = Machine { setting, requests, kind, now, queue, loaded, events, outcome };
    while let Some(Reverse((now, event))) = machine.events.pop() {
        machine.now = now;
        machine.happened(event);
        machine.take();
    }
    machine.outcome
}

impl Machine<'_> {
    fn happened(&mut self, event: Event) {
        match event {
            Event::Arrival(index) if self.kind == Kind::PerModel || self.queue.len() < LONGEST_QUEUE => {
                self.queue.push_back(index);
            }
            Event::Arrival(_) => {}
            Event::Loaded(model) => {
                if let Some(loaded) = self.find(model) {
                    loaded.state = State::Ready;
                }
                self.serve(model);
            }
            Event::Unloaded(model) => self.loaded.retain(|loaded| loaded.model != model),
            Event::End(model) => {
                if let Some(loaded) = self.find(model) {
                    loaded.running -= 1;
                }
                self.serve(model);
            }
        }
    }

    /// Takes from the queue what can be taken.
    fn take(&mut self) {
        let mut index = 0;
        while let Some(&request) = self.queue.get(index) {
            let model = self.requests[request].model;
            let now = self.now;
            let usable = |loaded: &&mut Loaded| matches!(loaded.state, State::Loading | State::Ready);
            if let Some(loaded) = self.find(model).filter(usable) {
                loaded.waiting.push_back(request);
                loaded.used = now;
                self.queue.remove(index);
                self.serve(model);
                continue;
            }
            let is_there = self.loaded.iter().any(|loaded| loaded.model == model);
            if !is_there && self.loaded.len() < self.setting.room {
                self.load(model);
                continue;
            }
            match self.kind {
                Kind::Blocking => {
                    self.make_room(1);
                    return;
                }
                Kind::PerModel => index += 1,
            }
        }
        if self.kind == Kind::PerModel {
            let mut models: Vec<_> = self.queue.iter().map(|&index| self.requests[index].model).collect();
            models.sort_unstable();
            models.dedup();
            self.make_room(models.len());
        }
    }

    fn load(&mut self, model: usize) {
        let (waiting, used) = (VecDeque::new(), self.now);
        self.loaded.push(Loaded { model, state: State::Loading, running: 0, waiting, used });
        let ready = self.now + self.setting.scaled(self.setting.load);
        self.events.push(Reverse((ready, Event::Loaded(model))));
        self.outcome.loads += 1;
    }

    /// Has so many models leave, counting those that do already: the least recently used, idle ones first.
    fn make_room(&mut self, wanted: usize) {
        let leaving = |loaded: &&Loaded| matches!(loaded.state, State::Leaving | State::Unloading);
        let missing = wanted.saturating_sub(self.loaded.iter().filter(leaving).count());
        let mut ready: Vec<_> =
            self.loaded.iter_mut().filter(|loaded| loaded.state == State::Ready).collect();
        ready.sort_by_key(|loaded| (!loaded.is_idle(), loaded.used));
        let chosen: Vec<_> = ready.into_iter().take(missing).map(|loaded| loaded.model).collect();
        for model in chosen {
            if let Some(loaded) = self.find(model) {
                loaded.state = State::Leaving;
            }
            self.serve(model);
        }
    }

    /// Lets a model run what waits for it; unloads it if it is to leave and has nothing to do.
    fn serve(&mut self, model: usize) {
        let (now, parallel) = (self.now, self.setting.parallel);
        let unloaded = now + self.setting.scaled(self.setting.unload);
        let Some(loaded) = self.loaded.iter_mut().find(|loaded| loaded.model == model) else {
            return;
        };
        if loaded.state == State::Loading {
            return;
        }
        while loaded.running < parallel
            && let Some(index) = loaded.waiting.pop_front()
        {
            let request = &self.requests[index];
            loaded.running += 1;
            loaded.used = now;
            self.outcome.waits[index] = Some(now.saturating_sub(request.arrival) + request.prefill);
            self.events.push(Reverse((now + request.service, Event::End(model))));
        }
        if loaded.state == State::Leaving && loaded.is_idle() {
            loaded.state = State::Unloading;
            self.events.push(Reverse((unloaded, Event::Unloaded(model))));
        }
    }

    fn find(&mut self, model: usize) -> Option<&mut Loaded> {
        self.loaded.iter_mut().find(|loaded| loaded.model == model)
    }
}

impl Loaded {
    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }
}
