//! Compounds that name a place: an address of the network, a host, a path of the disk.

use super::keys::is_of_name;
use super::policy::Policy;

/// What a compound names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `alice@example.com`, `git@host:org/repo.git`
    At,
    /// `db.corp.internal:5432`
    Host,
    /// `10.0.0.1`, `fe80::1`, `00:1a:2b:3c:4d:5e`
    Ip,
    /// `~/work/plan.md`, `C:\Users`
    Path,
}

/// Last parts of a host's name. Those that are rather a file's (`rs`, `py`, `md`, `sh`) or a member's
/// (`name`, `info`, `run`) are left out: their hosts are still no listed words.
const DOMAINS: [&[u8]; 75] = [
    b"com",
    b"net",
    b"org",
    b"io",
    b"dev",
    b"app",
    b"co",
    b"ai",
    b"cloud",
    b"biz",
    b"edu",
    b"gov",
    b"mil",
    b"us",
    b"uk",
    b"de",
    b"fr",
    b"eu",
    b"ru",
    b"cn",
    b"jp",
    b"in",
    b"br",
    b"au",
    b"ca",
    b"nl",
    b"it",
    b"es",
    b"se",
    b"ch",
    b"at",
    b"be",
    b"dk",
    b"fi",
    b"no",
    b"pt",
    b"cz",
    b"kr",
    b"tw",
    b"hk",
    b"sg",
    b"nz",
    b"mx",
    b"ar",
    b"za",
    b"il",
    b"tr",
    b"ua",
    b"ie",
    b"gr",
    b"xyz",
    b"site",
    b"online",
    b"store",
    b"tech",
    b"gg",
    b"tv",
    b"cc",
    b"ly",
    b"me",
    b"internal",
    b"local",
    b"lan",
    b"corp",
    b"intranet",
    b"home",
    b"localdomain",
    b"private",
    b"svc",
    b"consul",
    b"onion",
    b"arpa",
    b"invalid",
    b"example",
    b"test",
];

/// Ends of file names whose words may stay: `<p>/plan.md`.
const FILE_ENDS: [&[u8]; 74] = [
    b"c", b"h", b"cc", b"cpp", b"hpp", b"rs", b"py", b"pyc", b"pyi", b"go", b"java", b"kt", b"rb",
    b"php", b"pl", b"lua", b"js", b"jsx", b"ts", b"tsx", b"mjs", b"cjs", b"vue", b"css", b"scss",
    b"html", b"htm", b"xml", b"svg", b"json", b"jsonl", b"ndjson", b"json5", b"yaml", b"yml",
    b"toml", b"ini", b"cfg", b"conf", b"env", b"csv", b"tsv", b"txt", b"md", b"rst", b"log",
    b"pdf", b"png", b"jpg", b"gif", b"zip", b"gz", b"tgz", b"tar", b"zst", b"bz2", b"xz", b"so",
    b"dll", b"exe", b"bin", b"o", b"a", b"wasm", b"sh", b"bash", b"ps1", b"sql", b"db", b"sqlite",
    b"lock", b"pem", b"sock", b"pid",
];

impl Place {
    /// What a compound names, if any part of it names a place.
    pub(super) fn of(policy: Policy<'_>, compound: &[u8]) -> Option<Self> {
        let mut found = None;
        for part in compound.split(|byte| matches!(byte, b'=' | b',' | b';' | b'|' | b'&' | b'!')) {
            found = found.or_else(|| Self::of_part(part));
        }
        found.or_else(|| is_path(policy, compound).then_some(Self::Path))
    }

    fn of_part<'a>(part: &'a [u8]) -> Option<Self> {
        // Nearly all compounds are words, and end here.
        if !part.iter().any(|byte| matches!(byte, b'@' | b'.' | b':' | b'-')) {
            return None;
        }
        if is_at(part) {
            return Some(Self::At);
        }
        if is_ip(part) {
            return Some(Self::Ip);
        }
        // `tcp:db.acme.com,1433`: what stands before a host.
        let behind = |part: &'a [u8]| part.splitn(2, |byte| *byte == b':').nth(1);
        let is_host = is_host(part) || behind(part).is_some_and(is_host);
        is_host.then_some(Self::Host)
    }
}

/// Whether there is something on both sides of an `@`.
fn is_at(part: &[u8]) -> bool {
    part.iter().position(|byte| *byte == b'@').is_some_and(|at| {
        let (before, behind) = part.split_at(at);
        let has_name =
            |side: &[u8]| side.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        has_name(before) && has_name(behind)
    })
}

/// Whether this is an address of version 4 or 6, or one of a network card; with a port or a mask.
pub(super) fn is_ip(part: &[u8]) -> bool {
    let bare = part.strip_prefix(b"/").unwrap_or(part);
    let bare = before(bare, b'/');
    let bare = before(bare, b'%');
    is_ip4(bare) || is_ip6(bare) || is_card(bare)
}

fn is_ip4(part: &[u8]) -> bool {
    let host = before(part, b':');
    let is_number =
        |group: &[u8]| (1..=3).contains(&group.len()) && group.iter().all(u8::is_ascii_digit);
    host.split(|byte| *byte == b'.').count() == 4 && host.split(|byte| *byte == b'.').all(is_number)
}

fn is_ip6(part: &[u8]) -> bool {
    let groups = || part.split(|byte| *byte == b':');
    let is_group =
        |group: &[u8]| group.len() <= 4 && group.iter().all(u8::is_ascii_hexdigit) || is_ip4(group);
    let filled = groups().filter(|group| !group.is_empty()).count();
    let has_digit = part.iter().any(u8::is_ascii_digit);
    let is_time =
        groups().count() <= 3 && part.iter().all(|byte| byte.is_ascii_digit() || *byte == b':');
    let is_shortened = part.windows(2).any(|two| two == b"::");
    groups().count() >= 3
        && filled > 0
        && groups().all(is_group)
        && (is_shortened && has_digit || filled >= 5 || (!is_time && has_digit))
}

/// Six pairs of hexadecimal digits.
fn is_card(part: &[u8]) -> bool {
    let is_pair = |group: &[u8]| group.len() == 2 && group.iter().all(u8::is_ascii_hexdigit);
    [b':', b'-'].into_iter().any(|by| {
        let groups = || part.split(|byte| *byte == by);
        groups().count() == 6 && groups().all(is_pair)
    })
}

/// Whether this begins with the name of a host: of a known domain, or with a port.
fn is_host(part: &[u8]) -> bool {
    let part = part.strip_prefix(b"*.").or(part.strip_prefix(b"//")).unwrap_or(part);
    let end = part.iter().position(|byte| matches!(byte, b'/' | b':' | b'?' | b'#'));
    let (name, rest) = part.split_at(end.unwrap_or(part.len()));
    let name = name.strip_suffix(b".").unwrap_or(name);
    let mut labels = name.rsplit(|byte| *byte == b'.');
    let last = labels.next().unwrap_or_default();
    let is_label = |label: &[u8]| !label.is_empty() && label.iter().all(|byte| is_of_name(*byte));
    if !is_label(last) || !labels.clone().all(is_label) {
        return false;
    }
    let is_dotted = labels.next().is_some();
    let is_of_domain = is_in(&DOMAINS, last);
    let port = rest.strip_prefix(b":").map(|rest| before(rest, b'/'));
    let has_port = port
        .is_some_and(|port| (2..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit));
    let is_file = is_in(&FILE_ENDS, last);
    let is_numbered = name.iter().any(|byte| *byte == b'-' || byte.is_ascii_digit());
    let has_letters = name.iter().any(u8::is_ascii_alphabetic);
    has_letters && (is_dotted && is_of_domain || has_port && !is_file && (is_dotted || is_numbered))
}

/// Whether this is a path, or a name of several words with slashes between.
fn is_path(policy: Policy<'_>, compound: &[u8]) -> bool {
    if compound.first() == Some(&b'~') && compound.len() > 1 {
        return true;
    }
    if compound.iter().all(u8::is_ascii_punctuation) {
        return false;
    }
    let Some(slash) = compound.iter().position(|byte| matches!(byte, b'/' | b'\\')) else {
        return false;
    };
    let (left, right) = compound.split_at(slash);
    let right = right.get(1..).unwrap_or_default();
    let is_word = |side: &[u8]| {
        side.len() > 1 && side.iter().all(u8::is_ascii_alphabetic) && policy.words.contains(side)
    };
    let is_number = |side: &[u8]| {
        !side.is_empty() && side.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
    };
    // `read/write`, `HTTP/1.1`, `1/2`, `i/o`
    let is_pair = (is_word(left) || is_number(left)) && (is_word(right) || is_number(right));
    !(is_pair || policy.words.contains(compound))
}

/// Whether what follows a path after a blank goes on with it: `C:\Users\Alice Smith\plan.md`.
pub(super) fn goes_on(compound: &[u8]) -> bool {
    let begins_anew =
        matches!(compound, [b'/' | b'~' | b'-' | b'\\' | b'.', ..] | [_, b':', b'\\', ..]);
    let has_slash = compound.iter().any(|byte| matches!(byte, b'/' | b'\\'));
    has_slash && !begins_anew && !compound.windows(3).any(|three| three == b"://")
}

/// Whether a path is of a kind whose names are full of blanks.
pub(super) fn is_of_windows(path: &[u8]) -> bool {
    matches!(path, [_, b':', b'\\', ..] | [b'\\', b'\\', ..])
}

/// The end of a path that may stay: a file's name of listed words, with a line and a column.
pub(super) fn file_name<'a>(policy: Policy<'_>, path: &'a [u8]) -> Option<&'a [u8]> {
    let name = path.rsplit(|byte| matches!(byte, b'/' | b'\\')).next()?;
    let bare = before(name, b':');
    let place = name.get(bare.len()..)?;
    let (stem, end) = bare.split_at(bare.iter().rposition(|byte| *byte == b'.')?);
    let is_file = !stem.is_empty() && is_in(&FILE_ENDS, end.get(1..)?);
    let is_place = place.iter().all(|byte| byte.is_ascii_digit() || *byte == b':');
    let is_kept =
        bare.iter().all(|byte| is_of_name(*byte)) && policy.keeps(bare) && policy.keeps(name);
    (is_file && is_place && is_kept).then_some(name)
}

fn is_in(list: &[&[u8]], word: &[u8]) -> bool {
    list.iter().any(|listed| word.eq_ignore_ascii_case(listed))
}

fn before(text: &[u8], end: u8) -> &[u8] {
    text.split(|byte| *byte == end).next().unwrap_or_default()
}
