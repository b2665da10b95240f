//! Two segments of one budget, each mapped twice, and what should be in them.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::rc::Rc;

use anyserve_shm::{Access, AllocateError, BLOCK, Budget, Located, Segment, SlotMut, Views, Window};
use proptest::sample::Index;

use crate::held::{Held, Part, What};

const LIMIT: u64 = 8 << 20;

/// Half of it is divided among four.
const SHARE: u64 = LIMIT / 8;

/// Something that is done.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Allocate {
        segment: usize,
        length: usize,
    },
    /// Several from one charge.
    AllocateWithin {
        segment: usize,
        lengths: Vec<usize>,
    },
    /// Written through the other mapping.
    FillElsewhere(Index),
    Freeze(Index),
    Clone(Index),
    Slice(Index, usize, usize),
    View(Index),
    Drop(Index),
    Trim(usize),
    Close(usize),
}

pub(crate) struct Model {
    budget: Budget,
    segments: [Segment; 2],
    windows: [Window; 2],
    views: Views,
    closed: [bool; 2],
    held: Vec<Held>,
    next: u64,
}

impl Model {
    pub(crate) fn new() -> Self {
        let budget = Budget::new(LIMIT, || ());
        let segments = [false, false].map(|sealed| Segment::create(&budget, sealed).unwrap());
        let map = |segment: &Segment| Window::of(segment.as_fd(), segment.size(), Access::Write).unwrap();
        let windows = [map(&segments[0]), map(&segments[1])];
        let views = Views::new(|_, _| ());
        Self { budget, segments, windows, views, closed: [false; 2], held: Vec::new(), next: 0 }
    }

    pub(crate) fn take(&mut self, step: &Step) {
        match step {
            Step::Allocate { segment, length } => self.allocate(*segment, *length),
            Step::AllocateWithin { segment, lengths } => self.allocate_within(*segment, lengths),
            Step::Trim(segment) => self.trim(*segment),
            Step::Close(segment) => {
                self.segments[*segment].account().close();
                self.closed[*segment] = true;
            }
            Step::FillElsewhere(which)
            | Step::Freeze(which)
            | Step::Clone(which)
            | Step::Slice(which, ..)
            | Step::View(which)
            | Step::Drop(which) => {
                if !self.held.is_empty() {
                    self.use_held(step, which.index(self.held.len()));
                }
            }
        }
    }

    /// What must hold at any time.
    pub(crate) fn check(&self) {
        let parts = self.parts();
        assert_eq!(parts.values().map(|part| part.taken()).sum::<u64>(), self.budget.used());
        for (number, segment) in self.segments.iter().enumerate() {
            let mut end = 0;
            let mut taken = 0;
            for part in parts.values().filter(|part| part.segment == number) {
                assert!(end <= part.start, "two parts of segment {number} overlap");
                (end, taken) = (part.end(), taken + part.taken());
            }
            assert!(end <= segment.size() && taken <= segment.present());
            if !self.closed[number] {
                assert_eq!(segment.account().used(), taken);
            }
        }
        let views = self.held.iter().filter(|held| matches!(held.what, What::View(..))).count();
        assert!(self.views.count() <= views);
    }

    /// Everything is as it was written, and once it is dropped there is as much room as at first.
    pub(crate) fn end(mut self) {
        self.held.iter().for_each(Held::check);
        self.held.clear();
        assert_eq!((self.budget.used(), self.views.count()), (0, 0));
        for segment in &self.segments {
            let whole = segment.allocate(usize::try_from(segment.account().limit()).unwrap()).unwrap();
            assert_eq!(whole.offset(), 0);
        }
    }

    /// What is taken, in the order of segments and places.
    fn parts(&self) -> BTreeMap<(usize, u64), &Part> {
        self.held.iter().map(|held| ((held.part.segment, held.part.start), &*held.part)).collect()
    }

    fn allocate(&mut self, number: usize, length: usize) {
        match self.segments[number].allocate(length) {
            Ok(slot) => self.filled(number, slot, length),
            Err(error) => self.refused(number, length, &error),
        }
    }

    /// That there was no room must be true.
    fn refused(&self, number: usize, length: usize, error: &AllocateError) {
        let asked = (length as u64).max(1).next_multiple_of(anyserve_shm::QUANTUM);
        match error {
            AllocateError::Exhausted(exhausted) => {
                assert!(asked > exhausted.free && exhausted.free <= LIMIT - self.budget.used());
                let used = self.segments[number].account().used();
                assert!(
                    self.closed[number] || used + asked > SHARE,
                    "what an account is sure of was refused"
                );
            }
            AllocateError::Fragmented { .. } => {
                let mut end = 0;
                for part in self.parts().values().filter(|part| part.segment == number) {
                    assert!(part.start - end < asked);
                    end = part.end();
                }
                assert!(self.segments[number].size() - end < asked);
            }
            AllocateError::System { source, .. } => panic!("{source}"),
        }
    }

    fn allocate_within(&mut self, number: usize, lengths: &[usize]) {
        let whole = lengths.iter().map(|&length| length as u64).sum();
        let Ok(mut charge) = self.segments[number].account().charge(whole) else {
            return;
        };
        for &length in lengths {
            if let Ok(slot) = self.segments[number].allocate_within(&mut charge, length) {
                self.filled(number, slot, length);
            }
        }
    }

    fn filled(&mut self, segment: usize, mut slot: SlotMut, length: usize) {
        self.next += 1;
        let part = Rc::new(Part { number: self.next, segment, start: slot.offset(), length });
        part.fill(&mut slot);
        assert_eq!(self.segments[segment].locate(&slot), Some(part.start));
        self.held.push(Held { part, what: What::Filling(slot) });
    }

    fn use_held(&mut self, step: &Step, index: usize) {
        let held = &mut self.held[index];
        match step {
            Step::FillElsewhere(_) => self.fill_elsewhere(index),
            Step::Freeze(_) => self.freeze(index),
            Step::View(_) => self.view(index),
            Step::Drop(_) => {
                held.check();
                self.held.swap_remove(index);
            }
            Step::Clone(_) => {
                if let Some((bytes, from)) = held.bytes() {
                    let part = Rc::clone(&held.part);
                    self.held.push(Held { part, what: What::Bytes(bytes, from) });
                }
            }
            Step::Slice(_, from, to) => self.slice(index, *from.min(to), *from.max(to)),
            Step::Allocate { .. } | Step::AllocateWithin { .. } | Step::Trim(_) | Step::Close(_) => {}
        }
    }

    /// As a worker does it: it is told of a place, fills it, and says so.
    fn fill_elsewhere(&mut self, index: usize) {
        let held = &mut self.held[index];
        if let What::Filling(_) = held.what {
            self.next += 1;
            let Part { segment, start, length, .. } = *held.part;
            let part = Rc::new(Part { number: self.next, segment, start, length });
            let window = &self.windows[segment];
            let mut view = self.views.view_mut(window, start, length as u64, self.next).unwrap();
            part.fill(&mut view);
            held.part = part;
        }
    }

    fn freeze(&mut self, index: usize) {
        let Held { part, what } = self.held.swap_remove(index);
        let what = match what {
            What::Filling(slot) => What::Slot(slot.freeze()),
            What::Slot(slot) => What::Bytes(slot.into_bytes(), 0),
            other => other,
        };
        self.held.push(Held { part, what });
    }

    /// What is seen through the other mapping; the lease behind it is another clone.
    fn view(&mut self, index: usize) {
        let held = &self.held[index];
        let Some((bytes, from)) = held.bytes() else { return };
        let part = Rc::clone(&held.part);
        let (start, length) = (part.start + from as u64, bytes.len() as u64);
        self.next += 1;
        let view = self.views.view(&self.windows[part.segment], start, length, self.next).unwrap();
        let seen = view.into_bytes();
        part.check(&seen, from);
        if let Some(Located { offset, .. }) = self.views.locate(&seen) {
            assert!(offset + length <= part.length as u64);
        } else {
            assert!(seen.is_empty());
        }
        self.held.push(Held { part, what: What::View(seen, from, bytes) });
    }

    fn trim(&self, number: usize) {
        let segment = &self.segments[number];
        let before = segment.present();
        let freed = segment.trim().unwrap();
        assert_eq!((segment.present() + freed, freed % BLOCK), (before, 0));
        assert_eq!(segment.trim().unwrap(), 0);
        self.held.iter().filter(|held| held.part.segment == number).for_each(Held::check);
    }

    /// A part of the bytes instead of all of them, in percent.
    fn slice(&mut self, index: usize, from: usize, to: usize) {
        let (What::Bytes(bytes, start) | What::View(bytes, start, _)) = &mut self.held[index].what else {
            return;
        };
        let (from, to) = (bytes.len() * from / 100, bytes.len() * to / 100);
        *bytes = bytes.slice(from..to);
        *start += from;
        if bytes.is_empty() {
            // It holds nothing any more.
            self.held.swap_remove(index);
        }
    }
}
