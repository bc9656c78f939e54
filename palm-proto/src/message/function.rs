//! Which function of which server a message is for (`docs/spec.md`, section 1.3).

/// A function's address at one stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionAddress<'a> {
    /// The server's name, which servers, pipelines and sinks compare with their own.
    pub server: &'a str,
    /// The function's name, all that a worker looks at.
    pub method: &'a str,
}

/// The address in `function` at `stage`: word number `stage` if it contains a space, else the whole, split at the first
/// dot.
///
/// A method ends at a second dot, as in the Python components. `None` if there is no such word, or no dot in it.
pub fn resolve(function: &str, stage: i64) -> Option<FunctionAddress<'_>> {
    let word = if function.bytes().any(|byte| byte == b' ') {
        function.split_ascii_whitespace().nth(usize::try_from(stage).ok()?)?
    } else {
        function
    };
    let (server, rest) = split_at_dot(word)?;
    Some(FunctionAddress { server, method: split_at_dot(rest).map_or(rest, |(method, _)| method) })
}

/// What is before and after the first dot. Names are short: a loop over their bytes is several times faster than a search.
fn split_at_dot(word: &str) -> Option<(&str, &str)> {
    let dot = word.bytes().position(|byte| byte == b'.')?;
    Some((word.get(..dot)?, word.get(dot + 1..)?))
}

/// The word of a function's name that [`resolve`] looks at; `None` if there is no such word.
pub(crate) fn word(function: &[u8], stage: i64) -> Option<&[u8]> {
    if !function.contains(&b' ') {
        return Some(function);
    }
    let mut words = function.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    usize::try_from(stage).ok().and_then(|stage| words.nth(stage))
}

/// Whether [`resolve`] finds an address: for those who pass a message on, and need not know which.
pub(crate) fn is_addressed(function: &[u8], stage: i64) -> bool {
    if stage == 0 && function.iter().find(|&&byte| byte == b'.' || byte <= b' ') == Some(&b'.') {
        // One look settles it for most: there is a dot in the first word.
        return true;
    }
    word(function, stage).is_some_and(|word| word.contains(&b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_word_of_the_stage() {
        let address = |server, method| Some(FunctionAddress { server, method });
        assert_eq!(resolve("s.f", 0), address("s", "f"));
        assert_eq!(resolve("s.f", 7), address("s", "f"), "a single function serves every stage");
        assert_eq!(resolve("a.f b.g", 1), address("b", "g"));
        assert_eq!(resolve("a.f b.g", 2), None);
        assert_eq!(resolve("a.f b.g", -1), None);
        assert_eq!(resolve("a.f ", 0), address("a", "f"));
        assert_eq!(resolve("f", 0), None);
        assert_eq!(resolve("", 0), None);
        assert_eq!(resolve("s.f.g", 0), address("s", "f"));
        assert_eq!(resolve(".f", 0), address("", "f"));
    }

    #[test]
    fn is_addressed_where_there_is_an_address() {
        for function in ["", "f", "s.f", "a.f b.g", "a.f b", "a b.g", " a.f", "a.f ", "   ", "a\tb.c d.e", "a\tb.c"] {
            for stage in -1..4 {
                let expected = resolve(function, stage).is_some();
                assert_eq!(is_addressed(function.as_bytes(), stage), expected, "{function:?}, {stage}");
            }
        }
    }
}
