//! Credentials with and without helpers, and what a login leaves in the file.

use std::os::unix::fs::PermissionsExt;

use super::{
    docker_config::{Kept, Proof},
    *,
};
use crate::model::docker_config::HUB_KEY;

/// A home with a configuration, and a helper that keeps its secrets in a file.
struct Home {
    directory: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

const HELPER: &str = r#"#!/bin/sh
store=$HOME/secrets
case $1 in
get)
    read -r key || true
    [ -s "$store" ] && grep -q "\"ServerURL\":\"$key\"" "$store" && exec cat "$store"
    echo "credentials not found in native keychain"
    exit 1 ;;
store) cat >"$store" ;;
erase) rm "$store" ;;
esac
"#;

impl Home {
    fn new(config: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let bin = home.join("bin");
        fs_err::create_dir(&bin).unwrap();
        for (name, text) in [
            ("docker-credential-file", HELPER),
            (
                "docker-credential-broken",
                "#!/bin/sh\necho 'the key ring is locked'\nexit 1\n",
            ),
            ("docker-credential-noise", "#!/bin/sh\necho hunter2\n"),
        ] {
            let path = bin.join(name);
            fs_err::write(&path, text).unwrap();
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        if let Some(config) = config {
            fs_err::create_dir(home.join(".docker")).unwrap();
            fs_err::write(home.join(".docker/config.json"), config).unwrap();
        }
        let path = std::env::var_os("PATH").unwrap().into_string().unwrap();
        let environment = BTreeMap::from([
            ("HOME".to_owned(), home.to_str().unwrap().to_owned()),
            ("PATH".to_owned(), format!("{}:{path}", bin.display())),
        ]);
        Self {
            directory,
            environment,
        }
    }

    fn file(&self) -> DockerFile<'_> {
        DockerFile::open(&self.environment).unwrap()
    }

    fn config(&self) -> serde_json::Value {
        let path = self.directory.path().join(".docker/config.json");
        assert_eq!(
            fs_err::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    }
}

#[test]
fn a_login_is_kept_in_the_file_beside_what_others_keep_there() {
    let home = Home::new(Some(
        r#"{"psFormat": "x", "auths": {"index.docker.io": {"auth": "b2xkOm9sZA=="}, "a": {"auth": "b2xkOm9sZA=="}}}"#,
    ));
    let kept = home
        .file()
        .store("docker.io", "me", &password("se:cret"))
        .unwrap();
    assert!(matches!(kept, Kept::File(_)));
    let config = home.config();
    assert_eq!(
        config,
        serde_json::json!({"psFormat": "x", "auths": {"a": {"auth": "b2xkOm9sZA=="}, HUB_KEY: {"auth": "bWU6c2U6Y3JldA=="}}})
    );
    assert_eq!(home.file().user("docker.io").as_deref(), Some("me"));
    assert!(home.file().erase("docker.io").unwrap());
    assert!(!home.file().erase("docker.io").unwrap());
    assert!(home.file().erase("a").unwrap());
    assert_eq!(home.config(), serde_json::json!({"psFormat": "x"}));
}

fn password(text: &str) -> Proof {
    Proof::Password(Secret::new(text.to_owned()))
}

#[test]
fn an_identity_token_is_kept_in_the_place_of_the_password() {
    let token = Secret::new("lasting".to_owned());
    let found = Lookup::Found(Credential::RefreshToken(token.clone()));
    let home = Home::new(None);
    let proof = Proof::Identity(token.clone());
    home.file().store("lan:5000", "me", &proof).unwrap();
    assert_eq!(
        home.config(),
        serde_json::json!({"auths": {"lan:5000": {"auth": "bWU6", "identitytoken": "lasting"}}})
    );
    assert_eq!(home.file().look_up("lan:5000").unwrap(), found);
    // A later login with a password leaves nothing of it.
    home.file().store("lan:5000", "me", &password("p")).unwrap();
    assert_eq!(
        home.config(),
        serde_json::json!({"auths": {"lan:5000": {"auth": "bWU6cA=="}}})
    );

    let home = Home::new(Some(r#"{"credsStore": "file"}"#));
    let kept = home.file().store("lan:5000", "me", &proof).unwrap();
    assert_eq!(kept, Kept::Helper("file".to_owned()));
    let known = Helper::new("file", &home.environment).get("lan:5000");
    assert_eq!(known.unwrap(), Some(Credential::RefreshToken(token)));
}

#[test]
fn the_first_login_makes_a_private_file() {
    let home = Home::new(None);
    home.file()
        .store("lan:5000", "me", &password("pw"))
        .unwrap();
    let directory = home.directory.path().join(".docker");
    assert_eq!(
        fs_err::metadata(directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(home.config()["auths"]["lan:5000"]["auth"].is_string());
    let link = Home::new(None);
    let target = home.directory.path().join(".docker/config.json");
    fs_err::create_dir(link.directory.path().join(".docker")).unwrap();
    let path = link.directory.path().join(".docker/config.json");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    link.file().store("other", "me", &password("pw")).unwrap();
    assert!(fs_err::symlink_metadata(&path).unwrap().is_symlink());
    assert!(home.config()["auths"]["other"].is_object());
}

#[test]
fn helpers_keep_find_and_forget() {
    let home = Home::new(Some(r#"{"credsStore": "file"}"#));
    assert_eq!(home.file().user("docker.io"), None);
    let kept = home
        .file()
        .store("docker.io", "me", &password("hunter2"))
        .unwrap();
    assert_eq!(kept, Kept::Helper("file".into()));
    assert_eq!(home.config()["auths"], serde_json::json!({HUB_KEY: {}}));
    let helper = Helper::new("file", &home.environment);
    assert_eq!(
        helper.get("docker.io").unwrap(),
        Some(Credential::password("me", "hunter2"))
    );
    assert_eq!(helper.get("ghcr.io").unwrap(), None);
    let token = r#"{"ServerURL":"ghcr.io","Username":"<token>","Secret":"refresh"}"#;
    fs_err::write(home.directory.path().join("secrets"), token).unwrap();
    assert_eq!(
        helper.get("ghcr.io").unwrap(),
        Some(Credential::RefreshToken(Secret::new("refresh".into())))
    );
    assert!(home.file().erase("docker.io").unwrap());
    assert!(!home.directory.path().join("secrets").exists());
}

#[test]
fn helpers_that_fail_say_why_and_nothing_secret() {
    let home = Home::new(None);
    for (name, part) in [
        ("broken", "the key ring is locked"),
        ("noise", "printed no credentials"),
        (
            "absent",
            "run the credential helper `docker-credential-absent`",
        ),
        ("../x", "not the name"),
    ] {
        let error = Helper::new(name, &home.environment).get("a").unwrap_err();
        let text = crate::model::chain(&error).join(": ");
        assert!(text.contains(part) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_environments_configuration_goes_first() {
    let mut home = Home::new(Some(
        r#"{"auths": {"a": {"username": "file", "password": "p"}}}"#,
    ));
    let given = r#"{"auths": {"a": {"username": "given", "password": "p"}}}"#;
    home.environment
        .insert("DOCKER_AUTH_CONFIG".into(), given.into());
    assert_eq!(home.file().user("a").as_deref(), Some("given"));
    home.environment
        .insert("DOCKER_AUTH_CONFIG".into(), "hunter2".into());
    let error = DockerFile::open(&home.environment).err().unwrap();
    assert_eq!(error.to_string(), "`$DOCKER_AUTH_CONFIG`");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn the_files_of_podman_are_asked_where_dockers_know_nothing() {
    let auth = |user: &str| crate::model::base64::encode(format!("{user}:p").as_bytes());
    let docker = format!(
        r#"{{"auths": {{"a.example": {{"auth": "{}"}}}}}}"#,
        auth("docker")
    );
    let mut home = Home::new(Some(&docker));
    let podman = format!(
        r#"{{"auths": {{"a.example": {{"auth": "{0}"}}, "b.example": {{"auth": "{0}"}}, "c.example/team": {{"auth": "{0}"}}}}}}"#,
        auth("podman")
    );
    let session = home.directory.path().join("run");
    fs_err::create_dir_all(session.join("containers")).unwrap();
    fs_err::write(session.join("containers/auth.json"), podman).unwrap();
    let session = session.to_str().unwrap().to_owned();
    home.environment
        .insert("XDG_RUNTIME_DIR".to_owned(), session);
    let file = home.file();
    for (registry, user) in [("a.example", "docker"), ("b.example", "podman")] {
        let expected = Lookup::Found(Credential::password(user, "p"));
        assert_eq!(file.look_up(registry).unwrap(), expected);
    }
    assert_eq!(
        file.look_up("c.example").unwrap(),
        Lookup::None,
        "of a part of a registry"
    );
    assert_eq!(file.registries(), ["a.example", "a.example", "b.example"]);
    // A file that is named is the only one.
    let named = home.directory.path().join("named.json");
    fs_err::write(&named, "{").unwrap();
    home.environment.insert(
        "REGISTRY_AUTH_FILE".to_owned(),
        named.to_str().unwrap().to_owned(),
    );
    let error = DockerFile::open(&home.environment).err().unwrap();
    assert!(error.to_string().contains("named.json"), "{error}");
}
