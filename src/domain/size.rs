//! Sizes as people read them, in messages.

use std::fmt;

/// A number of bytes with a decimal unit and three digits, as the hub shows sizes: `379 MB`, `16.4 GB`, `512 B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        // Thousandths of the unit, so that no digit is lost before it is rounded.
        let (mut value, mut unit) = (u128::from(self.0) * 1000, 0);
        while value >= 999_500 && unit + 1 < UNITS.len() {
            value /= 1000;
            unit += 1;
        }
        let (whole, part) = (value / 1000, value % 1000);
        let unit = UNITS[unit];
        match whole {
            _ if part == 0 || whole >= 100 => write!(formatter, "{} {unit}", (value + 500) / 1000),
            10.. => {
                let tenths = (value + 50) / 100;
                write!(formatter, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            _ => {
                let hundredths = (value + 5) / 10;
                write!(
                    formatter,
                    "{}.{:02} {unit}",
                    hundredths / 100,
                    hundredths % 100
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1234, "1.23 kB"),
            (12_340, "12.3 kB"),
            (378_536_192, "379 MB"),
            (16_400_000_000, "16.4 GB"),
            (999_499_999, "999 MB"),
            (999_500_000, "1.00 GB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text, "{bytes}");
        }
    }
}
