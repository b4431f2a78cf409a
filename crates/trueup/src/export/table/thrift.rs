//! Structures in Thrift's compact protocol, as far as Parquet's metadata has them.
//!
//! Each field is its distance from the field before and its type in one byte, then its value; a byte of
//! zero ends the structure. Numbers are zigzag varints.
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

const TRUE: u8 = 1;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Elements of a list whose number stands in its first byte.
const SHORT_LIST_MAX: usize = 14;

/// A structure, whose fields come in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    pub(super) fn i32(mut self, field: u8, value: i32) -> Self {
        self.header(field, I32);
        zigzag(&mut self.bytes, value.into());
        self
    }

    pub(super) fn i64(mut self, field: u8, value: i64) -> Self {
        self.header(field, I64);
        zigzag(&mut self.bytes, value);
        self
    }

    pub(super) fn yes(mut self, field: u8) -> Self {
        self.header(field, TRUE);
        self
    }

    pub(super) fn text(mut self, field: u8, text: &str) -> Self {
        self.header(field, BINARY);
        put_text(&mut self.bytes, text);
        self
    }

    pub(super) fn of(mut self, field: u8, value: Self) -> Self {
        self.header(field, STRUCT);
        self.bytes.extend(value.end());
        self
    }

    pub(super) fn i32s(mut self, field: u8, values: &[i32]) -> Self {
        self.list(field, I32, values.len());
        for value in values {
            zigzag(&mut self.bytes, (*value).into());
        }
        self
    }

    pub(super) fn texts(mut self, field: u8, texts: &[&str]) -> Self {
        self.list(field, BINARY, texts.len());
        for text in texts {
            put_text(&mut self.bytes, text);
        }
        self
    }

    /// A list of structures, which have ended and stand one behind the other.
    pub(super) fn structs(mut self, field: u8, count: usize, bytes: &[u8]) -> Self {
        self.list(field, STRUCT, count);
        self.bytes.extend(bytes);
        self
    }

    /// Its bytes.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }

    fn header(&mut self, field: u8, kind: u8) {
        self.bytes.push(field.wrapping_sub(self.last) << 4 | kind);
        self.last = field;
    }

    fn list(&mut self, field: u8, kind: u8, count: usize) {
        self.header(field, LIST);
        match u8::try_from(count) {
            Ok(short) if count <= SHORT_LIST_MAX => self.bytes.push(short << 4 | kind),
            _ => {
                self.bytes.push(0xf0 | kind);
                varint(&mut self.bytes, count as u64);
            }
        }
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    varint(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

fn zigzag(bytes: &mut Vec<u8>, value: i64) {
    varint(bytes, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
pub(super) fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_the_specification_has_them() {
        let inner = Struct::default().yes(1).of(2, Struct::default().of(1, Struct::default()));
        let bytes = Struct::default().i32(1, -1).i64(3, 150).text(4, "é").of(8, inner).end();
        let expected = [
            0x15, 0x01, 0x26, 0xac, 0x02, 0x18, 0x02, 0xc3, 0xa9, 0x4c, 0x11, 0x1c, 0x1c, 0x00,
            0x00, 0x00, 0x00,
        ];
        assert_eq!(bytes, expected);
        let lists = Struct::default().i32s(2, &[0, 3]).texts(3, &["a"]).end();
        assert_eq!(lists, [0x29, 0x25, 0x00, 0x06, 0x19, 0x18, 0x01, b'a', 0x00]);
        let long = Struct::default().i32s(1, &[0; 200]).end();
        assert_eq!(long[..4], [0x19, 0xf5, 0xc8, 0x01]);
        assert_eq!(long.len(), 4 + 200 + 1);
    }

    #[test]
    fn numbers_reach_their_ends() {
        let written = |value| {
            let mut bytes = Vec::new();
            zigzag(&mut bytes, value);
            bytes
        };
        assert_eq!(written(i64::MAX), [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(written(i64::MIN), [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    }
}
