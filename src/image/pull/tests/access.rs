//! F1, F2: who may pull, and where credentials go.

use super::*;

fn docker_config(world: &World, registry: &str, entry: &serde_json::Value) -> Registries {
    let path = world.directory.path().join("config.json");
    fs_err::write(&path, json!({"auths": {registry: entry}}).to_string()).unwrap();
    world.registries.clone().with_credentials(&path)
}

fn token(body: &serde_json::Value) -> Reply {
    Reply::Plain(200, vec![], body.to_string().into_bytes())
}

#[tokio::test]
async fn tokens_are_fetched_once_and_used_for_everything() {
    for (challenge, answer, query) in [
        (
            r#",service="s",scope="repository:image:pull""#,
            json!({"token": "T"}),
            "GET /token?service=s&scope=repository:image:pull",
        ),
        (
            "",
            json!({"access_token": "T", "expires_in": 300}),
            "GET /token?scope=repository:image:pull",
        ),
    ] {
        let (world, fake) = (World::new(), Fake::start().await);
        put(&fake, "1", &[layer("a", 1000), layer("b", 1000)]);
        fake.guard(
            "Bearer T",
            &format!(r#"Bearer realm="{}/token"{challenge}"#, fake.url()),
        );
        fake.fault("/token", 100, token(&answer));
        world.pull(&fake.name("image:1")).await.unwrap();
        let asked: Vec<_> = fake
            .log()
            .into_iter()
            .filter(|line| line.contains("/token"))
            .collect();
        assert_eq!(asked, [query]);
    }
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let (world, fake) = (World::new(), Fake::start().await);
    let digest = put(&fake, "1", &[layer("a", 1000)]).remove(0);
    let challenge = format!(r#"Bearer realm="{}/token""#, fake.url());
    fake.guard("Bearer T", &challenge);
    fake.fault("/token", 1, token(&json!({"token": "T"})));
    fake.fault("/token", 1, token(&json!({"token": "U"})));
    fake.fault("/token", 1, token(&json!({"token": "T"})));
    // The blob's first request is refused although the token was good before.
    fake.fault(
        &digest,
        1,
        Reply::Plain(401, vec![("www-authenticate", challenge)], vec![]),
    );
    world.pull(&fake.name("image:1")).await.unwrap();
}

#[tokio::test]
async fn credentials_are_used_where_they_belong() {
    let (mut world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 1000)]);
    fake.guard("Basic bWU6c2VjcmV0", "Basic realm=\"x\"");
    let error = text(&world.pull(&fake.name("image:1")).await.unwrap_err());
    assert!(
        error.contains("there are no credentials for this registry"),
        "{error}"
    );
    world.registries = docker_config(
        &world,
        &fake.address.to_string(),
        &json!({"username": "me", "password": "wrong"}),
    );
    let error = text(&world.pull(&fake.name("image:1")).await.unwrap_err());
    assert!(
        error.contains("the credentials were not accepted"),
        "{error}"
    );
    world.registries = docker_config(
        &world,
        &fake.address.to_string(),
        &json!({"auth": "bWU6c2VjcmV0"}),
    );
    fake.log();
    world.pull(&fake.name("image:1")).await.unwrap();
    assert!(!fake.log()[0].contains("Basic"), "anonymous first");
}

#[tokio::test]
async fn refresh_tokens_are_exchanged_and_bad_passwords_are_told() {
    let (mut world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 1000)]);
    fake.guard(
        "Bearer T",
        &format!(r#"Bearer realm="{}/token",service="s""#, fake.url()),
    );
    world.registries = docker_config(
        &world,
        &fake.address.to_string(),
        &json!({"identitytoken": "re fresh"}),
    );
    fake.fault("/token", 1, token(&json!({"access_token": "T"})));
    world.pull(&fake.name("image:1")).await.unwrap();
    let log = fake.log();
    let posted = log
        .iter()
        .find(|line| line.starts_with("POST /token"))
        .unwrap();
    assert!(posted.ends_with("grant_type=refresh_token&client_id=stack&service=s&scope=repository:image:pull&refresh_token=re%20fresh"), "{posted}");
    fake.guard(
        "Bearer never",
        &format!(r#"Bearer realm="{}/token""#, fake.url()),
    );
    fake.fault(
        "/token",
        1,
        Reply::Plain(401, vec![], br#"{"details":"incorrect"}"#.to_vec()),
    );
    let error = text(&world.pull(&fake.name("other:1")).await.unwrap_err());
    assert!(
        error.contains("the credentials were not accepted"),
        "{error}"
    );
    fake.fault("/token", 1, token(&json!({})));
    let error = text(&world.pull(&fake.name("third:1")).await.unwrap_err());
    assert!(error.contains("answered without a token"), "{error}");
}

/// F2: another host never sees our credentials.
#[tokio::test]
async fn redirects_to_another_host_go_without_credentials() {
    let (mut world, fake, storage) = (World::new(), Fake::start().await, Fake::start().await);
    let digest = put(&fake, "1", &[layer("a", 1000)]).remove(0);
    storage.put_blob(&gzip(&layer("a", 1000)));
    fake.guard("Basic bWU6c2VjcmV0", "Basic");
    let location = format!("{}/storage/{digest}?signature=x", storage.url());
    fake.fault(
        &digest,
        1,
        Reply::Plain(307, vec![("location", location)], vec![]),
    );
    world.registries = docker_config(
        &world,
        &fake.address.to_string(),
        &json!({"auth": "bWU6c2VjcmV0"}),
    );
    world.pull(&fake.name("image:1")).await.unwrap();
    assert_eq!(
        storage.log(),
        [format!("GET /storage/{digest}?signature=x")]
    );
}

#[tokio::test]
async fn redirects_within_the_host_keep_credentials_and_loops_end() {
    let (mut world, fake) = (World::new(), Fake::start().await);
    let digest = put(&fake, "1", &[layer("a", 1000)]).remove(0);
    fake.guard("Basic bWU6c2VjcmV0", "Basic");
    world.registries = docker_config(
        &world,
        &fake.address.to_string(),
        &json!({"auth": "bWU6c2VjcmV0"}),
    );
    fake.fault(
        &format!("image/blobs/{digest}"),
        1,
        Reply::Plain(
            302,
            vec![("location", format!("/v2/moved/blobs/{digest}"))],
            vec![],
        ),
    );
    world.pull(&fake.name("image:1")).await.unwrap();
    assert!(
        fake.log()
            .iter()
            .any(|line| line.contains("/v2/moved/") && line.contains("Basic"))
    );
    fake.fault(
        "/manifests/2",
        1000,
        Reply::Plain(302, vec![("location", "2".to_owned())], vec![]),
    );
    let error = text(&world.pull(&fake.name("image:2")).await.unwrap_err());
    assert!(error.contains("redirects without end"), "{error}");
}

#[tokio::test]
async fn a_mirror_of_several_registries_is_told_which_one_is_meant() {
    let (mut world, cache) = (World::new(), Fake::start().await);
    put(&cache, "1", &[layer("a", 1000)]);
    let settings = |more: &str| {
        let path = world.directory.path().join("registries.toml");
        let text = format!(
            "[registry.\"registry.invalid\"]\nmirrors = [\"{}\"]\n[registry.\"{}\"]\n{more}\n",
            cache.url(),
            cache.address
        );
        fs_err::write(&path, text).unwrap();
        Registries::read(&path).unwrap().impatient()
    };
    let (many, one) = (settings("serves-many = true"), settings(""));
    world.registries = many;
    world.pull("registry.invalid/image:1").await.unwrap();
    let log = cache.log();
    assert!(
        log.len() >= 3 && log.iter().all(|line| line.contains("?ns=registry.invalid")),
        "{log:?}"
    );
    // Asked for its own content, it is no mirror; and one that was not said to serve many is told nothing.
    world.registries = world.registries.clone().impatient();
    put(&cache, "2", &[layer("b", 1000)]);
    world.pull(&cache.name("image:2")).await.unwrap();
    world.registries = one;
    put(&cache, "3", &[layer("c", 1000)]);
    world.pull("registry.invalid/image:3").await.unwrap();
    let log = cache.log();
    assert!(log.iter().all(|line| !line.contains("ns=")), "{log:?}");
}
