//! Addresses that people set, looked at before anything is sent there.

use ureq::http::Uri;

use super::is_loopback;

/// An address that can be asked: of HTTP, with a host, and without a name and password.
pub(crate) struct Address(Uri);

/// Why a text is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAddress {
    /// It is no URL.
    Unreadable,
    /// It is one of something else than HTTP, or has no host.
    NoHost,
    /// It has a name and password before the host, which would not be sent.
    HasPassword,
}

impl Address {
    /// Reads one.
    pub(crate) fn of(text: &str) -> Result<Self, NoAddress> {
        let uri: Uri = text.parse().map_err(|_| NoAddress::Unreadable)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        if !is_http || uri.host().is_none_or(str::is_empty) {
            return Err(NoAddress::NoHost);
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(NoAddress::HasPassword);
        }
        Ok(Self(uri))
    }

    /// Whether others on the way can read what is sent.
    pub(crate) fn is_in_the_clear(&self) -> bool {
        self.0.scheme_str() == Some("http") && !is_loopback(self.0.host().unwrap_or_default())
    }

    /// Whether it has a query, in which a secret may be.
    pub(crate) fn has_query(&self) -> bool {
        self.0.query().is_some()
    }

    /// What follows the host.
    pub(crate) fn target(&self) -> &str {
        self.0.path_and_query().map_or("", |target| target.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_says_why() {
        for (text, expected) in [
            ("two words", NoAddress::Unreadable),
            ("hub.example", NoAddress::NoHost),
            ("/path", NoAddress::NoHost),
            ("ftp://hub.example/", NoAddress::NoHost),
            ("https://me:pw@hub.example/", NoAddress::HasPassword),
            ("https://me@hub.example/", NoAddress::HasPassword),
        ] {
            assert_eq!(Address::of(text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn only_this_machine_is_asked_without_others_reading_along() {
        for (text, is_in_the_clear) in [
            ("https://hub.example/room/@ops", false),
            ("http://hub.example/", true),
            ("http://127.0.0.1:9/", false),
            ("http://[::1]/", false),
            ("http://localhost/", false),
            ("http://localhost.example/", true),
        ] {
            assert_eq!(
                Address::of(text).ok().unwrap().is_in_the_clear(),
                is_in_the_clear,
                "{text}"
            );
        }
        let address = Address::of("https://hub.example/a/b?c=d").ok().unwrap();
        assert!(address.has_query() && address.target() == "/a/b?c=d");
    }
}
