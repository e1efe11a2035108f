//! Keys that `ssh-keygen` made for these tests; nothing else knows them.

pub(in crate::build) const ED25519: &str = include_str!("samples/ed25519");
pub(super) const ECDSA_256: &str = include_str!("samples/ecdsa-256");
pub(super) const ECDSA_384: &str = include_str!("samples/ecdsa-384");
pub(super) const ECDSA_521: &str = include_str!("samples/ecdsa-521");
pub(super) const RSA: &str = include_str!("samples/rsa");
pub(super) const RSA_PEM: &str = include_str!("samples/rsa-pem");
pub(super) const PKCS8: &str = include_str!("samples/pkcs8");
pub(in crate::build) const ENCRYPTED: &str = include_str!("samples/encrypted");
pub(super) const ENCRYPTED_PEM: &str = include_str!("samples/encrypted-pem");
