//! Bytes as a gzip stream without compression: correct for every reader, and longer than its content.

/// Wraps bytes in gzip, in stored blocks.
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let blocks: Vec<&[u8]> = if bytes.is_empty() {
        vec![bytes]
    } else {
        bytes.chunks(0xffff).collect()
    };
    for (number, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).expect("a block has at most 65535 bytes");
        out.push(u8::from(number + 1 == blocks.len()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(*block);
    }
    out.extend(crc32(bytes).to_le_bytes());
    // The format keeps the length modulo 2^32.
    out.extend(&(bytes.len() as u64).to_le_bytes()[..4]);
    out
}

/// A gzip stream of about a hundredth of `size` that unpacks to `size` zeros; its checksum is wrong.
///
/// One block with the fixed codes: a zero, then copies of the 258 bytes before.
pub(super) fn bomb(size: u64) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let (mut held, mut count) = (0u64, 0u32);
    let mut put = |bits: &str| {
        for bit in bits.bytes() {
            held |= u64::from(bit == b'1') << count;
            count += 1;
            if count == 8 {
                out.push(held.to_le_bytes()[0]);
                (held, count) = (0, 0);
            }
        }
    };
    // Last block, fixed codes; the literal 0; then pairs of length 258 and distance 1.
    put("110");
    put("00110000");
    for _ in 0..size / 258 {
        put("1100010100000");
    }
    put("0000000");
    put("0000000");
    out.extend([0; 4]);
    out.extend(&size.to_le_bytes()[..4]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256u32)
        .map(|n| {
            (0..8).fold(n, |c, _| {
                if c & 1 == 1 {
                    0xEDB8_8320 ^ (c >> 1)
                } else {
                    c >> 1
                }
            })
        })
        .collect();
    !bytes.iter().fold(!0u32, |crc, byte| {
        table[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
    }
}
