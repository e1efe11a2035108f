//! Registries as people use them: log in, push what was built, pull it elsewhere, log out. Against Debian's docker-registry.

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Output, World, eventually};

pub(crate) const ADDRESS: &str = "127.0.0.1:5000";
/// bcrypt of `secret`.
const USERS: &str = "me:$2b$05$34wV/KP89a7eNvjYmufZMOce/aBzlgHAGdhYywYpo7ASLibev.fVO\n";
const COMPOSE: &str = "
services:
  app:
    build: .
    image: 127.0.0.1:5000/team/app:1
  other:
    build: .
";
/// Nothing of the image was loaded from an archive: all its layers can be made again from their files.
const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo made-here >/made"]
CMD ["/bin/busybox", "true"]
"#;

/// A registry. It ends with the test.
pub(crate) struct Registry(Child);

impl Registry {
    /// Starts one that wants a user name and password.
    fn start(world: &World) -> Self {
        world.write("users", USERS);
        let users = world.project().join("users").display().to_string();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {users}}}}}\n");
        Self::start_with(world, &auth)
    }

    /// Starts one that lets everybody in.
    pub(crate) fn open(world: &World) -> Self {
        Self::start_with(world, "")
    }

    fn start_with(world: &World, auth: &str) -> Self {
        let at = |name: &str| world.project().join(name).display().to_string();
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{ADDRESS}', secret: x}}\n{auth}",
            at("registry"),
        );
        world.write("registry.yml", &settings);
        let child = Command::new("docker-registry")
            .args(["serve", &at("registry.yml")])
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self(child);
        eventually("the registry listens", Duration::from_secs(30), || {
            std::net::TcpStream::connect(ADDRESS).map(drop)
        });
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs `stack` as a user whose home is in the project directory.
fn as_user(world: &World, arguments: &[&str], input: &str) -> Output {
    let home = world.project().join("home");
    let password = world.project().join("stdin");
    fs_err::write(&password, input).unwrap();
    let output = world
        .command(arguments)
        .env("HOME", &home)
        .env_remove("DOCKER_CONFIG")
        .stdin(std::fs::File::open(password).unwrap())
        .output()
        .unwrap();
    Output {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn mode(path: &Path) -> u32 {
    fs_err::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_built_is_pushed_and_pulled_by_who_may() {
    let world = World::new(COMPOSE);
    let registry = Registry::start(&world);
    world.write("Dockerfile", DOCKERFILE);
    let busybox = world.project().join("busybox");
    fs_err::copy("/usr/bin/busybox", busybox).unwrap();
    let user = |arguments: &[&str], input: &str| as_user(&world, arguments, input);
    user(&["build"], "").ok();

    // Who is not logged in is told so, and what to do.
    let refused = user(&["push"], "").fails(4);
    let hint = format!("stack login {ADDRESS}");
    assert!(refused.stderr.contains(&hint), "{refused:?}");
    let login = ["login", "-u", "me", "--password-stdin", ADDRESS];
    let refused = user(&login, "wrong\n").fails(1);
    assert!(
        refused.stderr.contains("the credentials were not accepted"),
        "{refused:?}"
    );
    let config = world.project().join("home/.docker/config.json");
    assert!(!config.exists(), "a refused password is not kept");

    user(&login, "secret\n").ok();
    assert_eq!(mode(&config), 0o600);
    let pushed = user(&["push"], "").ok();
    assert!(
        pushed.stderr.contains("service `other` has no `image`"),
        "{pushed:?}"
    );
    // Nothing of the password is in what the supervisor writes.
    for entry in fs_err::read_dir(world.root()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs_err::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        assert!(
            !text.contains("bWU6c2VjcmV0") && !text.contains("\"secret\""),
            "{path:?}"
        );
    }

    let name = format!("{ADDRESS}/team/app:1");
    let again = user(&["--progress", "json", "image", "push", &name], "").ok();
    let digest = again.stdout.trim().to_owned();
    assert!(
        digest.starts_with(&format!("{ADDRESS}/team/app:1@sha256:")),
        "{again:?}"
    );
    assert!(
        again.stderr.contains("exists") && !again.stderr.contains("uploading"),
        "{again:?}"
    );

    user(&["image", "rm", &name], "").ok();
    user(&["image", "pull", &name], "").ok();
    let found = user(
        &["search", &format!("{ADDRESS}/ap"), "--format", "{{.Name}}"],
        "",
    )
    .ok();
    assert_eq!(found.stdout.trim(), format!("{ADDRESS}/team/app"));
    let run = user(
        &["run", "--rm", "-T", "app", "/bin/busybox", "cat", "/made"],
        "",
    )
    .ok();
    assert_eq!(run.stdout.trim(), "made-here");

    // A copy that is here permits nothing: the registry is asked again, and says no.
    user(&["logout", ADDRESS], "").ok();
    let refused = user(&["image", "pull", &name], "").fails(4);
    assert!(refused.stderr.contains(&hint), "{refused:?}");
    drop(registry);
    world.finish();
}

#[test]
fn a_locked_project_keeps_its_image_when_the_tag_moves() {
    let world = World::new("services: {app: {build: ., image: '127.0.0.1:5000/team/app:1'}}");
    let registry = Registry::start(&world);
    let busybox = world.project().join("busybox");
    fs_err::copy("/usr/bin/busybox", busybox).unwrap();
    let user = |arguments: &[&str]| as_user(&world, arguments, "secret\n").ok();
    user(&["login", "-u", "me", "--password-stdin", ADDRESS]);
    let publish = |content: &str| {
        world.write("Dockerfile", &DOCKERFILE.replace("made-here", content));
        user(&["build"]);
        user(&["push"]);
    };
    publish("first");
    let locked = user(&["config", "--lock-image-digests"]).stdout;
    let pinned = format!("image: {ADDRESS}/team/app:1@sha256:");
    assert!(locked.contains(&pinned), "{locked}");
    let name = locked.split("image: ").nth(1).unwrap().trim().to_owned();
    publish("second");
    assert_ne!(user(&["config", "--lock-image-digests"]).stdout, locked);

    // From here on there is the registry only.
    user(&["image", "rm", "-f", &format!("{ADDRESS}/team/app:1")]);
    world.write(
        "compose.yaml",
        "services: {app: {image: '127.0.0.1:5000/team/app:1'}}",
    );
    world.write("lock.yaml", &locked);
    let made = |files: &[&str]| {
        let run = ["run", "--rm", "-T", "app", "/bin/busybox", "cat", "/made"];
        user(&[files, &run].concat()).stdout.trim().to_owned()
    };
    assert_eq!(made(&["-f", "compose.yaml", "-f", "lock.yaml"]), "first");
    assert_eq!(made(&["-f", "compose.yaml"]), "second");

    // By digest alone it is found without its tag, and a digest that nobody has is an error.
    let (repository, digest) = name.split_once(":1@").unwrap();
    let by_digest = format!("{repository}@{digest}");
    user(&["image", "pull", &by_digest]);
    let id = |name: &str| user(&["image", "inspect", "-f", "{{.Id}}", name]).stdout;
    assert_eq!(id(&by_digest), id(&name));
    let other = format!("{repository}@sha256:{}", "0".repeat(64));
    let refused = as_user(&world, &["image", "pull", &other], "").fails(4);
    assert!(refused.stderr.contains(&other), "{refused:?}");
    drop(registry);
    world.finish();
}
