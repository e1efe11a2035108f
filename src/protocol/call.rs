//! A call as it goes over the socket: its name in the path, its content as body, and beside that how its caller reaches registries.
//!
//! ```json
//! {"images": [["redis:7", null]], "always": true, "access": {"credentials": {…}, "https_proxy": "…"}}
//! ```

use serde_json::Value;

use super::Request;
use crate::model::RegistryAccess;

/// Key of the caller's access among a call's own.
const ACCESS: &str = "access";

/// A request and who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// How the caller reaches registries, for the calls that may need it.
    pub access: Option<RegistryAccess>,
}

/// A body that is not of the call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MalformedCall(String);

impl Call {
    /// Returns the name and the body.
    pub fn encode(
        request: &Request,
        access: Option<&RegistryAccess>,
    ) -> Result<(String, Vec<u8>), serde_json::Error> {
        let mut value = serde_json::to_value(request)?;
        let name = value["call"]
            .as_str()
            .expect("every call has a name")
            .to_owned();
        let mut body = value["body"].take();
        if let (Some(access), Value::Object(fields)) = (access, &mut body) {
            fields.insert(ACCESS.to_owned(), serde_json::to_value(access)?);
        }
        Ok((name, serde_json::to_vec(&body)?))
    }

    /// Reads a body. The error never repeats what the caller's access says: it holds secrets.
    pub fn decode(name: &str, body: &[u8]) -> Result<Self, MalformedCall> {
        let malformed = |error: serde_json::Error| MalformedCall(error.to_string());
        let mut body: Value = serde_json::from_slice(body).map_err(malformed)?;
        let access = body.as_object_mut().and_then(|body| body.remove(ACCESS));
        let access = access.map(serde_json::from_value).transpose();
        let access = access.map_err(|_secret| MalformedCall(format!("`{ACCESS}` is malformed")))?;
        let whole = serde_json::json!({ "call": name, "body": body });
        let request = serde_json::from_value(whole).map_err(malformed)?;
        Ok(Self { request, access })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{model::Credential, protocol::PullRequest};

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let request = Request::Pull(PullRequest {
            images: vec![("redis:7".into(), None)],
            always: true,
        });
        let access = RegistryAccess {
            credentials: BTreeMap::from([("a".into(), Credential::password("u", "hunter2"))]),
            ..RegistryAccess::default()
        };
        for access in [None, Some(access)] {
            let (name, body) = Call::encode(&request, access.as_ref()).unwrap();
            assert_eq!(name, "pull");
            let call = Call::decode(&name, &body).unwrap();
            assert!(!format!("{call:?}").contains("hunter2"));
            assert_eq!((call.request, call.access), (request.clone(), access));
        }
        let bad = br#"{"images": [], "always": true, "access": {"credentials": "hunter2"}}"#;
        let error = Call::decode("pull", bad).unwrap_err();
        assert_eq!(error.to_string(), "`access` is malformed");
        assert!(Call::decode("pull", b"{").is_err());
        assert!(Call::decode("pul", b"{}").is_err());
    }
}
