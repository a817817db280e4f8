//! Paths as Python reads them: `expanduser`, `expandvars`, `Path.resolve`.
//!
//! `huggingface_hub` decides with these three where its cache is; a difference here would mean two caches.

use std::path::{Component, Path, PathBuf};

use super::environment::Environment;
use super::error::ConfigError;

/// `~` and `~/…` become the home; everything else stays. `~user` needs the user table and is left as it is.
pub(crate) fn user(
    text: &str,
    environment: &Environment,
    needed_for: &'static str,
) -> Result<String, ConfigError> {
    match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = environment.home(needed_for)?.to_string_lossy();
            let whole = format!("{}{rest}", home.trim_end_matches('/'));
            Ok(if whole.is_empty() {
                "/".to_owned()
            } else {
                whole
            })
        }
        _ => Ok(text.to_owned()),
    }
}

/// `$NAME` and `${NAME}` become the variable's value, once; unknown names stay as they are.
pub(crate) fn variables(text: &str, environment: &Environment) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        whole.push_str(before);
        let (name, taken) = after.strip_prefix('{').map_or_else(
            || {
                let end = after.find(|c| !word(c)).unwrap_or(after.len());
                (&after[..end], end)
            },
            |braced| {
                braced
                    .find('}')
                    .map_or(("", 0), |end| (&braced[..end], end + 2))
            },
        );
        match environment.lookup(name) {
            Some(value) if taken > 0 => whole.push_str(value),
            _ => {
                whole.push('$');
                whole.push_str(&after[..taken]);
            }
        }
        rest = &after[taken..];
    }
    whole + rest
}

/// The absolute path with symbolic links resolved as far as the parts exist.
///
/// A link is resolved before a `..` behind it is applied, as the kernel does it.
pub(crate) fn resolve(path: &Path, base: &Path) -> PathBuf {
    let mut resolved = PathBuf::from("/");
    for part in base.join(path).components() {
        match part {
            Component::Normal(name) => {
                resolved.push(name);
                if let Ok(real) = resolved.canonicalize() {
                    resolved = real;
                }
            }
            Component::ParentDir => {
                resolved.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once_and_unknown_ones_stay() {
        let environment = Environment::of([("A", "x"), ("B_1", "$A"), ("E", "")], "/h", "/");
        for (given, expected) in [
            ("$A/y", "x/y"),
            ("${A}b", "xb"),
            ("$Ab", "$Ab"),
            ("$B_1", "$A"),
            ("a$E/b", "a/b"),
            ("$", "$"),
            ("$$A", "$x"),
            ("${A", "${A"),
            ("${}", "${}"),
            ("a$-b", "a$-b"),
            ("é$A", "éx"),
            ("${NONE}/é$A$", "${NONE}/éx$"),
        ] {
            assert_eq!(variables(given, &environment), expected, "{given}");
        }
    }

    #[test]
    fn the_home_is_known_or_an_error() {
        let environment = Environment::of([], "/h/", "/");
        for (given, expected) in [
            ("~", "/h"),
            ("~/x", "/h/x"),
            ("~bob/x", "~bob/x"),
            ("a/~", "a/~"),
        ] {
            assert_eq!(user(given, &environment, "x").unwrap(), expected, "{given}");
        }
        let homeless = Environment::of([], "", "/");
        assert!(user("~/x", &homeless, "x").is_err());
        assert_eq!(user("/x", &homeless, "x").unwrap(), "/x");
        assert_eq!(user("~", &Environment::of([], "/", "/"), "x").unwrap(), "/");
    }

    #[test]
    fn links_are_resolved_before_the_parent_and_missing_parts_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::os::unix::fs::symlink(root.join("real/deep"), root.join("link")).unwrap();
        let at = |text: &str| resolve(Path::new(text), &root);
        assert_eq!(at("link/x"), root.join("real/deep/x"));
        assert_eq!(at("link/../x"), root.join("real/x"));
        assert_eq!(at("gone/../x/./y"), root.join("x/y"));
        assert_eq!(at(""), root);
        assert_eq!(at("/../etc"), PathBuf::from("/etc"));
    }
}
