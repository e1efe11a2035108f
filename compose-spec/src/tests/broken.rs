//! What users see when a file, or the project as a whole, is wrong.

use insta::assert_snapshot;

use super::{findings, findings_of, load_files};

#[test]
fn duplicate_keys() {
    assert_snapshot!(findings("services:\n  web: {image: i}\n  db: {image: j}\n  web: {image: k}\n"), @r#"
    error[S0102]: key `web` occurs twice
      --> compose.yaml:4:3
       |   web: {image: k}
       |   ^^^ here again
      --> compose.yaml:2:3
       |   web: {image: i}
       |   --- first here
    "#);
}

#[test]
fn merge_key_twice() {
    assert_snapshot!(findings("x-a: &a {image: i}\nservices:\n  web:\n    <<: *a\n    <<: *a\n"), @r#"
    error[S0102]: key `<<` occurs twice
      --> compose.yaml:5:5
       |     <<: *a
       |     ^^ here again
      --> compose.yaml:4:5
       |     <<: *a
       |     -- first here
      help: to merge several mappings, give a list: `<<: [*a, *b]`
    "#);
}

#[test]
fn key_that_is_no_text() {
    assert_snapshot!(findings("services:\n  1: {image: i}\n"), @r#"
    error[S0103]: a key must be a text, not a number
      --> compose.yaml:2:3
       |   1: {image: i}
       |   ^
      help: quote it: "1"
    "#);
}

#[test]
fn unknown_alias() {
    assert_snapshot!(findings("services:\n  web: *nope\n"), @r#"
    error[S0104]: alias `*nope` has no anchor
      --> compose.yaml:2:8
       |   web: *nope
       |        ^^^^^
      help: an anchor `&nope` must stand before it in the same document
    "#);
}

#[test]
fn tab_indentation() {
    assert_snapshot!(findings("services:\n\tweb: {image: i}\n"), @r#"
    error[S0101]: invalid YAML: tabs disallowed within this context (block indentation)
      --> compose.yaml:2:2
       | 	web: {image: i}
       | 	^
      help: YAML is indented with spaces, not with tabs
    "#);
}

#[test]
fn unclosed_bracket() {
    assert_snapshot!(findings("services:\n  web: {image: i\n"), @r#"
    error[S0101]: invalid YAML: unclosed bracket '{'
      --> compose.yaml:2:8
       |   web: {image: i
       |        ^
    "#);
}

#[test]
fn empty_file() {
    assert_snapshot!(findings(""), @r#"
    error[S0107]: `compose.yaml` is empty
      --> compose.yaml:1:1
       | 
       | ^
      help: a Compose file begins with `services:`
    "#);
}

#[test]
fn list_instead_of_mapping() {
    assert_snapshot!(findings("- web\n"), @r#"
    error[S0107]: `compose.yaml` must hold a mapping
      --> compose.yaml:1:1
       | - web
       | ^^^^^ this is a list
    "#);
}

#[test]
fn bad_interpolation() {
    assert_snapshot!(findings("services:\n  web: {image: \"a${FOO\"}\n"), @r#"
    error[S0201]: invalid interpolation
      --> compose.yaml:2:18
       |   web: {image: "a${FOO"}
       |                  ^^^^^ not of the form `${NAME}`
      help: write `$$` for a `$` that is meant literally
    "#);
}

#[test]
fn required_variable() {
    assert_snapshot!(findings("services:\n  web:\n    image: app:${TAG:?which version}\n"), @r#"
    error[S0202]: required variable `TAG` is not set: which version
      --> compose.yaml:3:16
       |     image: app:${TAG:?which version}
       |                ^^^^^^^^^^^^^^^^^^^^^
      help: set it in the environment or in `.env`: TAG=…
    "#);
}

#[test]
fn unset_variable_warns_once() {
    assert_snapshot!(findings("services:\n  a: {image: \"i$TAG\"}\n  b: {image: \"j$TAG\"}\n"), @r#"
    warning[S0203]: variable `TAG` is not set and becomes an empty text
      --> compose.yaml:2:16
       |   a: {image: "i$TAG"}
       |                ^^^^
      help: give a default: `${TAG:-default}`
    "#);
}

#[test]
fn dangling_references() {
    let text = "services:
  web:
    image: i
    depends_on: [dbb]
    networks: [bakc]
    volumes: ['dta:/d', 'none:/e']
    secrets: [key]
  db: {image: j}
networks: {back: }
volumes: {data: }
";
    assert_snapshot!(findings(text), @r#"
    error[S0501]: service `web` needs `dbb`, which is not defined
      --> compose.yaml:4:18
       |     depends_on: [dbb]
       |                  ^^^
      help: did you mean `db`?
    error[S0502]: service `web` uses network `bakc`, which is not defined
      --> compose.yaml:5:16
       |     networks: [bakc]
       |                ^^^^
      help: did you mean `back`?
    error[S0503]: service `web` uses volume `dta`, which is not defined
      --> compose.yaml:6:15
       |     volumes: ['dta:/d', 'none:/e']
       |               ^^^^^^^^
      help: did you mean `data`?
    error[S0503]: service `web` uses volume `none`, which is not defined
      --> compose.yaml:6:25
       |     volumes: ['dta:/d', 'none:/e']
       |                         ^^^^^^^^^
      help: define it at the top level: `volumes: {none: }`
    error[S0504]: service `web` uses secret `key`, which is not defined
      --> compose.yaml:7:15
       |     secrets: [key]
       |               ^^^
      help: define it under the top-level `secrets:`
    "#);
}

#[test]
fn dependency_cycle() {
    let text = "services:
  a: {image: i, depends_on: [b]}
  b: {image: i, depends_on: [c]}
  c: {image: i, network_mode: 'service:a'}
";
    assert_snapshot!(findings(text), @r#"
    error[S0505]: services wait for each other: a -> b -> c -> a
      --> compose.yaml:4:31
       |   c: {image: i, network_mode: 'service:a'}
       |                               ^^^^^^^^^^^ closes the circle
      --> compose.yaml:2:30
       |   a: {image: i, depends_on: [b]}
       |                              - `a` waits for `b`
      --> compose.yaml:3:30
       |   b: {image: i, depends_on: [c]}
       |                              - `b` waits for `c`
    "#);
}

#[test]
fn dependency_in_an_inactive_profile() {
    let text = "services:\n  a: {image: i, depends_on: [b]}\n  b: {image: j, profiles: [debug]}\n";
    assert_snapshot!(findings(text), @r#"
    error[S0501]: service `a` needs `b`, which is in no active profile
      --> compose.yaml:2:30
       |   a: {image: i, depends_on: [b]}
       |                              ^
      help: activate it with `--profile`, or write `required: false`
    "#);
}

#[test]
fn container_name_with_replicas() {
    let text = "services:\n  a: {image: i, container_name: one, deploy: {replicas: 2}}\n";
    assert_snapshot!(findings(text), @r#"
    error[S0507]: service `a`: a fixed `container_name` allows one replica only
      --> compose.yaml:2:57
       |   a: {image: i, container_name: one, deploy: {replicas: 2}}
       |                                                         ^
      --> compose.yaml:2:33
       |   a: {image: i, container_name: one, deploy: {replicas: 2}}
       |                                 ---
    "#);
}

#[test]
fn container_name_twice() {
    let text =
        "services:\n  a: {image: i, container_name: one}\n  b: {image: i, container_name: one}\n";
    assert_snapshot!(findings(text), @r#"
    error[S0509]: services `a` and `b` have one `container_name`
      --> compose.yaml:3:33
       |   b: {image: i, container_name: one}
       |                                 ^^^
      --> compose.yaml:2:33
       |   a: {image: i, container_name: one}
       |                                 --- first here
    "#);
}

#[test]
fn contradicting_limits() {
    let text = "services:
  a:
    image: i
    mem_limit: 1g
    network_mode: host
    networks: [default]
    deploy: {resources: {limits: {memory: 2g}}}
";
    assert_snapshot!(findings(text), @r#"
    error[S0507]: service `a`: `network_mode` and `networks` exclude each other
      --> compose.yaml:6:15
       |     networks: [default]
       |               ^^^^^^^^^
      --> compose.yaml:5:19
       |     network_mode: host
       |                   ----
    error[S0507]: service `a`: `mem_limit` and `deploy.resources.limits.memory` differ
      --> compose.yaml:7:43
       |     deploy: {resources: {limits: {memory: 2g}}}
       |                                           ^^
      --> compose.yaml:4:16
       |     mem_limit: 1g
       |                --
    "#);
}

#[test]
fn extends_what_is_not_there() {
    let text = "services:\n  a: {extends: webb}\n  web: {image: i}\n  c: {extends: {file: no.yaml, service: x}}\n";
    assert_snapshot!(findings(text), @r#"
    error[S0402]: service `a` extends `webb`, which does not exist
      --> compose.yaml:2:16
       |   a: {extends: webb}
       |                ^^^^
      help: did you mean `web`?
    error[S0001]: `no.yaml`: no such file
      --> compose.yaml:4:23
       |   c: {extends: {file: no.yaml, service: x}}
       |                       ^^^^^^^ named here
    "#);
}

#[test]
fn extends_in_a_circle() {
    assert_snapshot!(findings("services:\n  a: {extends: b}\n  b: {extends: c}\n  c: {extends: a}\n"), @r#"
    error[S0403]: `extends` runs in a circle: a -> b -> c -> a
      --> compose.yaml:4:16
       |   c: {extends: a}
       |                ^
      --> compose.yaml:2:16
       |   a: {extends: b}
       |                -
      --> compose.yaml:3:16
       |   b: {extends: c}
       |                -
    "#);
}

#[test]
fn include_in_a_circle() {
    let files = [
        ("compose.yaml", "include: [b.yaml]\nservices: {}\n"),
        ("b.yaml", "include: [compose.yaml]\nservices: {}\n"),
    ];
    assert_snapshot!(findings_of(load_files(&files)), @r#"
    error[S0405]: includes run in a circle: compose.yaml -> b.yaml -> compose.yaml
      --> b.yaml:1:11
       | include: [compose.yaml]
       |           ^^^^^^^^^^^^
    "#);
}

#[test]
fn errors_of_several_files_point_into_them() {
    let files = [
        ("compose.yaml", "services:\n  web: {image: i, prots: []}\n"),
        (
            "compose.override.yml",
            "services:\n  web:\n    environment: 7\n",
        ),
    ];
    assert_snapshot!(findings_of(load_files(&files)), @r#"
    error[S0301]: unknown key `prots` in `services.web`
      --> compose.yaml:2:19
       |   web: {image: i, prots: []}
       |                   ^^^^^ a service has no such key
      help: did you mean `ports`?
    error[S0302]: `services.web.environment` must be a mapping or a list of key=value
      --> compose.override.yml:3:18
       |     environment: 7
       |                  ^ this is a number
    "#);
}

#[test]
fn broken_env_file_hides_its_values() {
    let files = [
        ("compose.yaml", "services: {web: {image: i}}\n"),
        (".env", "A=secret\nB C=secret\n"),
    ];
    assert_snapshot!(findings_of(load_files(&files)), @r#"
    error[S0204]: env file `.env`: a variable's name must not hold blanks
      --> .env:2:1
       | B C*******
       | ^^^
    "#);
}

#[test]
fn missing_env_file() {
    assert_snapshot!(findings("services:\n  web: {image: i, env_file: [a.env]}\n"), @r#"
    error[S0001]: env file `a.env`: no such file
      --> compose.yaml:2:30
       |   web: {image: i, env_file: [a.env]}
       |                              ^^^^^
    "#);
}

#[test]
fn no_file() {
    assert_snapshot!(findings_of(load_files(&[("keep", "")])), @r#"
    error[S0003]: no compose.yaml in `/home/u/shop` or the directories above
      help: name one with `-f`, or change into the directory of the project
    "#);
}
