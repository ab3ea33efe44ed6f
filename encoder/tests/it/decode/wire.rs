//! The wire format: fields of a message, each with its number, in the order in which they come.

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Varint(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub(super) fn number(self) -> u64 {
        let Self::Varint(v) = self else { panic!("{self:?} is no varint") };
        v
    }

    pub(super) fn double(self) -> f64 {
        let Self::Double(v) = self else { panic!("{self:?} is no double") };
        v
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        let Self::Bytes(v) = self else { panic!("{self:?} is not delimited") };
        v
    }

    pub(super) fn text(self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("strings are UTF-8")
    }
}

/// The next varint, in the fewest bytes.
pub(super) fn varint(bytes: &mut &[u8]) -> u64 {
    let (value, len) = any_varint(bytes);
    assert!(len == 1 || value >> (7 * (len - 1)) != 0, "{value} in {len} bytes");
    value
}

/// The next message of a stream. Its length may have more bytes than it needs: it is written last, into room that was
/// left before the message.
pub(super) fn message<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let (len, _) = any_varint(bytes);
    take(bytes, len)
}

/// Every field of a message.
pub(super) fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Varint(varint(&mut bytes)),
            1 => Field::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let len = varint(&mut bytes);
                Field::Bytes(take(&mut bytes, len))
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

/// The value, and how many bytes it took.
fn any_varint(bytes: &mut &[u8]) -> (u64, u32) {
    let mut value = 0;
    for at in 0..10 {
        let (first, rest) = bytes.split_first().expect("a varint ends");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << (7 * at);
        if first & 0x80 == 0 {
            return (value, at + 1);
        }
    }
    panic!("a varint of more than ten bytes")
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(len as usize);
    *bytes = rest;
    taken
}
