//! The section `[audit]` of the configuration.

use std::path::{Path, PathBuf};

use boss_base::{
    config::{Problems, Section},
    journal::Bounds,
};
use boss_proto::kind::Kind;

use crate::audit::{Level, Settings, WhenFull};

/// Files stay small enough to be copied and searched.
const FILE_MIB_DEFAULT: u64 = 64;
const FILE_MIB_MAX: u64 = 4 << 10;
const FILES_DEFAULT: u64 = 16;
const FILES_MAX: u64 = 10_000;

/// Reads it. What is missing has its default: metadata of writes and refusals, beside the data, losing what the disk
/// does not take.
pub(super) fn read(root: &mut Section, folder: &Path, data_dir: Option<&PathBuf>, problems: &mut Problems) -> Settings {
    let mut audit = root.section("audit", problems);
    let word = |audit: &mut Section, key: &str, problems: &mut Problems| audit.text(key, problems);
    let level = word(&mut audit, "level", problems);
    let when_full = word(&mut audit, "when_full", problems);
    let directory = word(&mut audit, "dir", problems).map(|text| folder.join(text));
    let reads = audit.flag("reads", problems).unwrap_or(false);
    let redact = audit.texts("redact", problems);
    let file_mib = bounded(&mut audit, "file_mib", FILE_MIB_DEFAULT, FILE_MIB_MAX, problems);
    let files_max = bounded(&mut audit, "files", FILES_DEFAULT, FILES_MAX, problems);
    audit.finish(problems);
    let beside = || data_dir.cloned().unwrap_or_default().join("audit");
    Settings {
        level: parse::<Level>("audit.level", level, problems),
        reads,
        directory: directory.unwrap_or_else(beside),
        bounds: Bounds { file_bytes: file_mib << 20, files_max: usize::try_from(files_max).unwrap_or(usize::MAX) },
        when_full: parse::<WhenFull>("audit.when_full", when_full, problems),
        redact: kinds(redact, problems),
    }
}

fn parse<T: std::str::FromStr<Err = String> + Default>(key: &str, text: Option<String>, problems: &mut Problems) -> T {
    text.map(|text| text.parse())
        .transpose()
        .unwrap_or_else(|problem: String| {
            problems.add(key, problem);
            None
        })
        .unwrap_or_default()
}

fn bounded(section: &mut Section, key: &str, default: u64, max: u64, problems: &mut Problems) -> u64 {
    match section.number(key, problems) {
        None => default,
        Some(number) if (1..=max).contains(&number) => number,
        Some(other) => {
            problems.add(format!("audit.{key}"), format!("must be 1 to {max}, not {other}"));
            default
        }
    }
}

fn kinds(words: Vec<String>, problems: &mut Problems) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for word in words {
        match word.parse::<Kind>() {
            Ok(kind) => kinds.push(kind),
            Err(error) => problems.add("audit.redact", error.to_string()),
        }
    }
    kinds
}
