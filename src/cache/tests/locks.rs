//! Locks, between threads and with Python's `fcntl.flock`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

/// A Python program that runs `body` with `path` set, and whose lines can be awaited.
struct Python {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Python {
    fn run(path: &Path, body: &str) -> Self {
        let program = format!("import fcntl, os, sys\npath = sys.argv[1]\n{body}");
        let mut child = Command::new("python3")
            .args(["-c", &program])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

const HOLD: &str = "
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
print('held', flush=True)
sys.stdin.read()
";

const TRY: &str = "
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o664)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print('held')
except BlockingIOError:
    print('busy')
";

#[test]
fn one_holder_at_a_time_and_a_drop_frees() {
    let place = Place::new();
    let digest = digest(b"x");
    let lock = place.cache.try_lock(&place.repo, &digest).unwrap();
    assert!(lock.is_some());
    assert!(
        place
            .cache
            .try_lock(&place.repo, &digest)
            .unwrap()
            .is_none()
    );
    let other = super::digest(b"y");
    assert!(place.cache.try_lock(&place.repo, &other).unwrap().is_some());
    drop(lock);
    assert!(
        place
            .cache
            .try_lock(&place.repo, &digest)
            .unwrap()
            .is_some()
    );
    assert!(
        place.cache.lock_path(&place.repo, &digest).exists(),
        "the file stays"
    );
}

#[test]
fn python_and_modelhaul_respect_each_other() {
    let place = Place::new();
    let digest = digest(b"x");
    let path = place.cache.lock_path(&place.repo, &digest);
    let ours = place.cache.try_lock(&place.repo, &digest).unwrap();
    assert!(ours.is_some());
    let mut python = Python::run(&path, TRY);
    assert_eq!(python.line(), "busy");
    python.child.wait().unwrap();
    drop(ours);

    let mut python = Python::run(&path, HOLD);
    assert_eq!(python.line(), "held");
    assert!(
        place
            .cache
            .try_lock(&place.repo, &digest)
            .unwrap()
            .is_none()
    );
    // A killed holder leaves nothing behind.
    python.child.kill().unwrap();
    python.child.wait().unwrap();
    assert!(
        place
            .cache
            .try_lock(&place.repo, &digest)
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_deleted_lock_file_does_not_give_two_holders_of_one_path() {
    let place = Place::new();
    let digest = digest(b"x");
    let path = place.cache.lock_path(&place.repo, &digest);
    let _old = place.cache.try_lock(&place.repo, &digest).unwrap().unwrap();
    fs::remove_file(&path).unwrap();
    let _new = place.cache.try_lock(&place.repo, &digest).unwrap().unwrap();
    assert!(
        place
            .cache
            .try_lock(&place.repo, &digest)
            .unwrap()
            .is_none()
    );

    // And no two threads ever get the same one.
    let held = std::sync::Mutex::new(());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let contested = super::digest(b"contested");
                    let Some(_lock) = place.cache.try_lock(&place.repo, &contested).unwrap() else {
                        continue;
                    };
                    let _alone = held
                        .try_lock()
                        .expect("another thread holds the lock as well");
                }
            });
        }
    });
}

#[test]
fn a_lock_file_is_neither_emptied_nor_followed() {
    let place = Place::new();
    let digest = digest(b"x");
    let path = place.cache.lock_path(&place.repo, &digest);
    drop(place.cache.try_lock(&place.repo, &digest).unwrap());
    fs::write(&path, "123\nhost\n").unwrap();
    drop(place.cache.try_lock(&place.repo, &digest).unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "123\nhost\n");

    let victim = place.cache.root().join("victim");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    assert!(place.cache.try_lock(&place.repo, &digest).is_err());
    assert!(!victim.exists());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(place.cache.try_lock(&place.repo, &digest).is_err());
}
