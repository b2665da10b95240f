//! Memory that processes share, and everything about it that is unsafe.
//!
//! A [`Segment`] is a memfd of which this process gives out [slots](SlotMut): it alone knows what is taken and what is
//! free, so nothing in shared memory is a lock or a list, and a process that dies at any instruction leaves nothing to
//! repair. Other processes map the segment ([`Window`]) and look at what they are told about: a segment, an offset and
//! a length, never a pointer. What they hold of it they keep in [`Views`].
//!
//! ```
//! use anyserve_shm::{Budget, Segment};
//!
//! # if cfg!(miri) {
//! #     return Ok(());
//! # }
//! let budget = Budget::new(64 << 20, || ());
//! let segment = Segment::create(&budget, true)?;
//! let mut slot = segment.allocate(5)?;
//! slot.copy_from_slice(b"hello");
//! let bytes = slot.freeze().into_bytes();
//! assert_eq!(&bytes[..], b"hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Budget`]: how many bytes all segments have together, and what each is sure of.
//! - [`Segment`], [`SlotMut`], [`Slot`]: the writer's side. A slot is free again once its last clone is dropped: to hold
//!   one is to lease it.
//! - [`Window`], [`Views`]: the side of a process that was told where something is.
//! - [`Extents`]: the same accounts of free parts for a file, whose contents this crate never touches.
//! - [`Table`]: objects by id and by key, of which the least recently used go first.

mod budget;
mod extents;
mod mapping;
mod segment;
mod slot;
mod space;
mod table;
mod views;

pub use budget::{Account, Budget, Charge, Exhausted};
pub use extents::{Extent, Extents};
pub use mapping::Access;
pub use segment::{AllocateError, Segment};
pub use slot::{Slot, SlotMut};
pub use table::{Entry, Table, Taken};
pub use views::{Located, View, ViewError, ViewMut, Views, Window};

/// Slots start at a multiple of this, so that any array may be a view of one; it is the size of a page.
pub const QUANTUM: u64 = 4096;

/// Memory is made present, and given back, in blocks of this size: that of a huge page.
pub const BLOCK: u64 = 2 << 20;
