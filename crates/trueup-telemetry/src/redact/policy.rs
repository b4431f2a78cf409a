//! Which compounds of words and digits may stay, by level.
//!
//! A compound is what stands between white space, quotes and brackets, such as `ssl_context.verify()`
//! without its brackets. One bad part spoils the whole of it.

use super::Level;
use super::keys::CamelWords;
use super::secrets;
use super::words::Words;

/// A number of this many digits may be a telephone's, a card's, a person's.
pub(super) const DIGITS_MIN: usize = 7;
/// Runs of digits beside letters: more are an address or an id, such as `ip-10-0-0-12`.
const DIGIT_RUNS_MAX: usize = 3;
/// Digits of a run inside of a word, such as `base64` or `int1024`.
const WORD_DIGITS_MAX: usize = 4;
/// Digits beside one letter or two, such as `v12`, `p99`, `250ms`.
const UNIT_DIGITS_MAX: usize = 3;
/// Parts of a word that is not listed as a whole must be as long as this, because nearly any two
/// letters are listed.
const PART_BYTES_MIN: usize = 3;
/// Parts of one letter or two beyond those that are longer: `to-do`, but not `ab-is-of-on`.
const SHORT_PARTS_MAX: usize = 2;
/// No compound is longer: what is, is data.
const COMPOUND_BYTES_MAX: usize = 256;
/// Different marks in a row without a letter or digit: more look like a password.
const MARKS_MAX: usize = 3;

/// Punctuation at the end of a compound is the sentence's: it stays whatever stands before it.
pub(super) const ENDS: &[u8] = b",.;:!?\\";

/// What stays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy<'a> {
    pub(super) words: &'a Words,
    pub(super) level: Level,
}

impl Policy<'_> {
    /// Whether a compound may stay.
    pub(super) fn keeps(self, compound: &[u8]) -> bool {
        if compound.len() > COMPOUND_BYTES_MAX {
            return false;
        }
        match self.level {
            Level::Template => self.is_of_words(compound),
            Level::Redacted => self.is_of_words(compound) || !secrets::is_secret(self, compound),
        }
    }

    /// The mark for a compound that may not.
    pub(super) fn mark(self, compound: &[u8]) -> &'static str {
        if !compound.iter().any(u8::is_ascii_alphabetic) && compound.iter().any(u8::is_ascii_digit)
        {
            return "<n>";
        }
        match self.level {
            Level::Template => "<w>",
            Level::Redacted => "<secret>",
        }
    }

    /// Whether a compound consists of listed words and short numbers.
    pub(super) fn is_of_words(self, compound: &[u8]) -> bool {
        if self.words.contains(compound) {
            return true;
        }
        let mut letters = 0;
        let mut digits = 0;
        let mut digit_runs = 0;
        let mut units = 0;
        let (mut short, mut long) = (0, 0);
        for part in compound.split(|byte| !byte.is_ascii_alphanumeric() && byte.is_ascii()) {
            let digits_in_part = part.iter().filter(|byte| byte.is_ascii_digit()).count();
            digits += digits_in_part;
            digit_runs += usize::from(digits_in_part > 0);
            letters += part.len() - digits_in_part;
            if part.is_empty() || digits_in_part == part.len() {
                continue;
            }
            match self.kind(part, compound) {
                Part::Words if part.len() < PART_BYTES_MIN => short += 1,
                Part::Words => long += 1,
                Part::Unit => units += 1,
                Part::Unknown => return false,
            }
        }
        let is_bare = letters == 0 && digits == 0;
        let runs_max = if letters == 0 { usize::MAX } else { DIGIT_RUNS_MAX };
        let has_few_digits = digits < DIGITS_MIN && digit_runs <= runs_max && units <= 1;
        let has_few_short = short <= long + SHORT_PARTS_MAX;
        if is_bare { has_few_marks(compound) } else { has_few_digits && has_few_short }
    }

    fn kind(self, part: &[u8], compound: &[u8]) -> Part {
        if let [letter] = part {
            // A variable, such as `x`; in compounds letters could spell out anything.
            let is_alone = compound.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() == 1;
            let is_ending = matches!(letter, b's' | b't' | b'd' | b'm') && has_apostrophe(compound);
            return if is_alone || is_ending { Part::Words } else { Part::Unknown };
        }
        if self.words.contains(part) && (part.len() >= PART_BYTES_MIN || is_evenly_written(part)) {
            return Part::Words;
        }
        if is_unit(part) {
            return Part::Unit;
        }
        if self.parts_are_words(part) { Part::Words } else { Part::Unknown }
    }

    /// Whether `readTimeout2` falls into words, each long enough.
    fn parts_are_words(self, part: &[u8]) -> bool {
        let is_word = |word: &[u8]| word.len() >= PART_BYTES_MIN && self.words.contains(word);
        let mut runs = 0;
        for run in part.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
            if run.first().is_some_and(u8::is_ascii_digit) {
                runs += 1;
                if run.len() > WORD_DIGITS_MAX || runs > 1 {
                    return false;
                }
            } else if !(is_word(run) || self.is_camel(run)) {
                return false;
            }
        }
        true
    }

    /// Whether letters are words by their case, all of them long enough but one: `onTimeout`.
    fn is_camel(self, letters: &[u8]) -> bool {
        let (mut short, mut long) = (0, 0);
        for word in CamelWords(letters) {
            if word.len() < 2 || !self.words.contains(word) {
                return false;
            }
            short += usize::from(word.len() < PART_BYTES_MIN);
            long += usize::from(word.len() > PART_BYTES_MIN);
        }
        short == 0 || (short == 1 && long > 0)
    }
}

enum Part {
    Words,
    /// A letter or two beside a short number.
    Unit,
    Unknown,
}

/// Whether this is like `v2`, `p99`, `10ms`, `3x`.
fn is_unit(part: &[u8]) -> bool {
    let mut runs = part.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let (Some(first), Some(second), None) = (runs.next(), runs.next(), runs.next()) else {
        return false;
    };
    if first.iter().all(u8::is_ascii_digit) {
        let is_listed = |unit: &&[u8]| second.eq_ignore_ascii_case(unit);
        first.len() <= UNIT_DIGITS_MAX && UNITS.iter().any(is_listed)
    } else {
        second.len() <= UNIT_DIGITS_MAX && matches!(first, [letter] if letter.is_ascii_lowercase())
    }
}

/// What follows a number without a blank.
const UNITS: [&[u8]; 19] = [
    b"s", b"m", b"h", b"d", b"ms", b"us", b"ns", b"b", b"k", b"g", b"kb", b"mb", b"gb", b"tb",
    b"x", b"px", b"hz", b"th", b"xx",
];

/// Whether two letters are a word, rather than a piece of something: `of`, `Of` and `OF`, but not `oF`.
fn is_evenly_written(part: &[u8]) -> bool {
    !matches!(part, [first, second] if first.is_ascii_lowercase() && second.is_ascii_uppercase())
}

fn has_apostrophe(compound: &[u8]) -> bool {
    compound.contains(&b'\'')
}

/// Whether a compound without letters and digits is punctuation rather than a password: `=>`, `---`.
fn has_few_marks(compound: &[u8]) -> bool {
    let mut seen: u128 = 0;
    for byte in compound {
        if byte.is_ascii() && !ENDS.contains(byte) {
            seen |= 1_u128 << u32::from(*byte);
        }
    }
    seen.count_ones() as usize <= MARKS_MAX
}
