//! `--url`: a file by its address, with what is known of it behind a `#`.
//!
//! What stands behind `#` is never sent to a server, so `https://host/f#sha256=…` is the address of `f` and its hash, as
//! pip writes it. A path that nobody names is the last part of the address.

use percent_encoding::percent_decode_str;
use url::Url;

use super::error::CliError;
use crate::domain::{Digest, FileUrl, RepoPath, UrlFile};

/// Reads one `--url`; `sha256` and `credential` count when the text names none.
pub(crate) fn read(
    text: &str,
    sha256: Option<&Digest>,
    credential: Option<&str>,
) -> Result<UrlFile, CliError> {
    let (address, facts) = text.split_once('#').unwrap_or((text, ""));
    let url: FileUrl = address
        .parse()
        .map_err(|error| usage(&format!("{error}")))?;
    let mut file = UrlFile {
        path: RepoPath::parse("x").map_err(|error| usage(&error))?,
        url,
        sha256: sha256.cloned(),
        size: None,
        credential: credential.map(str::to_owned),
    };
    let mut path = None;
    for (name, value) in url::form_urlencoded::parse(facts.as_bytes()) {
        match name.as_ref() {
            "path" => path = Some(value.into_owned()),
            "sha256" => file.sha256 = Some(sha256_of(&value)?),
            "size" => {
                let size = value.parse().ok();
                file.size = Some(size.ok_or_else(|| usage(&"`size` is a number of bytes"))?);
            }
            "credential" => file.credential = Some(value.into_owned()),
            _ => {
                return Err(usage(
                    &"behind `#` only path, sha256, size and credential are known",
                ));
            }
        }
    }
    let path = path.or_else(|| last_part(file.url.expose()));
    let path = path.ok_or_else(|| usage(&"it ends with a slash: add `#path=NAME`"))?;
    file.path = RepoPath::parse(&path).map_err(|error| usage(&error))?;
    Ok(file)
}

/// 64 lower-case hex digits.
pub(crate) fn sha256_of(text: &str) -> Result<Digest, CliError> {
    let lower = text.to_ascii_lowercase();
    let digest = Digest::parse(&lower).ok().filter(Digest::is_sha256);
    digest.ok_or_else(|| usage(&"a sha256 has 64 hex digits"))
}

fn last_part(url: &Url) -> Option<String> {
    let part = url.path().rsplit('/').next()?;
    let name = percent_decode_str(part).decode_utf8().ok()?;
    // One part stays one part, whatever was encoded in it.
    (!name.is_empty() && !name.contains('/')).then(|| name.into_owned())
}

fn usage(rule: &dyn std::fmt::Display) -> CliError {
    CliError::Usage(format!("--url: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_stand_behind_the_address_and_the_name_is_its_last_part() {
        let hash = "ab".repeat(32);
        let plain = read("https://h/a/b%20c.bin?sig=1", None, Some("mine")).unwrap();
        assert_eq!(plain.path.as_str(), "b c.bin");
        assert_eq!(plain.url.expose().as_str(), "https://h/a/b%20c.bin?sig=1");
        assert_eq!(
            (plain.sha256, plain.credential.as_deref()),
            (None, Some("mine"))
        );
        let text = format!("https://h/x#sha256={hash}&path=sub%2Fy&size=7&credential=c");
        let whole = read(&text, None, Some("mine")).unwrap();
        assert_eq!(whole.path.as_str(), "sub/y");
        assert_eq!(whole.sha256.unwrap().as_str(), hash);
        assert_eq!(
            (whole.size, whole.credential.as_deref()),
            (Some(7), Some("c"))
        );
        for bad in [
            "ftp://h/x",
            "https://me:pw@h/x",
            "https://h/",
            "https://h/..%2fx",
            "https://h/x#path=../y",
            "https://h/x#sha256=12",
            "https://h/x#size=many",
            "https://h/x#colour=1",
        ] {
            let error = read(bad, None, None).unwrap_err().to_string();
            assert!(!error.contains("pw"), "{error}");
        }
    }
}
