//! Contexts that are fetched: archives, addresses, and what is hostile in them.

use super::{
    super::{BuildInput, NamedContext, Secret},
    add::{archive, gzip},
    fixture::{Built, Fixture, chain},
};

/// Fetches what the input names, and builds it.
fn build(fixture: &Fixture, change: impl FnOnce(&mut BuildInput)) -> Result<Built, String> {
    let mut input = fixture.input();
    change(&mut input);
    let fetched = input
        .fetch_contexts(&fixture.root(), &fixture.runner, &fixture.cancel)
        .map_err(|error| chain(&error))?;
    let built = fixture.try_build_input(&input);
    drop(fetched);
    let left = std::fs::read_dir(fixture.root().tmp()).map_or(0, Iterator::count);
    assert_eq!(left, 0, "litter in tmp/");
    built.map_err(|error| chain(&error))
}

fn serve(fixture: &Fixture, address: &str, bytes: Vec<u8>) {
    let mut files = fixture.runner.files.lock().unwrap();
    files.insert(address.to_owned(), bytes);
}

#[test]
fn an_archive_of_a_server_is_a_context_and_is_recognised_again() {
    let fixture = Fixture::new();
    let tar = archive(&[
        ("Dockerfile", "FROM scratch\nCOPY . /all\n"),
        (".dockerignore", "hidden\n"),
        ("file", "text"),
        ("hidden", "x"),
    ]);
    serve(&fixture, "https://h:1/c.tgz", gzip(&tar));
    let remote = |input: &mut BuildInput| {
        input.remote = Some("https://h:1/c.tgz".to_owned());
        let token = Secret::Value(b"t".to_vec());
        input
            .secrets
            .insert("HTTP_AUTH_TOKEN_h:1".to_owned(), token);
    };
    let built = build(&fixture, remote).unwrap();
    assert_eq!(built.read("/all/file"), "text");
    let names = built.list("/all").join("\n");
    assert!(
        names.contains("file") && !names.contains("hidden"),
        "{names}"
    );
    assert_eq!(
        fixture.runner.asked.lock().unwrap()[0].1.as_deref(),
        Some("Bearer t")
    );
    build(&fixture, remote).unwrap();
    assert_eq!(fixture.steps(), ["CACHED COPY . /all"]);
    // What is said of the last build is found again, although the context lay elsewhere.
    let last = std::fs::read_dir(fixture.root().state().join("build/last")).unwrap();
    assert_eq!(last.count(), 1);
    assert!(!fixture.root().state().join("build/contexts").exists());
}

#[test]
fn a_file_that_is_no_archive_is_a_dockerfile_without_a_context() {
    let fixture = Fixture::new();
    serve(
        &fixture,
        "http://h/Dockerfile",
        b"FROM scratch\nCOPY <<EOF /x\nhere\nEOF\n".to_vec(),
    );
    let remote = |input: &mut BuildInput| input.remote = Some("http://h/Dockerfile".to_owned());
    assert_eq!(build(&fixture, remote).unwrap().read("/x"), "here\n");
}

#[test]
fn a_named_context_may_be_an_address() {
    let fixture = Fixture::new();
    fixture.file("Dockerfile", "FROM scratch\nCOPY --from=far /file /got\n");
    serve(&fixture, "http://h/far.tar", archive(&[("file", "far")]));
    let named = |input: &mut BuildInput| {
        let address = NamedContext::Address("http://h/far.tar".to_owned());
        input.additional_contexts.insert("far".to_owned(), address);
    };
    assert_eq!(build(&fixture, named).unwrap().read("/got"), "far");
    serve(&fixture, "http://h/far.tar", b"text".to_vec());
    let error = build(&fixture, named).map(drop).unwrap_err();
    assert!(error.contains("no tar archive"), "{error}");
}

#[test]
fn what_cannot_be_fetched_is_named() {
    let fixture = Fixture::new();
    for (address, expected) in [
        ("https://h/none", "fetch the context `https://h/none`"),
        ("ftp://h/x", "`build.context: ftp://h/x` cannot be used"),
        ("https://h/x.git#a:../b", "leads out of the repository"),
        ("git@h:x.git?x=1", "unexpected query"),
    ] {
        let remote = |input: &mut BuildInput| input.remote = Some(address.to_owned());
        let error = build(&fixture, remote).map(drop).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_hostile_archive_does_not_show_files_of_the_host() {
    let fixture = Fixture::new();
    std::fs::write(fixture.path("../secret"), "do not show").unwrap();
    // The archive is a file on this machine, as `stack image build -` leaves it; its Dockerfile is a link that leads out.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    let target = fixture.path("../secret");
    builder
        .append_link(&mut header, "Dockerfile", target)
        .unwrap();
    let path = fixture.path("../context.tar");
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
    let error = build(&fixture, |input| input.context = path)
        .map(drop)
        .unwrap_err();
    assert!(!error.contains("do not show"), "{error}");
    assert!(error.contains("Dockerfile"), "{error}");
}
