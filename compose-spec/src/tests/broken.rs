//! What users see when a file is wrong.

use insta::assert_snapshot;

use super::{findings, findings_of, load_files};

#[test]
fn unknown_key() {
    assert_snapshot!(findings("services:\n  web:\n    image: i\n    prots: ['80:80']\n"), @r#"
    error[S0301]: unknown key `prots` in `services.web`
      --> compose.yaml:4:5
       |     prots: ['80:80']
       |     ^^^^^ a service has no such key
      help: did you mean `ports`?
    "#);
}

#[test]
fn unknown_key_far_from_all() {
    assert_snapshot!(findings("services:\n  web: {image: i, zebra: 1}\n"), @r#"
    error[S0301]: unknown key `zebra` in `services.web`
      --> compose.yaml:2:19
       |   web: {image: i, zebra: 1}
       |                   ^^^^^ a service has no such key
    "#);
}

#[test]
fn key_of_another_section() {
    let text = "image: i\nservices:\n  web: {image: i, dockerfile: D, replicas: 2}\n";
    assert_snapshot!(findings(text), @r#"
    error[S0301]: unknown key `image`
      --> compose.yaml:1:1
       | image: i
       | ^^^^^ a Compose file has no such key
      help: `image` is a key of a service
    error[S0301]: unknown key `dockerfile` in `services.web`
      --> compose.yaml:3:19
       |   web: {image: i, dockerfile: D, replicas: 2}
       |                   ^^^^^^^^^^ a service has no such key
      help: `dockerfile` is a key of `build`
    error[S0301]: unknown key `replicas` in `services.web`
      --> compose.yaml:3:34
       |   web: {image: i, dockerfile: D, replicas: 2}
       |                                  ^^^^^^^^ a service has no such key
      help: `replicas` is a key of `deploy`
    "#);
}

#[test]
fn key_of_another_tool() {
    assert_snapshot!(findings("services:\n  web: {image: i, env: {A: 1}, cmd: x}\n"), @r#"
    error[S0301]: unknown key `env` in `services.web`
      --> compose.yaml:2:19
       |   web: {image: i, env: {A: 1}, cmd: x}
       |                   ^^^ a service has no such key
      help: did you mean `environment`?
    error[S0301]: unknown key `cmd` in `services.web`
      --> compose.yaml:2:32
       |   web: {image: i, env: {A: 1}, cmd: x}
       |                                ^^^ a service has no such key
      help: did you mean `command`?
    "#);
}

#[test]
fn wrong_forms() {
    let text =
        "services:\n  web:\n    image: 7\n    ports: 80\n    environment: x\n    tty: maybe\n";
    assert_snapshot!(findings(text), @r#"
    error[S0302]: `services.web.image` must be a text
      --> compose.yaml:3:12
       |     image: 7
       |            ^ this is a number
      help: quote it: "7"
    error[S0302]: `services.web.ports` must be a list
      --> compose.yaml:4:12
       |     ports: 80
       |            ^^ this is a number
    error[S0302]: `services.web.environment` must be a mapping or a list of key=value
      --> compose.yaml:5:18
       |     environment: x
       |                  ^ this is a text
    error[S0303]: `services.web.tty`: `maybe` is not true or false
      --> compose.yaml:6:10
       |     tty: maybe
       |          ^^^^^
    "#);
}

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
fn bad_ports() {
    let text = "services:
  a:
    image: i
    ports: ['80:', 'localhost:80:80', '80:99999', '80-81:90-92', {target: 0, protocol: http}]
    expose: [abc]
";
    assert_snapshot!(findings(text), @r#"
    error[S0303]: `services.a.ports[0]`: `80:` is not a port: the container's port is missing
      --> compose.yaml:4:13
       |     ports: ['80:', 'localhost:80:80', '80:99999', '80-81:90-92', {target: 0, protocol: http}]
       |             ^^^^^
      help: the form is [address:][published:]target[/protocol]
    error[S0303]: `services.a.ports[1]`: `localhost:80:80` is not a port: in front of the published port must be an IP address
      --> compose.yaml:4:20
       |     ports: ['80:', 'localhost:80:80', '80:99999', '80-81:90-92', {target: 0, protocol: http}]
       |                    ^^^^^^^^^^^^^^^^^
      help: the form is [address:][published:]target[/protocol]
    error[S0303]: `services.a.ports[2]`: `80:99999` is not a port: the container's port must be from 1 to 65535
      --> compose.yaml:4:39
       |     ports: ['80:', 'localhost:80:80', '80:99999', '80-81:90-92', {target: 0, protocol: http}]
       |                                       ^^^^^^^^^^
      help: the form is [address:][published:]target[/protocol]
    error[S0303]: `services.a.ports[3]`: `80-81:90-92` is not a port: the two ranges differ in length
      --> compose.yaml:4:51
       |     ports: ['80:', 'localhost:80:80', '80:99999', '80-81:90-92', {target: 0, protocol: http}]
       |                                                   ^^^^^^^^^^^^^
      help: the form is [address:][published:]target[/protocol]
    error[S0303]: `services.a.ports[4].target`: a port is from 1 to 65535
      --> compose.yaml:4:75
       |     ports: ['80:', 'localhost:80:80', '80:99999', '80-81:90-92', {target: 0, protocol: http}]
       |                                                                           ^
    error[S0303]: `services.a.ports[4].protocol`: must be tcp, udp or sctp
      --> compose.yaml:4:88
       |     ports: ['80:', 'localhost:80:80', '80:99999', '80-81:90-92', {target: 0, protocol: http}]
       |                                                                                        ^^^^
    error[S0303]: `services.a.expose[0]`: `abc` is not a port such as 80, 80-90 or 80/udp
      --> compose.yaml:5:14
       |     expose: [abc]
       |              ^^^
    "#);
}

#[test]
fn bad_volumes() {
    let text = "services:
  a:
    image: i
    volumes: ['./x:rel', '/a:/b:rw,zzz', '/a::/b', {type: bind, target: /b}, {type: foo, target: /b}]
    tmpfs: [tmp]
";
    assert_snapshot!(findings(text), @r#"
    error[S0303]: `services.a.volumes[0]`: `target` must be an absolute path in the container
      --> compose.yaml:4:15
       |     volumes: ['./x:rel', '/a:/b:rw,zzz', '/a::/b', {type: bind, target: /b}, {type: foo, target: /b}]
       |               ^^^^^^^^^
    error[S0303]: `services.a.volumes[1]`: `/a:/b:rw,zzz` is not a volume: an option is none of ro, rw, z, Z, nocopy, rslave, …
      --> compose.yaml:4:26
       |     volumes: ['./x:rel', '/a:/b:rw,zzz', '/a::/b', {type: bind, target: /b}, {type: foo, target: /b}]
       |                          ^^^^^^^^^^^^^^
      help: the form is [source:]target[:options]
    error[S0303]: `services.a.volumes[2]`: `/a::/b` is not a volume: a part between colons is empty
      --> compose.yaml:4:42
       |     volumes: ['./x:rel', '/a:/b:rw,zzz', '/a::/b', {type: bind, target: /b}, {type: foo, target: /b}]
       |                                          ^^^^^^^^
      help: the form is [source:]target[:options]
    error[S0303]: `services.a.volumes[3]`: a mount of type `bind` needs a `source`
      --> compose.yaml:4:52
       |     volumes: ['./x:rel', '/a:/b:rw,zzz', '/a::/b', {type: bind, target: /b}, {type: foo, target: /b}]
       |                                                    ^^^^^^^^^^^^^^^^^^^^^^^^
    error[S0303]: `services.a.volumes[4].type` cannot be `foo`
      --> compose.yaml:4:85
       |     volumes: ['./x:rel', '/a:/b:rw,zzz', '/a::/b', {type: bind, target: /b}, {type: foo, target: /b}]
       |                                                                                     ^^^ one of bind, volume, tmpfs, cluster, npipe, image
    error[S0303]: service `a`: a `tmpfs` needs an absolute path
      --> compose.yaml:5:13
       |     tmpfs: [tmp]
       |             ^^^
    "#);
}

#[test]
fn bad_scalars() {
    let text = "services:
  a:
    image: i
    restart: allways
    stop_grace_period: 10
    mem_limit: lots
    cpus: many
    scale: -1
    oom_score_adj: 5000
    pull_policy: sometimes
    stop_signal: SIGFOO
    healthcheck: {test: [curl, x], interval: 5x}
    depends_on: {b: {condition: service_helthy}}
  b: {image: j}
";
    assert_snapshot!(findings(text), @r#"
    error[S0303]: `services.a.restart`: `allways` is not a restart policy: no, always, on-failure, on-failure:N, unless-stopped
      --> compose.yaml:4:14
       |     restart: allways
       |              ^^^^^^^
      help: did you mean `always`?
    error[S0302]: `services.a.stop_grace_period` must be a duration such as 1m30s
      --> compose.yaml:5:24
       |     stop_grace_period: 10
       |                        ^^ this is a number
    error[S0303]: `services.a.mem_limit`: `lots` is not a size such as 512m
      --> compose.yaml:6:16
       |     mem_limit: lots
       |                ^^^^
    error[S0303]: `services.a.cpus`: `many` is not a number
      --> compose.yaml:7:11
       |     cpus: many
       |           ^^^^
    error[S0303]: `services.a.scale`: must be at least 0
      --> compose.yaml:8:12
       |     scale: -1
       |            ^^
    error[S0303]: `services.a.oom_score_adj`: must be at most 1000
      --> compose.yaml:9:20
       |     oom_score_adj: 5000
       |                    ^^^^
    error[S0303]: `services.a.pull_policy`: `sometimes` is not a pull policy: always, never, missing, if_not_present, build, daily, weekly, every_<duration>
      --> compose.yaml:10:18
       |     pull_policy: sometimes
       |                  ^^^^^^^^^
    error[S0303]: `services.a.stop_signal`: `SIGFOO` is not a signal such as SIGTERM or 15
      --> compose.yaml:11:18
       |     stop_signal: SIGFOO
       |                  ^^^^^^
    error[S0303]: `services.a.healthcheck.test`: a list must begin with CMD, CMD-SHELL or NONE
      --> compose.yaml:12:26
       |     healthcheck: {test: [curl, x], interval: 5x}
       |                          ^^^^
      help: write `[CMD, …]` for a program, or a plain text for a shell line
    error[S0303]: `services.a.healthcheck.interval`: `5x` is not a duration such as 1m30s
      --> compose.yaml:12:46
       |     healthcheck: {test: [curl, x], interval: 5x}
       |                                              ^^
    error[S0303]: `services.a.depends_on.b.condition` cannot be `service_helthy`
      --> compose.yaml:13:33
       |     depends_on: {b: {condition: service_helthy}}
       |                                 ^^^^^^^^^^^^^^ one of service_started, service_healthy, service_completed_successfully
      help: did you mean `service_healthy`?
    "#);
}

#[test]
fn missing_parts() {
    let text = "services:
  a: {hostname: h}
  b: {image: i, depends_on: {a: {}}}
  c:
secrets: {s: {}}
";
    assert_snapshot!(findings(text), @r#"
    error[S0506]: service `a` has neither `image` nor `build`
      --> compose.yaml:2:3
       |   a: {hostname: h}
       |   ^
    error[S0304]: `services.b.depends_on.a` lacks the key `condition`
      --> compose.yaml:3:33
       |   b: {image: i, depends_on: {a: {}}}
       |                                 ^^
    error[S0302]: `services.c` must be a mapping
      --> compose.yaml:4:3
       |   c:
       |   ^ this is nothing
    error[S0304]: `secrets.s` needs `file` or `environment`
      --> compose.yaml:5:11
       | secrets: {s: {}}
       |           ^
    "#);
}

#[test]
fn keys_without_effect() {
    let text = "version: '3'
services:
  a:
    image: i
    runtime: runc
    deploy: {mode: global, placement: {constraints: [x]}}
    blkio_config: {weight: 10}
    tty: yes
";
    assert_snapshot!(findings(text), @r#"
    warning[S0307]: `version` is obsolete and has no effect
      --> compose.yaml:1:1
       | version: '3'
       | ^^^^^^^
      help: remove it
    warning[S0306]: `services.a.runtime` has no effect
      --> compose.yaml:5:5
       |     runtime: runc
       |     ^^^^^^^ stack is the runtime
    warning[S0306]: `services.a.deploy.mode` has no effect
      --> compose.yaml:6:14
       |     deploy: {mode: global, placement: {constraints: [x]}}
       |              ^^^^ it concerns clusters of several machines
    warning[S0306]: `services.a.deploy.placement` has no effect
      --> compose.yaml:6:28
       |     deploy: {mode: global, placement: {constraints: [x]}}
       |                            ^^^^^^^^^ it concerns clusters of several machines
    warning[S0306]: `services.a.blkio_config` has no effect
      --> compose.yaml:7:5
       |     blkio_config: {weight: 10}
       |     ^^^^^^^^^^^^ this version does not implement it yet
    warning[S0307]: `services.a.tty`: `yes` is not a boolean in YAML 1.2
      --> compose.yaml:8:10
       |     tty: yes
       |          ^^^
      help: write `true`
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
