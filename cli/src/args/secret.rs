//! The command line of secrets. Values come from files and standard input, never from here: others see command lines.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

/// Secrets, and the keys that seal them.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Make a secret from files or standard input
    Create(CreateSecret),
    /// Seal all secrets anew with the newest key of the servers' files
    RotateKey {
        /// How long to wait for the end; the servers go on also without
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
        wait: Duration,
    },
}

/// Make a secret from files or standard input.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true, args = ["from_file", "from_stdin"])]
pub struct CreateSecret {
    /// Its name
    pub name: String,
    /// What it is for
    #[arg(long = "type", value_name = "WORD", default_value = "Opaque")]
    pub kind: String,
    /// A file whose content is a value, under the file's name or under KEY; may be repeated
    #[arg(long, value_name = "[KEY=]FILE")]
    pub from_file: Vec<String>,
    /// The key whose value is read from standard input, without its last line break
    #[arg(long, value_name = "KEY")]
    pub from_stdin: Option<String>,
}

impl CreateSecret {
    /// Keys and files of `--from-file`.
    #[must_use]
    pub fn files(&self) -> Vec<(String, PathBuf)> {
        let split = |text: &String| match text.split_once('=') {
            Some((key, path)) => (key.to_owned(), PathBuf::from(path)),
            None => {
                let path = PathBuf::from(text);
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                (name.unwrap_or_default(), path)
            }
        };
        self.from_file.iter().map(split).collect()
    }
}
