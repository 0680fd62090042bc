//! How long something took.

use std::time::Duration;

use crate::texts::Texts;

/// How long something took, in words.
#[must_use]
pub fn in_words(time: Duration, texts: &Texts) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (hours, minutes_of_hour) = (("hours", hours.into()), ("minutes", (minutes % 60).into()));
    let seconds_of_minute = ("seconds", (seconds % 60).into());
    match minutes {
        0 => texts.with("shared-seconds", [seconds_of_minute]),
        1..60 => texts.with("shared-minutes", [minutes_of_hour, seconds_of_minute]),
        _ => texts.with("shared-hours", [hours, minutes_of_hour]),
    }
}

#[cfg(test)]
mod tests {
    use glm_core::Language;

    use super::*;

    #[test]
    fn the_two_largest_units_are_told() {
        for (seconds, english, chinese) in [
            (0, "0 s", "0 秒"),
            (59, "59 s", "59 秒"),
            (61, "1 min 1 s", "1 分 1 秒"),
            (3599, "59 min 59 s", "59 分 59 秒"),
            (7261, "2 h 1 min", "2 小时 1 分"),
        ] {
            let time = Duration::from_secs(seconds);
            let told = |language| in_words(time, &Texts::shared(language));
            assert_eq!(told(Language::English), english);
            assert_eq!(told(Language::Chinese), chinese);
        }
    }
}
