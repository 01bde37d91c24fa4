//! Segments: 4 MiB of address space, aligned, cut into 64 slices of 64 KiB. The first slice holds what is known of all.
//!
//! A *span* is one slice of small objects of one class, or some slices that are one large object. A larger object has a *huge* segment
//! of its own.

use super::classes;
use core::ptr::null_mut;

/// Bytes of a segment, and its alignment.
pub const SEGMENT: usize = 4 << 20;
/// Bytes of a slice, and its alignment.
pub const SLICE: usize = 64 << 10;
/// Slices of a segment.
pub const SLICES: usize = SEGMENT / SLICE;
/// Bytes at the start of a segment that a huge object leaves.
pub const PAGE: usize = 4096;
/// The largest object that slices can hold.
pub const LARGE_MAX: usize = (SLICES - 1) * SLICE;

/// `kind` of a slice that no span has.
pub const FREE: u8 = 0xff;
/// `kind` of a large object's slices.
pub const LARGE: u8 = 0xfe;

/// A free object: the first word of its memory.
#[repr(C)]
pub struct Object {
    /// The next one of its list.
    pub next: *mut Object,
}

/// What is known of a slice; of a span, in its first slice.
#[repr(C)]
pub struct Slice {
    /// A class, [`LARGE`] or [`FREE`].
    pub kind: u8,
    /// Slices of the span.
    pub count: u8,
    reserved: u16,
    /// Objects that are not in `free` and have been made.
    pub used: u32,
    /// Objects that have been made so far: they are made one after the other, so that memory is touched late.
    pub made: u32,
    /// Objects that there can be.
    pub capacity: u32,
    /// Free objects.
    pub free: *mut Object,
    /// Neighbours in the list of spans with free objects.
    pub next: *mut Slice,
    /// See `next`.
    pub prev: *mut Slice,
}

/// See the module.
#[repr(C)]
pub struct Segment {
    /// Neighbours in the list of all segments that have slices.
    pub next: *mut Segment,
    /// See `next`.
    pub prev: *mut Segment,
    /// Of a huge segment: where its mapping starts; else 0.
    pub huge_start: usize,
    /// Bytes of that mapping.
    pub huge_size: usize,
    /// A bit for each slice in use; that of slice 0 is always set.
    pub used: u64,
    /// A bit for each slice whose memory may be other than zero.
    pub dirty: u64,
    /// The slices.
    pub slices: [Slice; SLICES],
}

const _: () = assert!(size_of::<Segment>() <= PAGE && SLICES == 64);

/// The segment of an object: its first byte never is a segment's first, unless the segment before is its header.
#[must_use]
pub fn of(object: usize) -> *mut Segment {
    ((object - 1) & !(SEGMENT - 1)) as *mut Segment
}

/// The slice that has address `at` of `segment`.
///
/// # Safety
/// `segment` must be a segment with slices that contains `at`.
pub unsafe fn slice(segment: *mut Segment, at: usize) -> *mut Slice {
    let index = (at - segment as usize) / SLICE;
    // SAFETY: the index is below SLICES by the caller's promise.
    unsafe { (&raw mut (*segment).slices).cast::<Slice>().add(index) }
}

/// Where the memory of a slice is.
#[must_use]
pub fn memory(slice: *mut Slice) -> usize {
    let segment = slice as usize & !(SEGMENT - 1);
    let first = segment + core::mem::offset_of!(Segment, slices);
    segment + (slice as usize - first) / size_of::<Slice>() * SLICE
}

/// Where `count` slices in a row are free, as a mask of bits; 0: nowhere.
#[must_use]
pub fn fit(used: u64, count: usize) -> u64 {
    let mask = if count >= 64 {
        u64::MAX
    } else {
        (1 << count) - 1
    };
    let free = !used;
    let mut at = 0;
    while at + count <= SLICES {
        let rest = free >> at;
        if rest == 0 {
            return 0;
        }
        at += rest.trailing_zeros() as usize;
        if at + count > SLICES {
            return 0;
        }
        let run = (free >> at).trailing_ones() as usize;
        if run >= count {
            return mask << at;
        }
        at += run;
    }
    0
}

/// Makes a span of small objects of a slice that is in use.
///
/// # Safety
/// The slice must be the caller's alone.
pub unsafe fn make_span(slice: *mut Slice, class: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        slice.write(Slice {
            kind: class as u8,
            count: 1,
            reserved: 0,
            used: 0,
            made: 0,
            capacity: (SLICE / classes::size(class)) as u32,
            free: null_mut(),
            next: null_mut(),
            prev: null_mut(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting() {
        assert_eq!(fit(1, 1), 2);
        assert_eq!(fit(1, 63), !1);
        assert_eq!(fit(1, 64), 0);
        assert_eq!(fit(0b1011, 1), 0b100);
        assert_eq!(fit(0b1011, 2), 0b11_0000);
        assert_eq!(fit(u64::MAX, 1), 0);
        assert_eq!(fit(u64::MAX >> 1, 1), 1 << 63);
        assert_eq!(fit(u64::MAX >> 1, 2), 0);
    }
}
