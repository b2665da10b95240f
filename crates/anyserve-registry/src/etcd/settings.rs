//! What a URL says of an etcd.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Where replicas are, unless the URL says.
const PREFIX: &str = "/anyserve/replicas/";
const LONGEST_PREFIX: usize = 256;
/// etcd's port for clients.
const PORT: u16 = 2379;
/// The most members that a URL may name.
const MOST_MEMBERS: usize = 16;

/// How an etcd is reached.
pub(super) struct Settings {
    /// `HOST:PORT` of each member.
    pub(super) members: Vec<String>,
    /// Name and password.
    pub(super) user: Option<(String, String)>,
    pub(super) tls: Option<ClientTlsConfig>,
    /// Before each key; ends with a slash.
    pub(super) prefix: String,
}

#[derive(Default)]
struct Files {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Settings {
    /// What is behind `etcd://`. An error says what is wrong with it.
    pub(super) fn parse(rest: &str) -> Result<Self, String> {
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, members) = match place.rsplit_once('@') {
            Some((user, members)) => (Some(parse_user(user)?), members),
            None => (None, place),
        };
        let members =
            members.trim_end_matches('/').split(',').map(parse_member).collect::<Result<Vec<_>, _>>()?;
        if members.len() > MOST_MEMBERS {
            return Err(format!("{} members are over the limit of {MOST_MEMBERS}", members.len()));
        }
        let (mut files, mut prefix) = (Files::default(), PREFIX.to_owned());
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decode(value)?;
            match name {
                "ca" => files.ca = Some(value.into()),
                "cert" => files.cert = Some(value.into()),
                "key" => files.key = Some(value.into()),
                "prefix" => prefix = parse_prefix(&value)?,
                _ => return Err(format!("it has no option '{name}'; there are ca, cert, key and prefix")),
            }
        }
        Ok(Self { members, user, tls: files.read()?, prefix })
    }

    /// The URL of a member.
    pub(super) fn url(&self, member: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{member}")
    }
}

impl Files {
    fn read(&self) -> Result<Option<ClientTlsConfig>, String> {
        let read = |name: &str, path: &PathBuf| {
            std::fs::read(path).map_err(|error| format!("{name}={} cannot be read: {error}", path.display()))
        };
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some(Identity::from_pem(read("cert", cert)?, read("key", key)?)),
            (None, None) => None,
            _ => return Err("cert and key go together".to_owned()),
        };
        match (&self.ca, identity) {
            (None, None) => Ok(None),
            (None, Some(_)) => {
                Err("cert and key need ca, the certificates that etcd's own is checked against".to_owned())
            }
            (Some(ca), identity) => {
                let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca", ca)?));
                Ok(Some(identity.into_iter().fold(tls, ClientTlsConfig::identity)))
            }
        }
    }
}

fn parse_user(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => Ok((decode(name)?, decode(password)?)),
        _ => Err("before the '@' must be USER:PASSWORD".to_owned()),
    }
}

fn parse_member(text: &str) -> Result<String, String> {
    let has_port = text.rsplit_once(']').map_or(text, |(_, rest)| rest).contains(':');
    let member = if has_port { text.to_owned() } else { format!("{text}:{PORT}") };
    let is_place = member.rsplit_once(':').is_some_and(|(host, port)| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
        !host.is_empty() && host.bytes().all(allowed) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_place { Ok(member) } else { Err(format!("'{text}' is not HOST:PORT of an etcd")) }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let prefix = format!("{}/", text.trim_end_matches('/'));
    if prefix.len() > LONGEST_PREFIX {
        return Err(format!("the prefix is {} bytes, over the limit of {LONGEST_PREFIX}", prefix.len()));
    }
    Ok(prefix)
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "what is percent-encoded must be UTF-8".to_owned())
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the password nor the key.
        let (user, tls) = (self.user.as_ref().map(|(name, _)| name), self.tls.is_some());
        formatter
            .debug_struct("Settings")
            .field("members", &self.members)
            .field("user", &user)
            .field("tls", &tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_members_and_options() {
        let settings = Settings::parse("u%40x:p%3A@a,b:1,[::1]?prefix=%2Fteam").unwrap();
        assert_eq!(settings.members, ["a:2379", "b:1", "[::1]:2379"]);
        assert_eq!(settings.user, Some(("u@x".to_owned(), "p:".to_owned())));
        assert_eq!(settings.prefix, "/team/");
        assert_eq!(Settings::parse("a").unwrap().prefix, PREFIX);
        assert!(!format!("{settings:?}").contains("p:"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "'' is not HOST:PORT"),
            ("a:0", "'a:0' is not HOST:PORT"),
            ("a/b", "'a/b' is not HOST:PORT"),
            ("a,,b", "'' is not HOST:PORT"),
            ("user@a", "USER:PASSWORD"),
            ("a?tls=1", "no option 'tls'"),
            ("a?cert=/x", "cert and key go together"),
            ("a?ca=/nowhere/ca.pem", "ca=/nowhere/ca.pem cannot be read"),
            ("a?prefix=%ff", "UTF-8"),
        ] {
            let error = Settings::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
