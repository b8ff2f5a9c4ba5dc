//! As much of the [protobuf encoding](https://protobuf.dev/programming-guides/encoding/) as messages of
//! numbers and bytes need. Reading checks every length against what is there before it takes anything.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A varint.
    Number(u64),
    /// A length and as many bytes: bytes, a string or a message.
    Bytes(&'a [u8]),
    /// Eight or four bytes, which no message here has.
    Fixed,
}

/// Wire types.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;
/// Most bytes of a varint of 64 bits.
const VARINT_MAX: usize = 10;

type Read<T> = Result<T, &'static str>;

/// The fields of a message with their numbers, in their order; ends with the first mistake.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Read<(u64, Field<'_>)>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(&mut rest);
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn field<'a>(rest: &mut &'a [u8]) -> Read<(u64, Field<'a>)> {
    let tag = varint(rest)?;
    let number = tag >> 3;
    if number == 0 {
        return Err("has a field with the number 0");
    }
    let field = match tag & 7 {
        VARINT => Field::Number(varint(rest)?),
        LENGTH => {
            let length = varint(rest)?;
            Field::Bytes(take(rest, usize::try_from(length).unwrap_or(usize::MAX))?)
        }
        FIXED_64 => take(rest, 8).map(|_| Field::Fixed)?,
        FIXED_32 => take(rest, 4).map(|_| Field::Fixed)?,
        _ => return Err("has a field of a wire type that is not used any more"),
    };
    Ok((number, field))
}

fn varint(rest: &mut &[u8]) -> Read<u64> {
    let mut value = 0_u64;
    for at in 0..VARINT_MAX {
        let byte = take(rest, 1)?[0];
        // The tenth byte has room for one bit.
        if at == VARINT_MAX - 1 && byte > 1 {
            return Err("has a number of more than 64 bits");
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("has a number of more than 64 bits")
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Read<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length).ok_or("ends in the middle of a field")?;
    *rest = left;
    Ok(taken)
}

/// Adds a field of a number.
pub(super) fn put_number(message: &mut Vec<u8>, number: u64, value: u64) {
    put_varint(message, number << 3 | VARINT);
    put_varint(message, value);
}

/// Adds a field of bytes, of a string, or of a message.
pub(super) fn put_bytes(message: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(message, number << 3 | LENGTH);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}
