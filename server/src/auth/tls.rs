//! `tls_server_config`: from its keys to rustls' configuration, with the ring provider.
//!
//! The words are those of Go's `crypto/tls`, which these files are written for. A word that rustls does not have (versions
//! before 1.2, RSA key exchange, CBC, P-521) is an error that lists those that it has. As in Go, `cipher_suites` chooses
//! among those of TLS 1.2; the three of 1.3 are always there.
//!
//! A configuration has a session memory of its own, so nothing is resumed across a reload: a client
//! that another CA let in must prove itself anew.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::client_auth::{ClientAuth, ClientPolicy, verifier};
use super::config::Files;
use super::problem::Problem;
use super::section::{Section, Text};
use super::yaml::Node;

const KEYS: [&str; 13] = [
    "cert_file",
    "key_file",
    "cert",
    "key",
    "client_auth_type",
    "client_ca_file",
    "client_ca",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
];

/// TLS as a configuration asks for it.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) clients: ClientPolicy,
}

/// Reads the section `name` and the files that it names.
pub(crate) fn server_config(name: &str, node: &Node, files: &mut Files) -> Result<Tls, Problem> {
    let section = Section::of(name, node, &KEYS)?;
    let provider = Arc::new(CryptoProvider {
        cipher_suites: cipher_suites(&section)?,
        kx_groups: curves(&section)?,
        ..ring::default_provider()
    });
    let versions = versions(&section)?;
    let prefer_ours = section.boolean("prefer_server_cipher_suites")?.unwrap_or(true);
    let identity = identity(&section, files)?;
    let (clients, verifier) = client_auth(&section, &provider, files)?;

    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| section.problem("cipher_suites", error.to_string()))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(|error| section.problem(identity.key_name, error.to_string()))?;
    config.ignore_client_order = prefer_ours;
    // A client that offers HTTP/2 too takes this; one that offers nothing else is told so.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), clients })
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// The key of the section that the private key came from.
    key_name: &'static str,
}

fn identity(section: &Section<'_>, files: &mut Files) -> Result<Identity, Problem> {
    let (_, pem) = either(section, "cert_file", "cert", files)?.ok_or_else(|| {
        section.problem("cert_file", "missing: a certificate, or `cert` with its text")
    })?;
    let chain = certificates(section, "cert_file", &pem)?;
    if let Some(bits) = chain.first().and_then(rsa_bits).filter(|&bits| bits > RSA_BITS_CHEAP) {
        tracing::warn!(
            bits,
            "the certificate's RSA key is slow: each handshake holds all probes up for its signature; \
             an ECDSA key is as strong and much faster"
        );
    }
    let (key_name, pem) = either(section, "key_file", "key", files)?.ok_or_else(|| {
        section.problem("key_file", "missing: a private key, or `key` with its text")
    })?;
    // The error's own text is left out: it could quote the key.
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| section.problem(key_name, "no private key in PEM"))?;
    Ok(Identity { chain, key, key_name })
}

/// A signature takes about a millisecond; with twice the bits it takes seven times as long.
const RSA_BITS_CHEAP: usize = 2048;

/// The size of a certificate's RSA key, if it has one that can be read.
fn rsa_bits(certificate: &CertificateDer<'_>) -> Option<usize> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// The bytes of a file, or the text that stands in its place; and which key it was.
fn either(
    section: &Section<'_>,
    file_key: &'static str,
    inline_key: &'static str,
    files: &mut Files,
) -> Result<Option<(&'static str, Vec<u8>)>, Problem> {
    match (section.text(file_key)?, section.text(inline_key)?) {
        (Some(_), Some(_)) => {
            let text = format!("given beside `{file_key}`: leave one of them out");
            Err(section.problem(inline_key, text))
        }
        (Some(path), None) => Ok(Some((file_key, files.named(section, file_key, path)?))),
        (None, Some(text)) => Ok(Some((inline_key, text.value.as_bytes().to_vec()))),
        (None, None) => Ok(None),
    }
}

fn certificates(
    section: &Section<'_>,
    key: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(section.problem(key, "no certificate in PEM")),
    }
}

fn client_auth(
    section: &Section<'_>,
    provider: &Arc<CryptoProvider>,
    files: &mut Files,
) -> Result<(ClientPolicy, Option<Arc<dyn ClientCertVerifier>>), Problem> {
    let auth = match section.text("client_auth_type")? {
        None => ClientAuth::None,
        Some(text) => ClientAuth::ALL
            .into_iter()
            .find_map(|(name, auth)| (name == text.value).then_some(auth))
            .ok_or_else(|| {
                let known = ClientAuth::ALL.map(|(name, _)| name).join(", ");
                section.problem("client_auth_type", format!("expected one of {known}"))
            })?,
    };
    let ca = either(section, "client_ca_file", "client_ca", files)?;
    let sans = section.texts("client_allowed_sans")?.unwrap_or_default();
    let without_policy = match (&ca, sans.is_empty()) {
        _ if auth != ClientAuth::None => None,
        (Some((key, _)), _) => Some(*key),
        (None, false) => Some("client_allowed_sans"),
        (None, true) => None,
    };
    if let Some(key) = without_policy {
        let text = "without effect, since `client_auth_type` asks for no certificate: \
                    write RequireAndVerifyClientCert there";
        return Err(section.problem(key, text));
    }
    let mut roots = RootCertStore::empty();
    match ca {
        Some((key, pem)) => {
            for certificate in certificates(section, key, &pem)? {
                roots
                    .add(certificate)
                    .map_err(|error| section.problem(key, format!("no CA: {error}")))?;
            }
        }
        None if auth.verifies() => {
            // Go would take the system's CAs, which let in whoever can buy a certificate.
            let text = "missing: the CA whose certificates clients must have";
            return Err(section.problem("client_ca_file", text));
        }
        None => {}
    }
    let allowed_sans: Vec<_> = sans.iter().map(|san| san.value.to_owned()).collect();
    let has_ca = !roots.is_empty();
    let verifier = verifier(auth, roots, allowed_sans.clone(), provider)
        .map_err(|error| section.problem("client_ca_file", error.to_string()))?;
    Ok((ClientPolicy { auth, has_ca, allowed_sans }, verifier))
}

fn versions(section: &Section<'_>) -> Result<Vec<&'static SupportedProtocolVersion>, Problem> {
    let version = |key, default| match section.text(key)?.map(|text| text.value) {
        None => Ok(default),
        Some("TLS12") => Ok(2),
        Some("TLS13") => Ok(3),
        Some(_) => Err(section.problem(key, "expected TLS12 or TLS13; older versions are broken")),
    };
    let (min, max) = (version("min_version", 2)?, version("max_version", 3)?);
    if min > max {
        return Err(section.problem("min_version", "above `max_version`: nobody could connect"));
    }
    let all = [(2, &TLS12), (3, &TLS13)];
    Ok(all.into_iter().filter(|(n, _)| (min..=max).contains(n)).map(|(_, v)| v).collect())
}

fn cipher_suites(section: &Section<'_>) -> Result<Vec<SupportedCipherSuite>, Problem> {
    let Some(asked) = section.texts("cipher_suites")?.filter(|asked| !asked.is_empty()) else {
        return Ok(ring::ALL_CIPHER_SUITES.to_vec());
    };
    let is_13 = |suite: &&SupportedCipherSuite| suite.tls13().is_some();
    let mut suites: Vec<_> = ring::ALL_CIPHER_SUITES.iter().filter(is_13).copied().collect();
    for text in asked {
        let suite = ring::ALL_CIPHER_SUITES.iter().find(|suite| go_name(suite) == text.value);
        let Some(suite) = suite else {
            let all: Vec<_> = ring::ALL_CIPHER_SUITES.iter().map(go_name).collect();
            return Err(unknown(section, "cipher_suites", text, &all.join(", ")));
        };
        if !suites.contains(suite) {
            suites.push(*suite);
        }
    }
    Ok(suites)
}

/// rustls calls those of TLS 1.3 `TLS13_…`, Go and the RFC `TLS_…`.
fn go_name(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    name.strip_prefix("TLS13_").map_or(name.clone(), |rest| format!("TLS_{rest}"))
}

fn curves(section: &Section<'_>) -> Result<Vec<&'static dyn SupportedKxGroup>, Problem> {
    let known: [(&str, &'static dyn SupportedKxGroup); 3] = [
        ("X25519", ring::kx_group::X25519),
        ("CurveP256", ring::kx_group::SECP256R1),
        ("CurveP384", ring::kx_group::SECP384R1),
    ];
    let Some(asked) = section.texts("curve_preferences")?.filter(|asked| !asked.is_empty()) else {
        return Ok(ring::ALL_KX_GROUPS.to_vec());
    };
    let group = |text: Text<'_>| {
        let found = known.iter().find(|(name, _)| *name == text.value);
        let names = known.map(|(name, _)| name).join(", ");
        found
            .map(|&(_, group)| group)
            .ok_or_else(|| unknown(section, "curve_preferences", text, &names))
    };
    asked.into_iter().map(group).collect()
}

fn unknown(section: &Section<'_>, key: &str, text: Text<'_>, known: &str) -> Problem {
    let name = section.path(key);
    Problem::new(text.line, name, format!("not offered; those that are: {known}"))
}
