//! A reader over one payload that cannot run past its end and names what was missing.

use bytes::Bytes;

use crate::error::DecodeError;

/// Reads fields in order. Values that are kept are handed out as slices of the payload, so nothing is copied.
pub(crate) struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(whole: &'a Bytes) -> Self {
        Self { whole, rest: whole }
    }

    pub(crate) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        self.array(what).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn bytes(
        &mut self,
        len: usize,
        what: &'static str,
    ) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next `len` bytes as a slice that shares the payload's memory.
    pub(crate) fn shared(&mut self, len: usize, what: &'static str) -> Result<Bytes, DecodeError> {
        self.bytes(len, what)
            .map(|bytes| self.whole.slice_ref(bytes))
    }

    /// A reader of the next `len` bytes alone; this one goes on behind them.
    pub(crate) fn section(&mut self, len: usize, what: &'static str) -> Result<Self, DecodeError> {
        let rest = self.bytes(len, what)?;
        Ok(Self {
            whole: self.whole,
            rest,
        })
    }

    /// All that is left, sharing the payload's memory.
    pub(crate) fn remainder(self) -> Bytes {
        self.whole.slice_ref(self.rest)
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(DecodeError::TrailingBytes { what, extra }),
        }
    }
}
