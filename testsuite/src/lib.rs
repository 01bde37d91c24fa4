//! The harness behind `tests/corpus.rs`: one-file programs, each built plainly and hybridized, run, and compared.
//!
//! The plain run is the oracle. A program says in `//@` comments at its top how it is built and what is known of it
//! beforehand; see [`directives`].

pub mod build;
pub mod directives;
pub mod pack;
pub mod run;
