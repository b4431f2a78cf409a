//! Ids in the form of a UUID, as most agents make them: unique anywhere, and with their time in front in
//! version 7.
//!
//! ```text
//! 01a0eda9-cd7a-7d33-a6cd-868a670128c7
//! ```

/// Whether a text has the form of a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// The time in a UUID of version 7 (RFC 9562, 5.7), in Unix milliseconds.
pub(crate) fn uuid_v7_ms(id: &str) -> Option<u64> {
    if !is_uuid(id) || id.as_bytes().get(14) != Some(&b'7') {
        return None;
    }
    let (high, low) = (id.get(..8)?, id.get(9..13)?);
    Some((u64::from_str_radix(high, 16).ok()? << 16) | u64::from_str_radix(low, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_of_version_7_tells_its_time() {
        for (id, is_id, time) in [
            ("01a0eda9-cd7a-7d33-a6cd-868a670128c7", true, Some(0x01a0_eda9_cd7a)),
            ("01a0eda9-cd7a-4d33-a6cd-868a670128c7", true, None),
            ("01a0eda9-cd7a-7d33-a6cd-868a670128cz", false, None),
            ("01a0eda9cd7a7d33a6cd868a670128c7", false, None),
            ("", false, None),
        ] {
            assert_eq!((is_uuid(id), uuid_v7_ms(id)), (is_id, time), "{id}");
        }
    }
}
