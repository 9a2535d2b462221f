//! Compression, told by its first bytes.
//!
//! A small message can stand for a very large one. Reading stops a byte behind the limit, and what a format wants for
//! its window is limited too, so a bomb costs what an honest message of that size does.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use lz4_flex::frame::FrameDecoder as Lz4;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder as Zstd;
use snap::read::FrameDecoder as Snappy;

use super::{Codec, Step, StepError, each};
use crate::event::{Event, Payload};

/// What a window may take: what the format asks every decoder to support (RFC 8878, 3.1.1.1.2).
const WINDOW: u64 = 8 * 1024 * 1024;

/// The same for xz, in KiB: its window and a little more.
const XZ_MEMORY: u32 = 9 * 1024;

/// Decompresses gzip, zlib, xz, snappy, lz4 and zstd. Nothing is compressed on the way out.
#[derive(Debug, Clone, Copy)]
pub struct Decompress {
    /// The most bytes that one message may become.
    pub most: usize,
}

impl Codec for Decompress {
    fn decoder(&self) -> Option<Box<dyn Step>> {
        let most = self.most;
        Some(each(move |mut event: Event| {
            let plain = decompress(&event.take_bytes(), most)?;
            Ok(Some(event.with(Payload::Bytes(plain))))
        }))
    }
}

fn decompress(data: &[u8], most: usize) -> Result<Bytes, StepError> {
    let mut reader = reader(data)?.take(most as u64 + 1);
    let mut plain = Vec::new();
    reader
        .read_to_end(&mut plain)
        .map_err(|error| StepError::Invalid(format!("cannot be decompressed: {error}")))?;
    if plain.len() > most {
        return Err(StepError::TooLarge(format!(
            "decompressed it is larger than {most} bytes"
        )));
    }
    Ok(plain.into())
}

/// The format that the data says it is in.
fn reader(data: &[u8]) -> Result<Box<dyn Read + '_>, StepError> {
    Ok(match data {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(data)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            Box::new(XzReader::new_mem_limit(data, true, XZ_MEMORY))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd(data)?),
        [0x04, 0x22, 0x4d, 0x18, ..] => Box::new(Lz4::new(data)),
        [0xff, 6, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y', ..] => Box::new(Snappy::new(data)),
        // RFC 1950, 2.2: deflate, and both bytes together a multiple of 31.
        [first, second, ..]
            if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0 =>
        {
            Box::new(ZlibDecoder::new(data))
        }
        _ => {
            return Err(StepError::Invalid(
                "not compressed by gzip, zlib, xz, snappy, lz4 or zstd".to_owned(),
            ));
        }
    })
}

fn zstd(data: &[u8]) -> Result<impl Read, StepError> {
    Zstd::new_with_max_window_size(data, WINDOW).map_err(|error| {
        StepError::Invalid(format!(
            "cannot be decompressed: {}",
            io::Error::other(error)
        ))
    })
}

#[cfg(test)]
mod tests;
