//! `RUN --mount=type=ssh` with OpenSSH's own programs inside of the step.

use std::{collections::BTreeSet, path::Path};

use super::{compose, made};
use crate::support::{World, run_tool};

/// Lists the keys, signs with each of them by the agent, and lets OpenSSH verify the signatures.
const DOCKERFILE: &str = "FROM busybox
COPY root /
RUN echo root:x:0:0:root:/:/bin/sh > /etc/passwd
RUN --mount=type=ssh,required /usr/bin/ssh-add -L > /keys && \\
    while read kind key name; do \\
        echo \"$kind $key\" > /key.pub && echo text > /text && rm -f /text.sig && \\
        /usr/bin/ssh-keygen -q -Y sign -n test -f /key.pub /text && \\
        /usr/bin/ssh-keygen -Y check-novalidate -n test -s /text.sig < /text >> /verified || exit 1; \\
    done < /keys; ! /usr/bin/ssh-add -D
";

/// Copies programs of this machine and the libraries that they load.
fn copy_programs(world: &World, programs: &[&str]) {
    let mut files: BTreeSet<String> = programs.iter().map(|&program| program.into()).collect();
    for program in programs {
        let libraries = run_tool("ldd", &[program]);
        let words = libraries.split_whitespace();
        files.extend(
            words
                .filter(|word| word.starts_with('/'))
                .map(str::to_owned),
        );
    }
    for file in files {
        let to = world
            .project()
            .join("root")
            .join(file.trim_start_matches('/'));
        fs_err::create_dir_all(to.parent().unwrap()).unwrap();
        fs_err::copy(Path::new(&file), to).unwrap();
    }
}

#[test]
fn key_files_sign_in_a_step_without_an_agent() {
    let text = compose(&[("web", &DOCKERFILE.replace('$', "$$"))]);
    let keys = "context: .\n      ssh: ['default=ed25519']";
    let world = World::new(&text.replace("context: .", keys));
    world.write(".dockerignore", "*\n!root\n");
    copy_programs(&world, &["/usr/bin/ssh-add", "/usr/bin/ssh-keygen"]);
    let mut public = Vec::new();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let file = world.project().join(kind).display().to_string();
        run_tool(
            "ssh-keygen",
            &["-q", "-t", kind, "-N", "", "-C", kind, "-f", &file],
        );
        public.push(fs_err::read_to_string(format!("{file}.pub")).unwrap());
    }
    world.stack(&["build"]).ok();
    let listed = fs_err::read_to_string(made(&world, "keys")).unwrap();
    assert_eq!(listed, public[0]);
    // The id of the command line takes the place of that in the file.
    let given = ["build", "--no-cache", "--ssh", "default=ed25519,ecdsa,rsa"];
    world.stack(&["builder", "prune", "-af"]).ok();
    world.stack(&["image", "rm", "-f", "project-web"]);
    world.stack(&given).ok();
    let (listed, verified) = newest(&world);
    assert_eq!(listed, public.concat());
    assert_eq!(verified.lines().count(), 3, "{verified}");
    assert!(
        verified
            .lines()
            .all(|line| line.starts_with("Good \"test\" signature")),
        "{verified}"
    );
    // With a passphrase it is refused, and the error says what to do.
    let key = world.project().join("ed25519").display().to_string();
    run_tool("ssh-keygen", &["-q", "-p", "-N", "secret", "-f", &key]);
    let refused = world.stack(&["build", "--no-cache"]).fails(4);
    assert!(
        refused.stderr.contains("passphrase") && refused.stderr.contains("ssh-add"),
        "{refused:#?}"
    );
    world.finish();
}

/// Returns what the last of the steps wrote that listed keys.
fn newest(world: &World) -> (String, String) {
    let layers = fs_err::read_dir(world.root().join("layers")).unwrap();
    let places = layers.map(|entry| entry.unwrap().path().join("fs"));
    let newest = places
        .filter(|place| place.join("keys").exists())
        .max_by_key(|place| {
            fs_err::metadata(place.join("keys"))
                .unwrap()
                .modified()
                .unwrap()
        })
        .expect("a layer has keys");
    let read = |name: &str| fs_err::read_to_string(newest.join(name)).unwrap();
    (read("keys"), read("verified"))
}
