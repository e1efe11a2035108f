use serde_json::json;

use super::{digests, images};

#[test]
fn a_service_without_an_image_runs_what_it_builds() {
    let canonical = json!({
        "name": "shop",
        "services": {"web": {"build": {"context": "/p"}}, "db": {"image": "postgres:16"}},
    });
    assert_eq!(images(&canonical), ["shop-web", "postgres:16"]);
}

#[test]
fn a_lock_file_holds_images_and_nothing_else() {
    let mut canonical = json!({
        "name": "shop",
        "services": {"db": {"image": "postgres:16", "ports": []}},
        "networks": {},
    });
    digests::keep_images_only(&mut canonical);
    assert_eq!(
        canonical,
        json!({"services": {"db": {"image": "postgres:16"}}})
    );
}
