//! Decisions over command lines of real builds, in `command-lines/*.txt`.
//!
//! A line is `DRIVER | DECISION | COMMAND`, where DECISION is `link` or the reason for leaving the command alone, or
//! `file NAME | TEXT` for a response file; quoting is that of response files, `#` starts a comment line.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use mv_cc::compiler::Driver;
use mv_cc::plan::{Decision, Plan};
use mv_cc::response::{self, Response};

fn check(file: &Path) -> (usize, Vec<String>) {
    let text = std::fs::read_to_string(file).expect("readable");
    let lines = || {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    };
    let mut files = HashMap::new();
    for (_, line) in lines() {
        if let Some((name, text)) = line
            .strip_prefix("file ")
            .and_then(|rest| rest.split_once('|'))
        {
            files.insert(PathBuf::from(name.trim()), text.trim().as_bytes().to_vec());
        }
    }
    let read = |path: &Path| {
        files
            .get(path)
            .map_or(Response::Missing, |text| Response::Text(text.clone()))
    };
    let mut count = 0;
    let mut wrong = Vec::new();
    for (number, line) in lines().filter(|(_, line)| !line.starts_with("file ")) {
        let mut fields = line.splitn(3, '|').map(str::trim);
        let (Some(driver), Some(expected), Some(command)) =
            (fields.next(), fields.next(), fields.next())
        else {
            panic!("{}:{}: not three fields", file.display(), number + 1);
        };
        let mut argv: Vec<OsString> = response::split(command.as_bytes())
            .into_iter()
            .map(OsString::from_vec)
            .collect();
        let name = argv.remove(0);
        let found_driver = match Driver::of(&name) {
            Driver::C => "c",
            Driver::Cxx => "c++",
        };
        let plan = Plan::with_reader(&[], argv.clone(), &read);
        let found = match &plan.decision {
            Decision::Link(_) => "link".to_owned(),
            Decision::Plain(reason) => reason.to_string(),
        };
        if (found_driver, found.as_str()) != (driver, expected) || plan.args != argv {
            wrong.push(format!(
                "{}:{}: expected {driver} | {expected}, found {found_driver} | {found}: {command}",
                file.display(),
                number + 1
            ));
        }
        count += 1;
    }
    (count, wrong)
}

#[test]
fn command_lines_of_real_builds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command-lines");
    let mut wrong = Vec::new();
    let mut total = 0;
    for entry in folder.read_dir().expect("folder") {
        let (count, bad) = check(&entry.expect("entry").path());
        assert_ne!(count, 0);
        total += count;
        wrong.extend(bad);
    }
    assert!(
        wrong.is_empty(),
        "{} of {total} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
