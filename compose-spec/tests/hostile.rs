//! Files made to hurt: each is refused in a moment, in little memory, without a stack overflow.
//!
//! Every file is read twice: on a thread with a small stack, so that recursion without a bound is seen, and in a process of
//! its own, whose largest size the kernel tells. How long that process took is printed and not judged, since it depends on the
//! machine; a reader without bounds meets the runner's limit of time (.config/nextest.toml). To see the times:
//!
//! ```text
//! cargo test --release -p compose-spec --test hostile -- --nocapture
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that starts itself as a child"
)]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use compose_spec::{FileKind, Files, LoadError, Request, load, plain};

/// Names the directory that the child reads.
const CHILD: &str = "COMPOSE_SPEC_HOSTILE";

/// What a process may take for any of the files, in KiB. The test program itself takes about 10 MiB; a tree at the limits
/// of size takes most of the rest.
const KIB_MAX: u64 = 192 << 10;

/// The stack that is enough for any file.
const STACK_BYTES: usize = 2 << 20;

/// Files in memory.
struct Memory(BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let text = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(text.as_bytes()[..text.len().min(most.saturating_add(1))].to_vec())
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        self.0.contains_key(path).then_some(FileKind::File)
    }
}

/// The disk.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = most as u64 + 1;
        std::fs::File::open(path)?
            .take(most)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn kind(&self, path: &Path) -> Option<FileKind> {
        path.exists().then_some(FileKind::File)
    }
}

/// A project that is refused.
struct Hostile {
    what: &'static str,
    /// Files by name, `compose.yaml` among them.
    files: Vec<(String, String)>,
    /// The codes that its first error may have.
    codes: &'static [&'static str],
}

impl Hostile {
    fn new(what: &'static str, codes: &'static [&'static str], text: String) -> Self {
        Self {
            what,
            files: vec![("compose.yaml".to_owned(), text)],
            codes,
        }
    }
}

fn numbered(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        writeln!(text, "{}", line(index)).unwrap();
        text
    })
}

/// Lines of which each names the one before several times; `@` is that one's anchor.
fn bomb(count: usize, first: &str, line: &str) -> String {
    numbered(count, |i| {
        if i == 0 {
            return format!("x-0: &a0 {first}");
        }
        let line = line.replace('@', &format!("*a{}", i - 1));
        format!("x-{i}: &a{i} {}", line.replace('#', &i.to_string()))
    })
}

/// Every project.
fn hostile() -> impl Iterator<Item = Hostile> {
    trees().into_iter().chain(projects())
}

/// Files whose YAML is too large, too deep, or multiplies itself.
fn trees() -> Vec<Hostile> {
    let too_large: &[&str] = &["S0106"];
    let text = format!(
        "x-t: &t \"{}\"\nx-u: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*t"; 500].join(",")
    );
    let tens = format!("[{}]", ["@"; 10].join(","));
    let one = |what, text| Hostile::new(what, too_large, text);
    vec![
        one("100 MB", format!("x-a: '{}'\n", "x".repeat(100 << 20))),
        one(
            "7 MB of one list",
            format!("x-a: [{}]\n", "1,".repeat(3_500_000)),
        ),
        one(
            "alias bomb of lists",
            bomb(12, "[1,2,3,4,5,6,7,8,9,0]", &tens),
        ),
        one("alias bomb of mappings", bomb(31, "{a: 1}", "{a: @, b: @}")),
        one("merge bomb", bomb(40, "{a: 1}", "{<<: @, q#: @, r#: @}")),
        one("aliases within aliases", bomb(300, "[1]", "[@]")),
        one("a long text 500 times", text),
        one("50,000 brackets", "[".repeat(50_000)),
        one(
            "50,000 brackets that are closed",
            "[".repeat(50_000) + &"]".repeat(50_000),
        ),
        one("50,000 braces", "{a: ".repeat(50_000)),
        one("50,000 keys of keys", "? ".repeat(50_000)),
        one("50,000 dashes", "- ".repeat(50_000)),
        one(
            "3000 steps of indentation",
            numbered(3000, |i| format!("{}a:", " ".repeat(i))),
        ),
        one(
            "200,000 keys",
            format!(
                "services:\n{}",
                numbered(200_000, |i| format!("  s{i}: {{}}"))
            ),
        ),
    ]
}

/// Projects whose `extends`, ranges, variables or files multiply.
fn projects() -> Vec<Hostile> {
    let labels = numbered(3000, |i| format!("      k{i}: v"));
    let base = |services: String| {
        format!("services:\n  b0:\n    image: i\n    labels:\n{labels}{services}")
    };
    let chain = base(numbered(300, |i| {
        format!("  b{}: {{extends: b{i}}}", i + 1)
    }));
    let star = base(numbered(300, |i| format!("  b{}: {{extends: b0}}", i + 1)));
    let ports = numbered(20, |i| {
        format!("  s{i}: {{image: i, ports: ['1-65535:1-65535']}}")
    });
    let nested = format!(
        "x-a: \"{}v{}\"\n",
        "${A:-".repeat(50_000),
        "}".repeat(50_000)
    );
    let dotenv = numbered(40, |i| match i {
        0 => "V0=xxxxxxxxxxxxxxxx".to_owned(),
        _ => format!("V{i}=$V{p}$V{p}", p = i - 1),
    });
    let variables = "services: {a: {image: \"$V39\"}}".to_owned();
    let mut doubled = Hostile::new("variables that double", &["S0204"], variables);
    doubled.files.push((".env".to_owned(), dotenv));
    let include = "include: [inc0.yaml]\nservices: {}\n".to_owned();
    let mut included = Hostile::new("includes that double", &["S0106"], include);
    included.files.extend((0..31).map(|i| {
        let more = match i {
            30 => String::new(),
            _ => format!("include: [inc{n}.yaml, inc{n}.yaml]\n", n = i + 1),
        };
        (format!("inc{i}.yaml"), more + "services: {}\n")
    }));
    vec![
        Hostile::new(
            "3000 labels down a chain of 300",
            &["S0106", "S0403"],
            chain,
        ),
        Hostile::new("3000 labels in 300 services", &["S0106", "S0403"], star),
        Hostile::new(
            "20 times all ports",
            &["S0106", "S0511"],
            format!("services:\n{ports}"),
        ),
        Hostile::new("50,000 defaults", &["S0106", "S0201"], nested),
        doubled,
        included,
    ]
}

/// Loads a project of `files` in a directory.
fn load_from(directory: &Path, files: &dyn Files) -> Result<(), LoadError> {
    let request = Request {
        working_dir: directory.to_path_buf(),
        ..Request::default()
    };
    load(&request, files).map(drop)
}

/// Loads files in memory on a thread with a small stack; returns the codes of the errors and the text that is told.
fn told(files: Vec<(String, String)>) -> (Vec<String>, String) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let read = move || {
        let home = Path::new("/home/u/shop");
        let named = files.into_iter();
        let files = Memory(named.map(|(name, text)| (home.join(name), text)).collect());
        let Err(error) = load_from(home, &files) else {
            return (Vec::new(), String::new());
        };
        let texts = error
            .diagnostics
            .iter()
            .map(|found| plain(found, &error.sources));
        (codes(&error), texts.collect())
    };
    thread.spawn(read).unwrap().join().expect("no panic")
}

fn codes(error: &LoadError) -> Vec<String> {
    let all = error.diagnostics.iter();
    let mut codes: Vec<String> = all.map(|found| found.code.to_string()).collect();
    codes.dedup();
    codes
}

fn one(text: String) -> Vec<(String, String)> {
    vec![("compose.yaml".to_owned(), text)]
}

#[test]
fn hostile_files_are_refused_on_a_small_stack() {
    for Hostile { what, files, codes } in hostile() {
        let (found, _) = told(files);
        let first = found.first().unwrap_or_else(|| panic!("{what} is refused"));
        assert!(codes.contains(&first.as_str()), "{what}: {found:?}");
    }
}

#[test]
fn hostile_files_take_little_memory() {
    if let Some(path) = std::env::var_os(CHILD) {
        return read_as_child(Path::new(&path));
    }
    for Hostile { what, files, .. } in hostile() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let begun = Instant::now();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile_files_take_little_memory", "--nocapture"])
            .env(CHILD, directory.path())
            .output()
            .unwrap();
        let millis = begun.elapsed().as_millis();
        let told = String::from_utf8_lossy(&output.stdout);
        let Answer { codes, kib, cpu } =
            answer(&told).unwrap_or_else(|| panic!("{what}: {}\n{told}", output.status));
        println!(
            "{what}: {codes} in {millis} ms, {cpu} ms of CPU, {} MiB",
            kib >> 10
        );
        assert!(!codes.is_empty(), "{what} is refused");
        assert!(kib < KIB_MAX, "{what}: {kib} KiB");
    }
}

/// What a child told: codes, its largest size in KiB, its time of the processor in milliseconds.
struct Answer<'t> {
    codes: &'t str,
    kib: u64,
    cpu: u64,
}

fn answer(told: &str) -> Option<Answer<'_>> {
    let (_, line) = told.split_once("answer: ")?;
    let mut parts = line.lines().next()?.split("; ");
    Some(Answer {
        codes: parts.next()?,
        kib: parts.next()?.trim().parse().ok()?,
        cpu: parts.next()?.trim().parse().ok()?,
    })
}

fn read_as_child(directory: &Path) {
    let codes = match load_from(directory, &Disk) {
        Ok(()) => String::new(),
        Err(error) => codes(&error).join(" "),
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    // proc_pid_stat(5): behind the name in parentheses, the 12th and 13th field are times in hundredths of a second.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let times = fields.skip(11).take(2);
    let cpu: u64 = times.map(|time| time.parse::<u64>().unwrap() * 10).sum();
    let peak = peak.trim().trim_end_matches(" kB");
    println!("answer: {codes}; {peak}; {cpu}");
}

#[test]
fn a_long_chain_of_dependencies_is_walked_without_recursion() {
    let chain = numbered(4000, |i| {
        format!("  s{i}: {{image: i, depends_on: [s{}]}}", i + 1)
    });
    let open = format!("services:\n{chain}  s4000: {{image: i}}\n");
    assert_eq!(told(one(open)).0, Vec::<String>::new());
    let closed = format!("services:\n{chain}  s4000: {{image: i, depends_on: [s0]}}\n");
    assert_eq!(told(one(closed)).0, ["S0505"]);
}

#[test]
fn a_thousand_errors_are_told_in_part() {
    let services = numbered(1000, |i| format!("  s{i}: {{imgae: i}}"));
    let (_, text) = told(one(format!("services:\n{services}")));
    assert_eq!(text.matches("S0301").count(), 200);
}

#[test]
fn an_ordinary_large_project_is_read() {
    let services = numbered(500, |i| {
        format!(
            "  s{i}: {{<<: *c, environment: {{<<: *e, N: '{i}'}}, ports: ['{p}:80']}}",
            p = 10_000 + i
        )
    });
    let text =
        format!("x-c: &c {{image: i, restart: always}}\nx-e: &e {{A: 1}}\nservices:\n{services}");
    assert_eq!(told(one(text)).0, Vec::<String>::new());
}
