//! In which order processes end when all are to.

use std::collections::BTreeSet;

/// The components that end next, of those that are left, in the order in which they are started: all of the greatest level, or the last
/// one if nobody says which level they have.
pub(super) fn next<'a>(left: impl Iterator<Item = (&'a str, Option<u32>)> + Clone) -> BTreeSet<&'a str> {
    let last = left.clone().last();
    match left.clone().map(|(_, level)| level).collect::<Option<Vec<_>>>().and_then(|levels| levels.into_iter().max()) {
        Some(greatest) => left.filter(|(_, level)| *level == Some(greatest)).map(|(name, _)| name).collect(),
        None => last.map(|(name, _)| name).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_one_level_end_side_by_side() {
        let left =
            [("Master", Some(0)), ("Other", Some(0)), ("W", Some(1)), ("W", Some(1)), ("X", Some(1)), ("L", Some(2))];
        let ends = |count: usize| next(left.into_iter().take(count)).into_iter().collect::<Vec<_>>();
        assert_eq!(ends(6), ["L"]);
        assert_eq!(ends(5), ["W", "X"]);
        assert_eq!(ends(2), ["Master", "Other"]);
        assert!(ends(0).is_empty());
    }

    #[test]
    fn one_ends_after_the_other_if_nobody_says_how_they_are_connected() {
        let left = [("Master", None), ("W", None), ("W", None)];
        assert_eq!(next(left.into_iter()).into_iter().collect::<Vec<_>>(), ["W"]);
        let some = [("Master", None), ("W", Some(1)), ("Last", Some(0))];
        assert_eq!(next(some.into_iter()).into_iter().collect::<Vec<_>>(), ["Last"]);
    }
}
