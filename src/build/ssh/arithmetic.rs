//! The one thing of RSA that a key's file leaves out and `ring` wants: the private exponent reduced by each prime.

/// Largest number in bytes: the largest RSA modulus that `ring` signs with has 4096 bits.
pub(super) const NUMBER_BYTES_MAX: usize = 512;

/// Returns `value mod (prime - 1)`, big-endian without leading zeros; `None` when a number is larger than [`NUMBER_BYTES_MAX`] or the prime
/// is less than 2.
///
/// It takes a time that depends on the numbers, once, before there is anybody to take it.
pub(super) fn exponent_of(value: &[u8], prime: &[u8]) -> Option<Vec<u8>> {
    let (value, mut modulus) = (trimmed(value), trimmed(prime).to_vec());
    if value.len() > NUMBER_BYTES_MAX || modulus.len() > NUMBER_BYTES_MAX || modulus <= vec![1] {
        return None;
    }
    // A prime is odd, or 2: nothing is borrowed; of an even number the borrow runs on.
    for byte in modulus.iter_mut().rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    // One byte more than the modulus, for the bit that doubling adds.
    modulus.insert(0, 0);
    let mut rest = vec![0; modulus.len()];
    for byte in value {
        for bit in (0..8).rev() {
            let mut carry = byte >> bit & 1;
            for digit in rest.iter_mut().rev() {
                let out = *digit >> 7;
                *digit = *digit << 1 | carry;
                carry = out;
            }
            if rest >= modulus {
                subtract(&mut rest, &modulus);
            }
        }
    }
    Some(trimmed(&rest).to_vec())
}

/// Returns a number without its leading zeros.
pub(super) fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// Subtracts a number of the same length that is not larger.
fn subtract(from: &mut [u8], number: &[u8]) {
    let mut borrow = false;
    for (digit, less) in from.iter_mut().zip(number).rev() {
        let (difference, below) = digit.overflowing_sub(*less);
        let (difference, below_again) = difference.overflowing_sub(u8::from(borrow));
        borrow = below || below_again;
        *digit = difference;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_processor_says(value: u128, prime in 2_u128..) {
            let expected = (value % (prime - 1)).to_be_bytes();
            let found = exponent_of(&value.to_be_bytes(), &prime.to_be_bytes()).unwrap();
            prop_assert_eq!(&found[..], trimmed(&expected));
        }
    }

    #[test]
    fn numbers_have_limits() {
        let large = [1; NUMBER_BYTES_MAX + 1];
        assert_eq!(exponent_of(&large, &[3]), None);
        assert_eq!(exponent_of(&[1], &large), None);
        for prime in [&[][..], &[0], &[0, 1]] {
            assert_eq!(exponent_of(&[5], prime), None);
        }
        assert_eq!(exponent_of(&[1, 0], &[1, 0]), Some(vec![1]));
        assert_eq!(exponent_of(&[9], &[2]), Some(Vec::new()));
    }
}
