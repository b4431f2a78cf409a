//! Numbers as people read them. The only place where amounts are rounded for show.

use trueup_core::{Decimal, NanoUsd};

/// How token counts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Every digit: `1,314,262`.
    Exact,
    /// Three digits and a unit: `1.31M`.
    Short,
}

/// A count.
pub(crate) fn count(number: u64, style: Style) -> String {
    match style {
        Style::Exact => grouped(number),
        Style::Short => short(number),
    }
}

/// With a comma at each thousand.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A hash, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// A count of things: `1 call`, `1,314 calls`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// With three digits and a unit, rounded.
fn short(number: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000, "K"), (1_000_000, "M"), (1_000_000_000, "B"), (1_000_000_000_000, "T")];
    if number < 1_000 {
        return number.to_string();
    }
    let three_digits = |unit: u64, decimals: u32| {
        let scale = 10_u128.pow(decimals);
        let rounded = (u128::from(number) * scale + u128::from(unit / 2)) / u128::from(unit);
        (rounded < 1_000).then(|| (rounded / scale, rounded % scale, decimals))
    };
    let written = UNITS.into_iter().find_map(|(unit, name)| {
        let (whole, part, decimals) =
            (0..=2).rev().find_map(|decimals| three_digits(unit, decimals))?;
        Some(match decimals {
            0 => format!("{whole}{name}"),
            1 => format!("{whole}.{part}{name}"),
            _ => format!("{whole}.{part:02}{name}"),
        })
    });
    written.unwrap_or_else(|| format!("{}T", number / 1_000_000_000_000))
}

/// Bytes, in units of 1,000.
pub(crate) fn bytes(number: u64) -> String {
    let short = short(number).replace('B', "G");
    let unit = short.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    format!("{} {unit}B", short.trim_end_matches(unit))
}

/// Dollars and cents: `$1,299.92`. Less than half a cent, but not nothing, shows as `<$0.01`.
pub(crate) fn dollars(cost: NanoUsd) -> String {
    /// Nano-dollars are 10^-9 dollars.
    const NANO_PLACES: i32 = -9;
    dollars_of(&Decimal::from(i128::from(cost.0)).shifted(NANO_PLACES))
}

/// The same of an amount of any length.
pub(crate) fn dollars_of(amount: &Decimal) -> String {
    money(amount, "USD")
}

/// The same in any currency: `12.00 CNY`.
pub(crate) fn money(amount: &Decimal, currency: &str) -> String {
    const CENTS: u16 = 2;
    let cents = amount.rounded(CENTS);
    let (sign, digits) = if cents.is_zero() && !amount.is_zero() {
        ("<", "0.01".to_owned())
    } else {
        let text = cents.clone().abs().to_string();
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
        (if cents.is_negative() { "-" } else { "" }, format!("{whole}.{fraction:0<2}"))
    };
    if currency == "USD" {
        format!("{sign}${digits}")
    } else {
        format!("{sign}{digits} {currency}")
    }
}

/// A length of time: `2 h 05 min`.
pub(crate) fn duration_ms(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) if hours < 48 => format!("{hours} h {minutes:02} min"),
        (hours, _) => format!("{} days", hours / 24),
    }
}

/// The same, of a short one in seconds: `7 s`.
pub(crate) fn duration_s(seconds: u64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        _ => duration_ms(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(hex(&[0, 0x0a, 0xb7, 255]), "000ab7ff");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_314_262), "1,314,262");
        for (number, text) in [
            (999, "999"),
            (1_000, "1.00K"),
            (1_314_262, "1.31M"),
            (45_670_000, "45.7M"),
            (999_999_999, "1.00B"),
            (999_499_999, "999M"),
            (99_950, "100K"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(short(number), text);
        }
        for (nano, text) in [
            (0, "$0.00"),
            (4_999_999, "<$0.01"),
            (5_000_000, "$0.01"),
            (1_299_920_000_000, "$1,299.92"),
            (-2_500_000_000, "-$2.50"),
        ] {
            assert_eq!(dollars(NanoUsd(nano)), text);
        }
        for (amount, currency, text) in [
            ("0", "USD", "$0.00"),
            ("0.0049999999999", "USD", "<$0.01"),
            // Rounded once, and not to a hundred-millionth first.
            ("0.00499999999999999", "CNY", "<0.01 CNY"),
            ("1234.505", "USD", "$1,234.51"),
            ("-0.1", "USD", "-$0.10"),
            ("12", "CNY", "12.00 CNY"),
            ("123456789012345678901234567890.126", "USD", "$123456789012345678901234567890.13"),
        ] {
            assert_eq!(money(&amount.parse().unwrap(), currency), text);
        }
        for (number, text) in
            [(0, "0 B"), (999, "999 B"), (14_900, "14.9 KB"), (1 << 30, "1.07 GB")]
        {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(duration_ms(7_500_000), "2 h 05 min");
        assert_eq!(duration_ms(60_000), "1 min");
    }
}
