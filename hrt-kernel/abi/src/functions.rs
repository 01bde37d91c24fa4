//! Kernel functions: what a program calls directly (`hrt.h`, the crate `hrt`), and what overrides run in the place of legacy
//! functions. A function's number is its place in [`FUNCTIONS`]; mv-link knows names, the payload addresses.

/// What is known of a kernel function outside of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, as in `hrt.h`.
    pub name: &'static str,
    /// How many arguments it has, all integers or pointers (System V psABI, at most 6).
    pub args: u8,
}

const fn f(name: &'static str, args: u8) -> Function {
    Function { name, args }
}

/// All kernel functions. A new one goes to the end: numbers are compiled into programs.
pub const FUNCTIONS: &[Function] = &[
    f("hrt_cycles", 0),
    // Time and heap: as the C library's functions of those names, errno included.
    f("hrt_clock_gettime", 2),
    f("hrt_gettimeofday", 2),
    f("hrt_time", 1),
    f("hrt_malloc", 1),
    f("hrt_free", 1),
    f("hrt_calloc", 2),
    f("hrt_realloc", 2),
    f("hrt_reallocarray", 3),
    f("hrt_memalign", 2),
    f("hrt_posix_memalign", 3),
    f("hrt_valloc", 1),
    f("hrt_pvalloc", 1),
    f("hrt_malloc_usable_size", 1),
];

/// The number of the function called `name`.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    FUNCTIONS.iter().position(|f| f.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (i, f) in FUNCTIONS.iter().enumerate() {
            assert_eq!(number(f.name), Some(i));
            assert!(f.args <= 6);
        }
        assert_eq!(number("hrt_nothing"), None);
    }
}
