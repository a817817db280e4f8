//! Precedence, origins and the paths of the field.

use std::path::PathBuf;
use std::time::Duration;

use super::*;

fn home() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    (folder, path)
}

fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let environment = Environment::of(variables.iter().copied(), "/home/u", "/w");
    Config::load(&Flags::default(), &environment)
}

fn setting<'a>(config: &'a Config, name: &str) -> &'a Setting {
    config
        .settings
        .iter()
        .find(|setting| setting.name == name)
        .unwrap()
}

#[test]
fn the_cache_is_where_the_field_looks_for_it() {
    type Case = (
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
    );
    let table: &[Case] = &[
        (
            &[],
            "/home/u/.cache/huggingface/hub",
            "/home/u/.cache/huggingface/token",
        ),
        (
            &[("XDG_CACHE_HOME", "/x")],
            "/x/huggingface/hub",
            "/x/huggingface/token",
        ),
        (
            &[("XDG_CACHE_HOME", "")],
            "/w/huggingface/hub",
            "/w/huggingface/token",
        ),
        (
            &[("XDG_CACHE_HOME", "~/x")],
            "/home/u/x/huggingface/hub",
            "/home/u/x/huggingface/token",
        ),
        (
            &[("HF_HOME", "/hf"), ("XDG_CACHE_HOME", "/x")],
            "/hf/hub",
            "/hf/token",
        ),
        (&[("HF_HOME", "~/hf")], "/home/u/hf/hub", "/home/u/hf/token"),
        (
            &[("HF_HOME", "$DISK/hf"), ("DISK", "/d")],
            "/d/hf/hub",
            "/d/hf/token",
        ),
        (
            &[("HF_HOME", "$DISK/hf"), ("DISK", "~/d")],
            "/home/u/d/hf/hub",
            "/home/u/d/hf/token",
        ),
        (
            &[("HF_HOME", "$NONE/hf")],
            "/w/$NONE/hf/hub",
            "/w/$NONE/hf/token",
        ),
        (&[("HF_HOME", "")], "/w/hub", "/w/token"),
        (&[("HF_HOME", "rel")], "/w/rel/hub", "/w/rel/token"),
        (
            &[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")],
            "/c",
            "/hf/token",
        ),
        (
            &[("HUGGINGFACE_HUB_CACHE", "/old")],
            "/old",
            "/home/u/.cache/huggingface/token",
        ),
        (
            &[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/old")],
            "/c",
            "/home/u/.cache/huggingface/token",
        ),
        (
            &[("HF_HUB_CACHE", ""), ("HUGGINGFACE_HUB_CACHE", "/old")],
            "/w",
            "/home/u/.cache/huggingface/token",
        ),
        (
            &[("HF_HUB_CACHE", "${D}/c"), ("D", "/d")],
            "/d/c",
            "/home/u/.cache/huggingface/token",
        ),
        (
            &[("HF_TOKEN_PATH", "~/t")],
            "/home/u/.cache/huggingface/hub",
            "/home/u/t",
        ),
    ];
    for (variables, cache, token) in table {
        let config = load(variables).unwrap();
        assert_eq!(
            config.manager.cache_dir,
            PathBuf::from(cache),
            "{variables:?}"
        );
        assert_eq!(
            config.manager.token_path,
            Some(PathBuf::from(token)),
            "{variables:?}"
        );
    }
}

#[test]
fn flag_before_environment_before_file_before_default_with_the_origin_of_each() {
    let (_folder, home) = home();
    let file = home.join("c.toml");
    std::fs::write(
        &file,
        "max_connections = 3\nmax_retries = 4\nlisten = '127.0.0.1:1'\ndatabase = 'here.db'\nlog_format = 'json'\n",
    )
    .unwrap();
    let variables = [
        ("MODELHAUL_CONFIG", file.to_str().unwrap()),
        ("HF_DOWNLOAD_MAX_RETRIES", "7"),
        ("MODELHAUL_LISTEN", "127.0.0.1:2"),
    ];
    let environment = Environment::of(variables, &home, "/w");
    let flags = Flags::default()
        .with("listen", Some("localhost:3"))
        .with("cache_dir", None::<String>);
    let config = Config::load(&flags, &environment).unwrap();

    assert_eq!(config.manager.max_connections, 3);
    let at = |line| Origin::File {
        path: file.clone(),
        line,
    };
    assert_eq!(setting(&config, "max_connections").origin, at(1));
    assert_eq!(config.manager.max_retries, 7);
    let origin = Origin::Environment("HF_DOWNLOAD_MAX_RETRIES");
    assert_eq!(setting(&config, "max_retries").origin, origin);
    assert_eq!(config.serve.listen.port(), 3);
    assert_eq!(setting(&config, "listen").origin, Origin::Flag("listen"));
    assert_eq!(config.manager.download_timeout, Duration::from_secs(10));
    assert_eq!(setting(&config, "download_timeout").origin, Origin::Default);
    assert_eq!(config.log.format, LogFormat::Json);
    // A relative path of the file counts from the file's folder, not from where the process was started.
    assert_eq!(config.manager.database, home.join("here.db"));
    assert_eq!(config.serve.admin_token_file, home.join("admin-token"));
    let mut names: Vec<_> = config.settings.iter().map(|setting| setting.name).collect();
    names.sort_unstable();
    let mut all: Vec<_> = key::ALL.iter().map(|key| key.name).collect();
    all.sort_unstable();
    assert_eq!(names, all, "every setting is shown once");
}

#[test]
fn an_hf_home_of_the_environment_goes_before_the_file_and_an_xdg_folder_does_not() {
    let (_folder, home) = home();
    let file = home.join("c.toml");
    std::fs::write(&file, "cache_dir = '/srv/models'\n").unwrap();
    let name = ("MODELHAUL_CONFIG", file.to_str().unwrap());
    for (variable, expected) in [("HF_HOME", "/hf/hub"), ("XDG_CACHE_HOME", "/srv/models")] {
        let environment = Environment::of([name, (variable, "/hf")], &home, "/w");
        let config = Config::load(&Flags::default(), &environment).unwrap();
        assert_eq!(
            config.manager.cache_dir,
            PathBuf::from(expected),
            "{variable}"
        );
    }
}

#[test]
fn the_default_file_may_be_missing_and_a_named_one_may_not() {
    let (_folder, home) = home();
    let environment = |variables: &[(&str, &str)]| {
        Config::load(
            &Flags::default(),
            &Environment::of(variables.iter().copied(), &home, "/w"),
        )
    };
    assert_eq!(environment(&[]).unwrap().file, None);
    let missing = home.join("missing.toml");
    assert!(environment(&[("MODELHAUL_CONFIG", missing.to_str().unwrap())]).is_err());
    let default = home.join(".config/modelhaul/config.toml");
    std::fs::create_dir_all(default.parent().unwrap()).unwrap();
    std::fs::write(&default, "offline = true").unwrap();
    let config = environment(&[]).unwrap();
    assert!(config.manager.offline);
    assert_eq!(config.file, Some(default));
}

#[test]
fn the_database_lies_in_the_data_folder_of_the_user() {
    for (value, expected) in [
        ("/d", "/d/modelhaul/modelhaul.db"),
        ("", "/home/u/.local/share/modelhaul/modelhaul.db"),
        ("relative", "/home/u/.local/share/modelhaul/modelhaul.db"),
    ] {
        let config = load(&[("XDG_DATA_HOME", value)]).unwrap();
        assert_eq!(config.manager.database, PathBuf::from(expected));
    }
    let config = load(&[("MODELHAUL_DB", "~/q.db")]).unwrap();
    assert_eq!(config.manager.database, PathBuf::from("/home/u/q.db"));
    let homeless = Environment::of([], "", "/w");
    let error = Config::load(&Flags::default(), &homeless).unwrap_err();
    assert!(
        matches!(
            error,
            ConfigError::NoHome {
                needed_for: "database"
            }
        ),
        "{error}"
    );
}

#[test]
fn the_data_folder_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, home) = home();
    let environment = Environment::of([], &home, "/w");
    let config = Config::load(&Flags::default(), &environment).unwrap();
    config.create_data_folder().unwrap();
    config.create_data_folder().unwrap();
    let mode = home
        .join(".local/share/modelhaul")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn two_links_to_one_database_are_one_database() {
    let (_folder, home) = home();
    std::fs::create_dir(home.join("real")).unwrap();
    std::os::unix::fs::symlink(home.join("real"), home.join("link")).unwrap();
    let environment = Environment::of([], "/home/u", &home);
    let at = |path: &str| {
        let flags = Flags::default().with("database", Some(path));
        Config::load(&flags, &environment).unwrap().manager.database
    };
    assert_eq!(at("real/q.db"), at("link/q.db"));
}

#[test]
fn bad_values_name_setting_place_value_and_rule() {
    for (name, value, expected) in [
        (
            "MODELHAUL_MAX_CONNECTIONS",
            "0",
            "max_connections (environment MODELHAUL_MAX_CONNECTIONS) is `0`: a whole number from 1 to 64 is expected",
        ),
        ("MODELHAUL_MAX_CONNECTIONS", "65", "from 1 to 64"),
        ("HF_DOWNLOAD_MAX_RETRIES", "-1", "max_retries"),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "soon", "a duration is expected"),
        ("MODELHAUL_BANDWIDTH_LIMIT", "fast", "20MB/s"),
        ("MODELHAUL_LISTEN", "8642", "127.0.0.1:8642"),
        ("HF_ENDPOINT", "huggingface.co", "https://huggingface.co"),
        ("HF_ENDPOINT", "ftp://x", "https://huggingface.co"),
        (
            "HF_ENDPOINT",
            "https://x/?a=b",
            "without user, query or fragment",
        ),
        ("DISABLE_MODEL_DOWNLOADS", "ja", "one of 1, on, yes"),
        ("HTTPS_PROXY", "://", "proxy.example"),
    ] {
        let error = load(&[(name, value)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn numbers_and_switches_have_the_meaning_of_the_field() {
    let config = load(&[
        ("HF_HUB_DOWNLOAD_TIMEOUT", "0"),
        ("HF_HUB_ETAG_TIMEOUT", "30"),
        ("HF_DOWNLOAD_MAX_RETRIES", "0"),
        ("HF_HUB_OFFLINE", "0"),
        ("TRANSFORMERS_OFFLINE", "yes"),
        ("DISABLE_MODEL_DOWNLOADS", "True"),
        ("HF_ENDPOINT", "https://mirror.example/hf/"),
        ("MODELHAUL_BANDWIDTH_LIMIT", "20MB/s"),
    ])
    .unwrap();
    let manager = &config.manager;
    assert_eq!(manager.download_timeout, Duration::from_secs(10));
    assert_eq!(setting(&config, "download_timeout").origin, Origin::Default);
    assert_eq!(manager.metadata_timeout, Duration::from_secs(30));
    assert_eq!(manager.max_retries, 10);
    assert!(manager.offline && manager.downloads_disabled);
    assert_eq!(
        setting(&config, "offline").origin,
        Origin::Environment("TRANSFORMERS_OFFLINE")
    );
    assert_eq!(manager.endpoint.as_str(), "https://mirror.example/hf");
    assert_eq!(manager.bandwidth_limit, Some(20_000_000));
    assert!(
        !load(&[("HF_HUB_OFFLINE", "enabled")])
            .unwrap()
            .manager
            .offline
    );
    for (name, value, plain) in [
        ("CI", "true", true),
        ("TERM", "dumb", true),
        ("TERM", "xterm", false),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "1", true),
        ("HF_HUB_DISABLE_PROGRESS_BARS", "0", false),
    ] {
        assert_eq!(
            load(&[(name, value)]).unwrap().terminal.plain,
            plain,
            "{name}={value}"
        );
    }
}

#[test]
fn secrets_are_used_and_never_shown() {
    let config = load(&[
        ("HF_TOKEN", " hf_hunter2\n"),
        ("HUGGING_FACE_HUB_TOKEN", "old"),
        ("MODELHAUL_ADMIN_TOKEN", "hunter2"),
        ("HTTPS_PROXY", "http://me:hunter2@proxy:3128"),
    ])
    .unwrap();
    assert_eq!(
        config.manager.token.as_ref().unwrap().expose(),
        "hf_hunter2"
    );
    assert_eq!(
        config.admin_token(false).unwrap().unwrap().expose(),
        "hunter2"
    );
    assert_eq!(
        config.manager.proxy.as_ref().unwrap().password(),
        Some("hunter2")
    );
    assert_eq!(setting(&config, "proxy").value, "http://proxy:3128/");
    assert!(!format!("{:?}", config.settings).contains("hunter2"));
    let blank = load(&[("HF_TOKEN", " "), ("HUGGING_FACE_HUB_TOKEN", "old")]).unwrap();
    assert_eq!(blank.manager.token.unwrap().expose(), "old");
    let refused = load(&[("HTTPS_PROXY", "gopher://me:hunter2@proxy")]).unwrap_err();
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    let implicit = load(&[("HF_TOKEN", "t"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap();
    assert!(implicit.manager.token.is_none() && implicit.manager.token_path.is_none());
}

#[test]
fn a_token_in_a_file_that_others_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, home) = home();
    let file = home.join("c.toml");
    std::fs::write(&file, "token = 'hf_x'\n").unwrap();
    let environment = Environment::of([("MODELHAUL_CONFIG", file.to_str().unwrap())], &home, "/w");
    for (mode, warnings) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::load(&Flags::default(), &environment).unwrap();
        assert_eq!(config.warnings.len(), warnings);
        assert_eq!(config.manager.token.unwrap().expose(), "hf_x");
    }
}

#[test]
fn the_proxy_of_the_scheme_is_used_and_none_for_this_machine() {
    let proxies = [
        ("https_proxy", "http://lower:1"),
        ("HTTPS_PROXY", "http://upper:2"),
        ("HTTP_PROXY", "plain:3"),
        ("NO_PROXY", "*.corp"),
    ];
    let proxy = |endpoint: &str| {
        let mut variables = proxies.to_vec();
        variables.push(("HF_ENDPOINT", endpoint));
        let config = load(&variables).unwrap();
        assert_eq!(config.manager.no_proxy.as_deref(), Some("*.corp"));
        config.manager.proxy.map(|url| url.to_string())
    };
    assert_eq!(
        proxy("https://hub.test").as_deref(),
        Some("http://lower:1/")
    );
    assert_eq!(proxy("http://hub.test").as_deref(), Some("http://plain:3/"));
    for local in [
        "http://127.0.0.1:8080",
        "http://localhost:1",
        "http://[::1]:1",
        "https://127.1.2.3",
    ] {
        assert_eq!(proxy(local), None, "{local}");
    }
}

#[test]
fn an_environment_never_prints_its_values() {
    let environment = Environment::of([("HF_TOKEN", "hunter2")], "/home/u", "/w");
    assert!(!format!("{environment:?}").contains("hunter2"));
}

#[test]
fn the_readme_names_every_setting_flag_and_variable() {
    let readme = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    for key in key::ALL {
        assert!(readme.contains(&format!("`{}`", key.name)), "{}", key.name);
        for variable in key.variables {
            let shown = variable.to_ascii_uppercase();
            assert!(readme.contains(&format!("`{shown}`")), "{shown}");
        }
    }
}
