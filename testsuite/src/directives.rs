//! What a program says of itself in the `//@` comments at its top.
//!
//! | directive | meaning | default |
//! | --- | --- | --- |
//! | `args: A B` | arguments, split at blanks | none |
//! | `stdin: TEXT` | standard input, `\n` for a line end | empty |
//! | `variants: V...` | linkage kinds, see [`Variant`]; the first one is traced too | `dynamic-pie` |
//! | `exit: N` | exit status | 0 |
//! | `signal: SIGNAME` | dies by this signal | none |
//! | `stats: KEY OP N` | holds of a line of the statistics, or of their sum; may be repeated | |
//! | `ring0-stats: KEY OP N` | the same, where it runs in ring 0 | |
//! | `stats: none WHY` | the program's end leaves no statistics | |
//! | `limit: N` | seconds until it is ended as hung | 20 |
//! | `env: K=V` | one more environment variable; may be repeated | |
//! | `flags: F...` | for the compiler, after the source | none |
//! | `toml: LINE` | a line of the hybrid's configuration file; may be repeated | none |
//! | `with: OUT = SRC FLAGS...` | builds `lib/SRC` plainly to `OUT` (`*.so`: shared) in the run's directory; may be repeated | |
//! | `model: M` | the hybrid's usage model (`--mv-model`; C and C++) | incremental |
//! | `files: F...` | files made by the program, compared | none |
//! | `hosted-line: OLD => NEW` | a documented difference: this line of output is another one on `hosted` | |
//! | `no-trace: WHY` | not run with `HRT_TRACE`, skipped with this reason | |
//! | `kvm-line: OLD => NEW` | the same on `kvm` | |
//! | `no-kvm: WHY` | not run on `kvm`, skipped with this reason | |
//! | `native-only: WHY` | not run on the hosted platform, skipped with this reason | |

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::time::Duration;

/// How a program is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Dynamic, position-independent: the compilers' default.
    DynamicPie,
    /// Dynamic, at a fixed address.
    NoPie,
    /// Static, at a fixed address.
    Static,
    /// Static, position-independent.
    StaticPie,
    /// Static, with musl (C only).
    Musl,
}

impl Variant {
    /// Every kind.
    pub const ALL: [Variant; 5] = [
        Variant::DynamicPie,
        Variant::NoPie,
        Variant::Static,
        Variant::StaticPie,
        Variant::Musl,
    ];

    /// Its name in directives and in test names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Variant::DynamicPie => "dynamic-pie",
            Variant::NoPie => "no-pie",
            Variant::Static => "static",
            Variant::StaticPie => "static-pie",
            Variant::Musl => "musl",
        }
    }

    fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|v| v.name() == s)
    }
}

/// A comparison of a number in the statistics, as `by_number.39.local >= 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsCheck {
    key: String,
    op: String,
    want: u64,
}

impl StatsCheck {
    fn parse(s: &str) -> Result<Self> {
        let parts: Vec<&str> = s.split_whitespace().collect();
        let [key, op, want] = parts[..] else {
            bail!("want KEY OP NUMBER, have {s:?}");
        };
        ensure!(
            [">=", "<=", "=="].contains(&op),
            "unknown comparison {op:?}"
        );
        Ok(StatsCheck {
            key: key.to_owned(),
            op: op.to_owned(),
            want: want.parse().context("the number to compare with")?,
        })
    }

    /// Tells whether the sum over all process images fulfils the comparison; if not, says why.
    pub fn check(&self, lines: &[Value]) -> Result<()> {
        let have: u64 = lines.iter().map(|line| lookup(line, &self.key)).sum();
        let fine = match self.op.as_str() {
            ">=" => have >= self.want,
            "<=" => have <= self.want,
            _ => have == self.want,
        };
        ensure!(
            fine,
            "statistics: {} is {have}, want {} {}",
            self.key,
            self.op,
            self.want
        );
        Ok(())
    }
}

/// The number at a dotted path; `local`, `forwarded` and `mediated` index the triples of `by_number`. Absent is 0.
fn lookup(line: &Value, key: &str) -> u64 {
    let mut at = line;
    for part in key.split('.') {
        let index = match (at, part) {
            (Value::Array(_), "local") => Some(0),
            (Value::Array(_), "forwarded") => Some(1),
            (Value::Array(_), "mediated") => Some(2),
            _ => None,
        };
        let next = match index {
            Some(i) => at.get(i),
            None => at.get(part),
        };
        match next {
            Some(v) => at = v,
            None => return 0,
        }
    }
    match at {
        Value::Array(a) => a.iter().filter_map(Value::as_u64).sum(),
        v => v.as_u64().unwrap_or(0),
    }
}

/// A helper that is built plainly into the run's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Helper {
    /// Its name there.
    pub out: String,
    /// Its source under `programs/lib`.
    pub source: String,
    /// Flags for the compiler.
    pub flags: Vec<String>,
}

/// All that a program says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// Arguments.
    pub args: Vec<String>,
    /// Standard input.
    pub stdin: String,
    /// Linkage kinds.
    pub variants: Vec<Variant>,
    /// The exit status it must have, unless `signal`.
    pub exit: i32,
    /// The signal it must die by.
    pub signal: Option<i32>,
    /// What the statistics must show.
    pub stats: Vec<StatsCheck>,
    /// What they must show in ring 0.
    pub ring0_stats: Vec<StatsCheck>,
    /// No statistics are to be expected.
    pub no_stats: bool,
    /// When it counts as hung.
    pub limit: Duration,
    /// More environment variables.
    pub env: Vec<(String, String)>,
    /// Flags for the compiler.
    pub flags: Vec<String>,
    /// The configuration file of the hybrid.
    pub toml: String,
    /// The hybrid's usage model.
    pub model: Option<String>,
    /// Helpers to build.
    pub with: Vec<Helper>,
    /// Files to compare.
    pub files: Vec<String>,
    /// Documented differences of the hosted platform.
    pub hosted_lines: Vec<(String, String)>,
    /// Documented differences of the kvm platform.
    pub kvm_lines: Vec<(String, String)>,
    /// Why it is not run on the kvm platform.
    pub no_kvm: Option<String>,
    /// Why it is run on no platform but native.
    pub native_only: Option<String>,
    /// Why it is not run with a trace.
    pub no_trace: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Directives {
            args: Vec::new(),
            stdin: String::new(),
            variants: vec![Variant::DynamicPie],
            exit: 0,
            signal: None,
            stats: Vec::new(),
            ring0_stats: Vec::new(),
            no_stats: false,
            limit: Duration::from_secs(20),
            env: Vec::new(),
            flags: Vec::new(),
            toml: String::new(),
            model: None,
            with: Vec::new(),
            files: Vec::new(),
            hosted_lines: Vec::new(),
            kvm_lines: Vec::new(),
            no_kvm: None,
            native_only: None,
            no_trace: None,
        }
    }
}

/// `OLD => NEW`.
fn replacement(value: &str) -> Result<(String, String)> {
    let (old, new) = value.split_once("=>").context("want OLD => NEW")?;
    Ok((old.trim().to_owned(), new.trim().to_owned()))
}

fn words(s: &str) -> Vec<String> {
    s.split_whitespace().map(str::to_owned).collect()
}

/// Numbers of the signals by which a program of the corpus may die.
#[must_use]
pub fn signal_number(name: &str) -> Option<i32> {
    Some(match name {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        "SIGQUIT" => 3,
        "SIGILL" => 4,
        "SIGTRAP" => 5,
        "SIGABRT" => 6,
        "SIGBUS" => 7,
        "SIGFPE" => 8,
        "SIGKILL" => 9,
        "SIGUSR1" => 10,
        "SIGSEGV" => 11,
        "SIGUSR2" => 12,
        "SIGPIPE" => 13,
        "SIGALRM" => 14,
        "SIGTERM" => 15,
        "SIGXCPU" => 24,
        "SIGSYS" => 31,
        _ => return None,
    })
}

impl Directives {
    /// Reads the `//@` lines of a source.
    pub fn parse(source: &str) -> Result<Self> {
        let mut d = Directives::default();
        for (i, line) in source.lines().enumerate() {
            let Some(rest) = line.strip_prefix("//@") else {
                continue;
            };
            let (key, value) = rest
                .trim()
                .split_once(':')
                .with_context(|| format!("line {}: no colon in the directive", i + 1))?;
            d.set(key.trim(), value.trim())
                .with_context(|| format!("line {}: {key}", i + 1))?;
        }
        Ok(d)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "args" => self.args = words(value),
            "stdin" => self.stdin = value.replace("\\n", "\n"),
            "variants" => {
                self.variants = value
                    .split_whitespace()
                    .map(|v| Variant::parse(v).with_context(|| format!("unknown variant {v:?}")))
                    .collect::<Result<_>>()?;
                ensure!(!self.variants.is_empty(), "no variant");
            }
            "exit" => self.exit = value.parse()?,
            "signal" => self.signal = Some(signal_number(value).context("unknown signal")?),
            "stats" if value.starts_with("none") => self.no_stats = true,
            "stats" => self.stats.push(StatsCheck::parse(value)?),
            "ring0-stats" => self.ring0_stats.push(StatsCheck::parse(value)?),
            "limit" => self.limit = Duration::from_secs(value.parse()?),
            "env" => {
                let (k, v) = value.split_once('=').context("want NAME=VALUE")?;
                self.env.push((k.to_owned(), v.to_owned()));
            }
            "model" => self.model = Some(value.to_owned()),
            "flags" => self.flags.extend(words(value)),
            "toml" => {
                self.toml.push_str(value);
                self.toml.push('\n');
            }
            "with" => {
                let (out, rest) = value.split_once('=').context("want OUT = SOURCE FLAGS")?;
                let mut rest = words(rest).into_iter();
                self.with.push(Helper {
                    out: out.trim().to_owned(),
                    source: rest.next().context("no source")?,
                    flags: rest.collect(),
                });
            }
            "files" => self.files.extend(words(value)),
            "hosted-line" => self.hosted_lines.push(replacement(value)?),
            "kvm-line" => self.kvm_lines.push(replacement(value)?),
            "no-kvm" => self.no_kvm = Some(value.to_owned()),
            "no-trace" => self.no_trace = Some(value.to_owned()),
            "native-only" => self.native_only = Some(value.to_owned()),
            _ => bail!("unknown directive"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_directive_is_read() {
        let d = Directives::parse(
            "// A comment.\n//@ args: a b\n//@ stdin: x\\ny\n//@ variants: static musl\n//@ exit: 3\n//@ limit: 5\n\
             //@ env: A=b=c\n//@ flags: -pthread\n//@ model: native\n//@ files: f\n//@ with: l.so = l.c -O2\n//@ hosted-line: a => b\n\
             //@ toml: [a]\n//@ toml: b = 'c: d'\n\
             //@ stats: by_number.39.local >= 1\n//@ ring0-stats: exits <= 9\n//@ stats: none it dies\n//@ signal: SIGSEGV\nint main;\n",
        )
        .unwrap();
        assert_eq!(d.args, ["a", "b"]);
        assert_eq!(d.stdin, "x\ny");
        assert_eq!(d.variants, [Variant::Static, Variant::Musl]);
        assert_eq!((d.exit, d.signal), (3, Some(11)));
        assert_eq!(d.limit, Duration::from_secs(5));
        assert_eq!(d.env, [("A".to_owned(), "b=c".to_owned())]);
        assert_eq!(d.with[0].source, "l.c");
        assert_eq!(d.toml, "[a]\nb = 'c: d'\n");
        assert_eq!(d.model.as_deref(), Some("native"));
        assert_eq!(d.hosted_lines, [("a".to_owned(), "b".to_owned())]);
        assert!(d.no_stats && d.stats.len() == 1 && d.ring0_stats.len() == 1);
    }

    #[test]
    fn mistakes_are_named() {
        for bad in [
            "//@ nonsense: 1",
            "//@ exit",
            "//@ exit: x",
            "//@ variants: pie",
            "//@ stats: a > 1",
            "//@ signal: SIGFOO",
        ] {
            assert!(Directives::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn statistics_are_summed_over_process_images() {
        let lines = [
            json!({"by_number": {"39": [2, 0, 1]}, "signals": 1}),
            json!({"by_number": {"39": [3, 4, 0]}, "signals": 2}),
        ];
        let holds = |s: &str| StatsCheck::parse(s).unwrap().check(&lines).is_ok();
        assert!(holds("by_number.39.local == 5"));
        assert!(holds("by_number.39 == 10"));
        assert!(holds("signals >= 3"));
        assert!(holds("by_number.60.mediated == 0"));
        assert!(!holds("signals <= 2"));
    }
}
