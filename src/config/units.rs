//! Quantities with units, as they are written in the YAML.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: a number and a unit, e.g. `500ms`, `30s`, `5m`, `12h`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub Duration);

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// A span of whole minutes.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self::secs(minutes * 60)
    }

    /// A span of whole hours.
    #[must_use]
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// The longest span: 3650 days. What adds a span to a point in time cannot overflow.
    const LONGEST: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

    /// Parses a span as it is written in the YAML.
    ///
    /// # Errors
    /// Returns an error if the text is not a number with a unit, or longer than 3650 days.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match humantime::parse_duration(text) {
            Ok(span) if span > Self::LONGEST => Err("must be at most 3650 days"),
            Ok(span) => Ok(Self(span)),
            Err(_) => Err("must be a number with a unit, such as 500ms, 30s, 5m, 12h or 1h 30m"),
        }
    }

    /// Whether it has no length.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "span" })
    }
}

/// A number of bytes: a number with an optional unit `KiB`, `MiB` or `GiB`, e.g. `64KiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// A size in KiB.
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib * 1024)
    }

    /// A size in MiB.
    #[must_use]
    pub const fn mib(mib: u64) -> Self {
        Self::kib(mib * 1024)
    }

    /// Parses a size as it is written in the YAML.
    ///
    /// # Errors
    /// Returns an error if the text is not a whole number with one of the units.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str = "must be a whole number with the unit KiB, MiB or GiB, such as 64KiB";
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
        let number: u64 = digits.parse().map_err(|_| RULE)?;
        let factor: u64 = match text[digits.len()..].trim() {
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(RULE),
        };
        number.checked_mul(factor).map(Self).ok_or(RULE)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 30 && n % (1 << 30) == 0 => write!(f, "{}GiB", n >> 30),
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{}MiB", n >> 20),
            n => write!(f, "{}KiB", n.div_ceil(1024)),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "byte-size" })
    }
}

/// A network in CIDR form, e.g. `10.0.0.0/8` or `fd00::/8`; a bare address is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr(pub IpNet);

impl Cidr {
    /// Parses a network as it is written in the YAML.
    ///
    /// # Errors
    /// Returns an error if the text is neither a network nor an address.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        text.parse()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(Self)
            .map_err(|_| "must be a network such as 10.0.0.0/8 or fd00::/8")
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> Cow<'static, str> {
        "Cidr".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "cidr" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_read_back_as_they_were_written() {
        for text in ["500ms", "30s", "5m", "12h", "1h 30m"] {
            assert_eq!(Span::parse(text).expect(text).to_string(), text);
        }
        for text in ["1KiB", "64KiB", "100MiB", "2GiB"] {
            assert_eq!(ByteSize::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["30", "", "s", "-5s", "five minutes"] {
            assert!(Span::parse(text).is_err(), "{text:?}");
        }
        for text in ["30", "", "KiB", "-1KiB", "1KB", "99999999999GiB"] {
            assert!(ByteSize::parse(text).is_err(), "{text:?}");
        }
    }
}
