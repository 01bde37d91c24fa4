//! A folder with programs of the corpus that are built already, for a machine that cannot build them.
//!
//! * `run`: the corpus test itself
//! * `programs/LANGUAGE/PROGRAM.EXT`: the source, for its directives
//! * `built/LANGUAGE/PROGRAM/VARIANT/plain` and `…/hybrid`
//! * `built/LANGUAGE/PROGRAM/with/OUT`: a helper

use crate::build::Program;
use crate::directives::Variant;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Such a folder.
#[derive(Debug)]
pub struct Pack {
    dir: PathBuf,
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to.parent().context("no parent directory")?)?;
    std::fs::copy(from, to)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

impl Pack {
    /// The one at `dir`, which may be empty yet.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Pack { dir }
    }

    /// The folder of the sources.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.dir.join("programs")
    }

    fn built(&self, program: &Program) -> PathBuf {
        self.dir.join("built").join(&program.name)
    }

    fn helper(&self, program: &Program, name: &str) -> PathBuf {
        self.built(program).join("with").join(name)
    }

    /// An executable.
    #[must_use]
    pub fn executable(&self, program: &Program, variant: Variant, hybrid: bool) -> PathBuf {
        let kind = if hybrid { "hybrid" } else { "plain" };
        self.built(program).join(variant.name()).join(kind)
    }

    /// The helpers, by their names.
    #[must_use]
    pub fn helpers(&self, program: &Program) -> Vec<(String, PathBuf)> {
        let with = program.directives.with.iter();
        with.map(|h| (h.out.clone(), self.helper(program, &h.out)))
            .collect()
    }

    /// True if the program is there in this kind.
    #[must_use]
    pub fn has(&self, program: &Program, variant: Variant) -> bool {
        self.executable(program, variant, true).exists()
    }

    /// Adds the corpus test.
    pub fn add_runner(&self, test: &Path) -> Result<()> {
        copy(test, &self.dir.join("run"))
    }

    /// Adds an executable, and its source.
    pub fn add(
        &self,
        program: &Program,
        variant: Variant,
        hybrid: bool,
        built: &Path,
    ) -> Result<()> {
        let language = Path::new(&program.name).parent().context("no language")?;
        let file = program.source.file_name().context("no name")?;
        copy(&program.source, &self.programs().join(language).join(file))?;
        copy(built, &self.executable(program, variant, hybrid))
    }

    /// Adds a helper.
    pub fn add_helper(&self, program: &Program, name: &str, built: &Path) -> Result<()> {
        copy(built, &self.helper(program, name))
    }
}
