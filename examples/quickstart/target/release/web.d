/work/main/examples/quickstart/target/release/web: /work/main/examples/quickstart/src/web.rs
