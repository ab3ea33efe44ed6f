//! `client_auth_type` and `client_allowed_sans`: the certificates that clients must show.
//!
//! Five modes, as in Go's `crypto/tls`. Whatever the mode, a client that shows a certificate must prove that it has the
//! key: it signs the handshake. Two modes ask no more than that, so the names in a certificate mean nothing in them.

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

/// The certificate that a client is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// None is asked for.
    None,
    /// Any certificate, or none.
    Request,
    /// Any certificate.
    RequireAny,
    /// A certificate of the CA, or none.
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

    /// Returns whether a certificate must be one of the CA's.
    pub(crate) fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// The demands that a configuration makes of clients, to be compared with those of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientPolicy {
    pub(crate) auth: ClientAuth,
    pub(crate) has_ca: bool,
    /// An empty list allows all names.
    pub(crate) allowed_sans: Vec<String>,
}

impl ClientPolicy {
    /// The demand of `self` that the next policy drops, if any, as an error text. Another CA and fewer names are as
    /// strict; one name more lets in clients that were kept out.
    pub(crate) fn loosened_by(&self, next: &Self) -> Option<&'static str> {
        let (old, new) = (self.auth, next.auth);
        let asks_less = (old.requires() && !new.requires())
            || (old.verifies() && !new.verifies())
            || (old != ClientAuth::None && new == ClientAuth::None);
        if asks_less {
            return Some(
                "its `client_auth_type` asks less of clients: restart the program for that",
            );
        }
        if self.has_ca && !next.has_ca {
            return Some("it has no `client_ca` any more: restart the program to do without");
        }
        let is_new = |name: &String| !self.allowed_sans.contains(name);
        if !self.allowed_sans.is_empty()
            && (next.allowed_sans.is_empty() || next.allowed_sans.iter().any(is_new))
        {
            return Some(
                "its `client_allowed_sans` let in more clients: restart the program for that",
            );
        }
        None
    }
}

/// The verifier of clients' certificates; `None` when none is asked for.
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
    Ok(Some(Arc::new(ClientVerifier { auth, chain, allowed_sans, algorithms })))
}

#[derive(Debug)]
struct ClientVerifier {
    auth: ClientAuth,
    /// The verifier of certificate chains, in the modes that verify.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    /// One of them must be in the certificate; an empty list allows all.
    allowed_sans: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ClientVerifier {
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

/// Returns whether one of the names is a DNS name, an address, an e-mail address or a URI of the certificate; compared as it
/// stands, as the toolkit does, so `*.a` is that name and no pattern.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(auth: ClientAuth, has_ca: bool, names: &[&str]) -> ClientPolicy {
        let allowed_sans = names.iter().map(|&name| name.to_owned()).collect();
        ClientPolicy { auth, has_ca, allowed_sans }
    }

    #[test]
    fn a_mode_is_loosened_by_each_that_asks_less() {
        use ClientAuth::{None, Request, RequireAndVerify, RequireAny, VerifyIfGiven};
        let loosening: [(ClientAuth, &[ClientAuth]); 5] = [
            (None, &[]),
            (Request, &[None]),
            (RequireAny, &[None, Request, VerifyIfGiven]),
            (VerifyIfGiven, &[None, Request, RequireAny]),
            (RequireAndVerify, &[None, Request, RequireAny, VerifyIfGiven]),
        ];
        for (old, looser) in loosening {
            for (name, new) in ClientAuth::ALL {
                let loosened = policy(old, false, &[]).loosened_by(&policy(new, false, &[]));
                assert_eq!(loosened.is_some(), looser.contains(&new), "{old:?} to {name}");
            }
        }
    }

    #[test]
    fn a_ca_stays_and_names_become_fewer_only() {
        let mode = ClientAuth::RequireAndVerify;
        let old = policy(mode, true, &["a", "b"]);
        for (has_ca, names, loosened) in [
            (true, &["a", "b"][..], false),
            (true, &["b", "a"], false),
            (true, &["b"], false),
            (false, &["a", "b"], true),
            (true, &[], true),
            (true, &["a", "b", "c"], true),
            (true, &["c"], true),
        ] {
            let new = policy(mode, has_ca, names);
            assert_eq!(old.loosened_by(&new).is_some(), loosened, "{new:?}");
            assert_eq!(policy(mode, true, &[]).loosened_by(&new).is_some(), !has_ca, "{new:?}");
        }
    }
}
