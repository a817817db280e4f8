//! Where the access token comes from, asked anew each time.
//!
//! A login from a browser renews the token file while a job runs, so nothing is kept. A file that
//! cannot be read counts as no token: public repositories must not fail over it.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt as _;

use crate::redact::Token;

const FILE_LIMIT: u64 = 64 << 10;

/// A given token, else a file that may hold one.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenSource {
    /// A token from the environment or the caller; goes before the file.
    pub(crate) given: Option<Token>,
    /// The file that `hf auth login` writes.
    pub(crate) path: Option<PathBuf>,
}

impl TokenSource {
    /// The token of this moment, none when there is none.
    pub(crate) async fn current(&self) -> Option<Token> {
        if self.given.is_some() {
            return self.given.clone();
        }
        let path = self.path.as_deref()?;
        match read(path).await {
            Ok(text) => Token::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "The token file cannot be read; going on without a token.");
                None
            }
        }
    }
}

/// A pipe or device in the file's place would block for ever, so only regular files are opened.
async fn read(path: &Path) -> io::Result<String> {
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut text = String::new();
    tokio::fs::File::open(path)
        .await?
        .take(FILE_LIMIT)
        .read_to_string(&mut text)
        .await?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_read_each_time_and_the_given_token_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut source = TokenSource {
            given: None,
            path: Some(path.clone()),
        };
        let now =
            async |source: &TokenSource| source.current().await.map(|t| t.expose().to_owned());
        assert_eq!(now(&source).await, None);
        std::fs::write(&path, "hf_one\r\n").unwrap();
        assert_eq!(now(&source).await.as_deref(), Some("hf_one"));
        std::fs::write(&path, "hf_two").unwrap();
        assert_eq!(now(&source).await.as_deref(), Some("hf_two"));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(now(&source).await, None);
        source.given = Token::parse("hf_given");
        assert_eq!(now(&source).await.as_deref(), Some("hf_given"));
    }

    #[tokio::test]
    async fn a_folder_in_the_files_place_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let source = TokenSource {
            given: None,
            path: Some(folder.path().to_owned()),
        };
        assert!(source.current().await.is_none());
    }
}
