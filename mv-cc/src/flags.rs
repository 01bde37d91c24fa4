//! The table of compiler options that matter: those that take a value from the next argument, and those that decide
//! whether an executable is linked.
//!
//! Options that are not here are single arguments without effect on the decision. Sources: gcc(1) and GCC's
//! `common.opt` and `c.opt`; clang(1) and `clang -cc1 --help`; each checked against GCC 12 and Clang 14.

/// How an option takes its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// No value: `-c`.
    Flag,
    /// The rest of the same argument: `-fuse-ld=lld`. The name includes a trailing `=` or `,`.
    Joined,
    /// The next argument: `-Xlinker --gc-sections`.
    Separate,
    /// Either: `-ofile`, `-o file`.
    JoinedOrSeparate,
}

/// What an option means to the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is in the table for its arity alone.
    None,
    /// The compiler stops before linking, or only prints something.
    NoLink,
    /// The linker runs, but what it makes is no ordinary executable.
    NotExecutable,
    /// No startup files: an ordinary executable only if the command line names them itself.
    NoStartFiles,
    /// The value is a library, which is an input.
    Library,
    /// The value is the output file.
    Output,
    /// The value is the language of the inputs that follow.
    Language,
    /// The value is a directory or prefix in which the compiler looks for `ld`.
    Prefix,
    /// The value chooses the linker by name (or, for Clang, by path).
    UseLd,
    /// The value is the linker's path.
    LdPath,
    /// The value is one argument for the linker.
    LinkerArg,
    /// The value is a list of arguments for the linker, separated by commas.
    LinkerArgs,
    /// The value is a target triple.
    Target,
    /// Code for x86-64 with 64-bit pointers.
    Machine64,
    /// Code for another machine mode.
    MachineOther,
}

/// One row of [`TABLE`].
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Spelling, with its dashes.
    pub name: &'static str,
    /// Where its value comes from.
    pub arity: Arity,
    /// What it means.
    pub effect: Effect,
}

const fn f(name: &'static str, arity: Arity, effect: Effect) -> Flag {
    Flag {
        name,
        arity,
        effect,
    }
}

use Arity::{Flag as Alone, Joined, JoinedOrSeparate, Separate};
use Effect::*;

/// All options known, sorted by name in byte order.
pub static TABLE: &[Flag] = &[
    f("-###", Alone, NoLink),
    f("--analyze", Alone, NoLink),
    f("--assemble", Alone, NoLink),
    f("--assert", Separate, None),
    f("--compile", Alone, NoLink),
    f("--config", Separate, None),
    f("--define-macro", Separate, None),
    f("--dependencies", Alone, NoLink),
    f("--dumpbase", Separate, None),
    f("--dumpbase-ext", Separate, None),
    f("--dumpdir", Separate, None),
    f("--emit-static-lib", Alone, NoLink),
    f("--entry", Separate, None),
    f("--for-assembler", Separate, None),
    f("--for-linker", Separate, LinkerArg),
    f("--for-linker=", Joined, LinkerArg),
    f("--force-link", Separate, None),
    f("--help", Alone, NoLink),
    f("--help-", Joined, NoLink),
    f("--help=", Joined, NoLink),
    f("--imacros", Separate, None),
    f("--include", Separate, None),
    f("--include-directory", Separate, None),
    f("--include-directory-after", Separate, None),
    f("--include-prefix", Separate, None),
    f("--include-with-prefix", Separate, None),
    f("--include-with-prefix-after", Separate, None),
    f("--include-with-prefix-before", Separate, None),
    f("--language", Separate, Language),
    f("--language=", Joined, Language),
    f("--ld-path=", Joined, LdPath),
    f("--library-directory", Separate, None),
    f("--no-standard-libraries", Alone, NoStartFiles),
    f("--output", Separate, Output),
    f("--output=", Joined, Output),
    f("--param", Separate, None),
    f("--precompile", Alone, NoLink),
    f("--prefix", Separate, Prefix),
    f("--prefix=", Joined, Prefix),
    f("--preprocess", Alone, NoLink),
    f("--print-", Joined, NoLink),
    f("--serialize-diagnostics", Separate, None),
    f("--shared", Alone, NotExecutable),
    f("--specs", Separate, None),
    f("--sysroot", Separate, None),
    f("--target-help", Alone, NoLink),
    f("--target=", Joined, Target),
    f("--undefine-macro", Separate, None),
    f("--user-dependencies", Alone, NoLink),
    f("--version", Alone, NoLink),
    f("-A", JoinedOrSeparate, None),
    f("-B", JoinedOrSeparate, Prefix),
    f("-D", JoinedOrSeparate, None),
    f("-E", Alone, NoLink),
    f("-F", JoinedOrSeparate, None),
    f("-I", JoinedOrSeparate, None),
    f("-J", JoinedOrSeparate, None),
    f("-L", JoinedOrSeparate, None),
    f("-M", Alone, NoLink),
    f("-MF", JoinedOrSeparate, None),
    f("-MJ", JoinedOrSeparate, None),
    f("-MM", Alone, NoLink),
    f("-MQ", JoinedOrSeparate, None),
    f("-MT", JoinedOrSeparate, None),
    f("-R", JoinedOrSeparate, None),
    f("-S", Alone, NoLink),
    f("-T", JoinedOrSeparate, NotExecutable),
    f("-Tbss", JoinedOrSeparate, NotExecutable),
    f("-Tdata", JoinedOrSeparate, NotExecutable),
    f("-Ttext", JoinedOrSeparate, NotExecutable),
    f("-Ttext-segment=", Joined, None),
    f("-U", JoinedOrSeparate, None),
    f("-Wl,", Joined, LinkerArgs),
    f("-Xanalyzer", Separate, None),
    f("-Xarch_device", Separate, None),
    f("-Xarch_host", Separate, None),
    f("-Xassembler", Separate, None),
    f("-Xclang", Separate, None),
    f("-Xcuda-fatbinary", Separate, None),
    f("-Xcuda-ptxas", Separate, None),
    f("-Xlinker", Separate, LinkerArg),
    f("-Xopenmp-target", Separate, None),
    f("-Xpreprocessor", Separate, None),
    f("-analyze", Alone, NoLink),
    f("-arch", Separate, None),
    f("-aux-info", Separate, None),
    f("-c", Alone, NoLink),
    f("-cc1", Alone, NoLink),
    f("-cc1as", Alone, NoLink),
    f("-ccc-gcc-name", Separate, None),
    f("-ccc-install-dir", Separate, None),
    f("-ccc-print-bindings", Alone, NoLink),
    f("-ccc-print-phases", Alone, NoLink),
    f("-cxx-isystem", JoinedOrSeparate, None),
    f("-dumpbase", Separate, None),
    f("-dumpbase-ext", Separate, None),
    f("-dumpdir", Separate, None),
    f("-dumpfullversion", Alone, NoLink),
    f("-dumpmachine", Alone, NoLink),
    f("-dumpspecs", Alone, NoLink),
    f("-dumpversion", Alone, NoLink),
    f("-dynamiclib", Alone, NotExecutable),
    f("-e", JoinedOrSeparate, None),
    f("-emit-ast", Alone, NoLink),
    f("-emit-llvm", Alone, NoLink),
    f("-extract-api", Alone, NoLink),
    f("-fdriver-only", Alone, NoLink),
    f("-framework", Separate, None),
    f("-fsyntax-only", Alone, NoLink),
    f("-fuse-ld=", Joined, UseLd),
    f("-gcc-toolchain", Separate, None),
    f("-help", Alone, NoLink),
    f("-idirafter", JoinedOrSeparate, None),
    f("-iframework", JoinedOrSeparate, None),
    f("-imacros", JoinedOrSeparate, None),
    f("-imultiarch", Separate, None),
    f("-imultilib", Separate, None),
    f("-include", JoinedOrSeparate, None),
    f("-include-pch", Separate, None),
    f("-install_name", Separate, None),
    f("-iprefix", JoinedOrSeparate, None),
    f("-iquote", JoinedOrSeparate, None),
    f("-isysroot", JoinedOrSeparate, None),
    f("-isystem", JoinedOrSeparate, None),
    f("-isystem-after", JoinedOrSeparate, None),
    f("-ivfsoverlay", JoinedOrSeparate, None),
    f("-iwithprefix", JoinedOrSeparate, None),
    f("-iwithprefixbefore", JoinedOrSeparate, None),
    f("-iwithsysroot", JoinedOrSeparate, None),
    f("-l", JoinedOrSeparate, Library),
    f("-m16", Alone, MachineOther),
    f("-m32", Alone, MachineOther),
    f("-m64", Alone, Machine64),
    f("-miamcu", Alone, MachineOther),
    f("-mllvm", Separate, None),
    f("-module-file-info", Alone, NoLink),
    f("-mx32", Alone, MachineOther),
    f("-nostartfiles", Alone, NoStartFiles),
    f("-nostdlib", Alone, NoStartFiles),
    f("-o", JoinedOrSeparate, Output),
    f("-print-", Joined, NoLink),
    f("-r", Alone, NotExecutable),
    f("-rewrite-objc", Alone, NoLink),
    f("-rpath", Separate, None),
    f("-serialize-diagnostics", Separate, None),
    f("-shared", Alone, NotExecutable),
    f("-specs", Separate, None),
    f("-static-libclosure", Alone, None),
    f("-target", Separate, Target),
    f("-u", JoinedOrSeparate, None),
    f("-verify-pch", Alone, NoLink),
    f("-weak_framework", Separate, None),
    f("-working-directory", Separate, None),
    f("-wrapper", Separate, None),
    f("-x", JoinedOrSeparate, Language),
    f("-z", JoinedOrSeparate, None),
];

/// Where the value of a looked-up option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// It has none.
    Absent,
    /// In the same argument.
    Here(&'a [u8]),
    /// It is the next argument.
    Next,
}

/// Looks an argument up in [`TABLE`]: exact spelling first, else the longest option that takes a joined value.
///
/// # Arguments
/// `arg` is one argument of a compiler command line, as bytes.
///
/// Returns nothing for arguments that are not in the table, operands among them.
#[must_use]
pub fn lookup(arg: &[u8]) -> Option<(&'static Flag, Value<'_>)> {
    if arg.first() != Some(&b'-') {
        return Option::None;
    }
    let find = |name: &[u8]| {
        TABLE
            .binary_search_by(|flag| flag.name.as_bytes().cmp(name))
            .ok()
            .map(|i| &TABLE[i])
    };
    if let Some(flag) = find(arg) {
        let value = match flag.arity {
            Alone => Value::Absent,
            Joined => Value::Here(&[]),
            Separate | JoinedOrSeparate => Value::Next,
        };
        return Some((flag, value));
    }
    (2..arg.len()).rev().find_map(|length| {
        let (name, value) = arg.split_at(length);
        let flag = find(name)?;
        matches!(flag.arity, Joined | JoinedOrSeparate).then_some((flag, Value::Here(value)))
    })
}

/// What an argument that is meant for the linker means to the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkerEffect {
    /// Nothing.
    None,
    /// Nothing, and it takes the next linker argument as its value.
    Value,
    /// The linker prints something and exits.
    NoLink,
    /// The output is no ordinary executable.
    NotExecutable,
    /// The same, and it takes the next linker argument as its value.
    NotExecutableValue,
    /// The next linker argument is an emulation (`-m elf_x86_64`).
    Emulation,
    /// The next linker argument is an output format (`--oformat binary`).
    Format,
    /// An option of `mv-link`.
    Ours,
    /// An input file.
    Input,
}

/// Linker options that take the next argument as their value, without leading dashes, sorted.
pub static LINKER_VALUES: &[&str] = &[
    "L",
    "Map",
    "Trodata-segment",
    "Ttext-segment",
    "Y",
    "a",
    "assert",
    "auxiliary",
    "b",
    "default-symver",
    "defsym",
    "dynamic-linker",
    "dynamic-list",
    "e",
    "entry",
    "exclude-libs",
    "export-dynamic-symbol",
    "export-dynamic-symbol-list",
    "f",
    "filter",
    "fini",
    "format",
    "h",
    "init",
    "just-symbols",
    "l",
    "library",
    "library-path",
    "o",
    "output",
    "plugin",
    "plugin-opt",
    "rpath",
    "rpath-link",
    "section-start",
    "soname",
    "trace-symbol",
    "u",
    "undefined",
    "version-script",
    "wrap",
    "y",
    "z",
];

/// Classifies one argument that is meant for the linker (ld(1)).
#[must_use]
pub fn linker_effect(arg: &[u8]) -> LinkerEffect {
    let Some(short) = arg.strip_prefix(b"-") else {
        let object = [&b".o"[..], b".a", b".so", b".lo", b".obj"];
        return if object.iter().any(|suffix| arg.ends_with(suffix)) {
            LinkerEffect::Input
        } else {
            LinkerEffect::None
        };
    };
    // ld takes long options with one dash or two.
    let name = short.strip_prefix(b"-").unwrap_or(short);
    match name {
        b"r" | b"i" | b"Ur" | b"relocatable" | b"shared" | b"Bshareable" => {
            LinkerEffect::NotExecutable
        }
        b"version" | b"help" | b"target-help" => LinkerEffect::NoLink,
        b"m" => LinkerEffect::Emulation,
        b"melf_x86_64" => LinkerEffect::None,
        b"oformat" => LinkerEffect::Format,
        b"T" | b"dT" | b"c" | b"script" | b"default-script" | b"mri-script" => {
            LinkerEffect::NotExecutableValue
        }
        _ if name.starts_with(b"mv-") => LinkerEffect::Ours,
        _ if [
            &b"script="[..],
            b"default-script=",
            b"mri-script=",
            b"melf_",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix)) =>
        {
            LinkerEffect::NotExecutable
        }
        _ if name.starts_with(b"oformat=") && !name.starts_with(b"oformat=elf64-x86-64") => {
            LinkerEffect::NotExecutable
        }
        // -Ttext-segment moves an ordinary executable; the other -T options lay a program out by hand.
        _ if name.starts_with(b"Ttext-segment=") || name.starts_with(b"Trodata-segment=") => {
            LinkerEffect::None
        }
        _ if LINKER_VALUES
            .binary_search_by(|known| known.as_bytes().cmp(name))
            .is_ok() =>
        {
            LinkerEffect::Value
        }
        _ if short.starts_with(b"T") => LinkerEffect::NotExecutable,
        _ => LinkerEffect::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_without_duplicates() {
        for pair in TABLE.windows(2) {
            assert!(
                pair[0].name < pair[1].name,
                "{} before {}",
                pair[0].name,
                pair[1].name
            );
        }
        for pair in LINKER_VALUES.windows(2) {
            assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn exact_spelling_beats_a_joined_value() {
        let (flag, value) = lookup(b"-emit-llvm").expect("known");
        assert_eq!((flag.name, value), ("-emit-llvm", Value::Absent));
        let (flag, value) = lookup(b"-emain").expect("known");
        assert_eq!((flag.name, value), ("-e", Value::Here(b"main")));
        let (flag, value) = lookup(b"-include").expect("known");
        assert_eq!((flag.name, value), ("-include", Value::Next));
        let (flag, value) = lookup(b"-includeconfig.h").expect("known");
        assert_eq!((flag.name, value), ("-include", Value::Here(b"config.h")));
    }

    #[test]
    fn flags_take_no_joined_value() {
        assert!(lookup(b"-rdynamic").is_none());
        assert!(lookup(b"-static-pie").is_none());
        assert!(lookup(b"-shared-libgcc").is_none());
        assert!(lookup(b"-carefree").is_none());
        assert!(lookup(b"-").is_none());
        assert!(lookup(b"").is_none());
        assert!(lookup(b"-MMD").is_none());
        assert!(lookup(b"-MP").is_none());
    }

    #[test]
    fn linker_arguments() {
        use LinkerEffect as L;
        for (arg, effect) in [
            (&b"-r"[..], L::NotExecutable),
            (b"--relocatable", L::NotExecutable),
            (b"-relocatable", L::NotExecutable),
            (b"-rpath", L::Value),
            (b"--rpath", L::Value),
            (b"-Tkernel.ld", L::NotExecutable),
            (b"-T", L::NotExecutableValue),
            (b"--trace", L::None),
            (b"-Ttext-segment=0x70000000", L::None),
            (b"--mv-config=x", L::Ours),
            (b"--start-group", L::None),
            (b"x.o", L::Input),
            (b"x", L::None),
            (b"-melf_i386", L::NotExecutable),
        ] {
            assert_eq!(
                linker_effect(arg),
                effect,
                "{}",
                String::from_utf8_lossy(arg)
            );
        }
    }
}
