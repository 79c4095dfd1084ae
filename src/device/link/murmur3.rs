//! The hash by which deployed devices name themselves when they ask for their servers: the first half of
//! MurmurHash3 for 64-bit machines, with the seed 0. It protects nothing.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;
const BLOCK_BYTES: usize = 16;

/// The hash of `bytes`.
pub(super) fn murmur3_64(bytes: &[u8]) -> u64 {
    let mut blocks = bytes.chunks_exact(BLOCK_BYTES);
    let (mut h1, mut h2) = (0u64, 0u64);
    for block in &mut blocks {
        let [k1, k2] = halves(block);
        h1 = (h1 ^ mixed_1(k1)).rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ mixed_2(k2)).rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // What is missing of the last block counts as zeros, and zeros mix to zero.
    let [k1, k2] = halves(blocks.remainder());
    let length = bytes.len() as u64;
    (h1, h2) = (h1 ^ mixed_1(k1) ^ length, h2 ^ mixed_2(k2) ^ length);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    scattered(h1).wrapping_add(scattered(h2))
}

fn halves(block: &[u8]) -> [u64; 2] {
    let mut whole = [0; BLOCK_BYTES];
    whole[..block.len()].copy_from_slice(block);
    let whole = u128::from_le_bytes(whole);
    [whole as u64, (whole >> 64) as u64]
}

fn mixed_1(k1: u64) -> u64 {
    k1.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mixed_2(k2: u64) -> u64 {
    k2.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn scattered(mut h: u64) -> u64 {
    h = (h ^ h >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ h >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ h >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_everybody_takes_for_it() {
        let cases = [
            ("", 0),
            ("hello", 0xcbd8_a7b3_41bd_9b02),
            ("hello, world", 0x342f_ac62_3a5e_bc8e),
            ("19 Jan 2038 at 3:14:07 AM", 0xb89e_5988_b737_affc),
            ("The quick brown fox jumps over the lazy dog.", 0xcd99_481f_9ee9_02c9),
        ];
        for (text, hash) in cases {
            assert_eq!(murmur3_64(text.as_bytes()), hash, "{text}");
        }
    }
}
