//! loom's atomics, with fences around what is sequentially consistent: loom takes such an access for an acquiring or
//! releasing one, and would find orders that there are not.
//!
//! Compilers have two ways to make such accesses of fences: one before each, or one after each that writes. A model is
//! explored both ways, for each forgives some lesser order elsewhere.

use std::cell::Cell;

use loom::sync::atomic::fence;

pub(crate) use loom::sync::atomic::Ordering;

/// Where the fence of a sequentially consistent access stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fences {
    /// Before every access.
    Before,
    /// After every access that writes.
    After,
}

thread_local! {
    /// loom runs all threads of a model on one.
    static FENCES: Cell<Fences> = const { Cell::new(Fences::Before) };
}

/// From now on, for models explored by this thread.
pub(crate) fn set_fences(fences: Fences) {
    FENCES.set(fences);
}

fn read<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
    if order == Ordering::SeqCst && FENCES.get() == Fences::Before {
        fence(order);
    }
    access()
}

fn write<T>(order: Ordering, access: impl FnOnce() -> T) -> T {
    let value = read(order, access);
    if order == Ordering::SeqCst && FENCES.get() == Fences::After {
        fence(order);
    }
    value
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                read(order, || self.0.load(order))
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                write(order, || self.0.store(value, order));
            }

            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                write(fetch, || self.0.fetch_update(set, fetch, update))
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);

impl AtomicUsize {
    pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        write(order, || self.0.fetch_add(value, order))
    }

    pub(crate) fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        write(order, || self.0.fetch_sub(value, order))
    }
}
