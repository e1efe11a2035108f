//! `stack image build`: one image of a directory, as `docker build` makes it.
//!
//! It is the build of a project with a single service, so there is one way from flags or files to an image.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
};

use clap::Args;
use compose_spec::model::{Build, CacheEntry, ExtraHost, ImageSource, Project, Service, Ulimit};
use indexmap::IndexMap;

use super::{
    output::{self, Output},
    values::{self, AgentFlag, SecretFlag},
};
use crate::{
    cli::{
        failure::Failure,
        session::{Session, fill_agents},
        values::{Variable, variable},
    },
    protocol::{BuildRequest, Request},
    ui::{lines, progress::ProgressOptions},
};

/// Largest Dockerfile that is read from standard input.
const DOCKERFILE_BYTES_MAX: u64 = 16 << 20;

/// Build an image from a Dockerfile
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Directory of the files that COPY reads, git repository (https://…git#ref:dir) or address of a tar archive or Dockerfile; `-` reads one of these two
    /// from standard input
    #[arg(value_name = "PATH")]
    context: String,
    /// The Dockerfile [default: PATH/Dockerfile]; `-` reads it from standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,
    /// Name of the image, more than once for more names
    #[arg(short, long = "tag", value_name = "NAME")]
    tags: Vec<String>,
    /// Build argument; without a value, that of the environment
    #[arg(long = "build-arg", value_name = "NAME=VALUE", value_parser = variable)]
    args: Vec<Variable>,
    /// Stage to build [default: the last]
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Label of the image
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = values::pair)]
    labels: Vec<(String, String)>,
    /// Ignore the cache
    #[arg(long)]
    no_cache: bool,
    /// Ignore the cache in these stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Ask the registry for newer base images
    #[arg(long)]
    pull: bool,
    /// Push the image when it is built
    #[arg(long)]
    push: bool,
    /// Platform of the image (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<String>,
    /// Network of RUN: default, host or none
    #[arg(long, value_name = "MODE")]
    network: Option<String>,
    /// Line of /etc/hosts in RUN
    #[arg(long = "add-host", value_name = "HOST:ADDRESS", value_parser = values::host)]
    hosts: Vec<ExtraHost>,
    /// Size of /dev/shm in RUN
    #[arg(long, value_name = "BYTES", value_parser = values::size)]
    shm_size: Option<u64>,
    /// Memory limit of RUN
    #[arg(short, long, value_name = "BYTES", value_parser = values::size)]
    memory: Option<u64>,
    /// Resource limit of RUN
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]", value_parser = values::ulimit)]
    ulimits: Vec<(String, Ulimit)>,
    /// Further directory, image or layout for FROM and --from
    #[arg(long = "build-context", value_name = "NAME=VALUE", value_parser = values::pair)]
    contexts: Vec<(String, String)>,
    /// Cache to use besides the own one: an image, or type=registry,ref=… or type=local,src=…
    #[arg(long, value_name = "CACHE", value_parser = values::cache)]
    cache_from: Vec<CacheEntry>,
    /// Where the cache goes besides: type=registry,ref=…, type=local,dest=… (mode=max: all stages) or type=inline
    #[arg(long, value_name = "CACHE", value_parser = values::cache)]
    cache_to: Vec<CacheEntry>,
    /// Secret for RUN --mount=type=secret
    #[arg(long = "secret", value_name = "id=ID[,src=FILE|,env=NAME]", value_parser = values::secret)]
    secrets: Vec<SecretFlag>,
    /// Agent or unencrypted key for RUN --mount=type=ssh
    #[arg(long = "ssh", value_name = "ID[=SOCKET|=KEY]", value_parser = values::agent)]
    agents: Vec<AgentFlag>,
    /// Right that RUN may ask for: security.insecure, network.host, device[=NAME]
    #[arg(long = "allow", value_name = "RIGHT", value_delimiter = ',')]
    rights: Vec<String>,
    /// Only check the Dockerfile
    #[arg(long)]
    check: bool,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write id and names of the image to this file (JSON)
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// What else is made: a directory of the files, - (tar), or type=local|tar|docker|oci|registry[,dest=PATH]
    #[arg(short, long = "output", value_name = "OUTPUT", value_parser = output::parse)]
    outputs: Vec<Output>,
    /// Print only the image's id
    #[arg(short, long)]
    quiet: bool,
}

pub(in crate::cli) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("image build")?;
    let push = arguments.push || arguments.outputs.contains(&Output::Registry);
    if push && arguments.tags.is_empty() {
        return Err(Failure::Usage(
            "a push needs a name to push to: `-t`".to_owned(),
        ));
    }
    let has_platforms = arguments.platform.len() > 1;
    if has_platforms {
        let is_named = !arguments.tags.is_empty();
        for output in &arguments.outputs {
            output.refuse_platforms(is_named)?;
        }
    }
    let input = standard_input(arguments)?;
    let project = project(session, arguments, &input)?;
    let request = Request::Build(Box::new(BuildRequest {
        project,
        services: Vec::new(),
        no_cache: false,
        pull: false,
        check: arguments.check,
        untagged: arguments.tags.is_empty(),
        memory_bytes: arguments.memory,
        args: std::collections::BTreeMap::new(),
    }));
    let options = ProgressOptions {
        quiet_build: arguments.quiet,
        quiet_pull: arguments.quiet,
        dry_run: false,
    };
    let outcome = session.call(&request, options, None)?;
    drop(input);
    if arguments.check {
        session.ui.say("Check complete, nothing was found.");
        return Ok(());
    }
    if let (Some(path), Some(id)) = (&arguments.iidfile, outcome.names.first()) {
        let path = session.settings.working_dir.join(path);
        fs_err::write(&path, id)
            .map_err(|error| Failure::intent("write the image's id", &error))?;
    }
    let id = outcome.names.first();
    if let (Some(path), Some(id)) = (&arguments.metadata_file, id) {
        let path = session.settings.working_dir.join(path);
        output::write_metadata(&path, id, &arguments.tags)?;
    }
    let names = match &arguments.tags[..] {
        [] => id.cloned().into_iter().collect(),
        tags => tags.to_vec(),
    };
    for one in &arguments.outputs {
        output::write(session, one, &names, has_platforms)?;
    }
    if push {
        super::push(session, arguments.tags.clone(), arguments.quiet)?;
    }
    if arguments.quiet {
        session.ui.data(lines(outcome.names))?;
    }
    Ok(())
}

/// What standard input is, for the builds that read it.
enum Input {
    Unused,
    /// The text, and the empty directory that is the context where there is no other.
    Dockerfile(String, tempfile::TempDir),
    /// A tar archive, kept until the build is over.
    Archive(tempfile::NamedTempFile),
}

fn standard_input(arguments: &Arguments) -> Result<Input, Failure> {
    let fail = |error: io::Error| Failure::intent("read standard input", &error);
    let dockerfile = |text| {
        let directory = tempfile::tempdir().map_err(fail)?;
        Ok(Input::Dockerfile(text, directory))
    };
    let reads_dockerfile = arguments.file.as_deref() == Some("-");
    match (arguments.context.as_str(), reads_dockerfile) {
        ("-", true) => Err(Failure::Usage(
            "standard input is either the context or the Dockerfile".to_owned(),
        )),
        ("-", false) => {
            let mut head = Vec::new();
            let mut stdin = io::stdin().lock();
            stdin
                .by_ref()
                .take(512)
                .read_to_end(&mut head)
                .map_err(fail)?;
            if !is_archive(&head) {
                return dockerfile(text(head, stdin)?);
            }
            let mut file = tempfile::NamedTempFile::new().map_err(fail)?;
            file.write_all(&head).map_err(fail)?;
            io::copy(&mut stdin, &mut file).map_err(fail)?;
            Ok(Input::Archive(file))
        }
        (_, true) => dockerfile(text(Vec::new(), io::stdin().lock())?),
        (_, false) => Ok(Input::Unused),
    }
}

fn text(mut bytes: Vec<u8>, stdin: impl Read) -> Result<String, Failure> {
    let mut stdin = stdin.take(DOCKERFILE_BYTES_MAX);
    stdin
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::intent("read the Dockerfile from standard input", &error))?;
    String::from_utf8(bytes)
        .map_err(|error| Failure::intent("read the Dockerfile from standard input", &error))
}

/// Tells an archive from a Dockerfile: compressed, or with a tar header.
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| head.starts_with(magic))
        || head.get(257..262).is_some_and(|magic| magic == b"ustar")
}

/// Makes the project that stands for the image.
fn project(
    session: &Session<'_>,
    arguments: &Arguments,
    input: &Input,
) -> Result<Project, Failure> {
    let settings = session.settings;
    let directory = &settings.working_dir;
    let absolute = |path: &str| directory.join(path).display().to_string();
    let mut build = match input {
        Input::Archive(file) => Build::new(file.path().display().to_string()),
        // Nothing can be copied: the Dockerfile is all there is.
        Input::Dockerfile(_, empty) if arguments.context == "-" => {
            Build::new(empty.path().display().to_string())
        }
        _ if is_address(&arguments.context) => Build::new(&arguments.context),
        _ => Build::new(absolute(&arguments.context)),
    };
    build.dockerfile = match (&arguments.file, input) {
        (None, _) => None,
        // It is one of the context.
        (Some(file), Input::Archive(_)) => Some(file.clone()),
        (Some(file), _) if is_address(&arguments.context) => Some(file.clone()),
        (Some(file), _) => Some(absolute(file)),
    };
    if let Input::Dockerfile(text, _) = input {
        // What messages call it, as those of BuildKit do.
        build.dockerfile = Some("Dockerfile".to_owned());
        build.dockerfile_inline = Some(text.clone());
    }
    let environment = &settings.environment;
    for argument in &arguments.args {
        let value = argument.value.clone();
        let value = value.or_else(|| environment.get(&argument.name).cloned());
        build.args.insert(argument.name.clone(), value);
    }
    build.target.clone_from(&arguments.target);
    build.labels.extend(arguments.labels.iter().cloned());
    build.cache_from.clone_from(&arguments.cache_from);
    build.cache_to.clone_from(&arguments.cache_to);
    build.no_cache = arguments.no_cache;
    build.no_cache_filter.clone_from(&arguments.no_cache_filter);
    build.pull = arguments.pull;
    build.platforms.clone_from(&arguments.platform);
    build.network.clone_from(&arguments.network);
    build.extra_hosts.clone_from(&arguments.hosts);
    build.shm_size_bytes = arguments.shm_size;
    build.ulimits.extend(arguments.ulimits.iter().cloned());
    build.entitlements.clone_from(&arguments.rights);
    for (name, value) in &arguments.contexts {
        build
            .additional_contexts
            .insert(name.clone(), context(value, &absolute));
    }
    let agents = arguments.agents.iter();
    build.ssh = agents.flat_map(|agent| agent.keys(directory)).collect();
    fill_agents(&mut build, environment);
    let mut secrets = IndexMap::new();
    for flag in &arguments.secrets {
        let (grant, object) = flag
            .resolve(environment, directory)
            .map_err(Failure::Usage)?;
        secrets.insert(grant.source.clone(), object);
        build.secrets.push(grant);
    }
    let mut names = arguments.tags.iter().cloned();
    let image = names.next();
    build.tags.extend(names);
    let name = "image".parse().expect("it is a valid name");
    let mut service = Service::new(
        name,
        ImageSource::Build {
            image,
            build: Box::new(build),
        },
    );
    if arguments.platform.is_empty() {
        service.platform = environment.get("DOCKER_DEFAULT_PLATFORM").cloned();
    }
    Ok(Project {
        name: "stack".parse().expect("it is a valid name"),
        working_dir: directory.clone(),
        files: Vec::new(),
        services: IndexMap::from([(service.name.clone(), service)]),
        networks: IndexMap::new(),
        volumes: IndexMap::new(),
        secrets,
        configs: IndexMap::new(),
        models: IndexMap::new(),
        extensions: IndexMap::new(),
    })
}

/// Makes a path of a named context absolute; images and addresses stay.
fn context(value: &str, absolute: &dyn Fn(&str) -> String) -> String {
    match value.split_once("://") {
        Some(("oci-layout", path)) => format!("oci-layout://{}", absolute(path)),
        _ if is_address(value) => value.to_owned(),
        _ => absolute(value),
    }
}

/// Whether a context is not on this machine, as Compose tells it.
fn is_address(text: &str) -> bool {
    let prefixes = ["github.com/", "git@"];
    text.contains("://") || prefixes.iter().any(|prefix| text.starts_with(prefix))
}
