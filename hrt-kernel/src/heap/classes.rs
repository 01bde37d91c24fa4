//! Size classes: what a small request is rounded up to.
//!
//! 16 bytes apart up to 128, then four to each doubling: at most a fifth is lost.

/// Number of classes.
pub const CLASSES: usize = 40;
/// The largest size of a class.
pub const SMALL_MAX: usize = 32 * 1024;

/// The class for `size` bytes, at most [`SMALL_MAX`].
#[must_use]
pub const fn of(size: usize) -> usize {
    if size <= 128 {
        return size.saturating_sub(1) / 16;
    }
    let last = size - 1;
    let bit = (usize::BITS - 1 - last.leading_zeros()) as usize;
    8 + (bit - 7) * 4 + ((last >> (bit - 2)) & 3)
}

/// Bytes of an object of this class.
#[must_use]
pub const fn size(class: usize) -> usize {
    if class < 8 {
        return (class + 1) * 16;
    }
    let (group, step) = ((class - 8) / 4, (class - 8) % 4);
    (1 << (7 + group)) + ((step + 1) << (5 + group))
}

/// The class for `size` bytes of which every object is aligned to `align`, a power of two; together at most [`SMALL_MAX`].
#[must_use]
pub fn aligned(size: usize, align: usize) -> usize {
    let mut class = of(size.max(1).next_multiple_of(align));
    while !self::size(class).is_multiple_of(align) {
        class += 1;
    }
    class
}

static BATCHES: [u32; CLASSES] = {
    let mut all = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let n = 16 * 1024 / size(class);
        all[class] = if n < 1 {
            1
        } else if n > 128 {
            128
        } else {
            n as u32
        };
        class += 1;
    }
    all
};

/// How many objects go at once between a thread's cache and the shared lists.
#[must_use]
#[inline]
pub fn batch(class: usize) -> u32 {
    BATCHES[class]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for n in 0..=SMALL_MAX {
            let c = of(n);
            assert!(size(c) >= n, "{n}");
            assert!(c == 0 || size(c - 1) < n, "{n}");
        }
        assert_eq!(size(CLASSES - 1), SMALL_MAX);
        assert!((0..CLASSES).all(|c| size(c).is_multiple_of(16)));
    }

    #[test]
    fn aligned_classes() {
        for shift in 4..=15 {
            let align = 1usize << shift;
            for n in (0..=SMALL_MAX).step_by(7) {
                if n.max(1).next_multiple_of(align) > SMALL_MAX {
                    continue;
                }
                let c = aligned(n, align);
                assert!(size(c) >= n && size(c).is_multiple_of(align));
            }
        }
    }
}
