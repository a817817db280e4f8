//! Comparing the content of a finished file with its digest.
//!
//! Memory is one small buffer, however long the file is; the caller hears of every step and may end it.

use std::io::{self, Read};

use super::hasher::ContentHasher;
use crate::domain::Digest;

/// Bytes per step.
const STEP: usize = 1 << 20;

/// Whether the content has this length and digest; none when `go_on` said no after a step of so many bytes.
///
/// Reads to the end, and not past the first byte too many. Blocks for as long as the disk does.
pub(crate) fn content_matches(
    content: &mut impl Read,
    digest: &Digest,
    size: u64,
    mut go_on: impl FnMut(u64) -> bool,
) -> io::Result<Option<bool>> {
    let mut hasher = ContentHasher::new(digest, size);
    // One byte more than the file, so that its end shows in the same read.
    let step = usize::try_from(size.saturating_add(1)).map_or(STEP, |size| size.min(STEP));
    let mut buffer = vec![0; step];
    let mut read = 0;
    loop {
        let count = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        read += count as u64;
        if read > size {
            return Ok(Some(false));
        }
        hasher.update(&buffer[..count]);
        if !go_on(count as u64) {
            return Ok(None);
        }
    }
    Ok(Some(read == size && hasher.finish() == digest.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digests of `hello\n`, by `git hash-object` and `sha256sum`.
    const HELLO: [&str; 2] = [
        "ce013625030ba8dba906f756967f9e9ca394464a",
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    ];

    fn compare(content: &[u8], digest: &str, size: u64) -> Option<bool> {
        let digest = Digest::parse(digest).unwrap();
        content_matches(&mut &content[..], &digest, size, |_| true).unwrap()
    }

    #[test]
    fn only_the_right_content_of_the_right_length_matches() {
        for digest in HELLO {
            assert_eq!(compare(b"hello\n", digest, 6), Some(true), "{digest}");
            for wrong in [&b"hellp\n"[..], b"hello", b"hello\n\n", b""] {
                assert_eq!(compare(wrong, digest, 6), Some(false), "{wrong:?}");
            }
        }
        let empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        assert_eq!(compare(b"", empty, 0), Some(true));
        assert_eq!(compare(b"x", empty, 0), Some(false));
    }

    #[test]
    fn it_hears_of_every_byte_and_ends_when_told() {
        let content = vec![7; 2 * STEP + 5];
        let digest = Digest::parse(HELLO[1]).unwrap();
        let mut heard = 0;
        let size = content.len() as u64;
        let outcome = content_matches(&mut &content[..], &digest, size, |count| {
            heard += count;
            true
        });
        assert_eq!((outcome.unwrap(), heard), (Some(false), size));
        let mut steps = 0;
        let outcome = content_matches(&mut &content[..], &digest, size, |_| {
            steps += 1;
            steps < 2
        });
        assert_eq!((outcome.unwrap(), steps), (None, 2));
    }

    #[test]
    fn a_file_that_grows_for_ever_is_not_read_for_ever() {
        let digest = Digest::parse(HELLO[0]).unwrap();
        let outcome = content_matches(&mut io::repeat(b'h'), &digest, 6, |_| true);
        assert_eq!(outcome.unwrap(), Some(false));
    }
}
