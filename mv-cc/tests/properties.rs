//! Properties that hold for every command line.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use mv_cc::environment::Environment;
use mv_cc::flags::{TABLE, lookup};
use mv_cc::invocation::Action;
use mv_cc::plan::{Decision, OWN_PREFIX, Plan};
use mv_cc::response::{self, Response};
use proptest::prelude::*;

/// Arguments that are likely to mean something, and arbitrary bytes.
fn argument() -> impl Strategy<Value = OsString> {
    let word = prop_oneof![
        Just("a.c"),
        Just("b.o"),
        Just("-"),
        Just("--"),
        Just("@args"),
        Just("@self"),
        Just("@pipe"),
        Just("@gone"),
        Just("x.h"),
        Just("/dev/null"),
        Just("-Wl,-r,-T"),
        Just("-Wl,@self"),
        Just("--mv-verbose"),
        Just("-B/x"),
        Just("--ld-path=/x/ld.lld"),
        Just("-fuse-ld=/x"),
        Just("crt1.o"),
    ];
    prop_oneof![
        3 => word.prop_map(OsString::from),
        3 => (0..TABLE.len()).prop_map(|i| OsString::from(TABLE[i].name)),
        1 => (0..TABLE.len(), "[a-z/.=,]{0,6}").prop_map(|(i, value)| OsString::from(format!("{}{value}", TABLE[i].name))),
        1 => proptest::collection::vec(1..=255_u8, 0..12).prop_map(OsString::from_vec),
    ]
}

fn arguments() -> impl Strategy<Value = Vec<OsString>> {
    proptest::collection::vec(argument(), 0..12)
}

fn read(path: &Path) -> Response {
    match path.to_str() {
        Some("args") => Response::Text(b"-o x a.c -Wl,--gc-sections @self".to_vec()),
        Some("self") => Response::Text(b"@self -pie @self".to_vec()),
        Some("pipe") => Response::Opaque,
        _ => Response::Missing,
    }
}

fn is_own(arg: &OsString) -> bool {
    arg.as_bytes().starts_with(OWN_PREFIX.as_bytes())
}

/// `part` is what remains of `whole` when some elements are taken out.
fn is_subsequence(part: &[OsString], whole: &[OsString]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|wanted| rest.any(|arg| arg == wanted))
}

/// Where a link can be routed: a compiler and a mv-link that exist.
fn environment(folder: &Path) -> Environment {
    Environment {
        cc_real: Some("/bin/true".into()),
        link: Some("/bin/true".into()),
        private: vec![folder.to_owned()],
        temporary: folder.to_owned(),
        ..Environment::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn taking_apart_keeps_every_argument(args in arguments()) {
        let plan = Plan::with_reader(&[], args.clone(), &read);
        prop_assert_eq!(plan.own.len() + plan.args.len(), args.len());
        prop_assert!(plan.own.iter().all(is_own));
        prop_assert!(is_subsequence(&plan.args, &args));
        if let Decision::Link(choice) = plan.decision {
            prop_assert!(choice.path_end <= plan.args.len());
        }
    }

    #[test]
    fn a_plain_call_is_unchanged_and_a_link_only_grows(args in arguments()) {
        // Not those options of ours that do something else than compile.
        let args: Vec<OsString> = args.into_iter().filter(|arg| !is_own(arg)).collect();
        let folder = tempfile::tempdir().expect("temporary directory");
        let argv = std::iter::once(OsString::from("mv-cc")).chain(args.iter().cloned());
        let Action::Run(invocation) = Action::new(argv, &environment(folder.path())).expect("runs") else {
            return Err(TestCaseError::fail("nothing to print"));
        };
        prop_assert_eq!(&invocation.compiler.program, &PathBuf::from("/bin/true"));
        if invocation.route.is_ok() {
            prop_assert!(invocation.args.len() > args.len());
            prop_assert!(is_subsequence(&args, &invocation.args));
        } else {
            prop_assert_eq!(&invocation.args, &args);
        }
    }

    #[test]
    fn lookup_takes_any_bytes(arg in proptest::collection::vec(any::<u8>(), 0..20)) {
        if let Some((flag, _)) = lookup(&arg) {
            prop_assert!(arg.starts_with(flag.name.as_bytes()));
        }
    }

    #[test]
    fn splitting_undoes_quoting(words in proptest::collection::vec(proptest::collection::vec(1..=255_u8, 0..8), 0..6)) {
        let mut text = Vec::new();
        for word in &words {
            text.push(b'"');
            for &byte in word {
                if byte == b'"' || byte == b'\\' {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text.extend(b"\" ");
        }
        prop_assert_eq!(response::split(&text), words);
    }
}
