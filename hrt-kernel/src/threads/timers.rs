//! Timers: an intrusive pairing heap, so that they take no memory but their owners' (Fredman et al., "The pairing heap", 1986).

use core::ptr::null_mut;

/// A timer, in its owner's memory.
#[repr(C)]
#[derive(Debug)]
pub struct Timer {
    /// When it is due, in nanoseconds of the monotonic clock.
    pub when: u64,
    /// The first child.
    child: *mut Timer,
    /// The next sibling.
    next: *mut Timer,
    /// The sibling before, or the parent of a first child.
    prev: *mut Timer,
    armed: bool,
}

impl Timer {
    /// Not armed.
    #[must_use]
    pub const fn new(when: u64) -> Self {
        Timer {
            when,
            child: null_mut(),
            next: null_mut(),
            prev: null_mut(),
            armed: false,
        }
    }

    /// True while it is in a heap.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.armed
    }
}

/// Timers by when they are due.
#[derive(Debug)]
pub struct Heap {
    root: *mut Timer,
}

// SAFETY: whoever owns the heap owns the links of the timers in it.
unsafe impl Send for Heap {}

impl Heap {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Heap { root: null_mut() }
    }

    /// When the first one is due.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        // SAFETY: timers in the heap are alive.
        (!self.root.is_null()).then(|| unsafe { (*self.root).when })
    }

    /// Makes the later of two roots the first child of the other.
    ///
    /// # Safety
    /// Both must be roots (without siblings) or null.
    unsafe fn meld(a: *mut Timer, b: *mut Timer) -> *mut Timer {
        if a.is_null() {
            return b;
        }
        if b.is_null() {
            return a;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let (a, b) = if (*b).when < (*a).when {
                (b, a)
            } else {
                (a, b)
            };
            (*b).next = (*a).child;
            if !(*b).next.is_null() {
                (*(*b).next).prev = b;
            }
            (*b).prev = a;
            (*a).child = b;
            a
        }
    }

    /// Melds a list of siblings to one root: pairs from left to right, then the pairs from right to left.
    ///
    /// # Safety
    /// `first` must be the first of a list of siblings that nothing else links to, or null.
    unsafe fn merge(mut first: *mut Timer) -> *mut Timer {
        let mut pairs: *mut Timer = null_mut();
        // SAFETY: the caller's promise; `next` links the melded pairs until the second loop takes them.
        unsafe {
            while !first.is_null() {
                let a = first;
                let b = (*a).next;
                first = if b.is_null() { b } else { (*b).next };
                (*a).next = null_mut();
                (*a).prev = null_mut();
                if !b.is_null() {
                    (*b).next = null_mut();
                    (*b).prev = null_mut();
                }
                let pair = Self::meld(a, b);
                (*pair).next = pairs;
                pairs = pair;
            }
            let mut root = null_mut();
            while !pairs.is_null() {
                let pair = pairs;
                pairs = (*pair).next;
                (*pair).next = null_mut();
                root = Self::meld(root, pair);
            }
            root
        }
    }

    /// Arms a timer.
    ///
    /// # Safety
    /// It must not be armed, and must stay where it is until it is not any more.
    pub unsafe fn insert(&mut self, t: *mut Timer) {
        // SAFETY: the caller's promise; the root has no siblings.
        unsafe {
            (*t).child = null_mut();
            (*t).next = null_mut();
            (*t).prev = null_mut();
            (*t).armed = true;
            self.root = Self::meld(self.root, t);
        }
    }

    /// Disarms a timer; false if it was not armed.
    ///
    /// # Safety
    /// It must be alive and, if it is armed, in this heap.
    pub unsafe fn remove(&mut self, t: *mut Timer) -> bool {
        // SAFETY: the caller's promise; timers in the heap are alive.
        unsafe {
            if !(*t).armed {
                return false;
            }
            (*t).armed = false;
            let below = Self::merge((*t).child);
            (*t).child = null_mut();
            if t == self.root {
                self.root = below;
                return true;
            }
            let (next, prev) = ((*t).next, (*t).prev);
            if !next.is_null() {
                (*next).prev = prev;
            }
            match (*prev).child == t {
                true => (*prev).child = next,
                false => (*prev).next = next,
            }
            self.root = Self::meld(self.root, below);
            true
        }
    }

    /// Takes the first timer out if it is due at `now`.
    pub fn due(&mut self, now: u64) -> Option<*mut Timer> {
        if self.first()? > now {
            return None;
        }
        let t = self.root;
        // SAFETY: it is armed, and in this heap.
        unsafe { self.remove(t) };
        Some(t)
    }

    /// Forgets all timers.
    pub fn clear(&mut self) {
        self.root = null_mut();
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_sorted_list() {
        const N: usize = 500;
        let mut timers: Vec<Timer> = (0..N).map(|_| Timer::new(0)).collect();
        let at: Vec<*mut Timer> = timers.iter_mut().map(|t| &raw mut *t).collect();
        let mut model: Vec<(u64, usize)> = Vec::new();
        let mut heap = Heap::new();
        let mut seed = 12345u64;
        let mut random = |n: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        for _ in 0..50_000 {
            let i = random(N as u64) as usize;
            let t = at[i];
            match random(3) {
                // SAFETY: the vector is not moved while timers are armed.
                0 if !unsafe { (*t).is_armed() } => unsafe {
                    let when = random(1000);
                    (*t).when = when;
                    heap.insert(t);
                    model.push((when, i));
                },
                1 => {
                    // SAFETY: as above.
                    let was = unsafe { heap.remove(t) };
                    assert_eq!(was, model.iter().any(|m| m.1 == i));
                    model.retain(|m| m.1 != i);
                }
                _ => {
                    let now = random(1000);
                    let first = model.iter().map(|m| m.0).min();
                    assert_eq!(heap.first(), first);
                    match heap.due(now) {
                        Some(t) => {
                            let i = at.iter().position(|p| *p == t).unwrap();
                            // SAFETY: as above.
                            let when = unsafe { (*t).when };
                            assert!(Some(when) == first && when <= now);
                            model.retain(|m| m.1 != i);
                        }
                        None => assert!(first.is_none_or(|f| f > now)),
                    }
                }
            }
        }
        let mut last = 0;
        while let Some(t) = heap.due(u64::MAX) {
            // SAFETY: as above.
            let when = unsafe { (*t).when };
            assert!(when >= last);
            last = when;
            model.pop();
        }
        assert!(model.is_empty());
    }
}
