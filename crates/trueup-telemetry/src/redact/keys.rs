//! Names whose values are secret, such as `api_key` in `api_key=…` or `Authorization` in a header.

/// What stands behind such a name, and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// `Authorization`, `Cookie`: all that is left of the line.
    Header,
    /// `password`, `passphrase`: may be several plain words.
    Phrase,
    /// `token`, `client_secret`: up to white space.
    Value,
    /// `key`, `session`: the same, but only in an assignment, because messages are full of `key: …`.
    Assigned,
}

/// No longer part of a name is looked at.
const NAME_BYTES_MAX: usize = 64;

/// What a word says of a name that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Header,
    Phrase,
    Value,
    Assigned,
    /// `key` itself.
    Key,
    /// What makes a key a secret one: `api` in `api_key`.
    OfKey,
}

/// The longest of these words.
const SENSE_BYTES_MAX: usize = 13;

fn sense(word: &[u8]) -> Option<Sense> {
    let mut lower = [0; SENSE_BYTES_MAX];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"authorization" | b"cookie" => Sense::Header,
        b"password" | b"passwords" | b"passwd" | b"passphrase" | b"passphrases" | b"passcode"
        | b"passwort" | b"pwd" | b"pass" | b"psw" | b"pswd" | b"phrase" | b"mnemonic"
        | b"userpass" | b"dbpass" | b"sshpass" | b"pgpassword" => Sense::Phrase,
        b"secret" | b"secrets" | b"token" | b"apikey" | b"apikeys" | b"accesskey"
        | b"secretkey" | b"privatekey" | b"authkey" | b"apitoken" | b"authtoken"
        | b"accesstoken" | b"credential" | b"credentials" | b"creds" | b"bearer" | b"jwt"
        | b"otp" | b"totp" | b"pin" | b"cvv" | b"cvc" | b"ssn" | b"psk" | b"passkey"
        | b"sessionid" => Sense::Value,
        b"keys" | b"session" | b"sessid" | b"sid" | b"sig" | b"signature" | b"salt" | b"hmac"
        | b"pat" | b"code" | b"tok" | b"tokens" | b"licence" | b"cookies" | b"seed" => {
            Sense::Assigned
        }
        b"key" => Sense::Key,
        b"api" | b"access" | b"private" | b"auth" | b"account" | b"encryption" | b"signing"
        | b"master" | b"shared" | b"license" | b"service" | b"storage" | b"deploy"
        | b"subscription" | b"crypt" => Sense::OfKey,
        _ => return None,
    })
}

impl Key {
    /// What a name says of its value, such as `Value` for `x.clientSecret`; none for most names.
    pub(super) fn of_name(name: &[u8]) -> Option<Self> {
        let from = name.len().saturating_sub(NAME_BYTES_MAX);
        let name = name.get(from..)?;
        let mut found = None;
        let mut before = None;
        for word in subwords(name) {
            let now = sense(word);
            match now {
                Some(Sense::Phrase) => return Some(Self::Phrase),
                Some(Sense::Header) if is_header(name) => return Some(Self::Header),
                Some(Sense::Header | Sense::Value) => found = Some(Self::Value),
                Some(Sense::Key) if before == Some(Sense::OfKey) => found = Some(Self::Value),
                Some(Sense::Assigned | Sense::Key | Sense::OfKey) => {
                    let is_of_key =
                        now == Some(Sense::OfKey) && !word.eq_ignore_ascii_case(b"auth");
                    found = found.or((!is_of_key).then_some(Self::Assigned));
                }
                None => {}
            }
            before = now;
        }
        found
    }

    /// The first separator of a compound behind such a name: its place, and what follows it.
    pub(super) fn in_compound(compound: &[u8]) -> Option<(usize, Self)> {
        let mut name_from = 0;
        for (at, byte) in compound.iter().enumerate() {
            let is_separator = match byte {
                b'=' => true,
                b':' => !is_doubled(compound, at),
                _ => false,
            };
            if is_separator {
                let key = compound.get(name_from..at).and_then(Self::of_name);
                match key {
                    Some(Self::Assigned) if *byte != b'=' => {}
                    Some(key) => return Some((at, key)),
                    None => {}
                }
            }
            if !is_of_name(*byte) {
                name_from = at + 1;
            }
        }
        None
    }
}

/// Whether a name is that of a header, rather than of a variable that holds one.
fn is_header(name: &[u8]) -> bool {
    let of_header = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    !name.starts_with(b"-") && name.iter().all(of_header)
}

fn is_doubled(bytes: &[u8], at: usize) -> bool {
    let is_colon = |at: Option<usize>| at.and_then(|at| bytes.get(at)) == Some(&b':');
    is_colon(at.checked_add(1)) || is_colon(at.checked_sub(1))
}

/// Whether a byte can stand in a name.
pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$')
}

/// The words in `apiKey2`, `api-key` and `API_KEY`: letters only.
pub(super) fn subwords(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let runs = name.split(|byte| !byte.is_ascii_alphabetic());
    runs.filter(|run| !run.is_empty()).flat_map(CamelWords)
}

/// The parts of letters by their case: `HTTPServerError` is `HTTP`, `Server`, `Error`.
#[derive(Clone, Debug)]
pub(super) struct CamelWords<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for CamelWords<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let letters = self.0;
        let (_, rest) = letters.split_first()?;
        let is_upper = |at: usize| letters.get(at).is_some_and(u8::is_ascii_uppercase);
        let mut end = 1;
        for _ in rest {
            let begins_word = is_upper(end) && !is_upper(end - 1);
            let ends_acronym = is_upper(end - 1) && is_upper(end) && is_lower(letters, end + 1);
            if begins_word || ends_acronym {
                break;
            }
            end += 1;
        }
        let (word, rest) = letters.split_at_checked(end)?;
        self.0 = rest;
        Some(word)
    }
}

fn is_lower(letters: &[u8], at: usize) -> bool {
    letters.get(at).is_some_and(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_words() {
        for (name, key) in [
            ("password", Some(Key::Phrase)),
            ("DB_PASSWORD", Some(Key::Phrase)),
            ("--db-password", Some(Key::Phrase)),
            ("clientSecret", Some(Key::Value)),
            ("API_TOKEN", Some(Key::Value)),
            ("x.api_key", Some(Key::Value)),
            ("apiKey", Some(Key::Value)),
            ("secretAccessKey", Some(Key::Value)),
            ("authorization", Some(Key::Header)),
            ("Set-Cookie", Some(Key::Header)),
            ("key", Some(Key::Assigned)),
            ("session", Some(Key::Assigned)),
            ("max_tokens", Some(Key::Assigned)),
            ("path", None),
            ("keyboard", None),
            ("", None),
        ] {
            assert_eq!(Key::of_name(name.as_bytes()), key, "{name}");
        }
    }

    #[test]
    fn separators_are_found_in_compounds() {
        for (compound, found) in [
            ("a=1&token=x", Some((9, Key::Value))),
            ("password:", Some((8, Key::Phrase))),
            ("key:x", None),
            ("key=x", Some((3, Key::Assigned))),
            ("token::Kind", None),
            ("line:12", None),
        ] {
            assert_eq!(Key::in_compound(compound.as_bytes()), found, "{compound}");
        }
    }

    #[test]
    fn letters_fall_into_words_by_their_case() {
        let words = |text: &'static str| -> Vec<&str> {
            CamelWords(text.as_bytes()).map(|word| std::str::from_utf8(word).unwrap()).collect()
        };
        assert_eq!(words("HTTPServerError"), ["HTTP", "Server", "Error"]);
        assert_eq!(words("fooBar"), ["foo", "Bar"]);
        assert_eq!(words("ABC"), ["ABC"]);
        assert_eq!(words("aB"), ["a", "B"]);
        assert_eq!(words(""), [""; 0]);
    }
}
