//! The shipped sets of overrides: the functions of a C library that go together.

/// A set.
#[derive(Debug)]
pub struct Set {
    /// Its name in `sets = [...]`.
    pub name: &'static str,
    /// Legacy functions, and the kernel functions that take the same arguments.
    pub overrides: &'static [(&'static str, &'static str)],
    /// Threads that the C library makes by clone(2) are kernel threads.
    pub threads: bool,
}

/// All of them.
pub const SETS: &[Set] = &[
    Set {
        name: "time",
        overrides: &[
            ("clock_gettime", "hrt_clock_gettime"),
            ("gettimeofday", "hrt_gettimeofday"),
            ("time", "hrt_seconds"),
        ],
        threads: false,
    },
    Set {
        name: "malloc",
        overrides: &[
            ("malloc", "hrt_malloc"),
            ("free", "hrt_free"),
            ("cfree", "hrt_free"),
            ("calloc", "hrt_calloc"),
            ("realloc", "hrt_realloc"),
            ("reallocarray", "hrt_reallocarray"),
            // The same as memalign in the C library, which may have one function for both.
            ("aligned_alloc", "hrt_memalign"),
            ("memalign", "hrt_memalign"),
            ("posix_memalign", "hrt_posix_memalign"),
            ("valloc", "hrt_valloc"),
            ("pvalloc", "hrt_pvalloc"),
            ("malloc_usable_size", "hrt_malloc_usable_size"),
        ],
        threads: false,
    },
    // No function is another one: the kernel serves the system calls that they make.
    Set {
        name: "pthread",
        overrides: &[],
        threads: true,
    },
];

/// The set of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Set> {
    SETS.iter().find(|s| s.name == name)
}

/// The number of the set of this name, from 1; 0 if there is none.
#[must_use]
pub fn number(name: &str) -> u8 {
    let at = SETS.iter().position(|s| s.name == name);
    at.map_or(0, |i| i as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrt_abi::functions;

    #[test]
    fn kernel_functions_exist() {
        for (legacy, function) in SETS.iter().flat_map(|s| s.overrides) {
            assert!(functions::number(function).is_some(), "{legacy}");
        }
    }
}
