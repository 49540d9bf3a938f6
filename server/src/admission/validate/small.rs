//! What events may say.

use boss_proto::{kind::Kind, v1::Event};

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
