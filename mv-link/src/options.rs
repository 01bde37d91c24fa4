//! The configuration file `multiverse.toml`: what it may say, and every mistake in it with its place.
//!
//! Nothing is accepted that would silently do nothing: names of kernel functions, system calls, sets, policies and keys are all
//! checked here; names of legacy functions are, against the program, in [`crate::resolve`].

use crate::error::{Error, Result};
use crate::sets::{self, Set};
use hrt_abi::config::{ARGS_MAX, CHANNEL_POLICIES, MEMORY_POLICIES, OVERRIDES_MAX};
use hrt_abi::functions::{self, FUNCTIONS};
use hrt_kernel::classes::{self, Class, TABLE_SIZE};
use hrt_kernel::names;
use hrt_kernel::platform::Platform;
use hrt_kernel::settings::microseconds;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in a configuration file; both numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A mistake in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { line, column } = self.place;
        write!(f, "{line}:{column}: {}", self.message)
    }
}

/// What a configuration file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The file, for messages.
    pub path: PathBuf,
    /// What the payload does when no environment variable says otherwise.
    pub options: Options,
    /// The outputs that it is for, with `*` for any characters; empty: all.
    pub programs: Vec<String>,
    /// Legacy functions and what runs in their place, those of sets included, in the order of their names.
    pub overrides: Vec<Override>,
    /// System calls, in the order of their numbers.
    pub calls: Vec<Call>,
    /// `[memory]`.
    pub memory: Policy,
    /// `[channel]`.
    pub channel: Policy,
    /// The set `pthread`: threads that the C library makes are kernel threads.
    pub threads: bool,
    /// `[threads] preempt`: how long a kernel thread may compute while others could execute, in microseconds; 0: nothing was said.
    pub preempt: u32,
}

/// The table `[options]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// As `HRT_PLATFORM`.
    pub platform: Option<Platform>,
}

/// A table that has nothing but a `policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Index in the names that it may have.
    pub policy: Option<usize>,
}

/// What runs in place of a legacy function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The legacy function.
    pub name: String,
    /// Where the file names it, or its set.
    pub place: Place,
    /// Number of the kernel function.
    pub function: usize,
    /// The kernel function's arguments; `None`: as they are.
    pub args: Option<Vec<Argument>>,
    /// A program without the function is fine.
    pub optional: bool,
    /// The shipped set that it is of.
    pub set: Option<&'static str>,
}

/// An argument of a kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The legacy function's argument of this number, from 0.
    Index(u8),
    /// A constant.
    Constant(i64),
}

/// How a system call is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: usize,
    /// How.
    pub policy: CallPolicy,
}

/// See [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallPolicy {
    /// By Linux.
    Forward,
    /// By the kernel.
    Local,
    /// Not at all: it fails with this error number.
    Deny(u16),
}

/// The longest name of a function; the payload's report has room for as many as there may be.
const NAME_MAX: usize = 256;

/// Calls that end a process, a thread or a signal handler: without them it could only crash.
const NEVER_DENIED: &[&str] = &["exit", "exit_group", "rt_sigreturn"];

/// Names that build systems give to programs with which they try out the compiler: autoconf, CMake, Meson.
const PROBES: &[&str] = &[
    "conftest*",
    "cmTC_*",
    "CMakeC*CompilerId*",
    "sanitycheck*.exe",
];
/// The name of a program that was not given one, by autoconf's first trial among others.
const UNNAMED: &str = "a.out";

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Config`] if it says something wrong.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path, "cannot read"))?;
        let config = Config::parse(&text).map_err(|mistake| Error::Config {
            path: path.to_owned(),
            mistake,
        })?;
        Ok(Config {
            path: path.to_owned(),
            ..config
        })
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(text: &str) -> Result<Config, Mistake> {
        Reader { text }.config()
    }

    /// What of it is for an output of this name: all, nothing but `[options]`, or all that the output has functions for.
    #[must_use]
    pub fn for_output(mut self, output: &Path) -> Config {
        let name = output
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let named = self.programs.iter().any(|p| matches(p, &name));
        let probe = PROBES.iter().any(|p| matches(p, &name));
        if !named && (probe || !self.programs.is_empty()) {
            return Config {
                path: self.path,
                options: self.options,
                ..Config::default()
            };
        }
        if !named && name == UNNAMED {
            for o in &mut self.overrides {
                o.optional = true;
            }
        }
        self
    }

    /// The canonical text for the note, such as `platform = "hosted"`: one `key = value` a line, nothing else. Empty without options.
    #[must_use]
    pub fn text(&self) -> String {
        self.options
            .platform
            .map_or_else(String::new, |p| format!("platform = \"{}\"\n", p.name()))
    }

    /// A mistake at `place` of this file.
    #[must_use]
    pub fn mistake(&self, place: Place, message: String) -> Error {
        Error::Config {
            path: self.path.clone(),
            mistake: Mistake { place, message },
        }
    }
}

/// Whether `name` is as `pattern` says, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
            starts.into_iter().any(|i| matches(tail, &rest[i..]))
        }),
    }
}

/// ` (did you mean 'X'?)` for the most similar of `known`, or nothing.
#[must_use]
pub fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .filter(|(distance, k)| *distance <= (k.len().max(name.len()) / 3).max(1))
        .min()
        .map_or_else(String::new, |(_, k)| format!(" (did you mean '{k}'?)"))
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<String> = names.into_iter().map(|n| format!("'{n}'")).collect();
    list.join(", ")
}

/// The number of system call `name`.
fn call_number(name: &str) -> Option<usize> {
    (0..TABLE_SIZE).find(|&n| names::name(n) == Some(name))
}

fn errors() -> impl Iterator<Item = (u16, &'static str)> {
    (1..134u16).filter_map(|e| Some((e, names::error(i32::from(e))?)))
}

type Value<'a> = Spanned<DeValue<'a>>;
type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        Place {
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or("").chars().count() + 1,
        }
    }

    fn err<T>(&self, span: Range<usize>, message: impl Into<String>) -> Result<T, Mistake> {
        Err(Mistake {
            place: self.place(&span),
            message: message.into(),
        })
    }

    fn config(&self) -> Result<Config, Mistake> {
        let root = DeTable::parse(self.text).map_err(|e| Mistake {
            place: self.place(&e.span().unwrap_or_default()),
            message: e.message().to_owned(),
        })?;
        let mut config = Config::default();
        for (key, value) in root.get_ref().iter() {
            match key.get_ref().as_ref() {
                "options" => config.options = self.options(value)?,
                "sets" => self.sets(value, &mut config)?,
                "programs" => config.programs = self.strings(value)?,
                "overrides" => {
                    for (name, value) in self.table(value)?.iter() {
                        config.overrides.push(self.entry(name, value)?);
                    }
                }
                "syscalls" => {
                    for (name, value) in self.table(value)?.iter() {
                        config.calls.push(self.call(name, value)?);
                    }
                }
                "memory" => config.memory = self.policy(value, MEMORY_POLICIES)?,
                "channel" => config.channel = self.policy(value, CHANNEL_POLICIES)?,
                "threads" => config.preempt = self.threads(value)?,
                other => {
                    let known = [
                        "options",
                        "sets",
                        "programs",
                        "overrides",
                        "syscalls",
                        "memory",
                        "channel",
                        "threads",
                    ];
                    return self.err(
                        key.span(),
                        format!("unknown key '{other}'{}", suggestion(other, known)),
                    );
                }
            }
        }
        config.overrides.sort_by(|a, b| a.name.cmp(&b.name));
        for pair in config.overrides.windows(2) {
            if pair[0].name == pair[1].name {
                let own = if pair[0].set.is_none() {
                    &pair[0]
                } else {
                    &pair[1]
                };
                let set = pair[0].set.or(pair[1].set).unwrap_or_default();
                return Err(Mistake {
                    place: own.place,
                    message: format!("'{}' is in the set '{set}' already", own.name),
                });
            }
        }
        config.calls.sort_by_key(|c| c.number);
        if config.overrides.len() > OVERRIDES_MAX {
            return Err(Mistake {
                place: config.overrides[OVERRIDES_MAX].place,
                message: format!("more than {OVERRIDES_MAX} overrides"),
            });
        }
        Ok(config)
    }

    fn table<'t>(&self, value: &'t Value<'a>) -> Result<&'t DeTable<'a>, Mistake> {
        match value.get_ref() {
            DeValue::Table(t) => Ok(t),
            _ => self.err(value.span(), "this must be a table"),
        }
    }

    fn string<'t>(&self, value: &'t Value<'a>) -> Result<&'t str, Mistake> {
        match value.get_ref() {
            DeValue::String(s) => Ok(s),
            _ => self.err(value.span(), "this must be a string"),
        }
    }

    fn strings(&self, value: &Value<'a>) -> Result<Vec<String>, Mistake> {
        match value.get_ref() {
            DeValue::Array(list) => list
                .iter()
                .map(|v| self.string(v).map(str::to_owned))
                .collect(),
            _ => self.err(value.span(), "this must be a list of strings"),
        }
    }

    /// The mistake of a key that is none of `known`.
    fn unknown_key<T>(&self, key: &Key<'a>, known: &[&str]) -> Result<T, Mistake> {
        let name = key.get_ref();
        let near = suggestion(name, known.iter().copied());
        self.err(key.span(), format!("unknown key '{name}'{near}"))
    }

    fn options(&self, value: &Value<'a>) -> Result<Options, Mistake> {
        let mut options = Options::default();
        for (key, value) in self.table(value)?.iter() {
            match key.get_ref().as_ref() {
                "platform" => {
                    let name = self.string(value)?;
                    match Platform::from_name(name.as_bytes()) {
                        Some(p) => options.platform = Some(p),
                        None => {
                            let all = ["auto", "kvm", "hosted", "native"];
                            return self.one_of(value, "platform", name, &all);
                        }
                    }
                }
                _ => return self.unknown_key(key, &["platform"]),
            }
        }
        Ok(options)
    }

    fn one_of<T>(
        &self,
        value: &Value<'a>,
        what: &str,
        name: &str,
        known: &[&str],
    ) -> Result<T, Mistake> {
        let near = suggestion(name, known.iter().copied());
        self.err(
            value.span(),
            format!(
                "unknown {what} '{name}'{near}; there are {}",
                quoted(known.iter().copied())
            ),
        )
    }

    fn policy(&self, value: &Value<'a>, known: &[&str]) -> Result<Policy, Mistake> {
        let mut policy = Policy::default();
        for (key, value) in self.table(value)?.iter() {
            if key.get_ref() != "policy" {
                return self.unknown_key(key, &["policy"]);
            }
            let name = self.string(value)?;
            policy.policy = known.iter().position(|k| *k == name);
            if policy.policy.is_none() {
                return self.one_of(value, "policy", name, known);
            }
        }
        Ok(policy)
    }

    fn threads(&self, value: &Value<'a>) -> Result<u32, Mistake> {
        let mut preempt = 0;
        for (key, value) in self.table(value)?.iter() {
            if key.get_ref() != "preempt" {
                return self.unknown_key(key, &["preempt"]);
            }
            let time = self.string(value)?;
            let Some(us) = microseconds(time.as_bytes()) else {
                let message = format!("'{time}' is no time (as in preempt = \"10ms\"; us, ms, s)");
                return self.err(value.span(), message);
            };
            preempt = us;
        }
        Ok(preempt)
    }

    fn sets(&self, value: &Value<'a>, config: &mut Config) -> Result<(), Mistake> {
        let DeValue::Array(list) = value.get_ref() else {
            return self.err(value.span(), "this must be a list of strings");
        };
        let mut named: Vec<&'static Set> = Vec::new();
        for value in list.iter() {
            let name = self.string(value)?;
            let Some(set) = sets::find(name) else {
                let known: Vec<&str> = sets::SETS.iter().map(|s| s.name).collect();
                return self.one_of(value, "set", name, &known);
            };
            if named.iter().any(|s| s.name == set.name) {
                return self.err(value.span(), format!("the set '{name}' is named twice"));
            }
            named.push(set);
            config.threads |= set.threads;
            for &(legacy, function) in set.overrides {
                // A test of `sets` has found all of them.
                let Some(function) = functions::number(function) else {
                    continue;
                };
                config.overrides.push(Override {
                    name: legacy.to_owned(),
                    place: self.place(&value.span()),
                    function,
                    args: None,
                    optional: true,
                    set: Some(set.name),
                });
            }
        }
        Ok(())
    }

    fn function(&self, value: &Value<'a>) -> Result<usize, Mistake> {
        let name = self.string(value)?;
        match functions::number(name) {
            Some(n) => Ok(n),
            None => {
                let near = suggestion(name, FUNCTIONS.iter().map(|f| f.name));
                self.err(
                    value.span(),
                    format!("unknown kernel function '{name}'{near}"),
                )
            }
        }
    }

    fn entry(&self, key: &Key<'a>, value: &Value<'a>) -> Result<Override, Mistake> {
        let name = key.get_ref();
        let odd = |c: char| c.is_control() || c.is_whitespace() || c == '"' || c == '\\';
        if name.is_empty() || name.len() > NAME_MAX || name.contains(odd) {
            return self.err(key.span(), "this is no name of a function");
        }
        let mut o = Override {
            name: name.clone().into_owned(),
            place: self.place(&key.span()),
            function: 0,
            args: None,
            optional: false,
            set: None,
        };
        match value.get_ref() {
            DeValue::String(_) => o.function = self.function(value)?,
            DeValue::Table(table) => {
                let mut function = None;
                let mut list = None;
                for (key, value) in table.iter() {
                    match (key.get_ref().as_ref(), value.get_ref()) {
                        ("function", _) => function = Some(self.function(value)?),
                        ("args", DeValue::Array(_)) => {
                            list = Some(value.span());
                            o.args = Some(self.arguments(value)?);
                        }
                        ("optional", DeValue::Boolean(b)) => o.optional = *b,
                        ("args", _) => {
                            return self.err(value.span(), "this must be a list of arguments");
                        }
                        ("optional", _) => {
                            return self.err(value.span(), "this must be true or false");
                        }
                        _ => return self.unknown_key(key, &["function", "args", "optional"]),
                    }
                }
                let Some(function) = function else {
                    return self.err(
                        value.span(),
                        format!("'{name}' lacks its kernel function (function = \"hrt_...\")"),
                    );
                };
                o.function = function;
                if let (Some(args), Some(span)) = (&o.args, list) {
                    let f = FUNCTIONS[function];
                    if args.len() != usize::from(f.args) {
                        return self.err(
                            span,
                            format!(
                                "'{}' takes {} argument{}, not {}",
                                f.name,
                                f.args,
                                if f.args == 1 { "" } else { "s" },
                                args.len()
                            ),
                        );
                    }
                }
            }
            _ => {
                return self.err(
                    value.span(),
                    "this must be the name of a kernel function, or a table with one",
                );
            }
        }
        Ok(o)
    }

    fn arguments(&self, value: &Value<'a>) -> Result<Vec<Argument>, Mistake> {
        let DeValue::Array(list) = value.get_ref() else {
            return self.err(value.span(), "this must be a list of arguments");
        };
        let integer = |v: &Value<'a>| match v.get_ref() {
            DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok(),
            _ => None,
        };
        let one = |v: &Value<'a>| {
            if let DeValue::Table(table) = v.get_ref() {
                if let [(key, constant)] = &table.iter().collect::<Vec<_>>()[..] {
                    if key.get_ref() == "constant" {
                        return match integer(constant) {
                            Some(c) => Ok(Argument::Constant(c)),
                            None => {
                                self.err(constant.span(), "a constant is an integer of 64 bits")
                            }
                        };
                    }
                }
                return self.err(v.span(), "an argument is a number, or { constant = N }");
            }
            match integer(v) {
                Some(i) if (0..ARGS_MAX as i64).contains(&i) => Ok(Argument::Index(i as u8)),
                Some(i) => self.err(
                    v.span(),
                    format!(
                        "there is no argument {i}: a legacy function's arguments 0 to {} are in registers (a constant is written {{ constant = {i} }})",
                        ARGS_MAX - 1
                    ),
                ),
                None => self.err(v.span(), "an argument is a number, or { constant = N }"),
            }
        };
        list.iter().map(one).collect()
    }

    fn call(&self, key: &Key<'a>, value: &Value<'a>) -> Result<Call, Mistake> {
        let name = key.get_ref().as_ref();
        let Some(number) = call_number(name) else {
            let near = suggestion(name, (0..TABLE_SIZE).filter_map(names::name));
            return self.err(key.span(), format!("unknown system call '{name}'{near}"));
        };
        let policy = match value.get_ref() {
            DeValue::String(s) => match s.as_ref() {
                "local" if classes::class(number) != Class::Local => {
                    let served = (0..TABLE_SIZE).filter(|&n| classes::class(n) == Class::Local);
                    return self.err(
                        value.span(),
                        format!(
                            "the kernel does not serve '{name}' alone; it does {}",
                            quoted(served.filter_map(names::name))
                        ),
                    );
                }
                "local" => CallPolicy::Local,
                "forward" if classes::class(number) == Class::Mediated => {
                    return self.err(
                        value.span(),
                        format!(
                            "'{name}' needs the kernel's own work besides Linux's, and cannot be just forwarded"
                        ),
                    );
                }
                "forward" => CallPolicy::Forward,
                other => {
                    return self
                        .one_of(value, "policy", other, &["local", "forward"])
                        .map_err(|m| Mistake {
                            message: format!("{}, or {{ deny = \"EPERM\" }}", m.message),
                            ..m
                        });
                }
            },
            DeValue::Table(table) => {
                let [(key, error)] = &table.iter().collect::<Vec<_>>()[..] else {
                    return self.err(value.span(), "this must be { deny = \"EPERM\" }");
                };
                if key.get_ref() != "deny" {
                    return self.unknown_key(key, &["deny"]);
                }
                let text = self.string(error)?;
                if NEVER_DENIED.contains(&name) {
                    return self.err(
                        value.span(),
                        format!("'{name}' cannot be denied: it does not return"),
                    );
                }
                match errors().find(|(_, n)| *n == text) {
                    Some((e, _)) => CallPolicy::Deny(e),
                    None => {
                        let near = suggestion(text, errors().map(|(_, n)| n));
                        return self.err(error.span(), format!("unknown error '{text}'{near}"));
                    }
                }
            }
            _ => {
                return self.err(
                    value.span(),
                    "this must be \"local\", \"forward\" or { deny = \"EPERM\" }",
                );
            }
        };
        Ok(Call { number, policy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good() {
        assert_eq!(Config::parse("").expect("empty").text(), "");
        let c = Config::parse("[options]\nplatform = 'hosted' # why\n[overrides]\n").expect("good");
        assert_eq!(c.text(), "platform = \"hosted\"\n");
        let c = Config::parse(
            "sets = ['time']\nprograms = ['a*']\n[overrides]\nf = 'hrt_cycles'\n\
             g = { function = 'hrt_calloc', args = [1, { constant = -8 }], optional = true }\n\
             [syscalls]\ngetpid = 'forward'\nptrace = { deny = 'EPERM' }\n\
             [memory]\npolicy = 'linux'\n[channel]\npolicy = 'exit'\n",
        )
        .expect("good");
        let names: Vec<&str> = c.overrides.iter().map(|o| o.name.as_str()).collect();
        assert_eq!(names, ["clock_gettime", "f", "g", "gettimeofday", "time"]);
        assert_eq!(
            c.overrides[2].args.as_deref(),
            Some(&[Argument::Index(1), Argument::Constant(-8)][..])
        );
        assert_eq!(
            (c.overrides[1].place.line, c.overrides[1].place.column),
            (4, 1)
        );
        assert_eq!(c.calls[0].policy, CallPolicy::Forward);
        assert_eq!(
            (c.calls[1].number, c.calls[1].policy),
            (101, CallPolicy::Deny(1))
        );
        assert_eq!((c.memory.policy, c.channel.policy), (Some(0), Some(1)));
    }

    #[test]
    fn mistakes_have_places_and_suggestions() {
        for (text, says) in [
            (
                "[options]\nplatfrom = 'kvm'",
                "2:1: unknown key 'platfrom' (did you mean 'platform'?)",
            ),
            (
                "[options]\nplatform = 'cuda'",
                "2:12: unknown platform 'cuda'; there are",
            ),
            (
                "[option]",
                "1:2: unknown key 'option' (did you mean 'options'?)",
            ),
            ("x", "1:2: "),
            (
                "[overrides]\na = 'hrt_cycle'",
                "2:5: unknown kernel function 'hrt_cycle' (did you mean 'hrt_cycles'?)",
            ),
            (
                "[overrides]\na = 'zzz'",
                "2:5: unknown kernel function 'zzz'",
            ),
            ("[overrides]\na = 3", "2:5: this must be the name"),
            ("[overrides]\n'a b' = 'hrt_cycles'", "2:1: this is no name"),
            ("[overrides]\na = { func = 'f' }", "2:7: unknown key 'func'"),
            (
                "[overrides]\na = { args = [] }",
                "2:5: 'a' lacks its kernel function",
            ),
            (
                "[overrides]\na = { function = 'hrt_free', args = [] }",
                "2:37: 'hrt_free' takes 1 argument, not 0",
            ),
            (
                "[overrides]\na = { function = 'hrt_free', args = [6] }",
                "2:38: there is no argument 6",
            ),
            (
                "[overrides]\na = { function = 'hrt_free', args = [-1] }",
                "there is no argument -1",
            ),
            (
                "[overrides]\na = { function = 'hrt_free', args = ['x'] }",
                "an argument is a number",
            ),
            (
                "[overrides]\na = { function = 'hrt_free', args = [{ constant = 9223372036854775808 }] }",
                "64 bits",
            ),
            (
                "[overrides]\na = 'hrt_seconds'\na = 'hrt_seconds'",
                "3:1: duplicate key",
            ),
            (
                "sets = ['time']\n[overrides]\ntime = 'hrt_cycles'",
                "3:1: 'time' is in the set 'time' already",
            ),
            (
                "sets = ['tme']",
                "1:9: unknown set 'tme' (did you mean 'time'?)",
            ),
            (
                "sets = ['time', 'time']",
                "1:17: the set 'time' is named twice",
            ),
            (
                "[syscalls]\nopenta = 'forward'",
                "2:1: unknown system call 'openta' (did you mean 'openat'?)",
            ),
            (
                "[syscalls]\nread = 'local'",
                "2:8: the kernel does not serve 'read' alone; it does 'getpid'",
            ),
            (
                "[syscalls]\nmmap = 'forward'",
                "'mmap' needs the kernel's own work",
            ),
            ("[syscalls]\nread = 'refuse'", "or { deny"),
            (
                "[syscalls]\nread = { deny = 'EPREM' }",
                "2:17: unknown error 'EPREM' (did you mean 'EPERM'?)",
            ),
            (
                "[syscalls]\nexit_group = { deny = 'EPERM' }",
                "cannot be denied",
            ),
            (
                "[memory]\npolicy = 'areana'",
                "2:10: unknown policy 'areana' (did you mean 'arena'?)",
            ),
            ("[channel]\nmode = 'exit'", "2:1: unknown key 'mode'"),
            ("[threads]\nslice = '1ms'", "2:1: unknown key 'slice'"),
            ("[threads]\npreempt = '10'", "2:11: '10' is no time"),
        ] {
            let e = Config::parse(text).expect_err(text).to_string();
            assert!(e.contains(says), "{text}: {e}");
        }
    }

    #[test]
    fn for_whom() {
        let c = |text: &str, output: &str| {
            Config::parse(text)
                .expect("good")
                .for_output(Path::new(output))
        };
        let all = "[options]\nplatform = 'hosted'\n[overrides]\nf = 'hrt_cycles'\n";
        assert_eq!(c(all, "d/lua").overrides.len(), 1);
        assert!(!c(all, "d/lua").overrides[0].optional);
        assert!(c(all, "a.out").overrides[0].optional);
        for probe in ["conftest", "x/conftest.exe", "cmTC_12ab3"] {
            assert!(c(all, probe).overrides.is_empty());
            assert_eq!(c(all, probe).text(), "platform = \"hosted\"\n");
        }
        let some = "programs = ['lua', 'py*3', 'a.out']\n[overrides]\nf = 'hrt_cycles'\n";
        assert_eq!(c(some, "lua").overrides.len(), 1);
        assert_eq!(c(some, "python3").overrides.len(), 1);
        assert!(c(some, "luac").overrides.is_empty());
        assert!(!c(some, "a.out").overrides[0].optional);
    }
}
