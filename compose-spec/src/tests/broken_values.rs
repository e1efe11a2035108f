//! What users see when a key or value is wrong.

use insta::assert_snapshot;

use super::findings;

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
    warning[S0307]: `services.a.tty`: `yes` is not a boolean in YAML 1.2
      --> compose.yaml:8:10
       |     tty: yes
       |          ^^^
      help: write `true`
    "#);
}
