//! What events and config maps may say.

use boss_proto::{
    kind::Kind,
    limits::CONFIG_KEY_LEN_MAX,
    v1::{ConfigMap, Event},
};

use super::Report;

/// Longer texts belong into a log.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;
const REASON_BYTES_MAX: usize = 128;

pub(super) fn check_event(event: &Event, report: &mut Report) {
    match &event.involved_object {
        None => report.add("involvedObject", "is missing", "name the object that the event is about"),
        Some(object) => {
            report.check("involvedObject.kind", object.kind.parse::<Kind>().map(|_| ()));
            if object.name.is_empty() {
                report.add("involvedObject.name", "is empty", "");
            }
        }
    }
    let is_word = event.reason.chars().all(|character| character.is_ascii_alphanumeric());
    if event.reason.is_empty() || event.reason.len() > REASON_BYTES_MAX || !is_word {
        report.add("reason", format!("{:?} is no CamelCase word", event.reason), "");
    }
    if event.message.len() > MESSAGE_BYTES_MAX {
        report.add("message", format!("has {} bytes, the limit is {MESSAGE_BYTES_MAX}", event.message.len()), "");
    }
    if !matches!(event.r#type.as_str(), "Normal" | "Warning") {
        report.add("type", format!("is {:?}", event.r#type), "use Normal or Warning");
    }
}

/// Keys become file names and environment variables; how much they hold is bounded by the object's own size.
pub(super) fn check_config_map(map: &ConfigMap, report: &mut Report) {
    let texts = map.data.keys().map(|key| ("data", key));
    let bytes = map.binary_data.keys().map(|key| ("binaryData", key));
    for (field, key) in texts.chain(bytes) {
        if let Some((problem, hint)) = wrong_config_key(key) {
            report.add(format!("{field}[{key:?}]"), problem, hint);
        }
    }
    for key in map.binary_data.keys().filter(|key| map.data.contains_key(*key)) {
        report.add(format!("binaryData[{key:?}]"), "is in data too", "keep one of them");
    }
}

pub(super) fn wrong_config_key(key: &str) -> Option<(String, &'static str)> {
    let is_file_name = key.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character));
    match key {
        "" => Some(("has an empty key".to_owned(), "name the value")),
        "." | ".." => Some(("is no file name".to_owned(), "choose another key")),
        _ if key.len() > CONFIG_KEY_LEN_MAX => {
            Some((format!("has a key of {} characters, the limit is {CONFIG_KEY_LEN_MAX}", key.len()), "shorten it"))
        }
        _ if !is_file_name => {
            Some(("has other characters than a file name".to_owned(), "use letters, digits, '-', '_' and '.'"))
        }
        _ => None,
    }
}
