//! The image config that comes out.

use super::fixture::Fixture;

#[test]
fn every_instruction_leaves_its_mark() {
    let fixture = Fixture::new();
    let built = fixture.try_build_with(
        r#"FROM scratch
MAINTAINER me
ARG port=80
ENV a=1 b="two words" c='$a'
ENV a=2 d=$a
ENV old style value
LABEL one=1 "two"="x y"
EXPOSE $port/tcp 53/udp
VOLUME /data ["/x"]
VOLUME ["/json"]
USER app
WORKDIR rel
WORKDIR below
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=2 CMD curl -f localhost
SHELL ["/bin/bash", "-c"]
ENTRYPOINT run it
CMD ["x", "y"]
ONBUILD RUN z
"#,
        |input| {
            input.labels.insert("one".to_owned(), "given".to_owned());
            input.source_date_epoch = Some(0);
        },
    );
    // WORKDIR makes directories for USER, which scratch does not know.
    let error = built.map(drop).unwrap_err();
    assert!(super::fixture::chain(&error).contains("user `app` is not in /etc/passwd"));
    let built = fixture
        .try_build_with(
            r#"FROM scratch
MAINTAINER me
ARG port=80
ENV a=1 b="two words" c='$a'
ENV a=2 d=$a
ENV old style value
LABEL one=1 "two"="x y"
EXPOSE $port/tcp 53/udp
VOLUME /data
VOLUME ["/json"]
USER 7
WORKDIR rel
WORKDIR below
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s --retries=2 CMD curl -f localhost
SHELL ["/bin/bash", "-c"]
ENTRYPOINT run it
CMD ["x", "y"]
ONBUILD RUN z
"#,
            |input| {
                input.labels.insert("one".to_owned(), "given".to_owned());
                input.source_date_epoch = Some(0);
            },
        )
        .map_err(|error| super::fixture::chain(&error))
        .unwrap();
    assert_eq!(
        built.list("/rel"),
        ["d 755 7:7 /rel", "d 755 7:7 /rel/below"]
    );
    insta::assert_snapshot!(built.config["config"], @r#"{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","a=2","b=two words","c=$a","d=1","old=style value"],"WorkingDir":"/rel/below","Labels":{"one":"given","two":"x y"},"ExposedPorts":{"80/tcp":{},"53/udp":{}},"Volumes":{"/data":{},"/json":{}},"User":"7","StopSignal":"SIGINT","Healthcheck":{"Test":["CMD-SHELL","curl -f localhost"],"Interval":5000000000,"Retries":2},"Shell":["/bin/bash","-c"],"Entrypoint":["/bin/bash","-c","run it"],"Cmd":["x","y"],"OnBuild":["RUN z"]}"#);
    let history: Vec<String> = built.config["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let empty = if entry["empty_layer"] == true {
                "-"
            } else {
                "+"
            };
            format!("{empty} {}", entry["created_by"].as_str().unwrap())
        })
        .collect();
    insta::assert_snapshot!(history.join("\n"), @r#"
    - MAINTAINER me
    - ARG port=80
    - ENV a=1 b=two words c=$a
    - ENV a=2 d=1
    - ENV old=style value
    - LABEL one=1 two=x y
    - EXPOSE [80/tcp 53/udp]
    - VOLUME [/data]
    - VOLUME [/json]
    - USER 7
    + WORKDIR /rel
    + WORKDIR /rel/below
    - STOPSIGNAL SIGINT
    - HEALTHCHECK {Test:[CMD-SHELL curl -f localhost] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:2}
    - SHELL [/bin/bash -c]
    - ENTRYPOINT ["/bin/bash" "-c" "run it"]
    - CMD ["x" "y"]
    "#);
}

#[test]
fn a_healthcheck_of_none_switches_off() {
    let built = Fixture::new().build("FROM scratch\nHEALTHCHECK NONE\nCMD echo hi");
    let config = &built.config["config"];
    assert_eq!(
        config["Healthcheck"],
        serde_json::json!({ "Test": ["NONE"] })
    );
    assert_eq!(
        config["Cmd"],
        serde_json::json!(["/bin/sh", "-c", "echo hi"])
    );
}
