//! Split GGUF files, `name-00001-of-00003.gguf`: the name of any part says which others there must be.
//!
//! Invariant: the work is bounded by the names that exist, whatever number a name claims.

use std::collections::{BTreeMap, BTreeSet};

/// How many missing parts are named; the first ones are enough to act on.
const NAMED: usize = 20;

/// One part, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part<'a> {
    /// What stands before the number.
    stem: &'a str,
    number: u32,
    of: u32,
    /// Digits of the total, as it is written.
    total: &'a str,
}

impl<'a> Part<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (rest, extension) = name.rsplit_once('.')?;
        if !extension.eq_ignore_ascii_case("gguf") {
            return None;
        }
        let (rest, total) = rest.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let digits = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(number) || !digits(total) {
            return None;
        }
        Some(Self {
            stem,
            number: number.parse().ok()?,
            of: total.parse().ok()?,
            total,
        })
    }
}

/// The parts that the names in `wanted` ask for and that `present` lacks; at most 20 are named.
pub(super) fn missing_parts<'n>(
    wanted: impl Iterator<Item = &'n str>,
    present: impl Iterator<Item = &'n str>,
) -> Vec<String> {
    let mut sets: BTreeMap<(&str, &str), (u32, &str)> = BTreeMap::new();
    for name in wanted {
        if let Some(part) = Part::parse(name) {
            let extension = &name[name.len() - 4..];
            sets.insert((part.stem, part.total), (part.of, extension));
        }
    }
    if sets.is_empty() {
        return Vec::new();
    }
    let mut numbers: BTreeMap<(&str, &str), BTreeSet<u32>> = BTreeMap::new();
    for part in present.filter_map(Part::parse) {
        numbers
            .entry((part.stem, part.total))
            .or_default()
            .insert(part.number);
    }
    let none = BTreeSet::new();
    sets.iter()
        .flat_map(|((stem, total), (of, extension))| {
            let here = numbers.get(&(*stem, *total)).unwrap_or(&none);
            // Some tools count from 0.
            let first = u32::from(!here.contains(&0));
            (first..of + first)
                .filter(|number| !here.contains(number))
                .map(move |number| format!("{stem}-{number:05}-of-{total}.{extension}"))
        })
        .take(NAMED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(names: &[&str]) -> Vec<String> {
        missing_parts(names.iter().copied(), names.iter().copied())
    }

    #[test]
    fn a_part_asks_for_all_the_others() {
        let (one, two, three) = (
            "d/m-Q4-00001-of-00003.gguf",
            "d/m-Q4-00002-of-00003.gguf",
            "d/m-Q4-00003-of-00003.gguf",
        );
        assert_eq!(missing(&[one, two, three]), [""; 0]);
        assert_eq!(missing(&[one, three]), [two]);
        assert_eq!(missing(&[two]), [one, three]);
        // Another set, another total and another folder prove nothing.
        let strangers = [
            one,
            three,
            "d/m-Q5-00002-of-00003.gguf",
            "d/m-Q4-00002-of-00004.gguf",
            "m-Q4-00002-of-00003.gguf",
        ];
        let wanted = [one];
        assert_eq!(
            missing_parts(wanted.into_iter(), strangers.into_iter()),
            [two]
        );
    }

    #[test]
    fn parts_may_be_counted_from_zero() {
        assert_eq!(
            missing(&["m-00000-of-00002.gguf", "m-00001-of-00002.gguf"]),
            [""; 0]
        );
        assert_eq!(
            missing(&["m-00000-of-00002.gguf"]),
            ["m-00001-of-00002.gguf"]
        );
    }

    #[test]
    fn other_names_are_no_parts_and_a_huge_total_is_cut() {
        for name in [
            "m.gguf",
            "m-1-of-2.gguf",
            "m-00001-of-00002.safetensors",
            "m-0000a-of-00002.gguf",
            "m-00001-of-0000é.gguf",
            "00001-of-00002.gguf",
        ] {
            assert_eq!(missing(&[name]), [""; 0], "{name}");
        }
        let many: Vec<String> = (0..1_000)
            .map(|n| format!("m{n}-00001-of-99999.gguf"))
            .collect();
        let names: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(missing(&names).len(), NAMED);
    }
}
