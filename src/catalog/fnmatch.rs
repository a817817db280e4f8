//! Python's `fnmatch.fnmatchcase`, as `huggingface_hub` filters file names with it.
//!
//! A pattern matches the whole name, by characters, with upper and lower case told apart; `*` and `?` match `/`
//! too. Invariant: time is bounded by the length of the pattern times the length of the name.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[cfg(test)]
thread_local! {
    /// How often this thread compared a pattern with a name: lets a test bound the work of a plan.
    pub(super) static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// One step of a compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    /// A character that stands for itself.
    Literal(char),
    /// `[…]`: whether it is negated, and its ranges, both ends included.
    Set(bool, Vec<(char, char)>),
}

/// A compiled pattern that remembers its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: Arc<str>,
    tokens: Vec<Token>,
}

impl Pattern {
    /// Compiles a pattern exactly as Python reads it; every text is one.
    pub(crate) fn exact(text: &str) -> Self {
        Self {
            text: text.into(),
            tokens: compile(&text.chars().collect::<Vec<_>>()),
        }
    }

    /// Compiles a pattern for file names: `\` means `/`, and a final `/` means everything below.
    pub(crate) fn new(text: &str) -> Self {
        Self::shown_as(text, text)
    }

    /// Compiles a pattern for file names that is shown to people as another text.
    pub(super) fn shown_as(text: &str, shown: &str) -> Self {
        let mut path = text.replace('\\', "/");
        if path.ends_with('/') {
            path.push('*');
        }
        Self {
            text: shown.into(),
            ..Self::exact(&path)
        }
    }

    /// The pattern as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The same text, shared.
    pub(crate) fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The only name that it matches, when there is only one.
    pub(crate) fn literal(&self) -> Option<String> {
        self.tokens
            .iter()
            .map(|token| match token {
                Token::Literal(c) => Some(*c),
                Token::Any | Token::One | Token::Set(..) => None,
            })
            .collect()
    }

    /// Whether the pattern matches all of `name`.
    pub(crate) fn matches(&self, name: &str) -> bool {
        #[cfg(test)]
        COMPARISONS.with(|count| count.set(count.get() + 1));
        if name.is_ascii() {
            // No memory is taken for the usual name.
            let bytes = name.as_bytes();
            self.walk(bytes.len(), |at| char::from(bytes[at]))
        } else {
            let chars: Vec<char> = name.chars().collect();
            self.walk(chars.len(), |at| chars[at])
        }
    }

    fn walk(&self, length: usize, char_at: impl Fn(usize) -> char) -> bool {
        let (mut at, mut step) = (0, 0);
        // After a `*` fails to go on, it takes one more character; an earlier `*` never needs to be asked again.
        let mut last_any = None;
        while at < length {
            match self.tokens.get(step) {
                Some(Token::Any) => {
                    last_any = Some((step, at));
                    step += 1;
                }
                Some(token) if token.takes(char_at(at)) => {
                    step += 1;
                    at += 1;
                }
                _ => {
                    let Some((any, taken)) = last_any else {
                        return false;
                    };
                    last_any = Some((any, taken + 1));
                    step = any + 1;
                    at = taken + 1;
                }
            }
        }
        self.tokens[step..].iter().all(|token| *token == Token::Any)
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Literal(literal) => *literal == c,
            Self::Set(negated, ranges) => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn compile(pattern: &[char]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut at = 0;
    while let Some(c) = pattern.get(at) {
        at += 1;
        tokens.push(match c {
            '*' if tokens.last() == Some(&Token::Any) => continue,
            '*' => Token::Any,
            '?' => Token::One,
            '[' => match closing_bracket(pattern, at) {
                Some(end) => {
                    let set = compile_set(&pattern[at..end]);
                    at = end + 1;
                    set
                }
                None => Token::Literal('['),
            },
            literal => Token::Literal(*literal),
        });
    }
    tokens
}

/// Where the set that begins at `start` ends; a `]` right after the `[` or `[!` belongs to the set.
fn closing_bracket(pattern: &[char], start: usize) -> Option<usize> {
    let mut at = start;
    at += usize::from(pattern.get(at) == Some(&'!'));
    at += usize::from(pattern.get(at) == Some(&']'));
    (at..pattern.len()).find(|&at| pattern[at] == ']')
}

/// Reads what lies between the brackets, step by step as `fnmatch.translate` does.
fn compile_set(stuff: &[char]) -> Token {
    let mut chunks = split_at_ranges(stuff);
    // A range whose ends are the wrong way round matches nothing: both ends go.
    for k in (1..chunks.len()).rev() {
        let wrong = matches!((chunks[k - 1].last(), chunks[k].first()), (Some(low), Some(high)) if low > high);
        if wrong {
            let rest = chunks.remove(k);
            chunks[k - 1].pop();
            chunks[k - 1].extend_from_slice(&rest[1..]);
        }
    }
    let negated = chunks[0].first() == Some(&'!');
    if negated {
        chunks[0].remove(0);
    }
    let mut ranges = Vec::new();
    for (k, chunk) in chunks.iter().enumerate() {
        let begins_range = k + 1 < chunks.len();
        let ends_range = k > 0;
        let alone =
            usize::from(ends_range)..chunk.len() - usize::from(begins_range && !chunk.is_empty());
        if alone.start < alone.end {
            ranges.extend(chunk[alone].iter().map(|c| (*c, *c)));
        }
        if begins_range && let (Some(low), Some(high)) = (chunk.last(), chunks[k + 1].first()) {
            ranges.push((*low, *high));
        }
    }
    Token::Set(negated, ranges)
}

/// Cuts at each `-` that stands between two ends of a range.
fn split_at_ranges(stuff: &[char]) -> Vec<Vec<char>> {
    let find = |from: usize| (from..stuff.len()).find(|&k| stuff[k] == '-');
    let mut chunks: Vec<Vec<char>> = Vec::new();
    let mut start = 0;
    let mut from = if stuff.first() == Some(&'!') { 2 } else { 1 };
    while let Some(k) = find(from) {
        chunks.push(stuff[start..k].to_vec());
        start = k + 1;
        from = k + 3;
    }
    match chunks.last_mut() {
        Some(last) if start >= stuff.len() => last.push('-'),
        _ => chunks.push(stuff[start..].to_vec()),
    }
    chunks
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::new(&text))
    }
}

/// The allow and ignore patterns of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    allow: Vec<Pattern>,
    ignore: Vec<Pattern>,
}

impl Filter {
    /// Compiles both lists; an empty list of allow patterns allows everything.
    pub(crate) fn new<S: AsRef<str>>(allow: &[S], ignore: &[S]) -> Self {
        let compile = |patterns: &[S]| patterns.iter().map(|p| Pattern::new(p.as_ref())).collect();
        Self {
            allow: compile(allow),
            ignore: compile(ignore),
        }
    }

    /// Whether the filter lets every name through.
    pub(crate) fn is_open(&self) -> bool {
        self.allow.is_empty() && self.ignore.is_empty()
    }

    /// Whether some allow pattern matches (or there is none) and no ignore pattern does.
    pub(crate) fn keeps(&self, path: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(path));
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.ignore)
    }

    /// The names that remain, when the allow patterns name single files only.
    pub(crate) fn only_names(&self) -> Option<Vec<String>> {
        if self.allow.is_empty() {
            return None;
        }
        let names: Option<Vec<String>> = self.allow.iter().map(Pattern::literal).collect();
        names.map(|names| names.into_iter().filter(|name| self.keeps(name)).collect())
    }
}

/// The paths that `huggingface_hub` would keep for these patterns, in their order.
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "a part of the module's contract that its tests hold"
    )
)]
pub(crate) fn filter<'a, S: AsRef<str>>(
    paths: &[&'a str],
    allow: &[S],
    ignore: &[S],
) -> Vec<&'a str> {
    let filter = Filter::new(allow, ignore);
    let keeps = |path: &&&str| filter.keeps(&path.replace('\\', "/"));
    paths.iter().filter(keeps).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_golden_case_of_python_agrees() {
        let cases: Vec<(String, String, bool)> =
            serde_json::from_str(include_str!("../../tests/data/fnmatch.json")).unwrap();
        assert!(cases.len() > 1_000);
        let wrong: Vec<_> = cases
            .iter()
            .filter(|(pattern, name, expected)| Pattern::exact(pattern).matches(name) != *expected)
            .collect();
        assert!(wrong.is_empty(), "{} differ: {wrong:?}", wrong.len());
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        let pattern = Pattern::exact(&format!("{}b", "*a".repeat(200)));
        let name = "a".repeat(20_000);
        let start = Instant::now();
        assert!(!pattern.matches(&name));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_filter_is_that_of_the_hub_client() {
        let paths = ["a.json", "d/b.json", "d/c.bin", "README.md"];
        let kept = |allow: &[&str], ignore: &[&str]| filter(&paths, allow, ignore);
        assert_eq!(kept(&[], &[]), paths);
        assert_eq!(kept(&["d/"], &[]), ["d/b.json", "d/c.bin"]);
        assert_eq!(kept(&["d\\*.bin"], &[]), ["d/c.bin"]);
        assert_eq!(kept(&["*.json"], &["d/*"]), ["a.json"]);
        assert_eq!(kept(&["**/*.json"], &[]), ["d/b.json"]);
        assert_eq!(kept(&["A.json"], &[]), [""; 0]);
        assert_eq!(kept(&[""], &[]), [""; 0]);
        assert_eq!(filter(&["d\\x"], &["d/x"], &[]), ["d\\x"]);
    }

    #[test]
    fn only_patterns_without_wildcards_are_literal() {
        assert_eq!(Pattern::new("a/b.c").literal().as_deref(), Some("a/b.c"));
        assert_eq!(Pattern::new("a[").literal().as_deref(), Some("a["));
        for open in ["*", "a?", "[a]", "d/"] {
            assert_eq!(Pattern::new(open).literal(), None, "{open}");
        }
        let filter = Filter::new(&["a", "b"], &["b*"]);
        assert_eq!(filter.only_names(), Some(vec!["a".to_owned()]));
    }

    proptest! {
        #[test]
        fn no_pattern_panics_and_a_literal_matches_itself(pattern in r"[\[\]!\-a-c*?\\^/é]{0,12}", name in "[a-c/\\-é]{0,8}") {
            let compiled = Pattern::exact(&pattern);
            let here = compiled.matches(&name);
            if let Some(literal) = compiled.literal() {
                prop_assert!(compiled.matches(&literal));
                prop_assert_eq!(here, literal == name);
            }
            let starred = Pattern::exact(&format!("*{pattern}*"));
            prop_assert!(!here || starred.matches(&name));
        }
    }
}
