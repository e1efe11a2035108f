//! What a name means now, without a pull.

use super::*;

#[tokio::test]
async fn a_name_is_pinned_to_the_digest_of_its_manifest() {
    let (world, fake) = (World::new(), Fake::start().await);
    put(&fake, "1", &[layer("a", 1000)]);
    let name = fake.name("image:1");
    let found = pinned(&name, &world.registries).await.unwrap();
    let (before, digest) = found.split_once('@').unwrap();
    assert_eq!(before, name);
    // What is pinned is what a pull of the same name brings.
    let reference = name.parse().unwrap();
    world.pull(&name).await.unwrap();
    let pulled = world.store.digest_of(&reference).unwrap().unwrap();
    assert_eq!(digest, pulled.as_str());
    // A digest means the same for ever: nobody is asked.
    fake.log();
    let again = pinned(&found, &world.registries).await.unwrap();
    assert!(again.ends_with(&format!("@{digest}")), "{again}");
    assert!(fake.log().is_empty());
    let error = pinned(&fake.name("image:2"), &world.registries).await;
    assert!(text(&error.unwrap_err()).contains("image:2"));
}
