//! The `modelhaul` program: everything is in the library, so that an app can embed it.

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_memory_together();
    modelhaul::cli::main()
}

/// Lets all threads share two of glibc's arenas: each keeps its free memory to itself, and by default there are eight
/// for each processor. Before any other thread, since an arena that exists stays.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a call into the allocator with two numbers; nothing else reaches that setting"
)]
fn keep_memory_together() {
    // SAFETY: the call takes no pointer, and no other thread runs yet. A refusal changes nothing.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_memory_together() {}
