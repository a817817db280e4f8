//! The `modelhaul` program: everything is in the library, so that an app can embed it.

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_memory_together();
    modelhaul::cli::main()
}

/// Lets all threads share two of glibc's arenas, of which each keeps its free memory to itself; by default there are
/// eight for each processor. And lets large blocks always go back to the system when they are free: by default glibc
/// keeps those up to the size of the largest one that was freed, which after a long listing is all of them.
///
/// To be called before any other thread runs, since an arena that exists stays.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "calls into the allocator with two numbers; nothing else reaches these settings"
)]
fn keep_memory_together() {
    const LARGE: libc::c_int = 128 << 10;
    // SAFETY: no pointer is passed, and no other thread runs yet. A refusal changes nothing.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_memory_together() {}
