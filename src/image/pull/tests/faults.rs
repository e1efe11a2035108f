//! F3 to F8: what goes wrong on the way.

use super::*;

/// Pulls one layer of some size through a fault of its blob and checks that it came whole.
async fn survives(fault: Reply, times: usize) -> Vec<String> {
    let (world, fake) = (World::new(), Fake::start().await);
    let plain = layer("a", 300_000);
    let digest = put(&fake, "1", std::slice::from_ref(&plain)).remove(0);
    fake.fault(&digest, times, fault);
    let record = world.pull(&fake.name("image:1")).await.unwrap();
    assert_eq!(
        fs_err::metadata(record.layers[0].join("a")).unwrap().len(),
        300_000
    );
    world.assert_clean(0);
    fake.log()
        .into_iter()
        .filter(|line| line.contains(&digest))
        .collect()
}

/// F5, F7: a download that breaks off goes on where it stopped.
#[tokio::test]
async fn broken_downloads_go_on_where_they_stopped() {
    let requests = survives(Reply::Break(100_000), 1).await;
    assert_eq!(requests.len(), 2);
    assert!(requests[1].contains("bytes=100000-"), "{requests:?}");
    let requests = survives(Reply::Stall(70_000), 1).await;
    assert!(requests[1].contains("bytes=70000-"), "{requests:?}");
    assert_eq!(survives(Reply::Break(66_000), 3).await.len(), 4);
    assert_eq!(survives(Reply::Drip, 1).await.len(), 1);
}

/// F7: resets before anything has come.
#[tokio::test]
async fn resets_and_passing_errors_are_tried_again() {
    for fault in [
        Reply::Reset,
        Reply::Plain(500, vec![], vec![]),
        Reply::Plain(502, vec![], b"<html>".to_vec()),
        Reply::Plain(503, vec![("retry-after", "0".to_owned())], vec![]),
        Reply::Plain(408, vec![], vec![]),
        Reply::Plain(429, vec![("retry-after", "0".to_owned())], vec![]),
        Reply::Plain(429, vec![], b"retry-after: 880\xc2\xb5s".to_vec()),
        Reply::Plain(
            429,
            vec![("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT".to_owned())],
            vec![],
        ),
    ] {
        assert_eq!(survives(fault, 2).await.len(), 3);
    }
}

/// F5: no length, and more than was announced.
#[tokio::test]
async fn more_than_was_announced_is_cut_off() {
    assert_eq!(survives(Reply::Longer, 1).await.len(), 1);
}

/// F8: servers that ignore ranges or refuse them.
#[tokio::test]
async fn ranges_may_be_ignored_or_refused() {
    for fault in [Reply::Whole, Reply::Plain(416, vec![], vec![])] {
        let (world, fake) = (World::new(), Fake::start().await);
        let digest = put(&fake, "1", &[layer("a", 300_000)]).remove(0);
        fake.fault(&digest, 1, Reply::Break(100_000));
        fake.fault(&digest, 1, fault);
        let record = world.pull(&fake.name("image:1")).await.unwrap();
        assert_eq!(record.size_bytes, 300_000);
        world.assert_clean(0);
    }
}

/// A failed pull keeps what it has; the next one goes on there, and a damaged part is noticed and fetched anew.
#[tokio::test]
async fn the_next_pull_goes_on_with_what_was_kept() {
    for damaged in [false, true] {
        let (world, fake) = (World::new(), Fake::start().await);
        let digest = put(&fake, "1", &[layer("a", 300_000)]).remove(0);
        fake.fault(&digest, 1, Reply::Break(100_000));
        fake.fault(&digest, 100, Reply::Plain(500, vec![], vec![]));
        world.pull(&fake.name("image:1")).await.unwrap_err();
        world.assert_clean(1);
        assert!(world.store.list().unwrap().is_empty());
        fake.log();
        let again = Fake::start().await;
        put(&again, "1", &[layer("a", 300_000)]);
        let part = world
            .directory
            .path()
            .join("ingest")
            .join(format!("{}.part", &digest["sha256:".len()..]));
        assert_eq!(fs_err::metadata(&part).unwrap().len(), 100_000);
        if damaged {
            let mut bytes = fs_err::read(&part).unwrap();
            bytes[50_000] ^= 1;
            fs_err::write(&part, bytes).unwrap();
        }
        let record = world.pull(&again.name("image:1")).await.unwrap();
        assert_eq!(record.size_bytes, 300_000);
        let requests: Vec<_> = again
            .log()
            .into_iter()
            .filter(|line| line.contains(&digest))
            .collect();
        assert!(requests[0].contains("bytes=100000-"), "{requests:?}");
        assert_eq!(requests.len(), if damaged { 2 } else { 1 });
        world.assert_clean(0);
    }
}

/// F4: patience ends.
#[tokio::test]
async fn errors_that_stay_are_told_with_what_the_registry_said() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 10)]);
    fake.fault(
        "/manifests/",
        100,
        Reply::Plain(
            503,
            vec![],
            br#"{"errors":[{"code":"X","message":"under repair"}]}"#.to_vec(),
        ),
    );
    let error = world.pull(&fake.name("image:1")).await.unwrap_err();
    assert!(
        text(&error).contains("answered 503: under repair"),
        "{}",
        text(&error)
    );
    assert_eq!(fake.log().len(), 3, "tries of the manifest");
}

/// F3: an exhausted quota is not made worse.
#[tokio::test]
async fn an_exhausted_quota_is_not_tried_again() {
    let (world, fake) = (World::new(), Fake::start().await);
    let headers = vec![
        ("ratelimit-limit", "100;w=21600".to_owned()),
        ("ratelimit-remaining", "0;w=21600".to_owned()),
    ];
    fake.fault("/manifests/", 100, Reply::Plain(429, headers, vec![]));
    let error = world.pull(&fake.name("image:1")).await.unwrap_err();
    assert!(
        text(&error).contains("the quota of pulls from"),
        "{}",
        text(&error)
    );
    assert_eq!(fake.log().len(), 1);
}

/// F6: wrong content is never accepted, whatever it is called.
#[tokio::test]
async fn wrong_content_is_refused() {
    let plain = layer("a", 5000);
    for kind in ["layer", "config", "header", "short"] {
        let (world, fake) = (World::new(), Fake::start().await);
        let digest = put(&fake, "1", std::slice::from_ref(&plain)).remove(0);
        let config = config_json("amd64", &[digest_of(&plain)]).to_string();
        match kind {
            "layer" => {
                let mut other = gzip(&plain);
                other[2000] ^= 1;
                fake.put_blob_as(&digest, &other);
            }
            "config" => fake.put_blob_as(
                &digest_of(config.as_bytes()),
                config.replace("A=1", "A=2").as_bytes(),
            ),
            "short" => fake.put_blob_as(&digest, &gzip(&plain)[..1000]),
            _ => fake.fault(
                "/manifests/",
                1,
                Reply::With("docker-content-digest", digest_of(b"x")),
            ),
        }
        let error = text(&world.pull(&fake.name("image:1")).await.unwrap_err());
        let part = match kind {
            "layer" => "is corrupt: its digest is",
            "short" => "sent 1000 bytes for",
            _ => "sent other content than it announced",
        };
        assert!(error.contains(part), "{kind}: {error}");
        assert!(world.store.list().unwrap().is_empty());
        assert_eq!(world.names("layers"), [""; 0]);
        world.assert_clean(0);
    }
}

/// F4: mirrors are asked in order, then the registry itself.
#[tokio::test]
async fn mirrors_fall_through_to_the_next() {
    let (mut world, empty, broken, full) = (
        World::new(),
        Fake::start().await,
        Fake::start().await,
        Fake::start().await,
    );
    put(&full, "7", &[layer("a", 1000)]);
    broken.fault("/", 100, Reply::Plain(500, vec![], vec![]));
    let gone = Fake::start().await.url();
    for mirror in [empty.url(), gone, broken.url(), full.url()] {
        let registries = world.registries.clone();
        world.registries = registries.with_mirror("docker.io", &mirror).unwrap();
    }
    let record = world.pull("redis:7").await.unwrap();
    assert_eq!(
        world.store.find("docker.io/library/redis:7").unwrap(),
        Some(record)
    );
    assert!(empty.log()[0].starts_with("GET /v2/library/redis/manifests/7"));
}

#[tokio::test]
async fn an_unknown_tag_and_an_unknown_repository_are_told_apart() {
    let (world, fake) = (World::new(), Fake::start().await);
    let tag = text(&world.pull(&fake.name("image:none")).await.unwrap_err());
    assert!(tag.contains("has no `none` in `image`"), "{tag}");
    let repository = text(&world.pull(&fake.name("nowhere:9")).await.unwrap_err());
    assert!(
        repository.contains("has no repository `nowhere`, or it is private"),
        "{repository}"
    );
    let gone = Fake::start().await.name("image:1");
    let network = text(&world.pull(&gone).await.unwrap_err());
    assert!(network.contains("connect to 127.0.0.1"), "{network}");
    let name = text(&world.pull("Upper/Case").await.unwrap_err());
    assert!(name.contains("lower case"), "{name}");
}

/// A quota that runs low is told once, not for each answer.
#[tokio::test]
async fn a_low_quota_and_a_registrys_own_warning_are_told_once() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 1000), layer("b", 1000)]);
    let warning = || Reply::With("warning", r#"299 - "this repository moves""#.to_owned());
    fake.fault("/blobs/", 9, warning());
    let low = Reply::Plain(
        429,
        vec![
            ("ratelimit-limit", "100;w=21600".to_owned()),
            ("ratelimit-remaining", "0;w=21600".to_owned()),
        ],
        vec![],
    );
    world.pull(&fake.name("image:1")).await.unwrap();
    let warnings = std::mem::take(&mut *world.warnings.lock().unwrap());
    let host = fake.address;
    assert_eq!(warnings, [format!("{host} warns: this repository moves")]);

    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 1000)]);
    let left = |left: &str| Reply::With("ratelimit-remaining", left.to_owned());
    fake.fault("/manifests/", 1, left("0;w=21600"));
    fake.fault("/blobs/", 9, left("0;w=21600"));
    world.pull(&fake.name("image:1")).await.unwrap();
    let warnings = std::mem::take(&mut *world.warnings.lock().unwrap());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("0 of 0 pulls left"), "{warnings:?}");

    fake.fault("/manifests/", 9, low);
    put(&fake, "2", &[layer("c", 1000)]);
    let error = world.pull(&fake.name("image:2")).await.unwrap_err();
    assert!(error.to_string().contains("the quota of pulls"), "{error}");
    assert!(
        error.hints()[0].contains("stack login"),
        "{:?}",
        error.hints()
    );
}

/// F7: a server that sends a byte now and then does not hold a pull for ever.
#[tokio::test]
async fn a_slow_drip_is_given_up() {
    let (world, fake) = (World::new(), Fake::start().await);
    let digest = put(&fake, "1", &[layer("a", 100_000)]).remove(0);
    fake.fault(&digest, 99, Reply::Trickle);
    let error = text(&world.pull(&fake.name("image:1")).await.unwrap_err());
    assert!(error.contains("sends too slowly"), "{error}");
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 100)]);
    fake.fault("/manifests/", 99, Reply::Trickle);
    let error = text(&world.pull(&fake.name("image:1")).await.unwrap_err());
    assert!(error.contains("sends too slowly"), "{error}");
}

/// What went wrong is told with what to do about it.
#[tokio::test]
async fn every_kind_of_failure_has_its_hint() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 100)]);
    let host = fake.address;
    for (name, hint) in [
        (
            fake.name("image:nosuch"),
            "check the tag or digest".to_owned(),
        ),
        (
            fake.name("nowhere:9"),
            format!("check the name; a private repository needs `stack login {host}`"),
        ),
        (
            "127.0.0.1:1/image:1".to_owned(),
            "check the network, and HTTPS_PROXY if there is a proxy".to_owned(),
        ),
    ] {
        let error = world.pull(&name).await.unwrap_err();
        assert_eq!(error.hints(), [hint], "{error}");
    }
    fake.guard("Basic never", "Basic realm=\"x\"");
    let error = world.pull(&fake.name("image:1")).await.unwrap_err();
    assert_eq!(error.hints(), [format!("stack login {host}")]);
}

/// A manifest or config whose body breaks off, stalls or is lost is fetched again, like a layer.
#[tokio::test]
async fn documents_that_break_off_are_fetched_again() {
    for fault in [Reply::Break(20), Reply::Stall(20), Reply::Reset] {
        let (world, fake) = (World::new(), Fake::start().await);
        let plain = layer("a", 1000);
        put(&fake, "1", std::slice::from_ref(&plain));
        let config = config_json("amd64", &[digest_of(&plain)]).to_string();
        fake.fault("GET /v2/image/manifests/", 1, fault.clone());
        fake.fault(&digest_of(config.as_bytes()), 1, fault);
        world.pull(&fake.name("image:1")).await.unwrap();
    }
}
