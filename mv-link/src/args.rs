//! What a linker's command line asks for.
//!
//! Only what decides how the link is treated is understood; nothing is ever changed but what is ours (`-fuse-ld=`,
//! `--mv-config=`). Sources: the manual pages and option tables of GNU ld, gold, lld and mold.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Long options that take the next argument as their value unless it follows after `=`.
const LONG_WITH_VALUE: &[&str] = &[
    "Map",
    "Tbss",
    "Tdata",
    "Tldata-segment",
    "Trodata-segment",
    "Ttext",
    "Ttext-segment",
    "architecture",
    "assert",
    "audit",
    "auxiliary",
    "call-graph-ordering-file",
    "chroot",
    "dT",
    "default-script",
    "defsym",
    "depaudit",
    "dependency-file",
    "dynamic-linker",
    "dynamic-list",
    "dynamic-lookup",
    "entry",
    "exclude-libs",
    "export-dynamic-symbol",
    "export-dynamic-symbol-list",
    "filler",
    "filter",
    "fini",
    "format",
    "fuse-ld",
    "hash-style",
    "image-base",
    "init",
    "just-symbols",
    "library",
    "library-path",
    "max-cache-size",
    "mllvm",
    "mri-script",
    "oformat",
    "out-implib",
    "output",
    "plugin",
    "plugin-opt",
    "require-defined",
    "retain-symbols-file",
    "rpath",
    "rpath-link",
    "script",
    "section-ordering-file",
    "section-start",
    "soname",
    "sort-section",
    "symbol-ordering-file",
    "sysroot",
    "task-link",
    "thread-count",
    "trace-symbol",
    "undefined",
    "undefined-glob",
    "unresolved-symbols",
    "version-exports-section",
    "version-script",
    "wrap",
];

/// Short options that take a value, joined or as the next argument.
const SHORT_WITH_VALUE: &[u8] = b"AFGILORTYabcefhlmouyz";

/// Long options after which the linker only says something and stops.
const INFORMATIVE: &[&str] = &[
    "help",
    "target-help",
    "version",
    "print-output-format",
    "print-sysroot",
    "print-default-script",
];

/// Response files may name response files; deeper than this is a loop.
const DEPTH_MAX: usize = 16;

/// Why a link is left to the real linker alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Nothing is linked: `--help` and the like, or no input.
    Information,
    /// `-r`.
    Relocatable,
    /// `-shared`.
    Shared,
    /// `-T`, `-c`: the layout is the user's own business.
    Script,
    /// `-m` says another machine.
    Emulation,
    /// `--oformat` says another format.
    Format,
    /// `--orphan-handling` would warn of our section or drop it.
    Orphans,
}

/// What a command line asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkArgs {
    /// Set when the link is to be left to the real linker alone.
    pub plain: Option<Plain>,
    /// `-o`; `a.out` if not given.
    pub output: Option<PathBuf>,
    /// `-fuse-ld=`.
    pub use_linker: Option<OsString>,
    /// `--mv-config=`.
    pub config: Option<PathBuf>,
    /// `--mv-model=`.
    pub model: Option<OsString>,
    /// `--dependency-file`.
    pub dependency_file: Option<PathBuf>,
    /// Inputs at the end of the line are read as another format (`-b`).
    pub format_changed: bool,
    /// Everything that the real linker is to get, without the program's name.
    pub forwarded: Vec<OsString>,
}

impl LinkArgs {
    /// Where the output goes.
    pub fn output(&self) -> &Path {
        self.output.as_deref().unwrap_or(Path::new("a.out"))
    }

    /// Reads a command line, without the program's name. Response files (`@file`) are read to decide and forwarded as
    /// they are; one that cannot be read counts as an input, as for GNU ld.
    pub fn parse(args: &[OsString]) -> LinkArgs {
        let mut out = LinkArgs::default();
        for a in args {
            let b = a.as_bytes();
            if !b.starts_with(b"-fuse-ld=")
                && !b.starts_with(b"--mv-config=")
                && !b.starts_with(b"--mv-model=")
            {
                out.forwarded.push(a.clone());
            }
        }
        let mut flat = Vec::new();
        expand(args, 0, &mut flat);
        let mut inputs = false;
        let mut relocatable = None;
        let mut other = None;
        let mut information = false;
        let mut it = flat.into_iter();
        while let Some(arg) = it.next() {
            let bytes = arg.as_bytes();
            if bytes.first() != Some(&b'-') || bytes.len() == 1 {
                inputs = true;
                continue;
            }
            let (name, value, short) = split(bytes);
            let value = match value {
                Some(v) => Some(OsString::from_vec(v)),
                None if takes_value(&name, short) => it.next(),
                None => None,
            };
            let v = value.as_deref().unwrap_or_default();
            match name.as_slice() {
                b"r" | b"i" | b"Ur" | b"relocatable" => relocatable = Some(Plain::Relocatable),
                b"shared" | b"Bshareable" => relocatable = relocatable.or(Some(Plain::Shared)),
                b"no-shared" => relocatable = relocatable.filter(|p| *p != Plain::Shared),
                b"T" | b"script" | b"dT" | b"default-script" | b"c" | b"mri-script" => {
                    other = other.or(Some(Plain::Script));
                }
                b"m" if v != "elf_x86_64" => other = other.or(Some(Plain::Emulation)),
                b"oformat" if v != "elf64-x86-64" && v != "elf" && v != "default" => {
                    other = other.or(Some(Plain::Format));
                }
                b"orphan-handling" if v != "place" => other = other.or(Some(Plain::Orphans)),
                b"b" | b"format" => {
                    out.format_changed = v != "elf64-x86-64" && v != "elf" && v != "default"
                }
                b"o" | b"output" => out.output = Some(v.into()),
                b"fuse-ld" => out.use_linker = Some(v.into()),
                b"mv-config" => out.config = Some(v.into()),
                b"mv-model" => out.model = Some(v.into()),
                b"dependency-file" => out.dependency_file = Some(v.into()),
                b"l" | b"library" => inputs = true,
                n if !short && INFORMATIVE.iter().any(|i| i.as_bytes() == n) => information = true,
                _ => {}
            }
        }
        if information || !inputs {
            other = Some(Plain::Information);
        }
        out.plain = other.or(relocatable);
        out
    }
}

/// Splits `-name`, `--name`, `--name=value` and `-xvalue`; tells whether the name is a single letter's.
fn split(arg: &[u8]) -> (Vec<u8>, Option<Vec<u8>>, bool) {
    let double = arg.starts_with(b"--");
    let body = &arg[if double { 2 } else { 1 }..];
    let equals = body.iter().position(|&b| b == b'=');
    let name = &body[..equals.unwrap_or(body.len())];
    // A long option may have one dash, except that -o always has its value joined (GNU ld's manual).
    let known = |n: &[u8]| LONG_WITH_VALUE.iter().any(|k| k.as_bytes() == n);
    let value = equals.map(|e| body[e + 1..].to_vec());
    if double {
        return (name.to_vec(), value, false);
    }
    if body.len() == 1 {
        return (body.to_vec(), None, true);
    }
    // Words that begin with the letter of an option that takes a value, and are options by themselves.
    let word: &[&[u8]] = &[
        b"Ur",
        b"Bshareable",
        b"EL",
        b"EB",
        b"relocatable",
        b"emit-relocs",
        b"export-dynamic",
        b"help",
        b"allow-multiple-definition",
        b"as-needed",
        b"add-needed",
        b"apply-dynamic-relocs",
        b"accept-unknown-input-arch",
        b"build-id",
        b"call_shared",
        b"check-sections",
        b"cref",
        b"color-diagnostics",
        b"enable-new-dtags",
        b"eh-frame-hdr",
        b"end-group",
        b"error-limit",
        b"fatal-warnings",
        b"gc-sections",
        b"gdb-index",
        b"icf",
        b"lto-O3",
        b"lto-O2",
        b"lto-O1",
        b"lto-O0",
        b"mv-config",
        b"mv-model",
        b"undefined-version",
        b"zmagic",
        b"lto",
        b"apply-link-order",
        b"allow-shlib-undefined",
        b"be8",
    ];
    if (known(name) && !name.starts_with(b"o")) || word.contains(&name) {
        return (name.to_vec(), value, false);
    }
    if SHORT_WITH_VALUE.contains(&body[0]) {
        return (vec![body[0]], Some(body[1..].to_vec()), true);
    }
    (name.to_vec(), value, false)
}

fn takes_value(name: &[u8], short: bool) -> bool {
    if short {
        SHORT_WITH_VALUE.contains(&name[0])
    } else {
        LONG_WITH_VALUE.iter().any(|k| k.as_bytes() == name)
    }
}

/// Replaces each `@file` by what it says.
fn expand(args: &[OsString], depth: usize, out: &mut Vec<OsString>) {
    for arg in args {
        let file = arg
            .as_bytes()
            .strip_prefix(b"@")
            .filter(|_| depth < DEPTH_MAX);
        match file.map(|f| std::fs::read(Path::new(OsStr::from_bytes(f)))) {
            Some(Ok(text)) => expand(&words(&text), depth + 1, out),
            _ => out.push(arg.clone()),
        }
    }
}

/// Splits the text of a response file as GNU's `buildargv` does: at white space; quotes of both kinds and the backslash quote.
pub fn words(text: &[u8]) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            b if quote == Some(b) => quote = None,
            b if quote.is_some() => word.get_or_insert_default().push(b),
            b'\'' | b'"' => {
                quote = Some(b);
                word.get_or_insert_default();
            }
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => {
                out.extend(word.take().map(OsString::from_vec))
            }
            b => word.get_or_insert_default().push(b),
        }
    }
    out.extend(word.map(OsString::from_vec));
    out
}

/// Whether the name under which this program was called is a linker's: `ld`, `ld.lld`, `x86_64-linux-gnu-ld.gold`, `mold`, `lld`.
pub fn is_linker_name(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let base = name.rsplit(|&b| b == b'/').next().unwrap_or(name);
    let last = base.rsplit(|&b| b == b'-').next().unwrap_or(base);
    // "mv-link" ends in "link", not in one of these.
    last == b"ld"
        || last.starts_with(b"ld.")
        || base == b"mold"
        || base == b"lld"
        || base == b"ld-new"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> LinkArgs {
        LinkArgs::parse(&words(line.as_bytes()))
    }

    #[test]
    fn a_gcc_link() {
        let a = parse(
            "-plugin /usr/lib/liblto_plugin.so -plugin-opt=/usr/lib/lto-wrapper -plugin-opt=-fresolution=/tmp/c.res --build-id \
             --eh-frame-hdr -m elf_x86_64 --hash-style=gnu --as-needed -dynamic-linker /lib64/ld-linux-x86-64.so.2 -pie -o out \
             Scrt1.o crti.o -L/usr/lib -rpath /r -soname -r x.o -lgcc --push-state --as-needed -lgcc_s --pop-state -lc crtn.o",
        );
        assert_eq!(a.plain, None);
        assert_eq!(a.output(), Path::new("out"));
        assert_eq!(parse("x.o").output(), Path::new("a.out"));
    }

    #[test]
    fn left_alone() {
        for (line, why) in [
            ("", Plain::Information),
            ("-v", Plain::Information),
            ("--version", Plain::Information),
            ("x.o --help", Plain::Information),
            ("-r x.o", Plain::Relocatable),
            ("-i x.o", Plain::Relocatable),
            ("-relocatable x.o", Plain::Relocatable),
            ("-shared x.o", Plain::Shared),
            ("--shared -o x.so x.o", Plain::Shared),
            ("-T x.ld x.o", Plain::Script),
            ("-Tx.ld x.o", Plain::Script),
            ("--script=x.ld x.o", Plain::Script),
            ("-m elf_i386 x.o", Plain::Emulation),
            ("-melf_i386 x.o", Plain::Emulation),
            ("--oformat binary x.o", Plain::Format),
            ("--oformat=srec x.o", Plain::Format),
            ("--orphan-handling=error x.o", Plain::Orphans),
        ] {
            assert_eq!(parse(line).plain, Some(why), "{line}");
        }
        for line in [
            "x.o",
            "-v x.o",
            "-V x.o",
            "-melf_x86_64 -lfoo",
            "--oformat=elf64-x86-64 x.o",
            "-Ttext=0x400000 x.o",
            "-Ttext-segment 0x400000 x.o",
            "-rpath -r x.o",
            "-z relro -z now x.o",
            "-e -r x.o",
            "-Map -shared x.o",
            "-static -pie --no-dynamic-linker x.o",
            "-N x.o",
            "-h -shared x.o",
            "-export-dynamic x.o",
            "-R -T x.o",
        ] {
            assert_eq!(parse(line).plain, None, "{line}");
        }
    }

    #[test]
    fn outputs() {
        for line in [
            "-o f x.o",
            "-of x.o",
            "--output f x.o",
            "--output=f x.o",
            "-o g -o f x.o",
        ] {
            assert_eq!(parse(line).output(), Path::new("f"), "{line}");
        }
        assert_eq!(parse("-omagic x.o").output(), Path::new("magic"));
        assert_eq!(
            parse("-dependency-file=d x.o").dependency_file.as_deref(),
            Some(Path::new("d"))
        );
        assert!(parse("x.o -b binary data").format_changed);
        assert!(!parse("-b binary data -b elf64-x86-64 x.o").format_changed);
    }

    #[test]
    fn ours_are_not_forwarded() {
        let a = parse("-fuse-ld=gold --mv-config=m.toml x.o");
        assert_eq!(a.forwarded, ["x.o"]);
        assert_eq!(a.use_linker.as_deref(), Some(OsStr::new("gold")));
        assert_eq!(a.config.as_deref(), Some(Path::new("m.toml")));
    }

    #[test]
    fn response_files() {
        let dir = tempfile::tempdir().expect("tempdir");
        let file = dir.path().join("a rsp");
        std::fs::write(&file, "-shared 'x y.o' \"z\\\"\"\n").expect("write");
        let mut at = OsString::from("@");
        at.push(&file);
        let a = LinkArgs::parse(&[at.clone()]);
        assert_eq!(a.plain, Some(Plain::Shared));
        assert_eq!(a.forwarded, [at.clone()]);
        std::fs::write(
            &file,
            at.as_bytes()
                .iter()
                .flat_map(|&b| [b'\\', b])
                .collect::<Vec<_>>(),
        )
        .expect("write");
        assert_eq!(LinkArgs::parse(&[at]).plain, None, "a loop ends");
        assert_eq!(
            words(b"a 'b c' \"d\" e\\ f ''"),
            ["a", "b c", "d", "e f", ""]
        );
    }

    #[test]
    fn names() {
        for n in [
            "ld",
            "/usr/bin/ld",
            "ld.gold",
            "x86_64-linux-gnu-ld",
            "x86_64-linux-gnu-ld.bfd",
            "mold",
            "/a-b/ld.mold",
        ] {
            assert!(is_linker_name(OsStr::new(n)), "{n}");
        }
        for n in ["mv-link", "/usr/bin/mv-link", "ldd", "/ld/x"] {
            assert!(!is_linker_name(OsStr::new(n)), "{n}");
        }
    }
}
