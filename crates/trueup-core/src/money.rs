//! Money as integers: nano-dollars. Prices of single tokens are finer; see [`prices`](crate::prices).
//!
//! Floating point appears nowhere here. A decimal is read digit by digit, so that `"0.000764"` is
//! exactly 764,000 nano-dollars, and written back without loss.
//!
//! ```
//! use trueup_core::NanoUsd;
//! let cost: NanoUsd = "0.000764".parse().unwrap();
//! assert_eq!(cost, NanoUsd(764_000));
//! assert_eq!(cost.to_string(), "0.000764");
//! ```

use std::fmt;
use std::str::FromStr;

/// An amount in billionths of a dollar; negative for credits. Holds up to ±9.2 billion dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub i64);

/// Nano-dollars in a dollar.
pub const NANO_PER_USD: i64 = 1_000_000_000;

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not of the form `-12.34` or `1.5e-7`.
    #[error("`{0}` is not a decimal number of dollars")]
    NotDecimal(String),
    /// Larger than [`NanoUsd`] can hold.
    #[error("`{0}` dollars is out of range (at most 9,223,372,036)")]
    OutOfRange(String),
}

impl NanoUsd {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// The sum; it stops at the ends of the range, which only hostile input can reach.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Reads a decimal, with or without an exponent, as an integer number of 10^-`scale` units, rounded
/// half away from zero. `None` where the text is not a decimal or does not fit.
#[must_use]
pub fn scaled_decimal(text: &str, scale: i32) -> Option<i128> {
    let (text, is_negative) = match text.as_bytes().first()? {
        b'-' => (text.get(1..)?, true),
        b'+' => (text.get(1..)?, false),
        _ => (text, false),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // How many of the digits stand before the point once the number is in units of 10^-scale.
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut units = match kept {
        0..=DIGITS_OF_U64 => i128::from(scaled(digits(), kept)),
        _ => scaled_far(digits(), kept)?,
    };
    let first_dropped = usize::try_from(kept).ok().and_then(|kept| digits().nth(kept));
    if first_dropped.is_some_and(|digit| digit >= b'5') {
        units = units.checked_add(1)?;
    }
    Some(if is_negative { -units } else { units })
}

/// As many digits always fit into 64 bits.
const DIGITS_OF_U64: i64 = 19;

/// The first `kept` digits as a number, with zeros where there are fewer.
fn scaled(digits: impl Iterator<Item = u8>, kept: i64) -> u64 {
    let zeros = std::iter::repeat(b'0');
    let digits = digits.chain(zeros).zip(0..kept);
    digits.fold(0, |units, (digit, _)| units * 10 + u64::from(digit - b'0'))
}

/// The same for any number of digits; `None` where it does not fit.
fn scaled_far(digits: impl Iterator<Item = u8>, kept: i64) -> Option<i128> {
    let (mut units, mut place) = (0_i128, 0);
    for digit in digits {
        if place >= kept {
            break;
        }
        units = units.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        place += 1;
    }
    while place < kept && units != 0 {
        units = units.checked_mul(10)?;
        place += 1;
    }
    Some(units)
}

impl FromStr for NanoUsd {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let nano = scaled_decimal(text.trim(), 9)
            .ok_or_else(|| MoneyError::NotDecimal(text.to_owned()))?;
        i64::try_from(nano).map(Self).map_err(|_| MoneyError::OutOfRange(text.to_owned()))
    }
}

/// The exact decimal, without trailing zeros.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let nano_per_usd = NANO_PER_USD.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let whole = magnitude / nano_per_usd;
        let fraction = format!("{:09}", magnitude % nano_per_usd);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_read_exactly() {
        for (text, nano) in [
            ("0", 0),
            ("1", 1_000_000_000),
            ("0.000764", 764_000),
            ("-2.5", -2_500_000_000),
            ("1.5e-7", 150),
            ("1E2", 100_000_000_000),
            ("0.0000000005", 1),
            ("0.00000000049999", 0),
            ("5.e-9", 5),
            (".5", 500_000_000),
        ] {
            assert_eq!(text.parse(), Ok(NanoUsd(nano)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_decimal_is_refused() {
        for text in ["", "-", ".", "1.2.3", "NaN", "inf", "0x1", "1e", "1e999999999999", "１"] {
            assert!(text.parse::<NanoUsd>().is_err(), "{text}");
        }
        assert!(matches!("1e12".parse::<NanoUsd>(), Err(MoneyError::OutOfRange(_))));
    }

    proptest! {
        #[test]
        fn every_amount_survives_writing_and_reading(nano in any::<i64>()) {
            prop_assert_eq!(NanoUsd(nano).to_string().parse(), Ok(NanoUsd(nano)));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,40}") {
            let _unused = text.parse::<NanoUsd>();
        }
    }
}
