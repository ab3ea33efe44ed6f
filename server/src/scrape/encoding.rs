//! The content coding of a response: `Accept-Encoding` (RFC 9110 section 12.5.3).
//!
//! The client's weights decide; where they are equal, the smaller body wins. A client without the header gets the text as
//! it is. Items that cannot be parsed count as absent, since a scrape with an odd header still deserves its metrics.

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

use crate::scrape::compress::Compression;

/// A content coding that this crate can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// All codings; first the one that costs nothing.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Identity,
        Self::Gzip,
        #[cfg(feature = "zstd")]
        Self::Zstd,
    ];

    /// The value of `Content-Encoding`, in lower case, for Prometheus compares it byte by byte.
    pub(crate) const fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }
}

/// The coding of the response to one scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) coding: Coding,
    /// True if the client refuses plain text, so that even a small body is compressed.
    pub(crate) always: bool,
}

impl Wanted {
    pub(crate) const IDENTITY: Self = Self { coding: Coding::Identity, always: false };

    /// Reads the header against what the server offers.
    pub(crate) fn from_headers(headers: &HeaderMap, compression: &Compression) -> Self {
        let mut weights = Weights::default();
        for line in headers.get_all(ACCEPT_ENCODING) {
            line.to_str().unwrap_or_default().split(',').for_each(|item| weights.read(item));
        }
        weights.choose(compression)
    }
}

/// Weights in thousandths; `None` for codings that are not named.
#[derive(Debug, Default)]
struct Weights {
    gzip: Option<u16>,
    #[cfg(feature = "zstd")]
    zstd: Option<u16>,
    identity: Option<u16>,
    others: Option<u16>,
}

impl Weights {
    fn read(&mut self, item: &str) {
        let (name, parameters) = item.split_once(';').unwrap_or((item, "q=1"));
        let Some(weight) = weight(parameters) else { return };
        let name = name.trim();
        let place = if name.eq_ignore_ascii_case("gzip") {
            &mut self.gzip
        } else if name.eq_ignore_ascii_case("identity") {
            &mut self.identity
        } else if name == "*" {
            &mut self.others
        } else {
            #[cfg(feature = "zstd")]
            if name.eq_ignore_ascii_case("zstd") {
                self.zstd.get_or_insert(weight);
            }
            return;
        };
        // Of a coding that is named twice, the first counts.
        place.get_or_insert(weight);
    }

    fn choose(&self, compression: &Compression) -> Wanted {
        let mut best = (0, Coding::Identity);
        let mut offer = |offered: bool, named: Option<u16>, coding| {
            let weight = named.or(self.others).unwrap_or(0);
            if offered && weight > best.0 {
                best = (weight, coding);
            }
        };
        #[cfg(feature = "zstd")]
        offer(compression.offers_zstd(), self.zstd, Coding::Zstd);
        offer(compression.offers_gzip(), self.gzip, Coding::Gzip);
        let (weight, coding) = best;
        // Without a word about it, the plain text is acceptable, and the least wanted.
        let identity = self.identity.or(self.others);
        if identity.is_some_and(|identity| identity > weight) {
            return Wanted::IDENTITY;
        }
        // When the client refuses every coding, it gets the plain text, which any client can read.
        Wanted { coding, always: coding != Coding::Identity && identity == Some(0) }
    }
}

/// `q=` with at most three decimals (RFC 9110 section 12.4.2).
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.trim().split_once('=')?;
    if !name.eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, decimals) = value.split_once('.').unwrap_or((value, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = decimals.bytes().chain([b'0'; 3]).take(3);
    let fraction = thousandths.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(lines: &[&'static str], compression: &Compression) -> Wanted {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
        }
        Wanted::from_headers(&headers, compression)
    }

    #[test]
    fn gzip_is_sent_to_clients_that_prefer_it() {
        let gzip = Wanted { coding: Coding::Gzip, always: false };
        let only = Wanted { coding: Coding::Gzip, always: true };
        for (line, expected) in [
            ("gzip", gzip),
            ("GZIP", gzip),
            ("gzip, deflate, br", gzip),
            ("deflate;q=1.0, gzip;q=0.001", gzip),
            ("gzip ; q=0.5 , identity;q=0.5", gzip),
            ("*", gzip),
            ("*;q=0.2", gzip),
            ("br, *;q=0.1", gzip),
            ("gzip;q=1.000", gzip),
            ("gzip, gzip;q=0", gzip),
            ("identity;q=0, gzip", only),
            ("gzip;q=0.1, *;q=0", only),
            ("", Wanted::IDENTITY),
            ("identity", Wanted::IDENTITY),
            ("deflate", Wanted::IDENTITY),
            ("gzip;q=0", Wanted::IDENTITY),
            ("gzip;q=0.0, *", Wanted::IDENTITY),
            ("gzip;q=0.5, identity", Wanted::IDENTITY),
            ("gzip;q=0.1, *;q=0.5", Wanted::IDENTITY),
            ("*;q=0", Wanted::IDENTITY),
            ("gzip;q=2", Wanted::IDENTITY),
            ("gzip;q=0.1234", Wanted::IDENTITY),
            ("gzip;q=x", Wanted::IDENTITY),
            ("gzip;level=1", Wanted::IDENTITY),
            ("xgzip", Wanted::IDENTITY),
        ] {
            assert_eq!(wanted(&[line], &Compression::default()), expected, "{line:?}");
            assert_eq!(wanted(&[line], &Compression::off()), Wanted::IDENTITY, "{line:?}");
        }
        assert_eq!(wanted(&[], &Compression::default()), Wanted::IDENTITY);
        assert_eq!(wanted(&["br", "gzip"], &Compression::default()), gzip);
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_is_sent_only_when_it_is_offered_and_asked_for() {
        let both = Compression::default().with_zstd();
        for (line, expected) in [
            ("zstd", Coding::Zstd),
            ("gzip, zstd", Coding::Zstd),
            ("zstd;q=0.5, gzip", Coding::Gzip),
            ("zstd;q=0, *", Coding::Gzip),
            ("gzip", Coding::Gzip),
        ] {
            assert_eq!(wanted(&[line], &both).coding, expected, "{line:?}");
        }
        assert_eq!(wanted(&["zstd"], &Compression::default()).coding, Coding::Identity);
    }
}
