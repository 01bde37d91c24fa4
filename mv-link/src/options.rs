//! Build options: the file `multiverse.toml`, and the text that goes into the note.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Longest option text in bytes; the note should stay in a program's first page.
const TEXT_MAX: usize = 1024;

/// What `multiverse.toml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the payload does when no environment variable says otherwise.
    #[serde(default)]
    pub options: Options,
    /// Legacy functions and what runs in their place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Override>,
}

/// The table `[options]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// As `HRT_PLATFORM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

/// A platform's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Platform {
    Auto,
    Kvm,
    Hosted,
    Native,
}

/// What runs in place of a legacy function.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Override {
    /// The name of a kernel function.
    Name(String),
    /// More than a name.
    Table(OverrideTable),
}

/// An override in full.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideTable {
    /// The name of a kernel function.
    pub function: String,
    /// For each argument of the kernel function, which argument of the legacy function it is (from 0) or a constant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Argument>,
}

/// An argument of a kernel function.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, untagged)]
pub enum Argument {
    /// The legacy function's argument of this index.
    Index(u8),
    /// A constant.
    Constant {
        /// Its value.
        constant: i64,
    },
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read, [`Error::Config`] if it says something wrong.
    pub fn read(path: &Path) -> Result<Config> {
        let text = std::fs::read_to_string(path).map_err(Error::file(path, "cannot read"))?;
        Config::parse(&text).map_err(|message| Error::Config {
            path: path.to_owned(),
            message,
        })
    }

    /// Reads the text of a configuration file.
    ///
    /// # Errors
    /// What is wrong, with the place.
    pub fn parse(text: &str) -> Result<Config, String> {
        let config: Config =
            toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        // Nothing is accepted that would silently do nothing.
        if let Some(name) = config.overrides.keys().next() {
            return Err(format!(
                "[overrides] {name}: overrides are not supported by this payload version"
            ));
        }
        if config.text().len() > TEXT_MAX {
            return Err(format!("the options are longer than {TEXT_MAX} bytes"));
        }
        Ok(config)
    }

    /// The canonical text for the note, such as `platform = "hosted"`: one `key = value` a line, nothing else. Empty without options.
    pub fn text(&self) -> String {
        toml::to_string(&self.options).unwrap_or_default()
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
    }

    #[test]
    fn bad() {
        for (text, says) in [
            ("[options]\nplatfrom = 'kvm'", "platfrom"),
            ("[options]\nplatform = 'cuda'", "cuda"),
            ("[option]", "option"),
            (
                "[overrides]\nopen = 'hrt_open'",
                "not supported by this payload version",
            ),
            (
                "[overrides]\nopen = { function = 'f', args = [0, { constant = 3 }] }",
                "not supported",
            ),
            ("[overrides]\nopen = { func = 'f' }", "line 2"),
            ("[overrides]\nopen = 3", "line 2"),
            ("x", "TOML"),
        ] {
            let e = Config::parse(text).expect_err(text);
            assert!(e.contains(says), "{text}: {e}");
        }
    }
}
