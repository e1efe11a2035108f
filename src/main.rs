//! Starts `stack`.
fn main() {}
