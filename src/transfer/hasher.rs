//! The running hash of one file's content.

use std::fmt::Write as _;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::domain::Digest;

/// A hash that bytes are fed to in file order.
#[derive(Debug, Clone)]
pub(super) enum ContentHasher {
    Sha256(Sha256),
    GitSha1(Sha1),
}

impl ContentHasher {
    /// The hash that `digest` was made with, for a file of `size` bytes.
    pub(super) fn new(digest: &Digest, size: u64) -> Self {
        match digest {
            Digest::Sha256(_) => Self::Sha256(Sha256::new()),
            Digest::GitSha1(_) => Self::GitSha1(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }

    /// Feeds the next bytes of the file.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::GitSha1(hash) => hash.update(bytes),
        }
    }

    /// The hash as lower-case hex.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha256(hash) => hex(&hash.finalize()),
            Self::GitSha1(hash) => hex(&hash.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_hashes_match_known_values() {
        let sha256 = Digest::Sha256(String::new());
        let git = Digest::GitSha1(String::new());
        // `git hash-object` of the empty file and of `hello\n`, sha256 of the empty file.
        assert_eq!(
            ContentHasher::new(&git, 0).finish(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        );
        let mut hash = ContentHasher::new(&git, 6);
        hash.update(b"hel");
        hash.update(b"lo\n");
        assert_eq!(hash.finish(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(
            ContentHasher::new(&sha256, 0).finish(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
