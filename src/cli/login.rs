//! `stack login`: tries a user name and password at a registry and keeps them where Docker's clients do.

use std::io::{self, Read};

use clap::Args;

use super::{
    access::{self, DockerFile, Kept, Proof},
    failure::Failure,
    session::Session,
    terminal,
};
use crate::{
    model::{Credential, DEFAULT_REGISTRY, Secret, normal_registry},
    protocol::{LoginRequest, Request},
};

/// Longest password: tokens of cloud registries have a few thousand bytes.
const PASSWORD_BYTES_MAX: u64 = 64 << 10;

/// Log in to a registry
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The registry, as names of images have it [default: docker.io]
    #[arg(value_name = "SERVER")]
    server: Option<String>,
    /// User name
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password or access token; other users of this machine can see it in the list of processes
    #[arg(
        short,
        long,
        value_name = "PASSWORD",
        conflicts_with = "password_stdin"
    )]
    password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("login")?;
    let server = arguments.server.as_deref().unwrap_or(DEFAULT_REGISTRY);
    let registry = normal_registry(server);
    if registry.is_empty() || registry.contains(char::is_whitespace) {
        return Err(Failure::Usage(format!(
            "`{server}` is not the name of a registry"
        )));
    }
    let environment = &session.settings.environment;
    let file = DockerFile::open(environment).map_err(|error| Failure::error(&error))?;
    let (user, password) = ask(session, arguments, &file, registry)?;
    if arguments.password.is_some() {
        session
            .ui
            .warn("a password on the command line can be seen by others: use --password-stdin");
    }
    let credential = Credential::password(user.clone(), password.clone());
    let tried = access::with_credential(session.settings, registry, credential)?;
    let request = Request::Login(LoginRequest {
        registry: registry.to_owned(),
    });
    let outcome = session.call_as(&request, &tried)?;
    let proof = match outcome.identity {
        Some(token) => Proof::Identity(token),
        None => Proof::Password(Secret::new(password)),
    };
    let kept = file.store(registry, &user, &proof);
    match kept.map_err(|error| Failure::intent("keep the credentials", &error))? {
        Kept::Helper(name) => {
            let text =
                format!("logged in to {registry}; docker-credential-{name} keeps the {proof}");
            session.ui.say(&text);
        }
        Kept::File(path) => {
            session.ui.warn(&format!(
                "the {proof} is kept in `{}`, readable for you only but not encrypted; a credential helper does better",
                path.display()
            ));
            session.ui.say(&format!("logged in to {registry}"));
        }
    }
    Ok(())
}

/// Finds out user name and password: from flags, standard input, or the user.
fn ask(
    session: &Session<'_>,
    arguments: &Arguments,
    file: &DockerFile<'_>,
    registry: &str,
) -> Result<(String, String), Failure> {
    if arguments.password_stdin {
        let Some(user) = arguments.username.clone() else {
            return Err(Failure::Usage("--password-stdin needs --username".into()));
        };
        let mut text = String::new();
        io::stdin()
            .take(PASSWORD_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| Failure::intent("read the password from standard input", &error))?;
        let password = text.trim_end_matches(['\n', '\r']).to_owned();
        return Ok((user, not_empty("password", password)?));
    }
    if let (Some(user), Some(password)) = (&arguments.username, &arguments.password) {
        let password = not_empty("password", password.clone())?;
        return Ok((not_empty("user name", user.clone())?, password));
    }
    if !session.ui.options().interactive {
        return Err(Failure::Usage(
            "there is no terminal to ask on: use --username and --password-stdin".into(),
        ));
    }
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None => ask_user(file.user(registry))?,
    };
    let user = not_empty("user name", user)?;
    let password = match arguments.password.clone() {
        Some(password) => password,
        None => terminal::ask_secret("Password: ")
            .map_err(|error| Failure::intent("read the password", &error))?,
    };
    Ok((user, not_empty("password", password)?))
}

/// Asks for the user name and offers the one that is known.
fn ask_user(known: Option<String>) -> Result<String, Failure> {
    let offered = match &known {
        Some(user) => format!(" ({user})"),
        None => String::new(),
    };
    let typed = terminal::ask_line(&format!("User name{offered}: "));
    let typed = typed.map_err(|error| Failure::intent("read the user name", &error))?;
    if typed.is_empty() {
        return Ok(known.unwrap_or_default());
    }
    Ok(typed)
}

fn not_empty(what: &str, text: String) -> Result<String, Failure> {
    if text.is_empty() {
        return Err(Failure::Usage(format!("the {what} is empty")));
    }
    Ok(text)
}
