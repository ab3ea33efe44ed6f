//! `client_auth_type` and `client_allowed_sans`: which certificates clients must show.
//!
//! Five modes, as in Go's `crypto/tls`. Whatever the mode, a certificate that is shown must be
//! proven: the client signs the handshake with its key. Two modes ask no more than that, so that
//! the names in a certificate mean nothing in them.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is asked of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate, but none is fine.
    Request,
    /// Any certificate.
    RequireAny,
    /// A certificate of the CA, but none is fine.
    VerifyIfGiven,
    /// A certificate of the CA.
    RequireAndVerify,
}

impl ClientAuth {
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("NoClientCert", Self::None),
        ("RequestClientCert", Self::Request),
        ("RequireAnyClientCert", Self::RequireAny),
        ("VerifyClientCertIfGiven", Self::VerifyIfGiven),
        ("RequireAndVerifyClientCert", Self::RequireAndVerify),
    ];

    /// Whether a certificate that is shown must be one of the CA's.
    pub(crate) fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// The judge of clients; `None` when nothing is asked of them.
///
/// # Errors
/// The roots are none, in a mode that verifies.
pub(crate) fn verifier(
    auth: ClientAuth,
    roots: RootCertStore,
    allowed_sans: Vec<String>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, rustls::server::VerifierBuilderError> {
    if auth == ClientAuth::None {
        return Ok(None);
    }
    let chain = if auth.verifies() {
        let provider = Arc::clone(provider);
        Some(WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build()?)
    } else {
        None
    };
    let algorithms = provider.signature_verification_algorithms;
    Ok(Some(Arc::new(Judge { auth, chain, allowed_sans, algorithms })))
}

#[derive(Debug)]
struct Judge {
    auth: ClientAuth,
    /// In the modes that verify.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    /// One of them must be in the certificate; with none, any will do.
    allowed_sans: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Judge {
    fn client_auth_mandatory(&self) -> bool {
        self.auth.requires()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chain) = &self.chain {
            chain.verify_client_cert(end_entity, intermediates, now)?;
        }
        if !self.allowed_sans.is_empty() && !has_name(end_entity, &self.allowed_sans)? {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether one of the names is a DNS name, an address, an e-mail address or a URI of the
/// certificate; compared as it stands, as the toolkit does, so `*.a` is that name and no pattern.
fn has_name(certificate: &CertificateDer<'_>, names: &[String]) -> Result<bool, Error> {
    let bad_encoding = || Error::from(CertificateError::BadEncoding);
    let (_, certificate) = X509Certificate::from_der(certificate).map_err(|_| bad_encoding())?;
    let extension = certificate.subject_alternative_name().map_err(|_| bad_encoding())?;
    let Some(extension) = extension else { return Ok(false) };
    Ok(extension.value.general_names.iter().any(|general| match general {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            names.iter().any(|known| known == name)
        }
        GeneralName::IPAddress(bytes) => {
            let address = match <[u8; 4]>::try_from(*bytes) {
                Ok(bytes) => Some(IpAddr::from(bytes)),
                Err(_) => <[u8; 16]>::try_from(*bytes).ok().map(IpAddr::from),
            };
            names.iter().any(|known| known.parse().ok() == address && address.is_some())
        }
        _ => false,
    }))
}
