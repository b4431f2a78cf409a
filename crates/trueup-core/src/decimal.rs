//! Decimals of any length, exactly: what providers state as money and quantity.
//!
//! Providers write an amount as a number, as a text, with an exponent, and with forty digits, all in
//! one answer. Binary floating point loses digits of most of them, and a fixed scale refuses some, so
//! that an amount is kept as its digits. Nothing here knows a currency, or rounds unless it is asked to.
//!
//! ```
//! use trueup_core::Decimal;
//! let live: Decimal = "0E-6176".parse().unwrap();
//! assert_eq!(live, Decimal::ZERO);
//! let amount = Decimal::of_json("123.4567890123456789012345678901234567890123").unwrap();
//! assert_eq!(amount.to_string(), "123.4567890123456789012345678901234567890123");
//! assert_eq!(amount.shifted(-2).to_string(), "1.234567890123456789012345678901234567890123");
//! ```

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use num_bigint::{BigInt, Sign};

/// Significant digits that are read; the longest amount seen in the wild has 40.
const DIGITS_MAX: usize = 200;
/// How far the point may stand from the digits, so that writing an amount out stays short.
const EXPONENT_MAX: i64 = 400;
/// Characters that are looked at.
const TEXT_BYTES_MAX: usize = 1_000;

/// A decimal number: `digits` times ten to the power of `exponent`.
///
/// There is one form for each number: no zeros at the end of the digits, and no exponent for zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Decimal {
    digits: BigInt,
    exponent: i64,
}

/// Why a text is no decimal that can be kept. It does not hold the text: that may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not of the form `-12.34` or `1.5e-7`.
    #[error("not a decimal number")]
    NotDecimal,
    /// More digits, or a larger exponent, than any amount has.
    #[error("more than {DIGITS_MAX} digits, or an exponent beyond {EXPONENT_MAX}")]
    TooLong,
}

impl Decimal {
    /// Nothing.
    pub const ZERO: Self = Self { digits: BigInt::ZERO, exponent: 0 };

    /// Reads a JSON value as it stands in the document: a number, or a text that holds one.
    ///
    /// # Errors
    /// What is no number.
    pub fn of_json(token: &str) -> Result<Self, DecimalError> {
        let token = token.trim();
        match token.strip_prefix('"') {
            // An escape in it is no digit, and refused as such.
            Some(rest) => rest.strip_suffix('"').ok_or(DecimalError::NotDecimal)?.parse(),
            None => token.parse(),
        }
    }

    /// Whether it is zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.digits.sign() == Sign::NoSign
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.digits.sign() == Sign::Minus
    }

    /// Whether it is short enough to be read again from what is written of it: a sum may not be.
    #[must_use]
    pub fn is_in_bounds(&self) -> bool {
        self.exponent.abs() <= EXPONENT_MAX
            && self.digits.magnitude().to_radix_le(10).len() <= DIGITS_MAX
    }

    /// The exact sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        Self { digits: self.aligned(exponent) + other.aligned(exponent), exponent }.tidied()
    }

    /// What is left when another is taken from it, exactly.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        Self { digits: self.aligned(exponent) - other.aligned(exponent), exponent }.tidied()
    }

    /// The exact product.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        let exponent = self.exponent + other.exponent;
        Self { digits: &self.digits * &other.digits, exponent }.tidied()
    }

    /// Half of it, exactly.
    #[must_use]
    pub fn half(&self) -> Self {
        self.times(&5.into()).shifted(-1)
    }

    /// An equal share of it where there are so many, cut behind so many decimals; the only thing here
    /// that is not exact, with what it is made of: [`cut`](Self::cut). Nothing where there is no share.
    #[must_use]
    pub fn share(&self, of: u32, places: u16) -> Self {
        if of == 0 {
            return Self::ZERO;
        }
        let exponent = -i64::from(places);
        Self { digits: self.clone().cut(places).aligned(exponent) / of, exponent }.tidied()
    }

    /// With at most so many places behind the point: what lies beyond is cut off.
    #[must_use]
    pub fn cut(self, places: u16) -> Self {
        let exponent = -i64::from(places);
        if self.exponent >= exponent {
            return self;
        }
        Self { digits: self.digits / ten_to(exponent - self.exponent), exponent }.tidied()
    }

    /// With at most so many places behind the point, rounded half away from zero.
    #[must_use]
    pub fn rounded(&self, places: u16) -> Self {
        let half = Self::from(if self.is_negative() { -5 } else { 5 });
        self.plus(&half.shifted(-i32::from(places) - 1)).cut(places)
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self { digits: self.digits.into_parts().1.into(), exponent: self.exponent }
    }

    /// Times ten to the power of `places`: -2 makes dollars of cents.
    #[must_use]
    pub fn shifted(mut self, places: i32) -> Self {
        if !self.is_zero() {
            self.exponent += i64::from(places);
        }
        self
    }

    /// The number, where it is a whole one that a counter can hold.
    #[must_use]
    pub fn to_count(&self) -> Option<u64> {
        // Longer than any counter, and not to be written out.
        if !(0..20).contains(&self.exponent) {
            return None;
        }
        let count = i64::try_from(self.aligned(0)).ok()?;
        u64::try_from(count).ok()
    }

    /// The digits from the place of ten to the power of `exponent` on, which is not above its own.
    fn aligned(&self, exponent: i64) -> BigInt {
        match self.exponent - exponent {
            ..=0 => self.digits.clone(),
            zeros => &self.digits * ten_to(zeros),
        }
    }

    /// The one form of this number.
    fn tidied(mut self) -> Self {
        if self.is_zero() {
            return Self::ZERO;
        }
        let ten = BigInt::from(10);
        while (&self.digits % &ten).sign() == Sign::NoSign {
            self.digits /= &ten;
            self.exponent += 1;
        }
        self
    }
}

/// Ten to the power of a number that is not negative.
fn ten_to(power: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(power).unwrap_or(0))
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let exponent = self.exponent.min(other.exponent);
        self.aligned(exponent).cmp(&other.aligned(exponent))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<i128> for Decimal {
    fn from(number: i128) -> Self {
        Self { digits: number.into(), exponent: 0 }.tidied()
    }
}

impl From<i32> for Decimal {
    fn from(number: i32) -> Self {
        i128::from(number).into()
    }
}

impl From<u32> for Decimal {
    fn from(number: u32) -> Self {
        i128::from(number).into()
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(DecimalError::TooLong);
        }
        let (sign, unsigned) = match text.strip_prefix(['-', '+']) {
            Some(unsigned) if text.starts_with('-') => (Sign::Minus, unsigned),
            Some(unsigned) => (Sign::Plus, unsigned),
            None => (Sign::Plus, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(DecimalError::NotDecimal);
        }
        let digits: Vec<u8> = digits.into_iter().map(|digit| digit - b'0').collect();
        let digits = BigInt::from_radix_be(sign, &digits, 10).ok_or(DecimalError::NotDecimal)?;
        let fraction_digits = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let number = Self { digits, exponent: exponent.saturating_sub(fraction_digits) }.tidied();
        if number.is_in_bounds() { Ok(number) } else { Err(DecimalError::TooLong) }
    }
}

/// An exponent; one that no number can hold is only cut, because zero may have any.
fn exponent_of(text: &str) -> Result<i64, DecimalError> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(DecimalError::NotDecimal);
    }
    let magnitude = digits.parse().unwrap_or(i64::from(u32::MAX)).min(i64::from(u32::MAX));
    Ok(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// Written out, without an exponent and without zeros at the end of a fraction.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.digits.magnitude().to_string();
        if let Ok(zeros) = usize::try_from(self.exponent) {
            text.extend(std::iter::repeat_n('0', zeros));
        } else {
            let places = usize::try_from(self.exponent.unsigned_abs()).unwrap_or(usize::MAX);
            if text.len() <= places {
                text.insert_str(0, &"0".repeat(places - text.len() + 1));
            }
            text.insert(text.len() - places, '.');
        }
        let sign = if self.is_negative() { "-" } else { "" };
        write!(f, "{sign}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_way_of_writing_a_number_is_the_same_number() {
        for (token, written) in [
            ("12.5", "12.5"),
            ("\"12.50\"", "12.5"),
            ("125e-1", "12.5"),
            ("\"0E-6176\"", "0"),
            ("-0.0", "0"),
            ("1E+3", "1000"),
            ("1e-9", "0.000000001"),
            ("\"-.5\"", "-0.5"),
            ("123.4567890123456789", "123.4567890123456789"),
            (
                "\"0.1234567890123456789012345678901234567891\"",
                "0.1234567890123456789012345678901234567891",
            ),
            (
                "1234567890123456789012345678901234567890",
                "1234567890123456789012345678901234567890",
            ),
        ] {
            assert_eq!(Decimal::of_json(token).unwrap().to_string(), written, "{token}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", ".", "1.2.3", "NaN", "1e", "0x1", "1e+-2", "null", "\"1", "{}", "１"]
        {
            assert_eq!(Decimal::of_json(text), Err(DecimalError::NotDecimal), "{text}");
        }
        for text in ["1e401", "1e-99999999999999999999", &"7".repeat(201), &"0".repeat(1_001)] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalError::TooLong), "{text}");
        }
    }

    #[test]
    fn counts_are_whole_and_fit() {
        assert_eq!(decimal("3.0").to_count(), Some(3));
        assert_eq!(decimal("9223372036854775807").to_count(), Some(9_223_372_036_854_775_807));
        for text in ["9223372036854775808", "0.5", "-1", "1e30"] {
            assert_eq!(decimal(text).to_count(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn sums_are_those_of_integers(a in any::<i64>(), b in any::<i64>(), places in -30..30_i32) {
            let of = |n: i128| decimal(&n.to_string()).shifted(places);
            let expected = of(i128::from(a) + i128::from(b));
            prop_assert_eq!(of(a.into()).plus(&of(b.into())), expected);
        }

        #[test]
        fn products_are_those_of_integers(a in any::<i64>(), b in any::<i64>(), places in -30..30_i32) {
            let of = |n: i128| Decimal::from(n).shifted(places);
            let product = Decimal::from(i128::from(a) * i128::from(b));
            prop_assert_eq!(of(a.into()).times(&of(b.into())), product.shifted(2 * places));
        }

        #[test]
        fn rounding_is_that_of_integers(a in any::<i64>(), places in 0..19_u16) {
            let unit = 10_i128.pow(u32::from(places));
            let half = if a < 0 { -unit / 2 } else { unit / 2 };
            let number = Decimal::from(i128::from(a)).shifted(-i32::from(places));
            prop_assert_eq!(number.clone().cut(0), Decimal::from(i128::from(a) / unit));
            let rounded = if places == 0 { a.into() } else { (i128::from(a) + half) / unit };
            prop_assert_eq!(number.rounded(0), Decimal::from(rounded));
            prop_assert_eq!(number.rounded(places), number);
        }

        #[test]
        fn differences_and_order_are_those_of_integers(a in any::<i64>(), b in any::<i64>()) {
            let (one, two) = (Decimal::from(i128::from(a)), Decimal::from(i128::from(b)));
            prop_assert_eq!(one.minus(&two), Decimal::from(i128::from(a) - i128::from(b)));
            prop_assert_eq!(one.cmp(&two), a.cmp(&b));
            prop_assert_eq!(one.clone().abs(), Decimal::from(i128::from(a).abs()));
            prop_assert_eq!(one.to_string(), a.to_string());
        }

        #[test]
        fn products_and_shares_are_those_of_integers(a in any::<i64>(), count in any::<u32>()) {
            let (number, whole) = (Decimal::from(i128::from(a)), i128::from(a));
            prop_assert_eq!(number.times(&count.into()), Decimal::from(whole * i128::from(count)));
            prop_assert_eq!(&number.half().plus(&number.half()), &number);
            prop_assume!(count > 0);
            let share = |places| number.share(count, places);
            prop_assert_eq!(share(0), Decimal::from(whole / i128::from(count)));
            let fine = Decimal::from(whole * 10_000 / i128::from(count)).shifted(-4);
            prop_assert_eq!(share(4), fine);
            prop_assert_eq!(number.shifted(-9).share(1, 3), Decimal::from(whole / 1_000_000).shifted(-3));
        }

        #[test]
        fn order_and_grouping_do_not_matter(
            a in "-?[0-9]{1,40}(\\.[0-9]{1,40})?", b in "-?[0-9]{1,40}(e-?[0-9]{1,2})?",
            c in "-?[0-9]{1,9}\\.[0-9]{1,9}",
        ) {
            let [a, b, c] = [a, b, c].map(|text| decimal(&text));
            prop_assert_eq!(a.plus(&b).plus(&c), c.plus(&b).plus(&a));
            let opposite = b.to_string();
            let opposite = opposite.strip_prefix('-').map_or(format!("-{opposite}"), str::to_owned);
            prop_assert_eq!(a.plus(&b).plus(&decimal(&opposite)), a);
        }

        #[test]
        fn every_number_survives_writing_and_reading(text in "-?[0-9]{1,60}(\\.[0-9]{1,60})?(e-?[0-9]{1,2})?") {
            let number = decimal(&text);
            prop_assert_eq!(decimal(&number.to_string()), number);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _unused = Decimal::of_json(&text);
        }
    }
}
