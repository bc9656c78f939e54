//! How severe a line is.

/// How severe what a line says is, as far as its words tell: PALM's components print `time - name - LEVEL - text`, others mostly
/// begin with the time and the level.
pub(super) fn level(text: &str) -> &'static str {
    const WORDS: [(&str, &str); 12] = [
        ("CRITICAL", "error"),
        ("FATAL", "error"),
        ("ERROR", "error"),
        ("ERR", "error"),
        ("WARNING", "warning"),
        ("WARN", "warning"),
        ("NOTICE", "info"),
        ("INFO", "info"),
        ("DEBUG", "debug"),
        ("TRACE", "debug"),
        ("Traceback", "error"),
        ("panicked", "error"),
    ];
    // What comes later is what is said, and may have any word in it.
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty());
    let begin = words.take(16);
    begin
        .filter_map(|word| WORDS.iter().find(|(known, _)| *known == word))
        .map(|(_, level)| *level)
        .next()
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn a_level_is_where_programs_write_it() {
        for (text, expected) in [
            ("2017-02-01 10:11:41,485 - server - WARNING - no worker", "warning"),
            ("2026-11-24T15:00:00.000001Z  INFO palm: an ERROR was seen", "info"),
            ("[ERROR] it is broken", "error"),
            ("thread 'main' panicked at src/main.rs:1:1", "error"),
            ("Traceback (most recent call last):", "error"),
            ("level=debug", ""),
            ("all is well, no ERRORS", ""),
            ("", ""),
        ] {
            assert_eq!(level(text), expected, "{text}");
        }
    }
}
