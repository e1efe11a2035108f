/work/main/examples/quickstart/target/release/deps/store-e7621795938f3d80.d: src/store.rs

/work/main/examples/quickstart/target/release/deps/store-e7621795938f3d80: src/store.rs

src/store.rs:
