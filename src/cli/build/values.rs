//! Values of build flags: secrets, agents, limits, hosts, contexts. Pure, but for what the caller's environment says.

use std::{collections::BTreeMap, path::Path};

use compose_spec::model::{
    BuildSecret, CacheEntry, ExtraHost, FileObject, FileSource, SshKey, Ulimit,
};

/// `id=NAME[,src=FILE|,env=VARIABLE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretFlag {
    id: String,
    source: Option<String>,
    variable: Option<String>,
}

pub(crate) fn secret(text: &str) -> Result<SecretFlag, String> {
    let (mut id, mut source, mut variable) = (None, None, None);
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let slot = match key {
            "id" => &mut id,
            "src" | "source" => &mut source,
            "env" => &mut variable,
            "type" if matches!(value, "file" | "env") => continue,
            _ => return Err(format!("`{field}`: a secret has id, src and env")),
        };
        if value.is_empty() {
            return Err(format!("`{key}` needs a value"));
        }
        *slot = Some(value.to_owned());
    }
    if source.is_some() && variable.is_some() {
        return Err("a secret comes from `src` or from `env`, not from both".to_owned());
    }
    Ok(SecretFlag {
        id: id.ok_or("a secret needs an id: id=NAME,src=FILE")?,
        source,
        variable,
    })
}

impl SecretFlag {
    /// Finds out where the bytes are. Without `src` and `env` it is the variable of that name, else the file.
    pub(super) fn resolve(
        &self,
        environment: &BTreeMap<String, String>,
        directory: &Path,
    ) -> Result<(BuildSecret, FileObject), String> {
        let variable = match (&self.source, &self.variable) {
            (Some(_), _) => None,
            (None, Some(variable)) => Some(variable),
            (None, None) => Some(&self.id).filter(|id| environment.contains_key(*id)),
        };
        let source = match variable {
            Some(name) => FileSource::Environment {
                variable: name.clone(),
                value: Some(
                    environment
                        .get(name)
                        .ok_or_else(|| format!("secret `{}`: ${name} is not set", self.id))?
                        .clone(),
                ),
            },
            None => FileSource::File(directory.join(self.source.as_ref().unwrap_or(&self.id))),
        };
        let object = FileObject {
            name: self.id.clone(),
            source,
            labels: indexmap::IndexMap::new(),
        };
        let grant = BuildSecret {
            source: self.id.clone(),
            id: self.id.clone(),
            uid: None,
            gid: None,
            mode: None,
        };
        Ok((grant, object))
    }
}

/// `ID[=SOCKET|=KEY[,KEY…]]`; without a path it is the agent at `$SSH_AUTH_SOCK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentFlag {
    pub(super) id: String,
    paths: Vec<String>,
}

pub(crate) fn agent(text: &str) -> Result<AgentFlag, String> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    if id.is_empty() {
        return Err("an agent needs an id: `default`".to_owned());
    }
    let paths = paths.split(',').filter(|path| !path.is_empty());
    Ok(AgentFlag {
        id: id.to_owned(),
        paths: paths.map(str::to_owned).collect(),
    })
}

impl AgentFlag {
    /// Returns one entry for each path, as the builder takes them.
    pub(super) fn keys(&self, directory: &Path) -> Vec<SshKey> {
        let entry = |path| SshKey {
            id: self.id.clone(),
            path,
        };
        if self.paths.is_empty() {
            return vec![entry(None)];
        }
        let paths = self.paths.iter().map(|path| directory.join(path));
        paths.map(|path| entry(Some(path))).collect()
    }
}

/// `REFERENCE`, or `type=registry|local|inline[,key=value…]`.
pub(crate) fn cache(text: &str) -> Result<CacheEntry, String> {
    let mut options = indexmap::IndexMap::new();
    if text.contains('=') {
        for field in text.split(',') {
            let (key, value) = pair(field)?;
            options.insert(key, value);
        }
    } else {
        options.insert("ref".to_owned(), text.to_owned());
    }
    let kind = options.shift_remove("type");
    Ok(CacheEntry {
        kind: kind.unwrap_or_else(|| "registry".to_owned()),
        options,
    })
}

/// `NAME=SOFT[:HARD]`.
pub(crate) fn ulimit(text: &str) -> Result<(String, Ulimit), String> {
    let form = || format!("`{text}` has not the form NAME=SOFT[:HARD]");
    let (name, limits) = text.split_once('=').ok_or_else(form)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| match text {
        "unlimited" => Ok(-1),
        text => text.parse::<i64>().map_err(|_error| form()),
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    Ok((name.to_owned(), Ulimit { soft, hard }))
}

/// `HOST:ADDRESS` or `HOST=ADDRESS`.
pub(crate) fn host(text: &str) -> Result<ExtraHost, String> {
    let at = text.find('=').or_else(|| text.find(':'));
    let (host, address) = at
        .map(|at| (&text[..at], &text[at + 1..]))
        .filter(|(host, address)| !host.is_empty() && !address.is_empty())
        .ok_or_else(|| format!("`{text}` has not the form HOST:ADDRESS"))?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("`{address}` is not an IP address"));
    }
    Ok(ExtraHost {
        host: host.to_owned(),
        address: address.to_owned(),
    })
}

/// A size in bytes, with an optional unit of powers of 1024 (`512m`, `2GB`).
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match lower[digits.len()..].trim_end_matches(['b', 'i']) {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(format!("`{text}` is not a size")),
    };
    let number = digits.trim().parse::<u64>().ok();
    number
        .and_then(|number| number.checked_mul(1024_u64.pow(power)))
        .ok_or_else(|| format!("`{text}` is not a size"))
}

/// `NAME=VALUE` of a label or a named context.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` has not the form NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_files_and_variables() {
        let environment = BTreeMap::from([("TOKEN".to_owned(), "t".to_owned())]);
        let source = |text: &str| {
            let resolved = secret(text)?.resolve(&environment, Path::new("/here"));
            resolved.map(|(_, object)| object.source)
        };
        let variable = FileSource::Environment {
            variable: "TOKEN".to_owned(),
            value: Some("t".to_owned()),
        };
        assert_eq!(source("id=x,src=f"), Ok(FileSource::File("/here/f".into())));
        assert_eq!(source("type=env,id=x,env=TOKEN"), Ok(variable.clone()));
        assert_eq!(source("id=TOKEN"), Ok(variable));
        assert_eq!(source("id=name"), Ok(FileSource::File("/here/name".into())));
        for bad in [
            "src=f",
            "id=",
            "id=a,src=b,env=c",
            "id=a,mode=4",
            "id=a,env=NONE",
        ] {
            assert!(source(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_hosts_sizes_and_pairs_are_parsed() {
        assert_eq!(
            ulimit("nofile=1:unlimited").unwrap().1,
            Ulimit { soft: 1, hard: -1 }
        );
        assert_eq!(ulimit("core=0").unwrap().1, Ulimit { soft: 0, hard: 0 });
        assert_eq!(host("a:1.2.3.4").unwrap().address, "1.2.3.4");
        assert_eq!(host("a=[::1]").unwrap().address, "::1");
        assert_eq!(host("a:::1").unwrap().address, "::1");
        assert_eq!(host("a:host-gateway").unwrap().address, "host-gateway");
        for (text, expected) in [("1", 1), ("2k", 2048), ("1Gb", 1 << 30), ("3MiB", 3 << 20)] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        let entry = cache("type=local,src=dir,tag=x").unwrap();
        assert_eq!(
            (entry.kind.as_str(), &*entry.options["src"]),
            ("local", "dir")
        );
        assert_eq!(cache("app:cache").unwrap().options["ref"], "app:cache");
        assert!(cache("type=local,src").is_err());
        let paths = |text: &str| -> Vec<_> {
            let keys = agent(text).unwrap().keys(Path::new("/here"));
            keys.into_iter().map(|key| key.path).collect()
        };
        assert_eq!(paths("default"), [None]);
        assert_eq!(paths("x=/s"), [Some("/s".into())]);
        assert_eq!(paths("x=a,/b"), [Some("/here/a".into()), Some("/b".into())]);
        assert!(ulimit("x").is_err() && host("a:b").is_err() && size("1x").is_err());
        assert!(
            size("99999999999999999999").is_err() && pair("=x").is_err() && agent("=x").is_err()
        );
    }
}
