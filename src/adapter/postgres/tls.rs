//! Encryption as libpq has it: what each `sslmode` demands, and which certificates are believed.
//!
//! The only user of rustls. Where libpq and rustls differ, libpq's files and modes count; names are
//! only looked for in a certificate's alternative names, never in its common name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{Error as PemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore};
use tokio_postgres::config::SslMode;
pub(super) use tokio_postgres_rustls::MakeRustlsConnect;

use crate::adapter::{AdapterError, AdapterErrorKind};

/// The value of `sslrootcert` that means the system's own certificates.
const SYSTEM: &str = "system";

/// What a profile demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server refuses what is not.
    Allow,
    /// Encrypted where the server can.
    Prefer,
    /// Encrypted, with whomever.
    Require,
    /// Encrypted, with somebody whose certificate is signed by one that is believed.
    VerifyCa,
    /// The same, and the certificate is made out to the host.
    VerifyFull,
}

impl Mode {
    /// The spellings of a profile.
    pub(super) const ALL: &[(&str, Mode)] = &[
        ("disable", Mode::Disable),
        ("allow", Mode::Allow),
        ("prefer", Mode::Prefer),
        ("require", Mode::Require),
        ("verify-ca", Mode::VerifyCa),
        ("verify-full", Mode::VerifyFull),
    ];

    /// What is tried, in this order, where the server refuses the one before.
    pub(super) fn attempts(self) -> &'static [SslMode] {
        match self {
            Mode::Disable => &[SslMode::Disable],
            Mode::Allow => &[SslMode::Disable, SslMode::Require],
            Mode::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => &[SslMode::Require],
        }
    }
}

/// The files that a profile names, absolute.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    /// Certificates that are believed, or [`SYSTEM`].
    pub(super) root: Option<PathBuf>,
    /// The client's certificate, and what signed it.
    pub(super) certificate: Option<PathBuf>,
    /// The client's key.
    pub(super) key: Option<PathBuf>,
}

/// How far a server's certificate is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Issuer,
    IssuerAndHost,
}

/// Reads the files, and makes what connections encrypt with.
///
/// # Errors
/// Files that are missing, unreadable or hold something else, and a mode that needs one nobody named.
pub(super) fn connector(mode: Mode, files: &Files) -> Result<MakeRustlsConnect, AdapterError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (check, roots) = believed(mode, files)?;
    let verifier = Arc::new(Verifier {
        check,
        roots,
        provider: Arc::clone(&provider),
    });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refuse)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&files.certificate, &files.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(certificate), Some(key)) => {
            let chain = certificates("sslcert", certificate)?;
            let key = private_key(key)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                refuse(format!(
                    "`sslcert` and `sslkey` do not go together: {error}"
                ))
            })?
        }
        (Some(_), None) => return Err(refuse("`sslcert` is set, and `sslkey` is not")),
        (None, Some(_)) => return Err(refuse("`sslkey` is set, and `sslcert` is not")),
    };
    Ok(MakeRustlsConnect::new(config))
}

/// How much is checked, against which certificates.
fn believed(mode: Mode, files: &Files) -> Result<(Check, Roots), AdapterError> {
    let system = files.root.as_deref() == Some(Path::new(SYSTEM));
    let check = match mode {
        Mode::VerifyFull => Check::IssuerAndHost,
        // Anyone has a certificate of those, so only the name says who it is.
        Mode::Require | Mode::VerifyCa if system => Check::IssuerAndHost,
        Mode::VerifyCa => Check::Issuer,
        // As libpq: who names a root certificate wants it checked.
        Mode::Require if files.root.is_some() => Check::Issuer,
        _ => {
            let (store, certificates) = (RootCertStore::empty(), Vec::new());
            return Ok((
                Check::Nothing,
                Roots {
                    store,
                    certificates,
                },
            ));
        }
    };
    let certificates = match &files.root {
        Some(_) if system => system_certificates()?,
        Some(path) => certificates("sslrootcert", path)?,
        None => {
            let mut error = refuse(
                "the profile's `sslmode` checks certificates, and there is no `sslrootcert`",
            );
            error.hint = Some(
                "name the file of the certificate that signed the server's, or `sslrootcert: system`"
                    .to_owned(),
            );
            return Err(error);
        }
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
    if added == 0 {
        return Err(refuse("no certificate of `sslrootcert` can be read"));
    }
    Ok((
        check,
        Roots {
            store,
            certificates,
        },
    ))
}

fn system_certificates() -> Result<Vec<CertificateDer<'static>>, AdapterError> {
    let found = rustls_native_certs::load_native_certs();
    match found.errors.first() {
        Some(error) if found.certs.is_empty() => Err(refuse(format!(
            "the system's certificates cannot be read: {error}"
        ))),
        _ => Ok(found.certs),
    }
}

fn certificates(field: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, AdapterError> {
    let read: Result<Vec<_>, PemError> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(refuse(format!(
            "`{field}`: `{}` holds no certificate",
            path.display()
        ))),
        Err(error) => Err(unreadable(field, path, &error)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, AdapterError> {
    refuse_shared_key(path)?;
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        PemError::NoItemsFound => refuse(format!(
            "`sslkey`: `{}` holds no private key that is not encrypted",
            path.display()
        )),
        error => unreadable("sslkey", path, &error),
    })
}

/// A key that others may read is no key; libpq refuses it as well.
#[cfg(unix)]
fn refuse_shared_key(path: &Path) -> Result<(), AdapterError> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(facts) = std::fs::metadata(path) else {
        return Ok(());
    };
    // The superuser's files may be read by a group, as system-wide keys are.
    let others = if facts.uid() == 0 { 0o037 } else { 0o077 };
    if facts.mode() & others == 0 {
        return Ok(());
    }
    let mut error = refuse(format!(
        "`sslkey`: `{}` can be read by other users",
        path.display()
    ));
    error.hint = Some("take their rights away: `chmod 600`".to_owned());
    Err(error)
}

#[cfg(not(unix))]
fn refuse_shared_key(_: &Path) -> Result<(), AdapterError> {
    Ok(())
}

fn unreadable(field: &str, path: &Path, error: &PemError) -> AdapterError {
    refuse(format!(
        "`{field}`: cannot read `{}`: {error}",
        path.display()
    ))
}

fn refuse(message: impl ToString) -> AdapterError {
    AdapterError::new(AdapterErrorKind::Connection, message.to_string())
}

#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    /// The same as they are, for a server that shows one of them as its own.
    certificates: Vec<CertificateDer<'static>>,
}

/// Judges the server's certificate as far as the mode asks.
#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: Roots,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn issuer(
        &self,
        shown: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let store = &self.roots.store;
        match verify_server_cert_signed_by_trust_anchor(parsed, store, between, now, algorithms) {
            // A server with a self-signed certificate that is itself believed: its time has been
            // judged before its being an authority was found wrong.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(error)))
                if format!("{error:?}").contains("CaUsedAsEndEntity")
                    && self.roots.certificates.iter().any(|root| root == shown) =>
            {
                Ok(())
            }
            judged => judged,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.check != Check::Nothing {
            let parsed = ParsedCertificate::try_from(shown)?;
            self.issuer(shown, &parsed, between, now)?;
            if self.check == Check::IssuerAndHost {
                verify_server_name(&parsed, host)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
