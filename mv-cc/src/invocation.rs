//! From a call of mv-cc to the one program that is executed in its place.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::compiler::Compiler;
use crate::environment::{Environment, SEEN};
use crate::linkdir;
use crate::options::{Model, Options};
use crate::plan::{Decision, LinkerChoice, Plan, Reason};

/// What a call of mv-cc comes to.
#[derive(Debug)]
pub enum Action {
    /// Print this on standard output.
    Print(String),
    /// Become this program.
    Run(Invocation),
}

/// A program to execute.
#[derive(Debug)]
pub struct Invocation {
    /// The compiler.
    pub compiler: Compiler,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables to set for it.
    pub variables: Vec<(&'static str, OsString)>,
    /// mv-link, if the link is routed, or why not.
    pub route: Result<PathBuf, Reason>,
    /// Whether to say so.
    pub verbose: bool,
}

impl Action {
    /// Decides what the call `argv` comes to.
    ///
    /// # Arguments
    /// `argv` includes `argv[0]`.
    ///
    /// # Errors
    /// See [`Error`]: bad `--mv-` options, no compiler, no mv-link, no place for the directory of its names.
    pub fn new(
        argv: impl IntoIterator<Item = OsString>,
        env: &Environment,
    ) -> Result<Action, Error> {
        let mut argv = argv.into_iter();
        let argv0 = argv.next().unwrap_or_else(|| "mv-cc".into());
        let args: Vec<OsString> = argv.collect();
        // Before the compiler is looked for: help must not depend on one.
        let options = own_options(&args)?;
        if options.help {
            return Ok(Action::Print(Options::help_text()));
        }
        if options.version {
            return Ok(Action::Print(Options::version_text()));
        }
        let compiler = Compiler::find(&argv0, env)?;
        let plan = Plan::new(compiler.preset(), args);
        let decision = if options.off || env.off {
            Decision::Plain(Reason::Off)
        } else {
            match compiler.foreign() {
                Some(reason) => Decision::Plain(reason),
                None => plan.decision,
            }
        };
        let mut invocation = Invocation {
            variables: vec![(SEEN, seen(env, &compiler.program))],
            compiler,
            args: plan.args,
            route: Err(Reason::Off),
            verbose: options.verbose,
        };
        match decision {
            Decision::Plain(reason) => invocation.route = Err(reason),
            Decision::Link(choice) => {
                let config = options
                    .config
                    .map(PathBuf::into_os_string)
                    .or_else(|| env.config.clone());
                invocation.route(&choice, config, options.model, env)?;
            }
        }
        Ok(Action::Run(invocation))
    }
}

/// Parses mv-cc's own options, if there are any.
fn own_options(args: &[OsString]) -> Result<Options, Error> {
    let prefix = crate::plan::OWN_PREFIX.as_bytes();
    if !args.iter().any(|arg| arg.as_bytes().starts_with(prefix)) {
        return Ok(Options::default());
    }
    Options::parse_own(Plan::new(&[], args.to_vec()).own)
}

fn seen(env: &Environment, program: &Path) -> OsString {
    let mut list = OsString::new();
    for path in env.seen.iter().map(PathBuf::as_path).chain([program]) {
        if !list.is_empty() {
            list.push(":");
        }
        list.push(path);
    }
    list
}

impl Invocation {
    /// Adds what makes the compiler run mv-link for `ld`.
    fn route(
        &mut self,
        choice: &LinkerChoice,
        config: Option<OsString>,
        model: Option<Model>,
        env: &Environment,
    ) -> Result<(), Error> {
        let mv_link = linkdir::find_mv_link(env)?;
        let directory = linkdir::provide(&mv_link, env)?;
        let mut prefix = OsString::from("-B");
        prefix.push(&directory);
        prefix.push("/");
        let mut real = None;
        // A path beats every search, and only Clang takes one: answer with a later path.
        if let Some(path) = choice.path.as_ref().filter(|_| !self.is_gcc()) {
            let mut option = OsString::from("--ld-path=");
            option.push(directory.join(linkdir::name_for(Path::new(path))));
            self.args.insert(choice.path_end, option);
            real = Some(path.clone());
        }
        // Ours must come first among several -B, so mv-link must be told what the next one would have given.
        if real.is_none() {
            real = linker_in_prefixes(choice, &mv_link);
        }
        let mut added = vec![prefix];
        if let Some(config) = config {
            // Not -Wl: that would split a file name at its commas.
            let mut option = OsString::from("--mv-config=");
            option.push(config);
            added.extend(["-Xlinker".into(), option]);
        }
        if let Some(model) = model {
            let mut option = OsString::from("--mv-model=");
            option.push(model.name());
            added.extend(["-Xlinker".into(), option]);
            if model == Model::Native {
                // No libc and no start files: the kernel calls hrt_main.
                added.extend(
                    [
                        "-ffreestanding",
                        "-DHRT_NATIVE",
                        "-nostdlib",
                        "-static",
                        "-Wl,-e,hrt_main",
                    ]
                    .map(Into::into),
                );
            }
        }
        self.args.splice(0..0, added);
        if let Some(real) = real.filter(|_| env.link_real.is_none()) {
            self.variables.push(("MV_LINK_REAL", real));
        }
        self.route = Ok(mv_link);
        Ok(())
    }

    /// Whether the compiler is GCC, as far as its file name tells.
    fn is_gcc(&self) -> bool {
        let resolved = self.compiler.program.canonicalize().unwrap_or_default();
        let name = resolved.file_name().unwrap_or_default().as_bytes();
        [&b"gcc"[..], b"g++"]
            .iter()
            .any(|gnu| name.windows(gnu.len()).any(|part| part == *gnu))
    }

    /// The command line in shell syntax, with what is set for it.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut line = match &self.route {
            Ok(mv_link) => format!("mv-cc: link through {}:", mv_link.display()),
            Err(reason) => format!("mv-cc: plain ({reason}):"),
        };
        for (name, value) in self.variables.iter().filter(|(name, _)| *name != SEEN) {
            let _ = write!(line, " {name}={}", quoted(value));
        }
        for word in std::iter::once(self.compiler.program.as_os_str())
            .chain(self.compiler.words.iter().map(OsString::as_os_str))
            .chain(self.args.iter().map(OsString::as_os_str))
        {
            let _ = write!(line, " {}", quoted(word));
        }
        line
    }

    /// Becomes the program.
    ///
    /// # Errors
    /// Returns only if that failed: [`Error::Exec`].
    pub fn exec(self) -> Error {
        let cause = Command::new(&self.compiler.program)
            .arg0(&self.compiler.arg0)
            .args(&self.compiler.words)
            .args(&self.args)
            .envs(self.variables)
            .exec();
        Error::Exec {
            program: self.compiler.program,
            cause,
        }
    }
}

/// The linker that the compiler would have found by the user's own `-B` options.
fn linker_in_prefixes(choice: &LinkerChoice, mv_link: &Path) -> Option<OsString> {
    let id = |path: &Path| {
        path.metadata()
            .ok()
            .filter(|m| m.is_file())
            .map(|m| (m.dev(), m.ino()))
    };
    let ours = id(mv_link);
    let mut name = OsString::from("ld");
    if let Some(kind) = &choice.name {
        name.push(".");
        name.push(kind);
    }
    choice.prefixes.iter().find_map(|prefix| {
        // Both compilers take a prefix for a directory, and for the start of a file name.
        let mut joined = prefix.clone();
        joined.push(&name);
        [Path::new(prefix).join(&name), joined.into()]
            .into_iter()
            .find(|file| id(file).is_some_and(|found| Some(found) != ours))
            .map(PathBuf::into_os_string)
    })
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+:,@%^".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_quoting() {
        assert_eq!(quoted(OsStr::new("-O2")), "-O2");
        assert_eq!(quoted(OsStr::new("a b")), "'a b'");
        assert_eq!(quoted(OsStr::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
    }
}
