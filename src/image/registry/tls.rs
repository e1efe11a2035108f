//! TLS settings of one host: the roots of the system, those built in, and what `certs.d` has for it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use fs_err as fs;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

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
    /// The settings do not go together.
    #[error("the certificates do not go together")]
    Settings(#[source] rustls::Error),
}

/// Makes the settings of a host. `directory` is its place in `certs.d`; `insecure` trusts any certificate.
pub(super) fn config(directory: &Path, insecure: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Settings)?;
    let builder = if insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        builder.with_root_certificates(roots(directory)?)
    };
    let (certificate, key) = (directory.join("client.cert"), directory.join("client.key"));
    let mut config = if certificate.exists() && key.exists() {
        let chain = certificates(&certificate)?;
        let secret =
            PrivateKeyDer::from_pem_slice(&read(&key)?).map_err(|error| malformed(&key, &error))?;
        builder
            .with_client_auth_cert(chain, secret)
            .map_err(TlsError::Settings)?
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(directory: &Path) -> Result<RootCertStore, TlsError> {
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
    let own = directory.join("ca.crt");
    if own.exists() {
        for certificate in certificates(&own)? {
            roots
                .add(certificate)
                .map_err(|error| malformed(&own, &error))?;
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
