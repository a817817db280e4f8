//! The table of settings: the name in the file, the flag, the variables.

/// One setting and the places where it can be set.
#[derive(Debug)]
pub(crate) struct Key {
    /// The name in the TOML file and in `config show`.
    pub(crate) name: &'static str,
    /// The long flag without dashes.
    pub(crate) flag: Option<&'static str>,
    /// The variables, the first that is set wins.
    pub(crate) variables: &'static [&'static str],
    /// Whether an empty variable counts as set, as it does for the paths of `huggingface_hub`.
    pub(crate) empty_counts: bool,
    /// Whether the value is never shown.
    pub(crate) secret: bool,
}

macro_rules! keys {
    ($($constant:ident = $name:literal, $flag:expr, $variables:expr $(, $option:ident)*;)*) => {
        $(pub(crate) const $constant: Key = Key { $($option: true,)* ..key($name, $flag, &$variables) };)*

        /// All of them, in the order in which they are shown.
        pub(crate) const ALL: &[&Key] = &[$(&$constant,)*];
    };
}

const fn key(
    name: &'static str,
    flag: Option<&'static str>,
    variables: &'static [&'static str],
) -> Key {
    Key {
        name,
        flag,
        variables,
        empty_counts: false,
        secret: false,
    }
}

keys! {
    DATABASE = "database", Some("db"), ["MODELHAUL_DB"];
    CACHE_DIR = "cache_dir", Some("cache-dir"), ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"], empty_counts;
    ENDPOINT = "endpoint", Some("endpoint"), ["HF_ENDPOINT"];
    MIRRORS = "mirrors", None, ["MODELHAUL_MIRRORS"];
    TOKEN = "token", None, ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"], secret;
    TOKEN_PATH = "token_path", None, ["HF_TOKEN_PATH"], empty_counts;
    OFFLINE = "offline", Some("offline"), ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"];
    DOWNLOADS_DISABLED = "downloads_disabled", None, ["DISABLE_MODEL_DOWNLOADS"];
    MAX_RETRIES = "max_retries", Some("max-retries"), ["HF_DOWNLOAD_MAX_RETRIES"];
    BACKOFF = "backoff", None, [];
    BACKOFF_MAX = "backoff_max", None, [];
    DOWNLOAD_TIMEOUT = "download_timeout", None, ["HF_HUB_DOWNLOAD_TIMEOUT"];
    METADATA_TIMEOUT = "metadata_timeout", None, ["HF_HUB_ETAG_TIMEOUT"];
    MAX_CONNECTIONS = "max_connections", Some("max-connections"), ["MODELHAUL_MAX_CONNECTIONS"];
    BANDWIDTH_LIMIT = "bandwidth_limit", Some("bandwidth-limit"), ["MODELHAUL_BANDWIDTH_LIMIT"];
    BANDWIDTH_WINDOWS = "bandwidth_windows", None, [];
    TIME_ZONE = "time_zone", None, [];
    DISK_FLOOR = "disk_floor", None, [];
    CHECKPOINT_INTERVAL = "checkpoint_interval", None, [];
    TEMPLATE_DIR = "template_dir", Some("template-dir"), [];
    PROXY = "proxy", None, [];
    NO_PROXY = "no_proxy", None, ["no_proxy", "NO_PROXY"];
    ARTIFACT_DIR = "artifact_dir", None, [];
    ARTIFACT_NETWORKS = "artifact_networks", None, [];
    FILE_ROOTS = "file_roots", None, [];
    WEBHOOK_NETWORKS = "webhook_networks", None, [];
    LISTEN = "listen", Some("listen"), ["MODELHAUL_LISTEN"];
    ADMIN_TOKEN = "admin_token", None, ["MODELHAUL_ADMIN_TOKEN"], secret;
    ADMIN_TOKEN_FILE = "admin_token_file", Some("admin-token-file"), [];
    ALLOWED_HOSTS = "allowed_hosts", Some("allowed-host"), [];
    TRUST_PROXY = "trust_proxy", None, [];
    LOG = "log", Some("log"), ["MODELHAUL_LOG"];
    LOG_FORMAT = "log_format", Some("log-format"), [];
}

/// The known name that is nearest to a misspelt one, if one is near.
pub(crate) fn nearest(given: &str) -> Option<&'static str> {
    ALL.iter()
        .map(|key| (distance(given, key.name), key.name))
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .map(|(_, name)| name)
}

/// Levenshtein's distance over bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_a_misspelling_finds_its_neighbour() {
        let mut names: Vec<_> = ALL.iter().map(|key| key.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(nearest("databse"), Some("database"));
        assert_eq!(nearest("max-connections"), Some("max_connections"));
        assert_eq!(nearest("colour"), None);
    }
}
