//! Random text for secrets and for names that nobody else has.

use std::fmt::Write as _;

/// `WORDS` times 64 bits of the system's randomness, as 16 hex digits each.
///
/// Fails when the system gives none.
pub(crate) fn random_hex<const WORDS: usize>() -> std::io::Result<String> {
    let mut text = String::with_capacity(16 * WORDS);
    for _ in 0..WORDS {
        let word = getrandom::u64().map_err(|error| std::io::Error::other(error.to_string()))?;
        write!(text, "{word:016x}").expect("a string takes any text");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::random_hex;

    #[test]
    fn it_has_its_length_and_does_not_come_twice() {
        let (one, two) = (random_hex::<4>().unwrap(), random_hex::<4>().unwrap());
        assert_eq!((one.len(), two.len()), (64, 64));
        assert_ne!(one, two);
    }
}
