//! Keys as `ssh-keygen` writes them: what they sign is verified with their public halves.

use proptest::prelude::*;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{super::samples, *};

/// Asks for a signature and returns its algorithm and its bytes.
fn signed(key: &Key, flags: u32) -> (String, Vec<u8>) {
    let signature = key.sign(b"data", flags).unwrap();
    let mut reader = Reader(&signature);
    let name = reader.string().unwrap().to_vec();
    let bytes = reader.string().unwrap().to_vec();
    assert!(reader.0.is_empty());
    (String::from_utf8(name).unwrap(), bytes)
}

#[test]
fn an_ed25519_key_signs_what_its_public_half_verifies() {
    let key = read_key(samples::ED25519.as_bytes()).unwrap();
    assert_eq!(key.comment, b"test ed25519");
    let mut public = Reader(&key.public);
    assert_eq!(public.string(), Some(&b"ssh-ed25519"[..]));
    let (name, bytes) = signed(&key, 0);
    assert_eq!(name, "ssh-ed25519");
    let public = UnparsedPublicKey::new(&ED25519, public.string().unwrap());
    public.verify(b"data", &bytes).unwrap();
}

#[test]
fn ecdsa_keys_sign_what_their_public_halves_verify() {
    for (text, curve, algorithm, length) in [
        (samples::ECDSA_256, "nistp256", &ECDSA_P256_SHA256_FIXED, 32),
        (samples::ECDSA_384, "nistp384", &ECDSA_P384_SHA384_FIXED, 48),
    ] {
        let key = read_key(text.as_bytes()).unwrap();
        let mut public = Reader(&key.public);
        let kind = format!("ecdsa-sha2-{curve}");
        assert_eq!(public.string(), Some(kind.as_bytes()));
        assert_eq!(public.string(), Some(curve.as_bytes()));
        let public = UnparsedPublicKey::new(algorithm, public.string().unwrap());
        // Numbers are shorter than their curve now and then.
        for _ in 0..50 {
            let (name, bytes) = signed(&key, 0);
            assert_eq!(name, kind);
            let mut numbers = Reader(&bytes);
            let mut fixed = Vec::new();
            for _ in 0..2 {
                let number = numbers.integer().unwrap();
                fixed.resize(fixed.len() + length - number.len(), 0);
                fixed.extend_from_slice(number);
            }
            public.verify(b"data", &fixed).unwrap();
        }
    }
}

#[test]
fn rsa_keys_sign_with_the_hash_that_is_asked_for_but_not_with_a_broken_one() {
    for text in [samples::RSA, samples::RSA_PEM] {
        let key = read_key(text.as_bytes()).unwrap();
        let mut public = Reader(&key.public);
        assert_eq!(public.string(), Some(&b"ssh-rsa"[..]));
        let e = public.integer().unwrap();
        let n = public.integer().unwrap();
        let public = RsaPublicKeyComponents { n, e };
        let (name, bytes) = signed(&key, 2);
        assert_eq!(name, "rsa-sha2-256");
        let algorithm = &RSA_PKCS1_2048_8192_SHA256;
        public.verify(algorithm, b"data", &bytes).unwrap();
        let (name, bytes) = signed(&key, 4);
        assert_eq!(name, "rsa-sha2-512");
        let algorithm = &RSA_PKCS1_2048_8192_SHA512;
        public.verify(algorithm, b"data", &bytes).unwrap();
        assert_eq!(key.sign(b"data", 0), None);
    }
}

#[test]
fn what_cannot_be_used_says_what_to_do() {
    for (text, expected) in [
        (samples::ENCRYPTED, "it has a passphrase"),
        (samples::ENCRYPTED_PEM, "it has a passphrase"),
        (samples::ECDSA_521, "type `ecdsa-sha2-nistp521`"),
        (samples::PKCS8, "ssh-keygen -p -f FILE"),
        ("ssh-ed25519 AAAA me@here\n", "ssh-keygen -p -f FILE"),
        ("", "no private key"),
    ] {
        let error = read_key(text.as_bytes()).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Flips bytes inside of the base64, so that what is behind it is reached.
fn damaged(text: &str, changes: &[(usize, u8)], keep: usize) -> Vec<u8> {
    let lines: Vec<&str> = text.lines().collect();
    let (first, last) = (lines[0], lines[lines.len() - 1]);
    let mut bytes = base64::decode(lines[1..lines.len() - 1].concat().as_bytes()).unwrap();
    for (at, byte) in changes {
        let at = at % bytes.len();
        bytes[at] = *byte;
    }
    bytes.truncate(keep);
    format!("{first}\n{}\n{last}\n", base64::encode(&bytes)).into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_keys_are_errors_or_sign(
        sample in 0_usize..4,
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        keep in prop_oneof![Just(usize::MAX), 0_usize..2000],
    ) {
        let samples = [samples::ED25519, samples::ECDSA_256, samples::RSA, samples::RSA_PEM];
        if let Ok(key) = read_key(&damaged(samples[sample], &changes, keep)) {
            let _signature = key.sign(b"data", SHA_256);
        }
    }

    #[test]
    fn any_bytes_are_an_error(bytes: Vec<u8>) {
        prop_assert!(read_key(&bytes).is_err());
    }
}
