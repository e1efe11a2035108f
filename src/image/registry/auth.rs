//! Proving who we are, after a registry has asked: Basic, or a token from its token server.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{Method, Request, header};
use serde::Deserialize;

use super::{
    challenge::{self, Challenge},
    client::{Client, Purpose, request},
    credentials::{Known, basic},
    error::{Denial, RegistryError},
    payload::Payload,
    settings::Endpoint,
    url::{Url, encode},
};
use crate::model::{Credential, Secret};

/// Life of a token whose server does not say.
const TOKEN_LIFE_DEFAULT: Duration = Duration::from_secs(60);
/// Tokens are renewed a little before their end.
const TOKEN_MARGIN: Duration = Duration::from_secs(5);
/// Largest answer of a token server.
const TOKEN_BYTES_MAX: u64 = 1 << 20;

/// The value of an `Authorization` header, and when it ends.
#[derive(Clone)]
pub(super) struct Authorization {
    pub(super) value: String,
    pub(super) until: Option<Instant>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
    /// Stands for user and password from now on (distribution's token specification, `offline_token`).
    #[serde(default)]
    refresh_token: Option<Secret<String>>,
}

impl Client<'_> {
    /// Finds an answer to the challenges of a registry.
    pub(super) async fn authorize(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        challenges: &[String],
    ) -> Result<Authorization, RegistryError> {
        let challenges: Vec<Challenge> = challenges
            .iter()
            .flat_map(|header| challenge::parse(header))
            .collect();
        let credential = self.registries.credentials.look_up(&endpoint.registry)?;
        let denied = |reason| RegistryError::Denied {
            host: endpoint.base.authority(),
            repository: repository.to_owned(),
            reason,
        };
        if let Known::Credential(Credential::BearerToken(token)) = &credential {
            return Ok(Authorization {
                value: format!("Bearer {}", token.reveal()),
                until: None,
            });
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => Some((realm, service, scope)),
            Challenge::Basic => None,
        });
        if let Some((realm, service, scope)) = bearer {
            let realm: Url = realm.parse().map_err(|_invalid| RegistryError::Token {
                host: endpoint.base.authority(),
            })?;
            let query = TokenQuery {
                realm,
                service: service.as_deref(),
                scope: &self.purpose.scope(repository, scope.as_deref()),
                wants_identity: self.purpose == Purpose::Login,
            };
            return self
                .fetch_token(endpoint, repository, &query, credential)
                .await;
        }
        match credential {
            _ if challenges.is_empty() => Err(denied(Denial::NoCredentials)),
            Known::Credential(Credential::Password { user, password }) => Ok(Authorization {
                value: basic(&user, password.reveal()),
                until: None,
            }),
            _ => Err(denied(self.denial(endpoint)?)),
        }
    }

    async fn fetch_token(
        &self,
        endpoint: &Endpoint,
        repository: &str,
        query: &TokenQuery<'_>,
        credential: Known,
    ) -> Result<Authorization, RegistryError> {
        let denied = |reason| RegistryError::Denied {
            host: endpoint.base.authority(),
            repository: repository.to_owned(),
            reason,
        };
        // Secrets meant for a protected registry do not go to an unprotected token server.
        let leaks = endpoint.base.is_secure() && !query.realm.is_secure();
        if matches!(credential, Known::Credential(_)) && leaks {
            return Err(denied(Denial::Unprotected));
        }
        let refused = self.denial(endpoint)?;
        let (url, ask, secret) = query.request(credential);
        let answer = self.follow(&url, &ask, secret.as_deref()).await?.response;
        match answer.status().as_u16() {
            200 => {}
            401 | 403 => return Err(denied(refused)),
            _ => return Err(self.failure(answer, endpoint, repository, "token").await),
        }
        let host = query.realm.authority();
        let bytes = self.read_body(answer, &host, TOKEN_BYTES_MAX).await?;
        let parsed: Option<TokenAnswer> = serde_json::from_slice(&bytes).ok();
        let token = parsed
            .as_ref()
            .and_then(|answer| answer.token.clone().or_else(|| answer.access_token.clone()));
        let (Some(answer), Some(token)) = (parsed, token.filter(|token| !token.is_empty())) else {
            return Err(RegistryError::Token {
                host: endpoint.base.authority(),
            });
        };
        if query.wants_identity
            && let Some(identity) = answer.refresh_token
            && !identity.reveal().is_empty()
        {
            let mut kept = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some(identity);
        }
        let life = answer
            .expires_in
            .map_or(TOKEN_LIFE_DEFAULT, Duration::from_secs);
        let until = Instant::now().checked_add(life.saturating_sub(TOKEN_MARGIN));
        Ok(Authorization {
            value: format!("Bearer {token}"),
            until,
        })
    }
}

impl Purpose {
    /// Returns the scopes of a token (distribution's token specification): what the registry asked for, and what will be needed.
    fn scope(&self, repository: &str, asked: Option<&str>) -> String {
        match self {
            Self::Pull => match asked {
                Some(asked) => asked.to_owned(),
                None => format!("repository:{repository}:pull"),
            },
            // One token for the whole push; a registry that asks for reading only is asked for both at once.
            Self::Push { mounts } => {
                let own = format!("repository:{repository}:");
                let mut scopes = vec![format!("{own}pull,push")];
                let others = asked.into_iter().flat_map(str::split_whitespace);
                scopes.extend(
                    others
                        .filter(|scope| !scope.starts_with(&own))
                        .map(str::to_owned),
                );
                scopes.extend(mounts.iter().map(|from| format!("repository:{from}:pull")));
                scopes.dedup();
                scopes.join(" ")
            }
            Self::Registry | Self::Login => asked.unwrap_or_default().to_owned(),
        }
    }
}

/// What a token server is asked.
struct TokenQuery<'a> {
    realm: Url,
    service: Option<&'a str>,
    scope: &'a str,
    /// Asks for a token that lasts, and stands for user and password.
    wants_identity: bool,
}

impl TokenQuery<'_> {
    /// Makes the request: GET, with a password if there is one, or POST with a refresh token.
    fn request(&self, credential: Known) -> (Url, Request<Payload>, Option<String>) {
        let mut url = self.realm.clone();
        if let Known::Credential(Credential::RefreshToken(token)) = credential {
            let service = self.service.unwrap_or_default();
            let form = format!(
                "grant_type=refresh_token&client_id=stack&service={}&scope={}&refresh_token={}",
                encode(service),
                encode(self.scope),
                encode(token.reveal())
            );
            let mut ask = request(Method::POST);
            let kind = header::HeaderValue::from_static("application/x-www-form-urlencoded");
            ask.headers_mut().insert(header::CONTENT_TYPE, kind);
            *ask.body_mut() = Payload::Bytes(Bytes::from(form));
            return (url, ask, None);
        }
        if let Some(service) = self.service {
            url.add_query("service", service);
        }
        // Several scopes in one challenge are separated by blanks, and are parameters of their own.
        for scope in self.scope.split_whitespace() {
            url.add_query("scope", scope);
        }
        let secret = match credential {
            Known::Credential(Credential::Password { user, password }) => {
                url.add_query("account", &user);
                if self.wants_identity {
                    url.add_query("client_id", "stack");
                    url.add_query("offline_token", "true");
                }
                Some(basic(&user, password.reveal()))
            }
            _ => None,
        };
        (url, request(Method::GET), secret)
    }
}
