//! What settings mean, and what is wrong with bad ones.

use super::*;
use crate::model::SettingsText;

fn bases(registries: &Registries, registry: &str) -> Vec<String> {
    registries
        .endpoints(registry)
        .iter()
        .map(|endpoint| endpoint.base.to_string())
        .collect()
}

fn read(text: &str) -> Result<Registries, SettingsError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("registries.toml");
    fs::write(&path, text).unwrap();
    Registries::read(&path)
}

fn caller(text: &str) -> Arc<RegistryAccess> {
    Arc::new(RegistryAccess {
        settings: Some(SettingsText {
            path: "/home/me/.config/stack/registries.toml".into(),
            text: text.to_owned(),
        }),
        ..RegistryAccess::default()
    })
}

#[test]
fn mirrors_come_before_the_registry_and_the_callers_before_the_machines() {
    let registries = read(
        "[registry.\"docker.io\"]\nmirrors = [\"http://a:1\", \"https://b/x\"]\n\
         [registry.\"lan:5000\"]\ninsecure = true\n",
    )
    .unwrap();
    assert_eq!(
        bases(&registries, "docker.io"),
        ["http://a:1", "https://b/x", "https://registry-1.docker.io"]
    );
    let own = caller("[registry.\"https://index.docker.io/v1/\"]\nmirrors = [\"http://c:2\"]\n");
    let registries = registries.for_caller(&own).unwrap();
    assert_eq!(
        bases(&registries, "docker.io"),
        [
            "http://c:2",
            "http://a:1",
            "https://b/x",
            "https://registry-1.docker.io"
        ]
    );
    for (registry, addresses) in [
        ("ghcr.io", &["https://ghcr.io"][..]),
        ("127.0.0.1:5000", &["http://127.0.0.1:5000"]),
        ("localhost:5000", &["http://localhost:5000"]),
        ("lan:5000", &["https://lan:5000", "http://lan:5000"]),
    ] {
        assert_eq!(bases(&registries, registry), addresses);
    }
    assert!(registries.is_insecure(&"https://lan:5000".parse().unwrap()));
    assert!(!registries.is_insecure(&"https://lan:5001".parse().unwrap()));
    let pushed: Vec<_> = registries.own_endpoints("docker.io");
    assert_eq!(pushed[0].base.to_string(), "https://registry-1.docker.io");
}

#[test]
fn certificates_are_relative_to_the_file_that_names_them() {
    let own = caller(
        "[registry.\"lan:5000\"]\nca = \"lan.crt\"\nclient-cert = \"/abs/me.cert\"\nclient-key = \"me.key\"\n",
    );
    let registries = Registries::default().for_caller(&own).unwrap();
    let found = registries.host_certificates(&"https://lan:5000".parse().unwrap());
    let found = found.unwrap();
    let home = Path::new("/home/me/.config/stack");
    assert_eq!(found.authorities, [home.join("lan.crt")]);
    assert_eq!(
        found.client,
        Some(("/abs/me.cert".into(), home.join("me.key")))
    );
}

#[test]
fn a_folder_of_certificates_is_found_by_host_and_port() {
    let (mine, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [
        mine.path().join("localhost:5443"),
        theirs.path().join("lan"),
    ] {
        fs::create_dir(folder).unwrap();
    }
    let mut registries = Registries::default().with_certificates(theirs.path());
    registries.certificates.insert(0, mine.path().to_owned());
    let folder = |host: &str| registries.certificates_folder(&Url::new(true, host));
    assert_eq!(folder("lan:5000"), Some(theirs.path().join("lan")));
    assert_eq!(
        folder("localhost:5443"),
        Some(mine.path().join("localhost:5443"))
    );
    assert_eq!(folder("localhost:5444"), None);
    // Somebody who has put a certificate there means TLS.
    assert_eq!(
        bases(&registries, "localhost:5443")[0],
        "https://localhost:5443"
    );
}

#[test]
fn bad_settings_are_told_with_file_and_line() {
    for (text, place) in [
        ("\n[registri.\"a\"]\n", ":2: unknown field `registri`"),
        (
            "[registry.\"a\"]\nmirror = []\n",
            ":2: unknown field `mirror`",
        ),
        ("[registry", ":1: "),
        (
            "[registry.\"a\"]\nmirrors = [\n  \"http://good\",\n  \"ftp://x\"]\n",
            ":4: mirror `ftp://x` is not",
        ),
        ("\n[registry.\"a b\"]\n", ":2: `a b` is not a registry's"),
        (
            "[registry.\"a\"]\ninsecure = true\nclient-cert = \"x\"\n",
            ":3: `client-cert` and `client-key` go together",
        ),
        ("[registry.\"a\"]\ninsecure = \"yes\"\n", ":2: invalid type"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(
            error.contains(&format!("registries.toml{place}")),
            "{error}"
        );
    }
    assert!(Registries::read(Path::new("/nonexistent/registries.toml")).is_ok());
}

#[test]
fn a_bad_proxy_is_told_without_its_password() {
    let access = Arc::new(RegistryAccess {
        https_proxy: Some(Secret::new("ftp://me:hunter2@proxy:1".to_owned())),
        ..RegistryAccess::default()
    });
    let error = Registries::default().for_caller(&access).unwrap_err();
    assert_eq!(
        error.to_string(),
        "HTTPS_PROXY: `proxy:1` is not the address of an http or https proxy"
    );
}
