//! What the process does: ends, waits, leaves orphans.

use std::fs;
use std::io::{self, Read};

use crate::inspect::Outcome;
use crate::say;

/// Reads standard input to its end.
pub(crate) fn input() -> Outcome {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Leaves a number of processes behind whose parent has ended, and which end at once themselves.
pub(crate) fn orphans(count: &str) -> Outcome {
    for _ in 0..number(count)? {
        let parent = fork()?;
        if parent == 0 {
            fork().ok();
            end(0);
        }
        // SAFETY: the status is not asked for.
        unsafe { libc::waitpid(parent, std::ptr::null_mut(), 0) };
    }
    Ok(String::new())
}

/// Looks at every other process of this pid namespace again and again, until it is killed: at what only a process that is still the
/// runtime's own would show. Says so whenever it gets through.
pub(crate) fn spy() -> Outcome {
    say("spying\n")?;
    let own = std::process::id().to_string();
    let image = fs::read_link("/proc/self/exe")?;
    loop {
        for entry in fs::read_dir("/proc")? {
            let Ok(name) = entry?.file_name().into_string() else {
                continue;
            };
            if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
                continue;
            }
            let path = format!("/proc/{name}");
            // A program of the image shows itself and nothing else.
            match fs::read_link(format!("{path}/exe")) {
                Ok(exe) if exe != image => say(&format!("leak: {name} is {}\n", exe.display()))?,
                Ok(_) => {}
                // One that has ended and was not reaped has no memory to hide.
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {}
                Err(_) => {
                    for file in ["mem", "fd/3", "cwd/etc/hostname", "root/etc/hostname"] {
                        let got = fs::File::options()
                            .read(true)
                            .write(file == "mem")
                            .open(format!("{path}/{file}"));
                        // The process may have become the program between the two looks.
                        let is_still_ours = fs::read_link(format!("{path}/exe"))
                            .is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
                        if got.is_ok() && is_still_ours {
                            say(&format!("leak: {path}/{file}\n"))?;
                        }
                    }
                }
            }
        }
    }
}

/// Waits until no process of this pid namespace is a zombie; says how many are left when that does not happen.
pub(crate) fn zombies() -> Outcome {
    let mut left = Vec::new();
    for _ in 0..500 {
        left = list_zombies()?;
        if left.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(left.len().to_string())
}

fn list_zombies() -> io::Result<Vec<String>> {
    let mut zombies = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        // A process may end between the two looks.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else {
            continue;
        };
        if stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
        {
            zombies.push(stat);
        }
    }
    Ok(zombies)
}

/// Waits for a signal and says so. The command line ends here when another comes first.
pub(crate) fn await_signal(signal: &str) -> Outcome {
    let signal = number(signal)?;
    // SAFETY: all-zero is a valid signal set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid.
    unsafe { libc::sigemptyset(&raw mut set) };
    // SAFETY: the set was made by sigemptyset.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    // SAFETY: the set is valid; the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    say("ready\n")?;
    let mut taken = 0;
    // SAFETY: both places are valid.
    unsafe { libc::sigwait(&raw const set, &raw mut taken) };
    Ok(format!("got {taken}"))
}

/// Waits for ever.
pub(crate) fn sleep() -> Outcome {
    say("ready\n")?;
    loop {
        // SAFETY: the call has no arguments.
        unsafe { libc::pause() };
    }
}

pub(crate) fn exit(code: &str) -> Outcome {
    end(number(code)?)
}

/// Ends by a signal.
pub(crate) fn die(signal: &str) -> Outcome {
    let signal = number(signal)?;
    // SAFETY: the call takes an integer.
    unsafe { libc::raise(signal) };
    Ok("still here".to_owned())
}

fn number(text: &str) -> io::Result<i32> {
    text.parse()
        .map_err(|_syntax| io::Error::from_raw_os_error(libc::EINVAL))
}

fn fork() -> io::Result<i32> {
    // SAFETY: this program has one thread.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(pid)
    }
}

fn end(code: i32) -> ! {
    // SAFETY: the call does not return and has no requirements.
    unsafe { libc::_exit(code) }
}
