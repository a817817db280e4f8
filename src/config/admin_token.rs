//! The admin token's file: made once, readable by its owner only.
//!
//! The file appears whole or not at all, so two first starts at once agree on one token, and a kill in between
//! leaves no empty one.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::error::ConfigError;
use crate::domain::random_hex;
use crate::redact::Token;

/// The longest file that is read as a token, in bytes.
const LONGEST: u64 = 4096;

/// The token in the file, or none when there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Token>, ConfigError> {
    let unfit = |rule| ConfigError::SecretFile {
        path: path.to_owned(),
        rule,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(path, "it cannot be opened", source)),
    };
    let about = file
        .metadata()
        .map_err(|source| failed(path, "it cannot be inspected", source))?;
    if !about.is_file() {
        return Err(unfit("a regular file is expected"));
    }
    if about.mode() & 0o077 != 0 {
        return Err(unfit(
            "others may read it, so it is no secret: `chmod 600` it, or delete it to get a new one",
        ));
    }
    let mut text = String::new();
    file.take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|source| failed(path, "it cannot be read", source))?;
    Token::parse(&text)
        .map(Some)
        .ok_or_else(|| unfit("it holds no token: delete it to get a new one"))
}

/// The token in the file; without a file a new one of 256 random bits is made.
pub(crate) fn read_or_create(path: &Path) -> Result<Token, ConfigError> {
    if let Some(token) = read(path)? {
        return Ok(token);
    }
    let secret = random_hex::<4>().map_err(|source| failed(path, "no random bytes", source))?;
    let mark = random_hex::<1>().map_err(|source| failed(path, "no random bytes", source))?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{mark}.new"));
    let temporary = Path::new(&name);
    let made = write_private(temporary, &secret).and_then(|()| std::fs::hard_link(temporary, path));
    let removed = std::fs::remove_file(temporary);
    match made {
        Ok(()) => {}
        // Another first start was faster: its token counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(source) => return Err(failed(path, "it cannot be made", source)),
    }
    removed.map_err(|source| failed(temporary, "it cannot be removed", source))?;
    read(path)?.ok_or_else(|| ConfigError::SecretFile {
        path: path.to_owned(),
        rule: "it was deleted while it was made: start again",
    })
}

fn write_private(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(secret.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn failed(path: &Path, what: &'static str, source: std::io::Error) -> ConfigError {
    ConfigError::Io {
        path: path.to_owned(),
        what,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn it_is_made_once_private_and_random() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        assert!(read(&path).unwrap().is_none());
        let first = read_or_create(&path).unwrap();
        assert_eq!(first.expose().len(), 64);
        assert_eq!(read_or_create(&path).unwrap().expose(), first.expose());
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 1, "no temporary file stays");
        let other = read_or_create(&folder.path().join("other")).unwrap();
        assert_ne!(other.expose(), first.expose());
    }

    #[test]
    fn many_first_starts_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        let barrier = Barrier::new(8);
        let tokens: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        read_or_create(&path).unwrap().expose().to_owned()
                    })
                })
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap())
                .collect()
        });
        assert!(tokens.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin-token");
        std::fs::write(&path, "hunter2").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_or_create(&path).unwrap_err().to_string();
        assert!(
            error.contains("chmod 600") && !error.contains("hunter2"),
            "{error}"
        );
        std::fs::write(&path, "\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read(&path).is_err(), "an empty token would open every door");
        assert!(read(folder.path()).is_err());
        assert!(read_or_create(&folder.path().join("gone/token")).is_err());
    }
}
