//! Options in one text.

use super::*;

fn options(lowers: &[&str]) -> Options {
    let lowers: Vec<_> = lowers.iter().map(PathBuf::from).collect();
    Options::of(&Overlay {
        lowers: &lowers,
        upper: Some(Upper {
            directory: Path::new("/u,p"),
            work: Path::new("/w:x"),
            volatile: true,
        }),
        mount_point: Path::new("/m"),
        users: None,
    })
    .unwrap()
}

#[test]
fn special_bytes_of_paths_are_escaped() {
    let Options::Text(text) = options(&["/a:b", "/c,d", "/e\\f"]) else {
        panic!("too long")
    };
    assert_eq!(
        text.to_str().unwrap(),
        "lowerdir=/a\\:b:/c\\,d:/e\\\\f,upperdir=/u\\,p,workdir=/w:x,volatile,redirect_dir=off,metacopy=off,index=off"
    );
}

#[test]
fn many_layers_are_left_to_the_helper() {
    let long = format!("/{}", "x".repeat(100));
    let Options::Long { lowers, rest } = options(&vec![long.as_str(); 100]) else {
        panic!("too short")
    };
    assert_eq!(lowers.len(), 100);
    assert!(rest.starts_with(b",upperdir="));
}
