//! Named places at which a test lets the process die, hang or break.
//!
//! Invariant: without the feature `testing` a place is nothing at all: no branch, no name, no dependency. With it,
//! a place does nothing until [`arm`] named it. What must hold after a death is the business of the tests.

/// Marks a place; its name is unique in the program.
#[cfg(not(feature = "testing"))]
macro_rules! failpoint {
    ($name:literal) => {};
}

/// Marks a place; its name is unique in the program.
#[cfg(feature = "testing")]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::reached($name)
    };
}

#[cfg(feature = "testing")]
pub(crate) use self::armed::{arm, reached};

#[cfg(feature = "testing")]
mod armed {
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    /// What happens at a place.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Act {
        /// The process dies as by `kill -9`.
        Kill,
        /// The process stops as by SIGSTOP, until someone lets it go on.
        Freeze,
        /// The step panics.
        Panic,
    }

    /// Does what [`arm`] said about the place; for most nothing.
    pub(crate) fn reached(name: &'static str) {
        fail::fail_point!(name);
    }

    /// Arms places: `name=act` or `name=act@n` for the n-th time only, several with `;` between.
    ///
    /// An act is `kill`, `freeze` or `panic`. Panics when the text cannot be read: it comes from a test.
    pub(crate) fn arm(text: &str) {
        for order in text.split(';').filter(|order| !order.is_empty()) {
            let (name, act, nth) = parse(order).expect("failpoints are written name=act@n");
            let times = AtomicU64::new(0);
            fail::cfg_callback(name, move || {
                let time = times.fetch_add(1, Ordering::Relaxed) + 1;
                if nth.is_none_or(|nth| nth == time) {
                    perform(act);
                }
            })
            .expect("a callback is a valid action");
        }
    }

    fn parse(order: &str) -> Option<(&str, Act, Option<u64>)> {
        let (name, act) = order.split_once('=')?;
        let (act, nth) = match act.split_once('@') {
            Some((act, nth)) => (act, Some(nth.parse().ok()?)),
            None => (act, None),
        };
        let act = match act {
            "kill" => Act::Kill,
            "freeze" => Act::Freeze,
            "panic" => Act::Panic,
            _ => return None,
        };
        Some((name, act, nth))
    }

    #[expect(clippy::panic, reason = "a test asked for it")]
    fn perform(act: Act) {
        let signal = match act {
            Act::Panic => panic!("a test lets this step panic"),
            Act::Kill => Signal::KILL,
            Act::Freeze => Signal::STOP,
        };
        kill_process(getpid(), signal).expect("a process may signal itself");
        // A killed process must not take another step, however late the signal comes.
        if act == Act::Kill {
            loop {
                std::thread::park();
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn orders_are_read() {
            assert_eq!(parse("a=kill"), Some(("a", Act::Kill, None)));
            assert_eq!(parse("a-b=panic@3"), Some(("a-b", Act::Panic, Some(3))));
            assert_eq!(parse("a=freeze@1"), Some(("a", Act::Freeze, Some(1))));
            for bad in ["a", "a=", "a=b", "a=kill@", "a=kill@x"] {
                assert_eq!(parse(bad), None, "{bad}");
            }
        }

        #[test]
        fn a_place_panics_at_the_time_that_was_said_and_else_does_nothing() {
            reached("tests-unarmed");
            arm("tests-armed=panic@2");
            reached("tests-armed");
            let second = std::panic::catch_unwind(|| reached("tests-armed"));
            assert!(second.is_err());
            reached("tests-armed");
        }
    }
}
