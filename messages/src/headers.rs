//! The header block: how a `HeaderMap` becomes bytes and comes back, for heads and trailers alike.
//!
//! Values are bytes, never text: a value outside UTF-8 is legal in HTTP and must survive. Repeats keep their order.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{DecodeError, EncodeError};
use crate::wire::Reader;

/// Most entries in one block; repeats count. Far below the 32 768 at which a `HeaderMap` gives up.
pub const MAX_HEADERS: usize = 256;

/// Longest header name in bytes: its length is one byte on the wire.
pub const MAX_HEADER_NAME: usize = 255;

/// Longest encoded trailer block in bytes. Small against the initial window, so that trailers never wait for credit that
/// cannot come.
pub const MAX_TRAILERS: usize = 16 * 1024;

/// Bytes of the entry count.
const COUNT_LEN: usize = 2;

/// Bytes of the two lengths of one entry.
const ENTRY_OVERHEAD: usize = 3;

/// Length of the encoded block in bytes, after the limits on entries and names.
pub(crate) fn encoded_len(headers: &HeaderMap) -> Result<usize, EncodeError> {
    if headers.len() > MAX_HEADERS {
        return Err(EncodeError::TooManyHeaders {
            count: headers.len(),
        });
    }
    let mut total = COUNT_LEN;
    for (name, value) in headers {
        let len = name.as_str().len();
        if len > MAX_HEADER_NAME {
            return Err(EncodeError::HeaderNameTooLong { len });
        }
        total = total
            .saturating_add(ENTRY_OVERHEAD)
            .saturating_add(len)
            .saturating_add(value.len());
    }
    Ok(total)
}

/// Appends the block. The caller has checked [`encoded_len`] against a limit of at most 64 KiB, so every length fits.
pub(crate) fn put(out: &mut Vec<u8>, headers: &HeaderMap) {
    put_len_u16(out, headers.len());
    for (name, value) in headers {
        put_len_u8(out, name.as_str().len());
        put_len_u16(out, value.len());
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(value.as_bytes());
    }
}

/// Appends a length that a check has bounded.
pub(crate) fn put_len_u8(out: &mut Vec<u8>, len: usize) {
    out.push(u8::try_from(len).expect("lengths were checked before encoding"));
}

/// Appends a length that a check has bounded.
pub(crate) fn put_len_u16(out: &mut Vec<u8>, len: usize) {
    let len = u16::try_from(len).expect("lengths were checked before encoding");
    out.extend_from_slice(&len.to_be_bytes());
}

/// Reads a block; the count is checked before the map is made.
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<HeaderMap, DecodeError> {
    let count = usize::from(reader.u16("header count")?);
    if count > MAX_HEADERS {
        return Err(DecodeError::TooManyHeaders { count });
    }
    let mut headers = HeaderMap::with_capacity(count);
    for index in 0..count {
        let name_len = usize::from(reader.u8("header name length")?);
        let value_len = usize::from(reader.u16("header value length")?);
        let name = reader.bytes(name_len, "header name")?;
        let name =
            HeaderName::from_lowercase(name).map_err(|_| DecodeError::HeaderName { index })?;
        let value = reader.shared(value_len, "header value")?;
        let value = HeaderValue::from_maybe_shared(value)
            .map_err(|_| DecodeError::HeaderValue { index })?;
        headers
            .try_append(name, value)
            .map_err(|_| DecodeError::TooManyHeaders { count })?;
    }
    Ok(headers)
}

/// A whole payload of trailers.
pub(crate) fn encode_trailers(trailers: &HeaderMap) -> Result<Bytes, EncodeError> {
    let len = encoded_len(trailers)?;
    if len > MAX_TRAILERS {
        return Err(EncodeError::TrailersTooLarge { len });
    }
    let mut out = Vec::with_capacity(len);
    put(&mut out, trailers);
    Ok(Bytes::from(out))
}

/// Reads a whole payload of trailers.
pub(crate) fn decode_trailers(payload: &Bytes) -> Result<HeaderMap, DecodeError> {
    if payload.len() > MAX_TRAILERS {
        return Err(DecodeError::TrailersTooLarge { len: payload.len() });
    }
    let mut reader = Reader::new(payload);
    let trailers = read(&mut reader)?;
    reader.finish("trailers")?;
    Ok(trailers)
}
