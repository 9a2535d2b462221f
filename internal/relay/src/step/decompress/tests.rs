use std::io::Write as _;

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::super::testing::{give, ok};
use super::*;

const LIMIT: usize = 100_000;

/// `zstd -c` of `snot`, and of a million zeros.
const ZSTD: &str = "28b52ffd0458210000736e6f7479d168b9";
const ZSTD_BOMB: &str = "28b52ffd04585400001000000100fbff39c00202001000020010000200100002001000020010000200100003120a00ccaeca39";

/// `xz -c` of `snot`, and `xz -9 -c` of it, which wants a window of 64 MiB.
const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3010003736e6f7400a9f0db5ccdc31c7100011c046f2c9cc11fb6f37d010000000004595a";
const XZ_WIDE: &str = "fd377a585a000004e6d6b446020021011c00000010cf58cc010003736e6f7400a9f0db5ccdc31c7100011c046f2c9cc11fb6f37d010000000004595a";

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut to = GzEncoder::new(Vec::new(), Compression::best());
    to.write_all(data).unwrap();
    to.finish().unwrap()
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut to = ZlibEncoder::new(Vec::new(), Compression::best());
    to.write_all(data).unwrap();
    to.finish().unwrap()
}

fn lz4(data: &[u8]) -> Vec<u8> {
    let mut to = lz4_flex::frame::FrameEncoder::new(Vec::new());
    to.write_all(data).unwrap();
    to.finish().unwrap()
}

fn snappy(data: &[u8]) -> Vec<u8> {
    let mut to = snap::write::FrameEncoder::new(Vec::new());
    to.write_all(data).unwrap();
    to.into_inner().unwrap()
}

fn step() -> Box<dyn Step> {
    Decompress { most: LIMIT }.decoder().unwrap()
}

#[test]
fn each_format_is_told_by_its_first_bytes() {
    let data = b"snot";
    for message in [
        gzip(data),
        zlib(data),
        lz4(data),
        snappy(data),
        hex(ZSTD),
        hex(XZ),
    ] {
        assert_eq!(give(&mut *step(), &message), ok(&["snot"]), "{message:x?}");
    }
}

#[test]
fn a_bomb_is_refused_at_the_limit_and_the_next_message_works() {
    let zeros = vec![0; 1_000_000];
    let mut step = step();
    for bomb in [
        gzip(&zeros),
        zlib(&zeros),
        lz4(&zeros),
        snappy(&zeros),
        hex(ZSTD_BOMB),
    ] {
        assert!(bomb.len() < LIMIT, "{} bytes", bomb.len());
        let refused = give(&mut *step, bomb);
        assert!(
            matches!(&*refused, [Err(StepError::TooLarge(_))]),
            "{refused:?}"
        );
        assert_eq!(give(&mut *step, gzip(b"snot")), ok(&["snot"]));
    }
}

#[test]
fn what_wants_a_wide_window_is_refused_before_it_gets_one() {
    let refused = give(&mut *step(), hex(XZ_WIDE));
    assert!(
        matches!(&*refused, [Err(StepError::Invalid(_))]),
        "{refused:?}"
    );
    // A frame header with a window of 128 MiB (RFC 8878, 3.1.1.1.2).
    let refused = give(&mut *step(), hex("28b52ffd0088210000736e6f74"));
    assert!(
        matches!(&*refused, [Err(StepError::Invalid(_))]),
        "{refused:?}"
    );
}

#[test]
fn what_is_not_compressed_or_ends_early_is_refused() {
    let mut whole = gzip(b"snot");
    whole.truncate(whole.len() - 9);
    for message in [b"snot".to_vec(), Vec::new(), vec![0x1f], whole] {
        let refused = give(&mut *step(), &message);
        assert!(
            matches!(&*refused, [Err(StepError::Invalid(_))]),
            "{message:x?}: {refused:?}"
        );
    }
}
