//! One case of the catalogue and its line in the conformance table.
//!
//! A case that is dropped without [`Case::pass`] has failed, whatever ended it. Each case writes a file of its own,
//! so that tests in parallel and in several processes do not disturb each other.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// A case that is running.
#[derive(Debug)]
#[must_use = "a case that is dropped has failed"]
pub(crate) struct Case {
    number: &'static str,
    done: &'static str,
    since: Instant,
    over: bool,
}

impl Case {
    /// Opens a case: its number in the catalogue, a letter behind it for one of several parts, and what is done.
    pub(crate) fn open(number: &'static str, done: &'static str) -> Self {
        let case = Self {
            number,
            done,
            since: Instant::now(),
            over: false,
        };
        case.write("FAILED", "it did not come to its end");
        case
    }

    /// The case held; `result` says in a few words what was seen.
    pub(crate) fn pass(mut self, result: impl Display) {
        self.over = true;
        self.write("ok", &result.to_string());
    }

    /// Records a case that cannot run here or has no meaning for the product.
    pub(crate) fn left_out(number: &'static str, done: &'static str, why: impl Display) {
        let mut case = Self::open(number, done);
        case.over = true;
        case.write("left out", &why.to_string());
    }

    /// One line: number, outcome, seconds, what was done, result.
    fn write(&self, outcome: &str, result: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        fs::create_dir_all(&folder).unwrap();
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = format!(
            "{}\t{outcome}\t{:.1}\t{}\t{}\n",
            self.number,
            self.since.elapsed().as_secs_f64(),
            flat(self.done),
            flat(result),
        );
        fs::write(folder.join(format!("{}.tsv", self.number)), line).unwrap();
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if !self.over {
            let how = if std::thread::panicking() {
                "the test failed"
            } else {
                "it ended without a result"
            };
            self.write("FAILED", how);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: &str) -> String {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("conformance");
        let path = folder.join(format!("{number}.tsv"));
        let line = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        line
    }

    #[test]
    fn a_case_writes_how_it_ended() {
        Case::open("X1", "nothing\tmuch").pass(format_args!("{} seen", 3));
        let line_1 = line("X1");
        let fields: Vec<_> = line_1.trim_end().split('\t').collect();
        assert_eq!(
            (fields[0], fields[1], fields[3], fields[4]),
            ("X1", "ok", "nothing much", "3 seen")
        );
        drop(Case::open("X2", "nothing"));
        assert!(line("X2").contains("\tFAILED\t"));
        let thread = std::thread::spawn(|| {
            let _case = Case::open("X3", "nothing");
            panic!("as told");
        });
        assert!(thread.join().is_err());
        assert!(line("X3").contains("the test failed"));
        Case::left_out("X4", "nothing", "no reason");
        assert!(line("X4").contains("\tleft out\t"));
    }
}
