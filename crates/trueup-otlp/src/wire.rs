//! Protobuf, field by field, out of borrowed bytes.
//!
//! Nothing is built here, so nothing can be made large by small input: a field is its number and the
//! part of the input that holds it. Groups, which OTLP does not use, are refused as garbage.
//!
//! ```text
//! 0a 03 61 62 63    field 1, of a length: "abc"
//! 10 96 01          field 2, a number: 150
//! ```

/// Input that is no protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    /// It ends within a field.
    #[error("the body ends within a field")]
    Cut,
    /// A number is longer than 64 bits, or a field has no number.
    #[error("a field's number is wrong")]
    Number,
    /// A field is of a kind that OTLP does not have, or not of its own.
    #[error("a field is of a wrong type")]
    Type,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// A number of any length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Four bytes; OTLP has flags of it, which nobody here reads.
    Fixed32,
    /// Bytes: a text, a message or an array of numbers.
    Bytes(&'a [u8]),
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) content: Content<'a>,
}

impl<'a> Field<'a> {
    /// The bytes of a field that must have some.
    pub(crate) const fn bytes(&self) -> Result<&'a [u8], Garbage> {
        match self.content {
            Content::Bytes(bytes) => Ok(bytes),
            Content::Varint(_) | Content::Fixed64(_) | Content::Fixed32 => Err(Garbage::Type),
        }
    }

    /// The eight bytes of a field that must have them.
    pub(crate) const fn fixed64(&self) -> Result<u64, Garbage> {
        match self.content {
            Content::Fixed64(number) => Ok(number),
            Content::Varint(_) | Content::Bytes(_) | Content::Fixed32 => Err(Garbage::Type),
        }
    }

    /// The number of a field that must be one.
    pub(crate) const fn varint(&self) -> Result<u64, Garbage> {
        match self.content {
            Content::Varint(number) => Ok(number),
            Content::Fixed64(_) | Content::Bytes(_) | Content::Fixed32 => Err(Garbage::Type),
        }
    }
}

/// The fields of a message, in the order of the input.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    fn field(&mut self) -> Result<Field<'a>, Garbage> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 {
            return Err(Garbage::Number);
        }
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk().ok_or(Garbage::Cut)?;
                self.0 = rest;
                Content::Fixed64(u64::from_le_bytes(*bytes))
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).map_err(|_| Garbage::Cut)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(Garbage::Cut)?;
                self.0 = rest;
                Content::Bytes(bytes)
            }
            5 => {
                let (_, rest) = self.0.split_first_chunk::<4>().ok_or(Garbage::Cut)?;
                self.0 = rest;
                Content::Fixed32
            }
            _ => return Err(Garbage::Type),
        };
        Ok(Field { number, content })
    }

    fn varint(&mut self) -> Result<u64, Garbage> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Garbage::Cut)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Garbage::Number)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Garbage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Result<Vec<Field<'_>>, Garbage> {
        Fields::of(bytes).collect()
    }

    #[test]
    fn fields_are_told_apart() {
        let bytes =
            [&[0x0a, 3, b'a', b'b', b'c', 0x10, 0x96, 1, 0x19][..], &7_u64.to_le_bytes()].concat();
        let fields = all(&bytes).unwrap();
        assert_eq!(fields[0].bytes(), Ok(&b"abc"[..]));
        assert_eq!(fields[1].varint(), Ok(150));
        assert_eq!((fields[2].number, fields[2].fixed64()), (3, Ok(7)));
        assert_eq!(fields[0].varint(), Err(Garbage::Type));
    }

    #[test]
    fn what_is_no_protobuf_is_refused() {
        for (bytes, expected) in [
            (&[0x0a, 4, b'a'][..], Garbage::Cut),
            (&[0x0a], Garbage::Cut),
            (&[0x80], Garbage::Cut),
            (&[0x09, 1, 2], Garbage::Cut),
            (&[0x0d, 1], Garbage::Cut),
            (&[0x02, 0], Garbage::Number),
            (&[0x0b], Garbage::Type),
            (&[0xff; 11], Garbage::Number),
        ] {
            assert_eq!(all(bytes), Err(expected), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _is_protobuf = all(&bytes).is_ok();
        }
    }
}
