//! Ages, times, and text that is safe to print. Knows no object.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Since a moment in seconds, at `now` in milliseconds since the Unix epoch: `5s`, `3m`, `4h`, `2d`.
#[must_use]
pub fn age(since_seconds: Option<i64>, now: u64) -> String {
    let Some(since) = since_seconds else { return String::new() };
    let now = i64::try_from(now / 1_000).unwrap_or(i64::MAX);
    let seconds = now.saturating_sub(since).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A moment in seconds since the Unix epoch as `2026-11-22T00:00:00Z`.
#[must_use]
pub fn rfc3339(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The text on one line and without anything that a terminal would obey: what users store is shown to others.
#[must_use]
pub fn clean(text: &str) -> String {
    if !text.chars().any(is_unsafe) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_unsafe(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// Control characters, and those that turn the direction of writing.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_use_the_unit_that_says_enough() {
        let now = 1_000_000_000;
        for (seconds, expected) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")]
        {
            assert_eq!(age(Some(1_000_000 - seconds), now), expected);
        }
        assert_eq!(age(Some(1_000_005), now), "0s");
        assert_eq!(age(None, now), "");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        assert_eq!(clean("a\u{1b}[2Jb\n\u{202e}c"), "a\\u{1b}[2Jb\\n\\u{202e}c");
        assert_eq!(clean("größe ok"), "größe ok");
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    }
}
