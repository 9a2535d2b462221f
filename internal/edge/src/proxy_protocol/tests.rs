//! Headers whole, in pieces and broken.

use super::*;

/// The signature, then the given bytes, with the right length before the third.
fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [
        v2::PROTOCOL_PREFIX,
        &[version_and_command, family],
        &len,
        rest,
    ]
    .concat()
}

/// 192.0.2.7:4711 to 192.0.2.1:443.
const IPV4: [u8; 12] = [192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 1, 187];

fn source(first: &[u8]) -> Option<SocketAddr> {
    match read(first) {
        Opening::Header { source, .. } => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_names_the_visitor() {
    let seven = "192.0.2.7:4711".parse().ok();
    let text = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    assert_eq!(source(text), seven);
    assert_eq!(source(&binary(0x21, 0x11, &IPV4)), seven);
    let text = b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n";
    assert_eq!(source(text), "[2001:db8::7]:4711".parse().ok());
    let mut ipv6 = [0; 36];
    ipv6[..2].copy_from_slice(&[0x20, 0x01]);
    ipv6[15] = 7;
    assert_eq!(
        source(&binary(0x21, 0x21, &ipv6)),
        "[2001::7]:0".parse().ok()
    );
}

#[test]
fn what_follows_a_header_is_not_part_of_it() {
    let text = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";
    let extended = binary(0x21, 0x11, &[&IPV4[..], &[1, 0, 2, b'h', b'2']].concat());
    for header in [&text[..], &extended] {
        let all = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert!(matches!(read(&all), Opening::Header { len, .. } if len == header.len()));
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_names_nobody() {
    for header in [
        &b"PROXY UNKNOWN\r\n"[..],
        b"PROXY UNKNOWN ffff:f::1 ffff::1 1 2\r\n",
        &binary(0x20, 0x00, &[]),
        &binary(0x20, 0x11, &IPV4),
        &binary(0x21, 0x00, &[]),
        &binary(0x21, 0x31, &[b'/'; 216]),
    ] {
        assert_eq!(source(header), None, "{header:?}");
    }
}

#[test]
fn a_header_in_pieces_is_waited_for() {
    for header in [
        b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        binary(0x21, 0x11, &IPV4),
    ] {
        for len in 0..header.len() {
            assert_eq!(read(&header[..len]), Opening::Unknown, "{len} bytes");
        }
    }
}

#[test]
fn requests_are_no_headers_even_where_they_begin_alike() {
    for first in [
        "GET / HTTP/1.1\r\n",
        "PROPFIND / HTTP/1.1\r\n",
        "PROXYING / HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\n",
    ] {
        assert_eq!(read(first.as_bytes()), Opening::Other, "{first}");
    }
}

#[test]
fn what_breaks_the_rules_is_malformed() {
    let endless = [TEXT, &[b'1'; MAX_TEXT]].concat();
    let long = binary(0x21, 0x11, &[0; MAX_BINARY]);
    for header in [
        &b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n"[..],
        b"PROXY TCP4 192.0.2.700 192.0.2.1 4711 443\r\n",
        b"PROXY TCP4 ::1 ::1 4711 443\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 65536\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.1 4711 443\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443 \r\n",
        b"PROXY \xff\r\n",
        &endless,
        &binary(0x11, 0x11, &IPV4),
        &binary(0x22, 0x11, &IPV4),
        &binary(0x21, 0x11, &IPV4[..11]),
        &binary(0x21, 0x91, &IPV4),
        // Its length alone says that it is too long.
        &long[..BINARY_FIXED],
    ] {
        assert_eq!(read(header), Opening::Malformed, "{header:?}");
    }
}
