//! Amounts of resources as users write them (`500m`, `2`, `64Mi`, `1G`) and exact arithmetic with them.
//! Knows no pod and no node.

use std::{fmt, str::FromStr};

use crate::v1::ResourceList;

/// The text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuantity {
    /// Nothing there.
    #[error("the amount is empty")]
    Empty,
    /// Does not start with a plain decimal number.
    #[error("{text:?} is not a number with a unit: write {example}")]
    NotANumber {
        /// What was found.
        text: String,
        /// What it could look like.
        example: &'static str,
    },
    /// The number is followed by something that is no unit of this resource.
    #[error("{unit:?} in {text:?} is not a unit: use {units}")]
    UnknownUnit {
        /// What was found.
        text: String,
        /// The part after the number.
        unit: String,
        /// What is possible.
        units: &'static str,
    },
    /// Finer than the resource can be divided.
    #[error("{text:?} is finer than the smallest amount, {smallest}")]
    TooFine {
        /// What was found.
        text: String,
        /// The smallest amount.
        smallest: &'static str,
    },
    /// Does not fit 64 bits.
    #[error("{text:?} is too large")]
    TooLarge {
        /// What was found.
        text: String,
    },
}

/// How one resource is written.
struct Syntax {
    /// Unit and factor into the smallest amount.
    units: &'static [(&'static str, u64)],
    units_text: &'static str,
    example: &'static str,
    smallest: &'static str,
}

const CPU: Syntax = Syntax {
    units: &[("", 1_000), ("m", 1)],
    units_text: "none for cores, m for thousandths",
    example: "500m or 2",
    smallest: "1m",
};

const SCALES: &[(&str, u64)] = &[
    ("", 1),
    ("k", 1_000),
    ("K", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
];

const BYTES: Syntax = Syntax {
    units: SCALES,
    units_text: "none for bytes, k M G T P E for powers of 1000, Ki Mi Gi Ti Pi Ei for powers of 1024",
    example: "64Mi or 1G",
    smallest: "one byte",
};

const BITS: Syntax = Syntax {
    units: SCALES,
    units_text: "none for bits per second, k M G T P E for powers of 1000, Ki Mi Gi Ti Pi Ei for powers of 1024",
    example: "100M or 1G",
    smallest: "one bit per second",
};

const DEVICES: Syntax = Syntax { units: &[("", 1)], units_text: "none", example: "1", smallest: "one device" };

impl Syntax {
    fn parse(&self, text: &str) -> Result<u64, BadQuantity> {
        if text.is_empty() {
            return Err(BadQuantity::Empty);
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(BadQuantity::NotANumber { text: text.to_owned(), example: self.example });
        }
        let Some(&(_, factor)) = self.units.iter().find(|(name, _)| *name == unit) else {
            return Err(BadQuantity::UnknownUnit {
                text: text.to_owned(),
                unit: unit.to_owned(),
                units: self.units_text,
            });
        };
        self.combine(text, whole, fraction.trim_end_matches('0'), factor)
    }

    fn combine(&self, text: &str, whole: &str, fraction: &str, factor: u64) -> Result<u64, BadQuantity> {
        let too_large = || BadQuantity::TooLarge { text: text.to_owned() };
        let too_fine = || BadQuantity::TooFine { text: text.to_owned(), smallest: self.smallest };
        let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(factor)).ok_or_else(too_large)?;
        if fraction.is_empty() {
            return Ok(whole);
        }
        // 10^18 is the finest that any factor here can be divided by.
        let places = u32::try_from(fraction.len()).ok().filter(|places| *places <= 18).ok_or_else(too_fine)?;
        let numerator = fraction.parse::<u128>().map_err(|_| too_fine())? * u128::from(factor);
        let denominator = 10u128.pow(places);
        if numerator % denominator != 0 {
            return Err(too_fine());
        }
        u64::try_from(numerator / denominator).ok().and_then(|part| whole.checked_add(part)).ok_or_else(too_large)
    }
}

macro_rules! quantity {
    ($($(#[$doc:meta])* $name:ident, $syntax:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl FromStr for $name {
            type Err = BadQuantity;

            fn from_str(text: &str) -> Result<Self, BadQuantity> {
                $syntax.parse(text).map($name)
            }
        }
    )*};
}
quantity! {
    /// Processor time, in thousandths of a core.
    MilliCpu, CPU;
    /// Memory or storage, in bytes.
    Bytes, BYTES;
    /// Network bandwidth, in bits per second.
    BitsPerSecond, BITS;
    /// Whole devices.
    Devices, DEVICES;
}

impl fmt::Display for MilliCpu {
    /// `2` or `1500m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1_000) { write!(f, "{}", self.0 / 1_000) } else { write!(f, "{}m", self.0) }
    }
}

impl fmt::Display for Bytes {
    /// With the largest binary unit that divides it, else the largest decimal one: `64Mi`, `1500M`, `17`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, "i")
    }
}

impl fmt::Display for BitsPerSecond {
    /// With the largest decimal unit that divides it: `100M`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_scaled(f, self.0, "")
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn write_scaled(f: &mut fmt::Formatter<'_>, amount: u64, preferred_ending: &str) -> fmt::Result {
    let divides =
        |&&(unit, factor): &&(&str, u64)| factor > 1 && unit != "K" && amount != 0 && amount.is_multiple_of(factor);
    let preferred = SCALES
        .iter()
        .rev()
        .filter(divides)
        .find(|(unit, _)| !preferred_ending.is_empty() && unit.ends_with(preferred_ending));
    let decimal = || SCALES.iter().rev().filter(divides).find(|(unit, _)| !unit.ends_with('i'));
    match preferred.or_else(decimal) {
        Some((unit, factor)) => write!(f, "{}{unit}", amount / factor),
        None => write!(f, "{amount}"),
    }
}

/// A parsed [`ResourceList`]; what is not named is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Amounts {
    /// Processor time.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
    /// Scratch space.
    pub ephemeral_storage: Bytes,
    /// Whole devices.
    pub gpu: Devices,
    /// Bandwidth.
    pub network_bandwidth: BitsPerSecond,
}

/// A field of a [`ResourceList`] that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {source}")]
pub struct BadField {
    /// Its name in manifests: `cpu`, `ephemeralStorage`.
    pub field: &'static str,
    /// What is wrong with it.
    pub source: BadQuantity,
}

impl TryFrom<&ResourceList> for Amounts {
    type Error = BadField;

    fn try_from(list: &ResourceList) -> Result<Self, BadField> {
        fn field<Q: FromStr<Err = BadQuantity> + Default>(field: &'static str, text: &str) -> Result<Q, BadField> {
            if text.is_empty() { Ok(Q::default()) } else { text.parse().map_err(|source| BadField { field, source }) }
        }
        Ok(Self {
            cpu: field("cpu", &list.cpu)?,
            memory: field("memory", &list.memory)?,
            disk: field("disk", &list.disk)?,
            ephemeral_storage: field("ephemeralStorage", &list.ephemeral_storage)?,
            gpu: field("gpu", &list.gpu)?,
            network_bandwidth: field("networkBandwidth", &list.network_bandwidth)?,
        })
    }
}

impl Amounts {
    /// Each amount with its name in manifests, in the order of [`ResourceList`].
    #[must_use]
    pub fn fields(&self) -> [(&'static str, u64); 6] {
        [
            ("cpu", self.cpu.0),
            ("memory", self.memory.0),
            ("disk", self.disk.0),
            ("ephemeralStorage", self.ephemeral_storage.0),
            ("gpu", self.gpu.0),
            ("networkBandwidth", self.network_bandwidth.0),
        ]
    }

    /// The sum; `None` when one of them does not fit 64 bits.
    #[must_use]
    pub fn checked_add(&self, other: &Self) -> Option<Self> {
        self.zip(other, u64::checked_add)
    }

    /// What is left; never below 0.
    #[must_use]
    pub fn saturating_sub(&self, other: &Self) -> Self {
        self.zip(other, |ours, theirs| Some(ours.saturating_sub(theirs))).unwrap_or_default()
    }

    /// The names of the amounts that are more than what `room` has.
    #[must_use]
    pub fn exceeding(&self, room: &Self) -> Vec<&'static str> {
        let pairs = self.fields().into_iter().zip(room.fields());
        pairs.filter(|((_, wanted), (_, there))| wanted > there).map(|((name, _), _)| name).collect()
    }

    fn zip(&self, other: &Self, combine: fn(u64, u64) -> Option<u64>) -> Option<Self> {
        Some(Self {
            cpu: MilliCpu(combine(self.cpu.0, other.cpu.0)?),
            memory: Bytes(combine(self.memory.0, other.memory.0)?),
            disk: Bytes(combine(self.disk.0, other.disk.0)?),
            ephemeral_storage: Bytes(combine(self.ephemeral_storage.0, other.ephemeral_storage.0)?),
            gpu: Devices(combine(self.gpu.0, other.gpu.0)?),
            network_bandwidth: BitsPerSecond(combine(self.network_bandwidth.0, other.network_bandwidth.0)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cores_are_read_in_thousandths() {
        for (text, milli) in
            [("0", 0), ("2", 2_000), ("500m", 500), ("0.5", 500), ("1.25", 1_250), ("1.500", 1_500), ("2.0m", 2)]
        {
            assert_eq!(text.parse(), Ok(MilliCpu(milli)), "{text}");
        }
    }

    #[test]
    fn bytes_know_powers_of_1000_and_of_1024() {
        for (text, bytes) in [
            ("17", 17),
            ("1k", 1_000),
            ("1K", 1_000),
            ("1G", 1_000_000_000),
            ("64Mi", 64 << 20),
            ("1.5Gi", 3 << 29),
            ("15Ei", 15 << 60),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn each_bad_amount_has_its_own_error() {
        fn kind<Q: FromStr<Err = BadQuantity>>(text: &str) -> &'static str {
            match text.parse::<Q>().err() {
                None => "good",
                Some(BadQuantity::Empty) => "empty",
                Some(BadQuantity::NotANumber { .. }) => "not a number",
                Some(BadQuantity::UnknownUnit { .. }) => "unknown unit",
                Some(BadQuantity::TooFine { .. }) => "too fine",
                Some(BadQuantity::TooLarge { .. }) => "too large",
            }
        }
        for (text, expected) in [
            ("", "empty"),
            ("m", "not a number"),
            ("-1", "not a number"),
            ("+1", "not a number"),
            (".5", "not a number"),
            ("1.", "not a number"),
            ("1.2.3", "not a number"),
            (" 1", "not a number"),
            ("1 ", "unknown unit"),
            ("1Mi", "unknown unit"),
            ("1e3", "unknown unit"),
            ("0.0005", "too fine"),
            ("0.5m", "too fine"),
            ("0.0000000000000000000000000001", "too fine"),
            ("18446744073709551616", "too large"),
            ("18446744073709552", "too large"),
        ] {
            assert_eq!(kind::<MilliCpu>(text), expected, "{text}");
        }
        for (text, expected) in
            [("1m", "unknown unit"), ("1MiB", "unknown unit"), ("0.1Ki", "too fine"), ("16Ei", "too large")]
        {
            assert_eq!(kind::<Bytes>(text), expected, "{text}");
        }
        assert_eq!(kind::<Devices>("0.5"), "too fine");
        assert_eq!(kind::<Devices>("1k"), "unknown unit");
    }

    #[test]
    fn a_list_names_its_bad_field() {
        let list = ResourceList { cpu: "1".into(), ephemeral_storage: "1X".into(), ..Default::default() };
        assert_eq!(Amounts::try_from(&list).unwrap_err().field, "ephemeralStorage");
    }

    #[test]
    fn what_exceeds_the_room_is_named() {
        let wanted = Amounts { cpu: MilliCpu(2), memory: Bytes(1), gpu: Devices(1), ..Default::default() };
        let room = Amounts { cpu: MilliCpu(1), memory: Bytes(1), ..Default::default() };
        assert_eq!(wanted.exceeding(&room), ["cpu", "gpu"]);
        assert_eq!(room.saturating_sub(&wanted), Amounts::default());
        assert_eq!(Amounts { cpu: MilliCpu(u64::MAX), ..room }.checked_add(&wanted), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(amount: u64, scale in 0u32..64) {
            let amount = amount >> scale;
            prop_assert_eq!(MilliCpu(amount).to_string().parse(), Ok(MilliCpu(amount)));
            prop_assert_eq!(Bytes(amount).to_string().parse(), Ok(Bytes(amount)));
            prop_assert_eq!(Bytes(amount & !0xf_ffff).to_string().parse(), Ok(Bytes(amount & !0xf_ffff)));
            prop_assert_eq!(BitsPerSecond(amount).to_string().parse(), Ok(BitsPerSecond(amount)));
            prop_assert_eq!(Devices(amount).to_string().parse(), Ok(Devices(amount)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = (text.parse::<MilliCpu>(), text.parse::<Bytes>());
        }
    }
}
