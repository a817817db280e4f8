//! The running hash of one file's content.

use sha1::Sha1;
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};

use crate::domain::{Digest, HashMark, hex};

/// A hash that bytes are fed to in file order.
#[derive(Debug, Clone)]
pub(super) enum ContentHasher {
    Sha256(Sha256),
    GitSha1(Sha1),
    /// Nothing is known that the content could be compared with.
    Unknown(String),
}

impl ContentHasher {
    /// The hash that `digest` was made with, for a file of `size` bytes.
    pub(super) fn new(digest: &Digest, size: u64) -> Self {
        match digest {
            Digest::Sha256(_) => Self::Sha256(Sha256::new()),
            Digest::GitSha1(_) => Self::GitSha1(Sha1::new_with_prefix(format!("blob {size}\0"))),
            Digest::Unhashed(hex) => Self::Unknown(hex.to_string()),
        }
    }

    /// Feeds the next bytes of the file.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::GitSha1(hash) => hash.update(bytes),
            Self::Unknown(_) => {}
        }
    }

    /// Where it stands after `at` bytes; none for hashes that only small files have.
    pub(super) fn mark(&self, at: u64) -> Option<HashMark> {
        match self {
            Self::Sha256(hash) => Some(HashMark {
                at,
                state: hash.serialize().to_vec(),
            }),
            Self::GitSha1(_) | Self::Unknown(_) => None,
        }
    }

    /// Goes on from a mark; none when it is not one of such a hash.
    pub(super) fn resume(digest: &Digest, mark: &HashMark) -> Option<Self> {
        let Digest::Sha256(_) = digest else {
            return None;
        };
        let state = SerializedState::<Sha256>::try_from(mark.state.as_slice()).ok()?;
        Sha256::deserialize(&state).ok().map(Self::Sha256)
    }

    /// The hash as lower-case hex.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha256(hash) => hex(&hash.finalize()),
            Self::GitSha1(hash) => hex(&hash.finalize()),
            Self::Unknown(hex) => hex,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_hash_goes_on_from_any_mark() {
        let kind = Digest::Sha256(Arc::default());
        let content: Vec<u8> = (0..200_u8).collect();
        let mut whole = ContentHasher::new(&kind, 200);
        whole.update(&content);
        let whole = whole.finish();
        for at in [0, 1, 63, 64, 65, 128, 200] {
            let mut first = ContentHasher::new(&kind, 200);
            first.update(&content[..at]);
            let mark = first.mark(at as u64).unwrap();
            let mark = mark.to_string().parse().unwrap();
            let mut second = ContentHasher::resume(&kind, &mark).unwrap();
            second.update(&content[at..]);
            assert_eq!(second.finish(), whole, "{at}");
        }
        let broken = HashMark {
            at: 5,
            state: vec![1; 7],
        };
        assert!(ContentHasher::resume(&kind, &broken).is_none());
    }

    #[test]
    fn both_hashes_match_known_values() {
        let sha256 = Digest::Sha256(Arc::default());
        let git = Digest::GitSha1(Arc::default());
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
