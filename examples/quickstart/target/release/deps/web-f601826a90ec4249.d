/work/main/examples/quickstart/target/release/deps/web-f601826a90ec4249.d: src/web.rs

/work/main/examples/quickstart/target/release/deps/web-f601826a90ec4249: src/web.rs

src/web.rs:
