/work/main/examples/quickstart/target/release/store: /work/main/examples/quickstart/src/store.rs
