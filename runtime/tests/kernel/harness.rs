//! Runs each test on the main thread of a process of its own, because a launch refuses a process with several threads.
//!
//! Speaks the two forms that `cargo nextest` uses (`--list --format terse`, `NAME --exact`); called by `cargo test` it starts itself once for
//! each test. An allocator ends every process that allocates between clone and exec, so each test also proves that the child does not.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicI32, Ordering};

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// Lists or runs tests, as the command line asks.
pub(crate) fn main(groups: &[&[Test]]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let tests = || groups.iter().flat_map(|group| group.iter());
    if has("--list") {
        if !has("--ignored") {
            tests().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    if has("--exact") {
        let Some((_, test)) = tests().find(|(name, _)| Some(*name) == filter.map(String::as_str))
        else {
            eprintln!("no test of this name");
            return ExitCode::FAILURE;
        };
        PARENT.store(std::process::id().cast_signed(), Ordering::Relaxed);
        test();
        return ExitCode::SUCCESS;
    }
    let chosen =
        tests().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())));
    let failed: Vec<_> = chosen
        .filter(|(name, _)| !run_alone(name))
        .map(|(name, _)| name)
        .collect();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("failed: {failed:?}");
    ExitCode::FAILURE
}

fn run_alone(name: &str) -> bool {
    let binary = std::env::current_exe().unwrap();
    let status = Command::new(binary)
        .args([name, "--exact"])
        .status()
        .unwrap();
    println!(
        "test {name} ... {}",
        if status.success() { "ok" } else { "FAILED" }
    );
    status.success()
}

/// Pid of the test's process; 0 = not running a test.
static PARENT: AtomicI32 = AtomicI32::new(0);

#[global_allocator]
static ALLOCATOR: OnlyParent = OnlyParent;

/// The system's allocator for the test's process, and the end for its children.
struct OnlyParent;

impl OnlyParent {
    fn refuse_children() {
        let parent = PARENT.load(Ordering::Relaxed);
        if parent == 0 {
            return;
        }
        // SAFETY: the call has no arguments. It asks the kernel: no copy of the C library's is kept since glibc 2.25.
        let own = unsafe { libc::getpid() };
        if parent != own {
            let text = b"allocation between clone and exec\n";
            // SAFETY: the text has the length given.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
            // SAFETY: the call does not return.
            unsafe { libc::abort() };
        }
    }
}

// SAFETY: every call goes to the system's allocator with the arguments unchanged, or ends the process.
unsafe impl GlobalAlloc for OnlyParent {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::refuse_children();
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::refuse_children();
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::refuse_children();
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::refuse_children();
        // SAFETY: the caller keeps the contract of this same function.
        unsafe { System.dealloc(pointer, layout) }
    }
}
