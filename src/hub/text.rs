//! Foreign text in messages: short, printable, without a URL's secrets.

use std::error::Error;

use crate::redact::masked;

const LIMIT: usize = 200;

/// Masks credentials, escapes control characters and cuts to 200 characters.
pub(crate) fn printable(text: &str) -> String {
    // Cut twice: what is never shown need not be masked, and a token at the end of what is shown must be.
    let text: String = text.trim().chars().take(2 * LIMIT).collect();
    masked(&text)
        .chars()
        .take(LIMIT)
        .flat_map(|c| {
            let control = c.is_control();
            control
                .then(|| c.escape_debug())
                .into_iter()
                .flatten()
                .chain((!control).then_some(c))
        })
        .collect()
}

/// The innermost cause of an error, which names the fact (`Connection refused`) and no URL.
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    printable(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_short_line() {
        assert_eq!(printable("a\r\n\u{1b}[31mb "), "a\\r\\n\\u{1b}[31mb");
        assert_eq!(printable(&"é".repeat(5000)).chars().count(), 200);
    }
}
