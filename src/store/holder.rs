//! Who keeps the write lock of a database, as far as the system tells.
//!
//! The list of the kernel is read, and the lock file only looked at: to open and close it would give up the locks of
//! this process on it. Where there is no such list, nobody is named. What to do about a holder is left to people.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The byte of the `-shm` file whose lock is the right to write in WAL mode.
const WRITE_LOCK: u64 = 120;

/// A process that keeps the write lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// The name of its program, at most 15 bytes; empty when it is not known.
    pub(super) name: String,
    /// Whether it was stopped by a signal: then it keeps the lock until it is continued or ended.
    pub(super) stopped: bool,
}

/// The process that keeps the write lock of the database, if it is another one.
pub(super) fn of_write_lock(database: &Path) -> Option<Holder> {
    let mut shared = database.as_os_str().to_owned();
    shared.push("-shm");
    let inode = fs::metadata(shared).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let mut pids = locks.lines().filter_map(|line| locker(line, inode));
    let pid = pids.find(|pid| *pid != std::process::id())?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let (name, stopped) = read_stat(&stat);
    Some(Holder { pid, name, stopped })
}

/// The process of a line of `/proc/locks` that says who may write the file of this inode.
///
/// A line is `1: POSIX  ADVISORY  WRITE 4711 08:01:1234 120 120`: number, kind, `WRITE`, process, file, first and last byte.
fn locker(line: &str, inode: u64) -> Option<u32> {
    // A waiting lock has `->` behind its number.
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, "WRITE", pid, file, first, last] = words.as_slice() else {
        return None;
    };
    let (_, given) = file.rsplit_once(':')?;
    let end = if *last == "EOF" {
        u64::MAX
    } else {
        last.parse().ok()?
    };
    let meant = given.parse() == Ok(inode) && (first.parse().ok()?..=end).contains(&WRITE_LOCK);
    pid.parse().ok().filter(|_| meant)
}

/// Name and state from `/proc/PID/stat`, `4711 (name) S ...`; the name may hold anything, so its last bracket counts.
fn read_stat(stat: &str) -> (String, bool) {
    let parts = stat
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(") "));
    parts.map_or_else(Default::default, |(name, rest)| {
        let name = name.chars().flat_map(char::escape_debug).collect();
        (name, rest.starts_with(['T', 't']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_names_the_writer() {
        let line = |kind: &str, pid: &str, bytes: &str| {
            format!("7: POSIX  ADVISORY  {kind} {pid} 00:2d:4242 {bytes}")
        };
        assert_eq!(locker(&line("WRITE", "99", "120 120"), 4242), Some(99));
        assert_eq!(locker(&line("WRITE", "99", "100 EOF"), 4242), Some(99));
        assert_eq!(locker(&line("WRITE", "99", "120 120"), 42), None);
        assert_eq!(
            locker(&line("READ", "99", "120 120"), 4242),
            None,
            "a reader"
        );
        assert_eq!(
            locker(&line("WRITE", "99", "123 123"), 4242),
            None,
            "another lock"
        );
        let waiting = line("WRITE", "99", "120 120").replace("7: ", "7: -> ");
        assert_eq!(locker(&waiting, 4242), None, "it waits itself");
        assert_eq!(locker("nonsense", 4242), None);
    }

    #[test]
    fn name_and_state_are_read_whatever_the_name_is() {
        assert_eq!(read_stat("7 (sqlite3) T 1 2"), ("sqlite3".to_owned(), true));
        assert_eq!(read_stat("7 (a) S (b) S 1"), ("a) S (b".to_owned(), false));
        assert_eq!(read_stat("7 (\u{1b}[31m) S 1").0, "\\u{1b}[31m");
        assert_eq!(read_stat(""), (String::new(), false));
    }
}
