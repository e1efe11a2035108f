//! Docker's default profile as data (moby/profiles, June 2026), and what it says about one ABI.

use super::Abi;
use crate::spec::SeccompOperator;

/// Allowed whatever the capabilities. ptrace and process_vm_* are among them since Linux 4.8, where they no longer let a
/// tracee leave its filter.
const ALWAYS: &str = "
_llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir
chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range
creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32
fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64
futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd
getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32
getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
getresuid getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday
getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset
landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack
membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall
mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync
munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause
pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll
ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2 read readahead
readlink readlinkat readv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr
removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
semctl semget semop semtimedop semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg sendto
set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid
setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid
setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx
symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64
utimes vfork vmsplice wait4 waitid waitpid write writev
";

/// Allowed in addition with a capability.
const BY_CAPABILITY: &[(&str, &str)] = &[
    ("BPF", "bpf"),
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    ("PERFMON", "perf_event_open"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    (
        "SYS_NICE",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    ),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "iopl ioperm"),
    (
        "SYS_TIME",
        "settimeofday stime clock_settime clock_settime64",
    ),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYSLOG", "syslog"),
];

/// Allowed on one ABI only. modify_ldt and arch_prctl exist nowhere else, but i386's arch_prctl is not allowed.
const BY_ABI: &[(Abi, &str)] = &[
    (Abi::X86_64, "arch_prctl modify_ldt"),
    (Abi::I386, "modify_ldt"),
];

/// Decided by an argument, or refused with another errno; a capability of [`BY_CAPABILITY`] that allows the call goes first.
const SPECIAL: &[(&str, Verdict)] = &[
    ("socket", Verdict::When(Condition::SocketFamily)),
    ("personality", Verdict::When(Condition::Personality)),
    ("clone", Verdict::When(Condition::CloneFlags)),
    // Its flags are in memory, where a filter cannot look; ENOSYS makes C libraries fall back to clone.
    ("clone3", Verdict::Errno(libc::ENOSYS)),
];

/// `name x86_64 i386 aarch64`, one call a line.
const NUMBERS: &str = include_str!("numbers.txt");

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is carried out.
    Allow,
    /// It fails with this error.
    Errno(i32),
    /// It is carried out if its arguments fulfil the condition, else it fails with EPERM.
    When(Condition),
    /// This is what the filter returns.
    Return(u32),
    /// The chain with this index decides.
    Chain(usize),
}

/// Tests of arguments, in order; the first one whose comparisons all hold decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    /// Comparisons, and what the filter returns when all hold.
    pub(super) tests: Vec<(Vec<Comparison>, u32)>,
    /// What it returns when no test holds.
    pub(super) otherwise: u32,
}

/// A test of all 64 bits of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Which argument.
    pub(super) index: u32,
    /// Bits that are looked at.
    pub(super) mask: u64,
    pub(super) op: SeccompOperator,
    pub(super) value: u64,
}

/// A condition on the first argument, on its low 32 bits: the kernel cuts these arguments to `int`, so looking at more would
/// let `socket(2^32 + AF_ALG)` through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// Neither AF_ALG (kernel crypto, a history of holes) nor AF_VSOCK (reaches the hypervisor).
    SocketFamily,
    /// One of [`PERSONALITIES`].
    Personality,
    /// None of [`CLONE_NAMESPACES`].
    CloneFlags,
}

/// `socket(2)` families that are refused.
pub(super) const FAMILIES_REFUSED: [u32; 2] = [38, 40];
/// PER_LINUX, PER_LINUX32, both with UNAME26, and the query.
pub(super) const PERSONALITIES: [u32; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// CLONE_NEW{CGROUP, UTS, IPC, USER, PID, NET, NS}.
pub(super) const CLONE_NAMESPACES: u32 = 0x7e02_0000;

/// The verdicts of one ABI.
#[derive(Debug)]
pub(super) struct Verdicts {
    /// By number, ascending.
    pub(super) calls: Vec<(u32, Verdict)>,
    /// The newest call that the profile knows.
    pub(super) newest: u32,
    /// Of a number up to `newest` that is not in `calls`.
    pub(super) otherwise: Verdict,
    /// Of later numbers. ENOSYS in the default profile: a program that tries a new call must see "not there", which it handles, and not
    /// "forbidden". x32 calls, which have bit 30 set, fall under this too.
    pub(super) beyond: Verdict,
    /// From this number on calls belong to another ABI and fail with ENOSYS whatever `beyond` is.
    pub(super) foreign: Option<u32>,
    /// What [`Verdict::Chain`] counts.
    pub(super) chains: Vec<Chain>,
}

/// Returns what the default profile says about each call of an ABI, for a container with these capabilities.
pub(super) fn verdicts(abi: Abi, capabilities: &[String]) -> Verdicts {
    let by_capability = BY_CAPABILITY
        .iter()
        .filter(|(capability, _)| capabilities.iter().any(|held| held == capability))
        .flat_map(|(_, names)| names.split_ascii_whitespace());
    let by_abi = BY_ABI
        .iter()
        .filter(|(of, _)| *of == abi)
        .flat_map(|(_, names)| names.split_ascii_whitespace());
    let mut allowed = ALWAYS
        .split_ascii_whitespace()
        .chain(by_capability)
        .chain(by_abi)
        .collect::<Vec<_>>();
    allowed.sort_unstable();

    let mut calls = Vec::with_capacity(allowed.len());
    let mut newest = 0;
    for (name, number) in numbers(abi) {
        newest = newest.max(number);
        if allowed.binary_search(&name).is_ok() {
            calls.push((number, Verdict::Allow));
        } else if let Some((_, verdict)) = SPECIAL.iter().find(|(special, _)| *special == name) {
            calls.push((number, *verdict));
        }
    }
    calls.sort_unstable_by_key(|(number, _)| *number);
    Verdicts {
        calls,
        newest,
        otherwise: Verdict::Errno(libc::EPERM),
        beyond: Verdict::Errno(libc::ENOSYS),
        foreign: None,
        chains: Vec::new(),
    }
}

/// The calls that exist on an ABI, with their numbers.
pub(super) fn numbers(abi: Abi) -> impl Iterator<Item = (&'static str, u32)> {
    let column = match abi {
        Abi::X86_64 => 0,
        Abi::I386 => 1,
        Abi::Aarch64 => 2,
    };
    NUMBERS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(move |line| {
            let mut fields = line.split_ascii_whitespace();
            let name = fields.next()?;
            Some((name, fields.nth(column)?.parse().ok()?))
        })
}
