//! Checks of the Dockerfile as a part of builds.

use serde_json::json;

use super::{
    super::{BuildError, check},
    fixture::{Fixture, base_config},
};

#[test]
fn findings_are_told_at_the_end_and_can_fail_the_build() {
    let fixture = Fixture::new();
    fixture
        .store
        .offer("base:1", base_config(&json!({ "Env": ["FROM_BASE=1"] })));
    fixture.build("FROM base:1\nENV A=$FROM_BASE$nothing\nCMD echo\n");
    let warnings = fixture.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("UndefinedVar: `$nothing` is not set here"));
    assert!(
        warnings[1].ends_with("3 | CMD echo\n  | ^^^^^^^^"),
        "{warnings:?}"
    );
    let strict = "# check=error=true\nFROM scratch\nRUN write /x x\nCMD echo";
    let error = fixture.try_build(strict).map(drop).unwrap_err();
    assert!(matches!(error, BuildError::Findings(_)), "{error}");
    assert!(error.excerpt().unwrap().contains("4 | CMD echo"));
    assert_eq!(fixture.runner.count(), 0, "nothing ran");
    fixture.file("Dockerfile", "FROM never:pulled\nCMD echo $x");
    let found = check(&fixture.input(), &fixture.store).unwrap();
    assert_eq!(found.len(), 1);
    assert!(
        fixture
            .store
            .pulled
            .lock()
            .unwrap()
            .iter()
            .all(|name| name != "never:pulled")
    );
    let bad = fixture.error("# check=skip=Nothing\nFROM scratch");
    assert!(bad.contains("unknown check `Nothing`"), "{bad}");
}
