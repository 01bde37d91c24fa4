//! The decision: does this command line link an executable for x86-64 Linux?

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::flags::{self, Effect, LinkerEffect, Value};
use crate::response::{self, Response};

/// Prefix of mv-cc's own options.
pub const OWN_PREFIX: &str = "--mv-";

/// Response files may name response files; no real command line comes near these.
const RESPONSE_DEPTH: u32 = 32;
const RESPONSE_FILES: u32 = 2000;

/// Objects that hold `_start` of an ordinary executable. Who names one together with `-nostartfiles` (rustc does for
/// musl) links such an executable by hand.
const STARTUP_OBJECTS: &[&[u8]] = &[b"Scrt1.o", b"crt1.o", b"gcrt1.o", b"grcrt1.o", b"rcrt1.o"];

/// Why a command line is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// This option says that no executable is linked.
    Option(OsString),
    /// There is nothing to link.
    NoInput,
    /// Headers alone are precompiled.
    HeadersOnly,
    /// The output is thrown away.
    NullOutput,
    /// The output is for this other target.
    Target(OsString),
    /// This compiler does not link for x86-64 Linux in the way that mv-link needs.
    Compiler(OsString),
    /// The user asked for the plain compiler.
    Off,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Option(name) => write!(f, "{}", name.display()),
            Reason::NoInput => f.write_str("no input"),
            Reason::HeadersOnly => f.write_str("headers only"),
            Reason::NullOutput => f.write_str("output is /dev/null"),
            Reason::Target(name) => write!(f, "target {}", name.display()),
            Reason::Compiler(name) => write!(f, "compiler {}", name.display()),
            Reason::Off => f.write_str("switched off"),
        }
    }
}

/// How the command line itself chooses the linker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkerChoice {
    /// Value of `-fuse-ld=`, if that is a name.
    pub name: Option<OsString>,
    /// Path of the linker (Clang's `--ld-path=`, or a path after `-fuse-ld=`).
    pub path: Option<OsString>,
    /// Number of leading arguments after which `path` has been given.
    pub path_end: usize,
    /// Values of `-B`, in order.
    pub prefixes: Vec<OsString>,
}

/// What to do with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run the compiler as it is.
    Plain(Reason),
    /// An executable is linked: route that through mv-link.
    Link(LinkerChoice),
}

/// A command line, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// mv-cc's own options, in order.
    pub own: Vec<OsString>,
    /// All other arguments, unchanged and in order.
    pub args: Vec<OsString>,
    /// What to do.
    pub decision: Decision,
}

impl Plan {
    /// Decides what the command line `args` does.
    ///
    /// # Arguments
    /// `preset` are options that come with the compiler's name (`MV_CC_REAL="gcc -m32"`); they count for the decision
    /// and are not part of the result. `args` are the arguments without `argv[0]`. Response files are read from disk.
    ///
    /// Never fails: what is not understood is the compiler's to judge.
    #[must_use]
    pub fn new(preset: &[OsString], args: Vec<OsString>) -> Plan {
        Plan::with_reader(preset, args, &response::read)
    }

    /// The same with another source of response files.
    #[must_use]
    pub fn with_reader(
        preset: &[OsString],
        args: Vec<OsString>,
        read: &dyn Fn(&Path) -> Response,
    ) -> Plan {
        let mut scan = Scan::new(read);
        for arg in preset {
            scan.argument(arg.as_bytes(), 0);
        }
        let mut own = Vec::new();
        let mut rest = Vec::with_capacity(args.len());
        for arg in args {
            if scan.expects_option() && arg.as_bytes().starts_with(OWN_PREFIX.as_bytes()) {
                own.push(arg);
            } else {
                scan.top_level = rest.len() + 1;
                scan.argument(arg.as_bytes(), 0);
                rest.push(arg);
            }
        }
        Plan {
            own,
            args: rest,
            decision: scan.decide(),
        }
    }
}

/// State of a walk over a command line.
struct Scan<'a> {
    read: &'a dyn Fn(&Path) -> Response,
    files_read: u32,
    top_level: usize,
    pending: Option<Effect>,
    linker_pending: Option<LinkerEffect>,
    operands_only: bool,
    language: Option<Vec<u8>>,
    inputs: usize,
    headers: usize,
    no_link: Option<Vec<u8>>,
    not_executable: Option<Vec<u8>>,
    no_start_files: Option<Vec<u8>>,
    startup_object: bool,
    linker_option_of_ours: bool,
    null_output: bool,
    target: Option<Vec<u8>>,
    machine: Option<Vec<u8>>,
    linker: LinkerChoice,
}

impl<'a> Scan<'a> {
    fn new(read: &'a dyn Fn(&Path) -> Response) -> Self {
        Scan {
            read,
            files_read: 0,
            top_level: 0,
            pending: None,
            linker_pending: None,
            operands_only: false,
            language: None,
            inputs: 0,
            headers: 0,
            no_link: None,
            not_executable: None,
            no_start_files: None,
            startup_object: false,
            linker_option_of_ours: false,
            null_output: false,
            target: None,
            machine: None,
            linker: LinkerChoice::default(),
        }
    }

    fn expects_option(&self) -> bool {
        self.pending.is_none() && !self.operands_only
    }

    fn argument(&mut self, arg: &[u8], depth: u32) {
        // Expansion comes before everything else: a response file may even hold the value of an option.
        if let Some(name) = arg.strip_prefix(b"@") {
            match self.response(name, depth) {
                Response::Text(text) => {
                    for word in response::split(&text) {
                        self.argument(&word, depth + 1);
                    }
                    return;
                }
                Response::Opaque => {
                    self.pending = None;
                    self.inputs += 1;
                    return;
                }
                Response::Missing => {}
            }
        }
        if let Some(effect) = self.pending.take() {
            self.apply(effect, arg, depth);
        } else if self.operands_only || !arg.starts_with(b"-") {
            self.operand(arg);
        } else if arg == b"--" {
            self.operands_only = true;
        } else if arg == b"-" {
            // Standard input is an input only once its language is known.
            if self.language.is_some() {
                self.operand(arg);
            }
        } else if let Some((flag, value)) = flags::lookup(arg) {
            match value {
                Value::Next => self.pending = Some(flag.effect),
                Value::Here(value) => self.apply(flag.effect, value, depth),
                Value::Absent => {}
            }
            let seen = match flag.effect {
                Effect::NoLink => &mut self.no_link,
                Effect::NotExecutable => &mut self.not_executable,
                Effect::NoStartFiles => &mut self.no_start_files,
                Effect::MachineOther => &mut self.machine,
                Effect::Machine64 => {
                    self.machine = None;
                    return;
                }
                _ => return,
            };
            seen.get_or_insert_with(|| arg.to_vec());
        }
    }

    fn response(&mut self, name: &[u8], depth: u32) -> Response {
        if depth >= RESPONSE_DEPTH || self.files_read >= RESPONSE_FILES {
            return Response::Opaque;
        }
        self.files_read += 1;
        (self.read)(Path::new(OsStr::from_bytes(name)))
    }

    fn operand(&mut self, arg: &[u8]) {
        self.inputs += 1;
        let name = arg.rsplit(|&byte| byte == b'/').next().unwrap_or(arg);
        let header = match &self.language {
            Some(language) => language.ends_with(b"-header"),
            None => matches!(
                name.rsplit(|&byte| byte == b'.').next(),
                Some(b"h" | b"H" | b"hh" | b"hp" | b"hpp" | b"hxx" | b"HPP" | b"h++" | b"tcc")
            ),
        };
        self.headers += usize::from(header);
        self.startup_object |= STARTUP_OBJECTS.contains(&name);
    }

    fn apply(&mut self, effect: Effect, value: &[u8], depth: u32) {
        let text = || OsString::from_vec(value.to_vec());
        match effect {
            Effect::Library => self.inputs += 1,
            Effect::Output => self.null_output = value == b"/dev/null",
            Effect::Language => self.language = (value != b"none").then(|| value.to_vec()),
            Effect::Prefix => self.linker.prefixes.push(text()),
            Effect::UseLd if !value.contains(&b'/') => self.linker.name = Some(text()),
            Effect::UseLd | Effect::LdPath => {
                self.linker.path = Some(text());
                self.linker.path_end = self.top_level;
            }
            Effect::LinkerArg => self.linker_argument(value, depth),
            Effect::LinkerArgs => {
                for part in value.split(|&byte| byte == b',') {
                    self.linker_argument(part, depth);
                }
            }
            Effect::Target => self.target = Some(value.to_vec()),
            Effect::None
            | Effect::NoLink
            | Effect::NotExecutable
            | Effect::NoStartFiles
            | Effect::Machine64
            | Effect::MachineOther => {}
        }
    }

    fn linker_argument(&mut self, arg: &[u8], depth: u32) {
        let response = arg
            .strip_prefix(b"@")
            .map(|name| self.response(name, depth));
        if let Some(Response::Text(text)) = response {
            for word in response::split(&text) {
                self.linker_argument(&word, depth + 1);
            }
            return;
        }
        let not_executable = match self.linker_pending.take() {
            Some(LinkerEffect::Emulation) => arg != b"elf_x86_64",
            Some(LinkerEffect::Format) => !matches!(arg, b"elf64-x86-64" | b"default"),
            Some(_) => false,
            None => match flags::linker_effect(arg) {
                LinkerEffect::None => false,
                effect @ (LinkerEffect::Value | LinkerEffect::Emulation | LinkerEffect::Format) => {
                    self.linker_pending = Some(effect);
                    false
                }
                LinkerEffect::NoLink => {
                    self.no_link.get_or_insert_with(|| arg.to_vec());
                    false
                }
                LinkerEffect::NotExecutable => true,
                effect @ LinkerEffect::NotExecutableValue => {
                    self.linker_pending = Some(effect);
                    true
                }
                LinkerEffect::Ours => {
                    self.linker_option_of_ours = true;
                    false
                }
                LinkerEffect::Input => {
                    self.inputs += 1;
                    self.startup_object |= STARTUP_OBJECTS
                        .contains(&arg.rsplit(|&byte| byte == b'/').next().unwrap_or(arg));
                    false
                }
            },
        };
        if not_executable {
            self.not_executable.get_or_insert_with(|| arg.to_vec());
        }
    }

    fn decide(self) -> Decision {
        let option = |name| Decision::Plain(Reason::Option(OsString::from_vec(name)));
        if let Some(name) = self.no_link {
            return option(name);
        }
        if self.inputs == 0 {
            return Decision::Plain(Reason::NoInput);
        }
        if self.inputs == self.headers {
            return Decision::Plain(Reason::HeadersOnly);
        }
        // Only mv-link understands its own options, so it gets every link that has one; it passes on what it cannot use.
        if !self.linker_option_of_ours {
            if let Some(name) = self.not_executable {
                return option(name);
            }
            if let Some(name) = self.no_start_files.filter(|_| !self.startup_object) {
                return option(name);
            }
            if let Some(name) = self.machine {
                return option(name);
            }
            if let Some(target) = self.target.filter(|target| !target_is_ours(target)) {
                return Decision::Plain(Reason::Target(OsString::from_vec(target)));
            }
            if self.null_output {
                return Decision::Plain(Reason::NullOutput);
            }
        }
        Decision::Link(self.linker)
    }
}

/// Whether `triple` names 64-bit x86 Linux with a C library that mv-link knows.
#[must_use]
pub fn target_is_ours(triple: &[u8]) -> bool {
    let mut parts = triple.split(|&byte| byte == b'-');
    let machine = parts.next().unwrap_or_default();
    let mut linux = false;
    for part in parts {
        if part.starts_with(b"android") || part.ends_with(b"x32") {
            return false;
        }
        linux |= part.starts_with(b"linux");
    }
    linux && (machine == b"amd64" || machine.starts_with(b"x86_64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(args: &[&str]) -> Decision {
        Plan::with_reader(&[], args.iter().map(OsString::from).collect(), &|_| {
            Response::Missing
        })
        .decision
    }

    fn links(args: &[&str]) -> bool {
        matches!(decide(args), Decision::Link(_))
    }

    #[test]
    fn targets() {
        for ours in [
            "x86_64-linux-gnu",
            "x86_64-unknown-linux-musl",
            "x86_64-pc-linux-gnu",
            "amd64-linux-gnu",
        ] {
            assert!(target_is_ours(ours.as_bytes()), "{ours}");
        }
        for other in [
            "aarch64-linux-gnu",
            "i686-linux-gnu",
            "x86_64-w64-mingw32",
            "x86_64-linux-gnux32",
            "x86_64-linux-android30",
            "x86_64-unknown-none",
            "x86_64-freebsd13",
            "",
        ] {
            assert!(!target_is_ours(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn the_last_of_machine_and_target_wins() {
        assert!(!links(&["a.c", "-m32"]));
        assert!(links(&["-m32", "a.c", "-m64"]));
        assert!(links(&[
            "a.c",
            "-target",
            "arm-none-eabi",
            "--target=x86_64-linux-gnu"
        ]));
    }

    #[test]
    fn values_are_not_options() {
        assert!(links(&["a.c", "-o", "-c"]));
        assert!(links(&["a.c", "-Xclang", "-fsyntax-only"]));
        assert!(links(&["a.c", "-Wl,-soname,-r"]));
        assert!(links(&["a.c", "-Xlinker", "-rpath", "-Xlinker", "-shared"]));
        assert!(!links(&["a.c", "-Xlinker", "-shared"]));
        assert!(!links(&["-o", "a.c"]));
    }

    #[test]
    fn own_options_are_stripped_where_options_stand() {
        let args = [
            "--mv-verbose",
            "a.c",
            "-o",
            "--mv-off",
            "-Xlinker",
            "--mv-x",
            "--",
            "--mv-y",
        ];
        let plan = Plan::with_reader(&[], args.iter().map(OsString::from).collect(), &|_| {
            Response::Missing
        });
        assert_eq!(plan.own, ["--mv-verbose"]);
        assert_eq!(plan.args, args[1..]);
    }

    #[test]
    fn options_of_the_linker_of_ours_are_routed_always() {
        assert!(links(&["-shared", "a.c", "-Wl,--mv-config=x"]));
        assert!(!links(&["-c", "a.c", "-Wl,--mv-config=x"]));
    }

    #[test]
    fn response_files() {
        let read = |path: &Path| match path.to_str() {
            Some("args") => Response::Text(b"-o 'a b' @more".to_vec()),
            Some("more") => Response::Text(b"x.o -shared".to_vec()),
            Some("self") => Response::Text(b"@self".to_vec()),
            Some("pipe") => Response::Opaque,
            _ => Response::Missing,
        };
        let decide = |args: &[&str]| {
            Plan::with_reader(&[], args.iter().map(OsString::from).collect(), &read).decision
        };
        assert_eq!(
            decide(&["@args"]),
            Decision::Plain(Reason::Option("-shared".into()))
        );
        assert!(matches!(decide(&["@self"]), Decision::Link(_)));
        assert!(matches!(decide(&["@pipe"]), Decision::Link(_)));
        assert!(matches!(decide(&["@missing"]), Decision::Link(_)));
        assert_eq!(
            decide(&["x.o", "-Wl,@more"]),
            Decision::Plain(Reason::Option("-shared".into()))
        );
    }

    #[test]
    fn linker_choice() {
        let Decision::Link(choice) = decide(&[
            "-B/a",
            "a.o",
            "-B",
            "/b",
            "-fuse-ld=gold",
            "--ld-path=/c/ld",
            "x.o",
        ]) else {
            panic!("a link");
        };
        assert_eq!(choice.prefixes, ["/a", "/b"]);
        assert_eq!(choice.name, Some("gold".into()));
        assert_eq!(choice.path, Some("/c/ld".into()));
        assert_eq!(choice.path_end, 6);
    }
}
