//! What the records of an audit say, as far as both who keeps them and who searches them must agree.

use serde_json::Value;

use crate::v1::AuditFilter;

/// A text of a record; empty when it says none.
#[must_use]
pub fn text<'r>(record: &'r Value, field: &str) -> &'r str {
    record[field].as_str().unwrap_or_default()
}

/// Whether the record tells of something that was not let through.
#[must_use]
pub fn is_refused(record: &Value) -> bool {
    text(record, "result").starts_with("refused") || !matches!(text(record, "code"), "" | "OK")
}

/// Whether the record says everything that the filter asks for.
#[must_use]
pub fn fits(filter: &AuditFilter, record: &Value) -> bool {
    let verb = format!("{}{}", text(record, "verb"), text(record, "method"));
    (filter.user.is_empty() || filter.user == text(record, "user"))
        && text(record, "object").contains(&*filter.object)
        && verb.contains(&*filter.verb)
        && (!filter.refused || is_refused(record))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_fits_when_it_says_all_that_is_asked_for() {
        let write = json!({"user": "rita", "verb": "create", "object": "pods/default/a", "result": "done"});
        let call = json!({"user": "eve", "method": "/boss.v1.Registry/Get", "object": "Secret/x", "code": "NOT_FOUND"});
        let filter = |user: &str, object: &str, verb: &str, refused| AuditFilter {
            user: user.into(),
            object: object.into(),
            verb: verb.into(),
            refused,
        };
        for (filter, fit) in [
            (filter("", "", "", false), [true, true]),
            (filter("rit", "", "", false), [false, false]),
            (filter("rita", "default/a", "create", false), [true, false]),
            (filter("", "Secret/", "Registry/Get", true), [false, true]),
            (filter("", "", "", true), [false, true]),
        ] {
            assert_eq!([fits(&filter, &write), fits(&filter, &call)], fit, "{filter:?}");
        }
    }
}
