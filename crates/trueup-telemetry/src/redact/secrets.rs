//! What looks like a secret to the second level, which keeps words that it does not know.
//!
//! By its beginning (`ghp_…`, `eyJ…`), or by its form: letters and digits mixed as no name mixes them,
//! hexadecimal of some length, or so long that no word is.

use super::keys::CamelWords;
use super::policy::{DIGITS_MIN, Policy};

/// How secrets of known kinds begin, in the case in which they are written.
const PREFIXES: [&[u8]; 68] = [
    b"sk-",
    b"sk_",
    b"pk_",
    b"rk_",
    b"phc_",
    b"phx_",
    b"phs_",
    b"ghp_",
    b"gho_",
    b"ghu_",
    b"ghs_",
    b"ghr_",
    b"github_pat_",
    b"glpat-",
    b"gldt-",
    b"glrt-",
    b"glptt-",
    b"glft-",
    b"glsoat-",
    b"glagent-",
    b"glimt-",
    b"glcbt-",
    b"glffct-",
    b"gloas-",
    b"xoxa-",
    b"xoxb-",
    b"xoxe",
    b"xoxp-",
    b"xoxr-",
    b"xoxs-",
    b"xapp-",
    b"AKIA",
    b"ASIA",
    b"ABIA",
    b"ACCA",
    b"A3T",
    b"AIza",
    b"ya29.",
    b"npm_",
    b"pypi-",
    b"hf_",
    b"r8_",
    b"gsk_",
    b"xai-",
    b"pplx-",
    b"SG.",
    b"dop_v1_",
    b"doo_v1_",
    b"dor_v1_",
    b"shpat_",
    b"shpca_",
    b"shppa_",
    b"shpss_",
    b"sq0",
    b"whsec_",
    b"lin_api_",
    b"ATATT",
    b"eyJ",
    b"AGE-SECRET-KEY-",
    b"dckr_pat_",
    b"hvs.",
    b"hvb.",
    b"pul-",
    b"sntry",
    b"lsv2_",
    b"nvapi-",
    b"dapi",
    b"tskey-",
];

/// What follows such a beginning at least.
const BEHIND_PREFIX_MIN: usize = 8;
/// Hexadecimal digits in a row.
const HEX_MIN: usize = 16;
/// No word that is not listed is longer than this.
const UNKNOWN_MAX: usize = 15;
/// From here on letters and digits that are mixed are a secret.
const MIXED_MIN: usize = 6;
/// Letters with a change of case after every few are no name from here on.
const SHREDDED_MIN: usize = 8;
/// In words at least one letter of so many is a vowel.
const VOWELS_EVERY: usize = 5;
/// The mean length of the words of a name, below which they are no words.
const CAMEL_BYTES_MIN: usize = 3;

/// Whether any part of a compound that is not of listed words looks like a secret.
pub(super) fn is_secret(policy: Policy<'_>, compound: &[u8]) -> bool {
    let digits = compound.iter().filter(|byte| byte.is_ascii_digit()).count();
    let has_letters = compound.iter().any(u8::is_ascii_alphabetic);
    (digits >= DIGITS_MIN && !has_letters)
        || has_prefix(compound)
        || is_unknown_as_a_whole(policy, compound)
        || compound
            .split(|byte| !byte.is_ascii_alphanumeric() && byte.is_ascii())
            .any(|part| !part.is_empty() && part_is_secret(policy, part))
}

fn has_prefix(compound: &[u8]) -> bool {
    let begins =
        |at: usize| at == 0 || !compound.get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
    (0..compound.len()).filter(|at| begins(*at)).any(|at| {
        let Some(rest) = compound.get(at..) else { return true };
        let is_begun = |prefix: &&&[u8]| rest.starts_with(prefix);
        let prefix = PREFIXES.iter().find(is_begun);
        prefix.is_some_and(|prefix| rest.len() >= prefix.len() + BEHIND_PREFIX_MIN)
    })
}

/// Whether a compound has more letters and digits in parts that are not listed than a name has:
/// base64, groups of letters with dashes between.
fn is_unknown_as_a_whole(policy: Policy<'_>, compound: &[u8]) -> bool {
    let parts = compound.split(|byte| !byte.is_ascii_alphanumeric());
    let unknown = parts.filter(|part| !part.is_empty() && !policy.is_of_words(part)).map(|part| {
        let is_unlisted = |word: &&[u8]| !policy.words.contains(word);
        CamelWords(part).filter(is_unlisted).map(<[u8]>::len).sum::<usize>()
    });
    unknown.sum::<usize>() > UNKNOWN_MAX
}

fn part_is_secret(policy: Policy<'_>, part: &[u8]) -> bool {
    if policy.is_of_words(part) {
        return false;
    }
    let is_hex = part.len() >= HEX_MIN && part.iter().all(u8::is_ascii_hexdigit);
    let is_mixed = part.len() >= MIXED_MIN && is_mixed(part);
    let is_long = part.len() > UNKNOWN_MAX && !is_name(policy, part);
    is_long || is_hex || is_mixed || is_shredded(part) || is_unspeakable(part)
}

/// Whether digits stand between letters, as they do in no name but `v2alpha1`.
fn is_mixed(part: &[u8]) -> bool {
    let runs = part.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).count();
    runs >= 3 || (runs == 2 && part.iter().filter(|byte| byte.is_ascii_digit()).count() >= 5)
}

/// Whether the case changes so often that these are no words: `lyEeTNWoOBGsMJ`.
fn is_shredded(part: &[u8]) -> bool {
    let letters = part.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    letters >= SHREDDED_MIN && letters < CAMEL_BYTES_MIN * CamelWords(part).count()
}

/// Whether letters have too few vowels for a word of any language in them.
fn is_unspeakable(part: &[u8]) -> bool {
    let is_vowel = |byte: &&u8| b"aeiouyAEIOUY".contains(byte);
    let vowels = part.iter().filter(is_vowel).count();
    part.is_ascii() && part.len() >= SHREDDED_MIN && part.len() > VOWELS_EVERY * vowels
}

/// Whether at least half of a long part is listed words, as in `AhoCorasickBuilder`.
fn is_name(policy: Policy<'_>, part: &[u8]) -> bool {
    let listed: usize = CamelWords(part)
        .filter(|word| word.len() > CAMEL_BYTES_MIN && policy.words.contains(word))
        .map(<[u8]>::len)
        .sum();
    2 * listed >= part.len() && CamelWords(part).all(|word| word.len() <= UNKNOWN_MAX)
}
