//! How far a content was hashed, and the inside of the hash at that point.
//!
//! Invariant: a mark proves nothing. Whoever goes on from one compares the final hash, and hashes from the first byte
//! when it differs. What the bytes of the state mean is left to the hasher.

use std::fmt;
use std::str::FromStr;

/// A hash on its way. Text form: `1048576:6a09e667…`, position and state in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashMark {
    /// Bytes that went into it, from the first one on.
    pub at: u64,
    /// What the hasher needs to go on.
    pub state: Vec<u8>,
}

/// A text that is no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidMark;

impl fmt::Display for HashMark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.at)?;
        self.state
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl FromStr for HashMark {
    type Err = InvalidMark;

    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        let (at, hex) = text.split_once(':').ok_or(InvalidMark)?;
        let at = at.parse().ok().ok_or(InvalidMark)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        let state = pairs
            .iter()
            .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok())
            .collect::<Option<_>>()
            .filter(|_| rest.is_empty())
            .ok_or(InvalidMark)?;
        Ok(Self { at, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_mark_gives_the_mark_back() {
        let mark = HashMark {
            at: 1 << 40,
            state: vec![0, 1, 0x7f, 0xff],
        };
        assert_eq!(mark.to_string(), "1099511627776:00017fff");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for wrong in ["", "12", "x:00", "1:0", "1:0g", "-1:00"] {
            assert_eq!(wrong.parse::<HashMark>(), Err(InvalidMark), "{wrong}");
        }
    }
}
