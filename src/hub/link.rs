//! The `Link: <…>; rel="next"` header of paged answers.

use reqwest::header::{HeaderMap, LINK};

/// The address of the next page as the server wrote it, absolute or relative.
pub(crate) fn next(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(LINK)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(next_of)
}

fn next_of(value: &str) -> Option<&str> {
    let mut rest = value;
    while let Some(start) = rest.find('<') {
        let (target, after) = rest[start + 1..].split_once('>')?;
        // Parameters end at the next link; a `<` cannot stand in one.
        let end = after.find('<').unwrap_or(after.len());
        if after[..end].split([';', ',']).any(is_next) {
            return Some(target);
        }
        rest = &after[end..];
    }
    None
}

fn is_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel")
            && value
                .trim()
                .trim_matches('"')
                .split_ascii_whitespace()
                .any(|word| word.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_other_links() {
        let find = |value: &str| {
            next(&HeaderMap::from_iter([(LINK, value.parse().unwrap())])).map(str::to_owned)
        };
        assert_eq!(
            find("</x?a=1,2>; rel=\"next\"").as_deref(),
            Some("/x?a=1,2")
        );
        assert_eq!(
            find("<https://h/a>; rel=\"prev\", <https://h/b>; title=\"x\"; REL=next").as_deref(),
            Some("https://h/b")
        );
        for none in [
            "",
            "<",
            "<a",
            "<a>; rel=\"first\"",
            "<a>; rev=next",
            "rel=\"next\"",
        ] {
            assert_eq!(find(none), None, "{none}");
        }
    }
}
