//! TLS settings of one host: the roots of the system, those built in, and what `certs.d` has for it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use fs_err as fs;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use super::settings::HostCertificates;

/// Where distributions keep the certificates that the machine trusts; the first that exists counts.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read a certificate")]
    Io(#[source] io::Error),
    /// A file does not have its form.
    #[error("`{path}` holds no certificate or key that can be used: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate without its key.
    #[error("`{certificate}` has no key: there is no `{key}`")]
    NoKey {
        /// The certificate.
        certificate: PathBuf,
        /// Where its key should be.
        key: PathBuf,
    },
    /// The settings do not go together.
    #[error("the certificates do not go together")]
    Settings(#[source] rustls::Error),
}

/// Makes the settings of a host. `folder` is its place in a `certs.d`; `insecure` trusts any certificate.
pub(super) fn config(
    named: &HostCertificates,
    folder: Option<&Path>,
    insecure: bool,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut known = named.clone();
    if let Some(folder) = folder {
        let found = look_in(folder)?;
        known.authorities.extend(found.authorities);
        known.client = known.client.or(found.client);
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?;
    let builder = if insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        builder.with_root_certificates(roots(&known.authorities)?)
    };
    let mut config = match known.client {
        Some((certificate, key)) => {
            let chain = certificates(&certificate)?;
            let secret = PrivateKeyDer::from_pem_slice(&read(&key)?)
                .map_err(|error| malformed(&key, &error))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(TlsError::Settings)?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Finds what a host's folder has, by Docker's rules: `*.crt` are authorities, `*.cert` with a `*.key` is our own.
fn look_in(folder: &Path) -> Result<HostCertificates, TlsError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(TlsError::Io)? {
        paths.push(entry.map_err(TlsError::Io)?.path());
    }
    paths.sort();
    let mut found = HostCertificates::default();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => found.authorities.push(path),
            Some("cert") if found.client.is_none() => {
                let key = path.with_extension("key");
                if !key.exists() {
                    return Err(TlsError::NoKey {
                        certificate: path,
                        key,
                    });
                }
                found.client = Some((path, key));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn roots(authorities: &[PathBuf]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = SYSTEM_ROOTS
        .iter()
        .map(Path::new)
        .find(|path| path.exists())
    {
        // Distributions ship certificates that are too old for the parser: the rest count.
        let (_added, ignored) = roots.add_parsable_certificates(certificates(path)?);
        if ignored > 0 {
            tracing::debug!(ignored, path = %path.display(), "left out certificates of the system");
        }
    }
    for own in authorities {
        for certificate in certificates(own)? {
            roots
                .add(certificate)
                .map_err(|error| malformed(own, &error))?;
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| malformed(path, &error))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(TlsError::Io)
}

fn malformed(path: &Path, error: &dyn std::error::Error) -> TlsError {
    TlsError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Says why a handshake did not come about, in words that lead on.
pub(super) fn explain(error: &io::Error) -> String {
    let inner = error.get_ref();
    let Some(refusal) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return error.to_string();
    };
    match refusal {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => {
                "its certificate is of an authority that this machine does not trust".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet (or this machine's clock is wrong)".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name".to_owned()
            }
            CertificateError::Revoked => "its certificate was revoked".to_owned(),
            CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
                "its certificate is that of an authority, not of a server".to_owned()
            }
            other => format!("its certificate is not valid: {other:?}"),
        },
        rustls::Error::InvalidMessage(_) => {
            "it does not speak TLS (plain HTTP, perhaps)".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("it refused the handshake: {alert:?}"),
        other => other.to_string(),
    }
}

/// What may help against a refused handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Trust its authority.
    Trust,
    /// Do without TLS.
    Plain,
    /// Show a certificate of our own.
    Client,
    /// Nothing here.
    None,
}

/// Finds what may help.
pub(super) fn remedy(error: &io::Error) -> Remedy {
    use rustls::AlertDescription as Alert;
    let refusal = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match refusal {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => Remedy::Trust,
        Some(rustls::Error::InvalidMessage(_)) => Remedy::Plain,
        Some(rustls::Error::AlertReceived(
            Alert::CertificateRequired | Alert::BadCertificate | Alert::HandshakeFailure,
        )) => Remedy::Client,
        _ => Remedy::None,
    }
}

/// Trusts any certificate: for registries that the settings call insecure.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
