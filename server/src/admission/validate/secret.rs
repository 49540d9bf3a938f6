//! What secrets may say. Names keys, never values.

use boss_proto::{
    limits::{SECRET_BYTES_MAX, SECRET_TYPE_LEN_MAX},
    v1::Secret,
};

use super::{Report, small::wrong_config_key};

pub(super) fn check(secret: &Secret, report: &mut Report) {
    if secret.sealed.is_some() {
        report.add("sealed", "is set", "leave it out: servers seal the data by themselves");
    }
    for key in secret.string_data.keys() {
        report.add(format!("stringData[{key:?}]"), "is in data too", "keep one of them");
    }
    for key in secret.data.keys() {
        if let Some((problem, hint)) = wrong_config_key(key) {
            report.add(format!("data[{key:?}]"), problem, hint);
        }
    }
    let bytes: usize = secret.data.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > SECRET_BYTES_MAX {
        let problem = format!("has {bytes} bytes in keys and values, the limit is {SECRET_BYTES_MAX}");
        report.add("data", problem, "keep larger things elsewhere, and their key here");
    }
    if secret.r#type.len() > SECRET_TYPE_LEN_MAX || !secret.r#type.chars().all(|it| it.is_ascii_graphic()) {
        report.add("type", format!("is no word of at most {SECRET_TYPE_LEN_MAX} characters"), "use Opaque");
    }
}
