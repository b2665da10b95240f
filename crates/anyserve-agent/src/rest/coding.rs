//! Compressed bodies.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, HeaderValue, header};

use super::refusal::Refusal;

/// How a body is compressed. What HTTP calls deflate is the format of zlib.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
}

impl Coding {
    /// How the body of a request is compressed, if it is.
    pub(super) fn of_content(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(None);
        };
        match value.as_bytes().to_ascii_lowercase().as_slice() {
            b"" | b"identity" => Ok(None),
            b"gzip" | b"x-gzip" => Ok(Some(Self::Gzip)),
            b"deflate" => Ok(Some(Self::Deflate)),
            _ => Err(Refusal::Encoding(String::from_utf8_lossy(value.as_bytes()).into_owned())),
        }
    }

    /// How a client would like the response to be compressed best; none for not at all.
    pub(super) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut best = (0.0, None);
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for choice in values.flat_map(|value| value.split(',')) {
            let (name, parameters) = choice.split_once(';').unwrap_or((choice, ""));
            let coding = match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => Some(Self::Gzip),
                "deflate" => Some(Self::Deflate),
                "identity" => None,
                _ => continue,
            };
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |text| text.parse().ok());
            if let Some(weight) = weight.filter(|&weight: &f32| weight > best.0) {
                best = (weight, coding);
            }
        }
        best.1
    }

    /// As a header has it.
    pub(super) fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        })
    }

    /// Undoes it, to at most `limit` bytes.
    pub(super) fn decompress(self, body: &[u8], limit: usize) -> Result<Bytes, Refusal> {
        let decoder: Box<dyn Read + '_> = match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(body)),
            Self::Deflate => Box::new(ZlibDecoder::new(body)),
        };
        let mut out = Vec::new();
        decoder.take(limit as u64 + 1).read_to_end(&mut out).map_err(|error| {
            Refusal::Invalid(format!("the body cannot be decompressed as {self:?}: {error}"))
        })?;
        if out.len() > limit { Err(Refusal::TooLarge(limit)) } else { Ok(out.into()) }
    }

    /// Does it, fast rather than well.
    pub(super) fn compress<'a>(self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
        let level = Compression::fast();
        let out = match self {
            Self::Gzip => write_all(GzEncoder::new(Vec::new(), level), pieces).and_then(GzEncoder::finish),
            Self::Deflate => {
                write_all(ZlibEncoder::new(Vec::new(), level), pieces).and_then(ZlibEncoder::finish)
            }
        };
        out.expect("a vector takes everything").into()
    }
}

fn write_all<'a, W: Write>(mut writer: W, pieces: impl IntoIterator<Item = &'a [u8]>) -> std::io::Result<W> {
    pieces.into_iter().try_for_each(|piece| writer.write_all(piece))?;
    Ok(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &'static str) -> Option<Coding> {
        let value = HeaderValue::from_static(value);
        Coding::accepted(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]))
    }

    #[test]
    fn the_client_chooses() {
        assert_eq!(accepted("gzip"), Some(Coding::Gzip));
        assert_eq!(accepted("br, deflate;q=0.5, gzip;q=0.8"), Some(Coding::Gzip));
        assert_eq!(accepted("identity, gzip;q=0.5"), None);
        assert_eq!(accepted("gzip;q=0"), None);
        assert_eq!(accepted("*"), None);
        assert_eq!(Coding::accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn what_is_compressed_comes_back() {
        for coding in [Coding::Gzip, Coding::Deflate] {
            let compressed = coding.compress([&b"ab"[..], &[0; 1000]]);
            let back = coding.decompress(&compressed, 1002).unwrap();
            assert_eq!(back, [&b"ab"[..], &[0; 1000]].concat());
            assert!(matches!(coding.decompress(&compressed, 1001), Err(Refusal::TooLarge(1001))));
            assert!(matches!(coding.decompress(b"garbage", 10), Err(Refusal::Invalid(_))));
            assert!(matches!(coding.decompress(&compressed[..8], 2000), Err(Refusal::Invalid(_))));
        }
    }
}
