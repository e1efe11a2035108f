//! Searching a registry, and trying a credential: calls that are about no repository.

use std::sync::PoisonError;

use hyper::Method;
use serde::Deserialize;

use super::{
    client::{Ask, Client, Purpose, Target, Tell},
    content::Failures,
    error::RegistryError,
    settings::{Endpoint, Registries},
    url::Url,
};
use crate::{image::reference::DEFAULT_REGISTRY, model::Secret};

/// Host of the Hub's search.
const HUB_SEARCH: &str = "https://index.docker.io/v1/search";
/// Largest answer.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// Names of a catalog asked for at a time.
const PAGE: usize = 1000;
/// Pages of a catalog that are read: a hundred thousand names.
const PAGES_MAX: usize = 100;

/// A repository that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchResult {
    /// Its name as one would pull it.
    pub name: String,
    /// What its owner says about it.
    pub description: String,
    /// Stars; `None` where the registry has no such thing.
    pub stars: Option<u64>,
    /// One of the Hub's official images.
    pub official: bool,
}

/// A search did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Nothing to look for.
    #[error("nothing to search for: `{0}` names a registry, and no text")]
    NoTerm(String),
    /// The registry answers, but not to this.
    #[error("{0} offers no search: it has no catalog that it shows")]
    NotOffered(String),
    /// It could not be asked.
    #[error("search {registry}: {failures}")]
    Registry {
        /// The registry.
        registry: String,
        /// What each place asked said.
        failures: Failures,
    },
}

#[derive(Deserialize)]
struct HubAnswer {
    #[serde(default)]
    results: Vec<HubResult>,
}

#[derive(Deserialize)]
struct HubResult {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    star_count: Option<u64>,
    #[serde(default)]
    is_official: bool,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

/// Searches a registry: the Hub with its own search, others by their catalog of repositories (`GET /v2/_catalog`).
pub async fn search(
    registry: &str,
    term: &str,
    limit: usize,
    registries: &Registries,
) -> Result<Vec<SearchResult>, SearchError> {
    if term.is_empty() {
        return Err(SearchError::NoTerm(registry.to_owned()));
    }
    let quiet = |_warning| {};
    let client = Client::new(registries, Purpose::Registry, &quiet);
    let mut failures = Vec::new();
    if registry == DEFAULT_REGISTRY {
        match search_hub(&client, term, limit).await {
            Ok(found) => return Ok(found),
            Err(error) => failures.push(error),
        }
    }
    // A mirror of the Hub has a catalog of what it holds, which is better than nothing where the Hub is out of reach.
    let is_hub =
        |endpoint: &Endpoint| registry == DEFAULT_REGISTRY && endpoint.registry == registry;
    for endpoint in registries
        .endpoints(registry)
        .iter()
        .filter(|at| !is_hub(at))
    {
        match read_catalog(&client, endpoint, term, limit).await {
            Ok(names) => {
                let name = |path: String| match registry {
                    DEFAULT_REGISTRY => path.strip_prefix("library/").unwrap_or(&path).to_owned(),
                    _ => format!("{registry}/{path}"),
                };
                let found = names.into_iter().map(|path| SearchResult {
                    name: name(path),
                    ..SearchResult::default()
                });
                return Ok(found.collect());
            }
            Err(error) => failures.push(error),
        }
    }
    let answers = |error: &RegistryError| {
        error.is_not_found() || matches!(error, RegistryError::Status { status: 405, .. })
    };
    if !failures.is_empty() && failures.iter().all(answers) {
        return Err(SearchError::NotOffered(registry.to_owned()));
    }
    Err(SearchError::Registry {
        registry: registry.to_owned(),
        failures: Failures(failures),
    })
}

async fn search_hub(
    client: &Client<'_>,
    term: &str,
    limit: usize,
) -> Result<Vec<SearchResult>, RegistryError> {
    let mut url: Url = HUB_SEARCH.parse().expect("a constant address is one");
    url.add_query("q", term);
    url.add_query("n", &limit.to_string());
    let endpoint = Endpoint {
        base: Url::new(true, "index.docker.io"),
        registry: DEFAULT_REGISTRY.to_owned(),
        namespace: None,
    };
    let ask = Ask::new(Method::GET, "search", Target::Url(&url));
    let answer: HubAnswer = read(client, &endpoint, &ask).await?.0;
    let found = answer.results.into_iter().take(limit);
    Ok(found
        .map(|result| SearchResult {
            name: super::error::printable(&result.name),
            description: super::error::printable(&result.description.unwrap_or_default()),
            stars: result.star_count,
            official: result.is_official,
        })
        .collect())
}

/// Reads a catalog page by page and keeps the names that contain the term.
async fn read_catalog(
    client: &Client<'_>,
    endpoint: &Endpoint,
    term: &str,
    limit: usize,
) -> Result<Vec<String>, RegistryError> {
    let mut url = endpoint.base.join(&format!("/v2/_catalog?n={PAGE}"));
    let mut found = Vec::new();
    for _page in 0..PAGES_MAX {
        let ask = Ask::new(Method::GET, "_catalog", Target::Url(&url));
        let (catalog, next): (Catalog, _) = read(client, endpoint, &ask).await?;
        let names = catalog.repositories.unwrap_or_default().into_iter();
        found.extend(
            names
                .map(|name| super::error::printable(&name))
                .filter(|name| name.contains(term)),
        );
        match next.and_then(|next| url.resolve(&next).ok()) {
            Some(next) if found.len() < limit => url = next,
            _ => break,
        }
    }
    // The shortest name is the most likely one: `redis` before `bitnami/redis-exporter`.
    found.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    found.truncate(limit);
    Ok(found)
}

/// Reads a JSON answer and where the next page is (RFC 8288: `<address>; rel="next"`).
async fn read<T: serde::de::DeserializeOwned>(
    client: &Client<'_>,
    endpoint: &Endpoint,
    ask: &Ask<'_>,
) -> Result<(T, Option<String>), RegistryError> {
    let response = client.ask(endpoint, ask).await?;
    let link = response.headers().get(hyper::header::LINK);
    let next = link.and_then(|link| link.to_str().ok()).and_then(|link| {
        let (address, rest) = link.strip_prefix('<')?.split_once('>')?;
        rest.contains("next").then(|| address.to_owned())
    });
    let host = endpoint.base.authority();
    let bytes = client.read_body(response, &host, ANSWER_BYTES_MAX).await?;
    let parsed = serde_json::from_slice(&bytes);
    let parsed = parsed.map_err(|_foreign| RegistryError::NotARegistry { host })?;
    Ok((parsed, next))
}

/// Tries the credential that a caller brought: asks the registry for nothing but its greeting (`GET /v2/`). Returns the identity token that
/// its token server gave for it, which is to be kept in the place of the password.
pub async fn login(
    registry: &str,
    registries: &Registries,
) -> Result<Option<Secret<String>>, Failures> {
    let tell: Tell<'_> = &|_warning| {};
    let mut failures = Vec::new();
    for endpoint in registries.own_endpoints(registry) {
        let client = Client::new(registries, Purpose::Login, tell);
        match greet(&client, &endpoint).await {
            Ok(()) => {
                let identity = client.identity.into_inner();
                return Ok(identity.unwrap_or_else(PoisonError::into_inner));
            }
            Err(error) if !matches!(error, RegistryError::Transport(_)) => {
                failures.push(error);
                break;
            }
            Err(error) => failures.push(error),
        }
    }
    Err(Failures(failures))
}

async fn greet(client: &Client<'_>, endpoint: &Endpoint) -> Result<(), RegistryError> {
    // The scope is that of a login (distribution's token specification): none.
    let ask = Ask::new(Method::GET, "", Target::Path(""));
    match client.ask(endpoint, &ask).await {
        Err(error) if error.is_not_found() => Err(RegistryError::NotARegistry {
            host: endpoint.base.authority(),
        }),
        answer => answer.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::{
        image::registry::fake::{Fake, Reply},
        model::{Credential, RegistryAccess},
    };

    fn page(names: &[&str], next: Option<&str>) -> Reply {
        let link = next.map(|next| ("link", format!("<{next}>; rel=\"next\"")));
        let body = json!({ "repositories": names }).to_string();
        Reply::Plain(200, link.into_iter().collect(), body.into_bytes())
    }

    #[tokio::test]
    async fn a_catalog_is_searched_page_by_page() {
        let fake = Fake::start().await;
        let next = "/v2/_catalog?n=1000&last=x";
        fake.fault(
            "_catalog",
            1,
            page(&["team/redis-exporter", "nginx"], Some(next)),
        );
        fake.fault("_catalog", 1, page(&["redis"], None));
        let registry = fake.address.to_string();
        let registries = Registries::default().impatient();
        let found = search(&registry, "redis", 9, &registries).await.unwrap();
        let names: Vec<_> = found.into_iter().map(|found| found.name).collect();
        assert_eq!(
            names,
            [
                format!("{registry}/redis"),
                format!("{registry}/team/redis-exporter")
            ]
        );
        assert_eq!(fake.log().len(), 2);
    }

    #[tokio::test]
    async fn a_registry_without_a_catalog_says_so() {
        let fake = Fake::start().await;
        let registry = fake.address.to_string();
        let registries = Registries::default().impatient();
        let error = search(&registry, "redis", 9, &registries)
            .await
            .unwrap_err();
        assert!(matches!(error, SearchError::NotOffered(_)), "{error}");
        assert!(error.to_string().contains("offers no search"));
        let error = search(&registry, "", 9, &registries).await.unwrap_err();
        assert!(matches!(error, SearchError::NoTerm(_)), "{error}");
    }

    #[tokio::test]
    async fn a_login_brings_an_identity_token_where_the_server_has_one() {
        let fake = Fake::start().await;
        let registry = fake.address.to_string();
        let with = |credential: Credential| {
            let access = RegistryAccess {
                credentials: BTreeMap::from([(registry.clone(), credential)]),
                ..RegistryAccess::default()
            };
            let registries = Registries::default().impatient();
            registries.for_caller(&Arc::new(access)).unwrap()
        };
        let realm = format!("Bearer realm=\"{}/token\",service=\"s\"", fake.url());
        fake.guard("Bearer T", &realm);
        let answer = |refresh: &str| {
            let answer = json!({"token": "T", "refresh_token": refresh});
            Reply::Plain(200, vec![], answer.to_string().into_bytes())
        };
        let password = Credential::password("me", "secret");
        fake.fault("/token", 1, answer("lasting"));
        let identity = login(&registry, &with(password.clone())).await.unwrap();
        assert_eq!(identity, Some(Secret::new("lasting".to_owned())));
        fake.fault("/token", 1, answer(""));
        let identity = login(&registry, &with(password)).await.unwrap();
        assert_eq!(identity, None);
        // It is shown instead of the password, to the token server alone.
        fake.fault("POST /token", 1, answer("lasting"));
        fake.log();
        let token = Credential::RefreshToken(Secret::new("lasting".to_owned()));
        login(&registry, &with(token)).await.unwrap();
        let log = fake.log();
        assert!(log[1].starts_with("POST /token"), "{log:?}");
        assert!(log[2].starts_with("GET /v2/ Bearer T"), "{log:?}");
    }

    #[tokio::test]
    async fn a_login_is_tried_with_basic_and_with_tokens() {
        let fake = Fake::start().await;
        let registry = fake.address.to_string();
        let with = |password: &str| {
            let credential = Credential::password("me", password);
            let access = RegistryAccess {
                credentials: BTreeMap::from([(registry.clone(), credential)]),
                ..RegistryAccess::default()
            };
            let registries = Registries::default().impatient();
            registries.for_caller(&Arc::new(access)).unwrap()
        };
        fake.guard("Basic bWU6c2VjcmV0", "Basic realm=\"x\"");
        login(&registry, &with("secret")).await.unwrap();
        let error = login(&registry, &with("wrong")).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the credentials were not accepted"),
            "{error}"
        );

        fake.guard(
            "Bearer T",
            &format!("Bearer realm=\"{}/token\",service=\"s\"", fake.url()),
        );
        let token = json!({"access_token": "T"}).to_string().into_bytes();
        fake.fault("/token", 1, Reply::Plain(200, vec![], token));
        fake.fault("/token", 9, Reply::Plain(401, vec![], vec![]));
        fake.log();
        login(&registry, &with("secret")).await.unwrap();
        let log = fake.log();
        assert!(
            log[1].starts_with(
                "GET /token?service=s&account=me&client_id=stack&offline_token=true Basic "
            ),
            "{log:?}"
        );
        let error = login(&registry, &with("wrong")).await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("the credentials were not accepted"),
            "{error}"
        );
    }
}
