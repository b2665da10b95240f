//! Where an API server is.

use std::fmt;

/// The most API servers that one may name.
const MOST_PLACES: usize = 16;

/// One API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// The places of URLs with commas between them. An error says what is wrong.
pub(super) fn parse(urls: &str) -> Result<Vec<Place>, String> {
    let places = urls.split(',').map(parse_one).collect::<Result<Vec<_>, _>>()?;
    if places.len() > MOST_PLACES {
        return Err(format!("{} API servers are over the limit of {MOST_PLACES}", places.len()));
    }
    Ok(places)
}

fn parse_one(url: &str) -> Result<Place, String> {
    let uri: Option<http::Uri> = url.trim().parse().ok();
    let place = uri.as_ref().and_then(|uri| {
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let is_plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        (is_plain && !host.is_empty() && port > 0).then(|| Place { host: host.to_owned(), port })
    });
    // Of a URL with a password nothing is shown.
    let shown = if url.contains('@') { "what is given" } else { url };
    place.ok_or_else(|| format!("'{shown}' is not http://HOST:PORT of an API server"))
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.authority())
    }
}

impl Place {
    /// `HOST:PORT`, with brackets where they belong.
    pub(super) fn authority(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_places() {
        let places = parse("http://a:8080,http://[::1]:1/,http://b").unwrap();
        let text: Vec<_> = places.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["http://a:8080", "http://[::1]:1", "http://b:80"]);
    }

    #[test]
    fn others_are_refused() {
        for bad in [
            "",
            "a:1",
            "https://a:1",
            "http://",
            "http://a:1/x",
            "http://a:1?x",
            "http://a:0",
            "http://a:x",
            "http://a:1,",
        ] {
            assert!(parse(bad).unwrap_err().contains("is not http://HOST:PORT"), "{bad}");
        }
        let error = parse("http://user:secret@a:1").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        let many = vec!["http://a:1"; 17].join(",");
        assert!(parse(&many).unwrap_err().contains("17 API servers are over the limit of 16"));
    }
}
