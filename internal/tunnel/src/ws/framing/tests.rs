//! Each form of a header, both ways, and each that is none.

use super::*;

fn encoded(header: Header) -> Vec<u8> {
    let mut bytes = [0; MAX_HEADER];
    let len = header.encode(&mut bytes);
    bytes[..len].to_vec()
}

fn binary(len: u64, key: Option<Key>) -> Header {
    Header {
        fin: true,
        opcode: Opcode::Binary,
        key,
        len,
    }
}

#[test]
fn headers_have_the_bytes_of_the_rfc() {
    let key = Some(Key::new([0x37, 0xfa, 0x21, 0x3d]));
    // The examples of section 5.7, and the other forms in their likeness.
    for (header, bytes) in [
        (binary(0, None), "8200"),
        (binary(125, None), "827d"),
        (binary(126, None), "827e007e"),
        (binary(256, None), "827e0100"),
        (binary(65_535, None), "827effff"),
        (binary(65_536, None), "827f0000000000010000"),
        (binary(5, key), "828537fa213d"),
        (binary(256, key), "82fe010037fa213d"),
        (binary(65_536, key), "82ff000000000001000037fa213d"),
        (binary(5, Some(Key::ZERO)), "828500000000"),
        (
            Header {
                fin: false,
                ..binary(3, None)
            },
            "0203",
        ),
        (
            Header {
                opcode: Opcode::Continuation,
                ..binary(2, None)
            },
            "8002",
        ),
        (
            Header {
                opcode: Opcode::Ping,
                ..binary(5, None)
            },
            "8905",
        ),
        (
            Header {
                opcode: Opcode::Pong,
                ..binary(5, key)
            },
            "8a8537fa213d",
        ),
        (
            Header {
                opcode: Opcode::Close,
                ..binary(2, None)
            },
            "8802",
        ),
    ] {
        let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes()).unwrap();
        assert_eq!(encoded(header), bytes, "{header:?}");
        assert_eq!(Header::decode(&bytes), Ok(Some((header, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(
                Header::decode(&bytes[..cut]),
                Ok(None),
                "{header:?} cut at {cut}"
            );
        }
        let followed = [&bytes[..], b"payload"].concat();
        assert_eq!(Header::decode(&followed), Ok(Some((header, bytes.len()))));
    }
}

#[test]
fn every_length_survives_in_its_shortest_form() {
    for key in [None, Some(Key::new([1, 2, 3, 4]))] {
        let around = |edge: u64| edge.saturating_sub(2)..edge + 2;
        for len in [1, 125, 126, 65_536, 1 << 31, 1 << 40]
            .into_iter()
            .flat_map(around)
        {
            let header = binary(len, key);
            let bytes = encoded(header);
            assert_eq!(Header::decode(&bytes), Ok(Some((header, bytes.len()))));
        }
    }
}

#[test]
fn a_header_that_breaks_a_rule_is_refused_and_the_rule_named() {
    use Violation as V;
    for (bytes, rule) in [
        (&[0xc2, 0][..], V::ReservedBits),
        (&[0xa2, 0], V::ReservedBits),
        (&[0x92, 0], V::ReservedBits),
        (&[0x81, 0], V::Text),
        (&[0x01, 0], V::Text),
        (&[0x83, 0], V::Opcode(3)),
        (&[0x87, 0], V::Opcode(7)),
        (&[0x8b, 0], V::Opcode(11)),
        (&[0x8f, 0], V::Opcode(15)),
        (&[0x08, 0], V::FragmentedControl),
        (&[0x09, 0], V::FragmentedControl),
        (&[0x0a, 0], V::FragmentedControl),
        (&[0x89, 126], V::LongControl),
        (&[0x88, 127], V::LongControl),
        (&[0x8a, 126 | 0x80], V::LongControl),
        (&[0x82, 126, 0, 125], V::LongLength),
        (&[0x82, 126, 0, 0], V::LongLength),
        (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], V::LongLength),
        (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], V::NegativeLength),
        (&[0x82, 127, 0xff, 0, 0, 0, 0, 1, 0, 0], V::NegativeLength),
    ] {
        assert_eq!(Header::decode(bytes), Err(rule), "{bytes:x?}");
    }
}
