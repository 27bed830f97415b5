//! The ways in which a field travels, a module each: `write` makes the wire's value, `read` checks it and names the
//! field in its error. The conversions of whole messages are made of them; use them directly for messages that have no
//! twin in the model.

use super::error::{AtField, InField, InvalidWire};
use super::time;

/// An enum of the model that is an enum on the wire; the wire's zero is none of its values.
pub trait WireEnum: Copy + Sized + 'static {
    /// Every value, in the wire's order.
    const ALL: &'static [Self];

    fn to_wire(self) -> i32;

    fn from_wire(value: i32) -> Result<Self, InvalidWire>;
}

/// The same on both sides, and any value will do.
pub mod plain {
    use super::InvalidWire;

    pub fn write<T>(value: T) -> T {
        value
    }

    pub fn read<T>(value: T, _field: &str) -> Result<T, InvalidWire> {
        Ok(value)
    }
}

/// A line, a column, a how-manieth: counted from 1.
pub mod from_one {
    use super::InvalidWire;

    pub fn write<T>(value: T) -> T {
        value
    }

    pub fn read<T: From<u8> + PartialEq>(value: T, field: &str) -> Result<T, InvalidWire> {
        if value == T::from(0) { Err(InvalidWire::new(field, "is 0; it counts from 1")) } else { Ok(value) }
    }
}

/// The same, and 0 on the wire when there is none.
pub mod optional_from_one {
    use super::InvalidWire;

    #[must_use]
    pub fn write(value: Option<u32>) -> u32 {
        value.unwrap_or_default()
    }

    pub fn read(value: u32, _field: &str) -> Result<Option<u32>, InvalidWire> {
        Ok(Some(value).filter(|value| *value != 0))
    }
}

/// A text that is empty on the wire when there is none.
pub mod optional_text {
    use super::InvalidWire;

    #[must_use]
    pub fn write(text: Option<String>) -> String {
        text.unwrap_or_default()
    }

    pub fn read(text: String, _field: &str) -> Result<Option<String>, InvalidWire> {
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

/// An identifier with a type of its own.
pub mod name {
    use std::str::FromStr;

    use stopover_model::id::InvalidId;

    use super::{AtField, InvalidWire};

    pub fn write(name: impl Into<String>) -> String {
        name.into()
    }

    pub fn read<T: FromStr<Err = InvalidId>>(text: impl AsRef<str>, field: &str) -> Result<T, InvalidWire> {
        text.as_ref().parse().map_err(|error| InvalidWire::from(error).at_field(field))
    }
}

/// An identifier that is empty on the wire when there is none.
pub mod optional_name {
    use std::str::FromStr;

    use stopover_model::id::InvalidId;

    use super::InvalidWire;

    pub fn write(name: Option<impl Into<String>>) -> String {
        name.map(Into::into).unwrap_or_default()
    }

    pub fn read<T: FromStr<Err = InvalidId>>(
        text: impl AsRef<str>,
        field: &str,
    ) -> Result<Option<T>, InvalidWire> {
        if text.as_ref().is_empty() { Ok(None) } else { super::name::read(text, field).map(Some) }
    }
}

/// Several identifiers.
pub mod names {
    use std::str::FromStr;

    use stopover_model::id::InvalidId;

    use super::InvalidWire;

    pub fn write<T: Into<String>>(names: Vec<T>) -> Vec<String> {
        names.into_iter().map(Into::into).collect()
    }

    pub fn read<T: FromStr<Err = InvalidId>>(texts: Vec<String>, field: &str) -> Result<Vec<T>, InvalidWire> {
        super::each(texts, field, |text| super::name::read(text, ""))
    }
}

/// What has a text of its own, and says in words what is wrong with one.
pub mod parsed {
    use std::str::FromStr;

    use super::InvalidWire;

    #[expect(clippy::needless_pass_by_value, reason = "fields are written by value, of whatever kind")]
    pub fn write(value: impl ToString) -> String {
        value.to_string()
    }

    #[expect(clippy::needless_pass_by_value, reason = "fields are read by value, of whatever kind")]
    pub fn read<T: FromStr<Err = String>>(text: String, field: &str) -> Result<T, InvalidWire> {
        text.parse().map_err(|why: String| InvalidWire::new(field, why))
    }
}

/// The same; an empty text is none.
pub mod optional_parsed {
    use std::str::FromStr;

    use super::{InvalidWire, parsed};

    pub fn write(value: Option<impl ToString>) -> String {
        value.map(parsed::write).unwrap_or_default()
    }

    pub fn read<T: FromStr<Err = String>>(text: String, field: &str) -> Result<Option<T>, InvalidWire> {
        (!text.is_empty()).then(|| parsed::read(text, field)).transpose()
    }
}

/// The same, of each.
pub mod all_parsed {
    use std::str::FromStr;

    use super::{InvalidWire, parsed};

    pub fn write<T: ToString>(values: Vec<T>) -> Vec<String> {
        values.into_iter().map(parsed::write).collect()
    }

    pub fn read<T: FromStr<Err = String>>(texts: Vec<String>, field: &str) -> Result<Vec<T>, InvalidWire> {
        let read = |(i, text)| parsed::read(text, &format!("{field}[{i}]"));
        texts.into_iter().enumerate().map(read).collect()
    }
}

/// A value of an enum.
pub mod enumeration {
    use super::{InField, InvalidWire, WireEnum};

    pub fn write(value: impl WireEnum) -> i32 {
        value.to_wire()
    }

    pub fn read<T: WireEnum>(value: i32, field: &str) -> Result<T, InvalidWire> {
        T::from_wire(value).in_field(field)
    }
}

/// Several values of an enum.
pub mod enumerations {
    use super::{InvalidWire, WireEnum};

    pub fn write<T: WireEnum>(values: Vec<T>) -> Vec<i32> {
        values.into_iter().map(WireEnum::to_wire).collect()
    }

    pub fn read<T: WireEnum>(values: Vec<i32>, field: &str) -> Result<Vec<T>, InvalidWire> {
        super::each(values, field, T::from_wire)
    }
}

/// A value of an enum that is the wire's zero when there is none.
pub mod optional_enumeration {
    use super::{InvalidWire, WireEnum, enumeration};

    pub fn write(value: Option<impl WireEnum>) -> i32 {
        value.map_or(0, WireEnum::to_wire)
    }

    pub fn read<T: WireEnum>(value: i32, field: &str) -> Result<Option<T>, InvalidWire> {
        if value == 0 { Ok(None) } else { enumeration::read(value, field).map(Some) }
    }
}

/// A value of an enum that has a default, which is meant where nothing is said: older peers don't know of it.
pub mod default_enumeration {
    use super::{InvalidWire, WireEnum, optional_enumeration};

    pub fn write(value: impl WireEnum) -> i32 {
        value.to_wire()
    }

    pub fn read<T: WireEnum + Default>(value: i32, field: &str) -> Result<T, InvalidWire> {
        optional_enumeration::read(value, field).map(Option::unwrap_or_default)
    }
}

/// A digest: 32 bytes.
pub mod digest {
    use stopover_model::digest::Digest;

    use super::InvalidWire;

    #[must_use]
    pub fn write(digest: Digest) -> Vec<u8> {
        digest.as_bytes().to_vec()
    }

    pub fn read(bytes: impl AsRef<[u8]>, field: &str) -> Result<Digest, InvalidWire> {
        let bytes = bytes.as_ref();
        let digest = <[u8; 32]>::try_from(bytes).map_err(|_| {
            InvalidWire::new(field, format!("is {} bytes long; a digest has 32", bytes.len()))
        })?;
        Ok(Digest::from_bytes(digest))
    }
}

/// A digest that is empty on the wire when there is none.
pub mod optional_digest {
    use stopover_model::digest::Digest;

    use super::InvalidWire;

    #[must_use]
    pub fn write(digest: Option<Digest>) -> Vec<u8> {
        digest.map(super::digest::write).unwrap_or_default()
    }

    pub fn read(bytes: impl AsRef<[u8]>, field: &str) -> Result<Option<Digest>, InvalidWire> {
        if bytes.as_ref().is_empty() { Ok(None) } else { super::digest::read(bytes, field).map(Some) }
    }
}

/// A length of time, never negative.
pub mod duration {
    use std::time::Duration;

    use super::{InField, InvalidWire, time};

    #[must_use]
    pub fn write(duration: Duration) -> Option<prost_types::Duration> {
        Some(time::duration_to_wire(duration))
    }

    pub fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        time::duration_from_wire(wire.ok_or_else(|| InvalidWire::missing(field))?).in_field(field)
    }
}

/// A length of time that may be absent.
pub mod optional_duration {
    use std::time::Duration;

    use super::{InField, InvalidWire, time};

    #[must_use]
    pub fn write(duration: Option<Duration>) -> Option<prost_types::Duration> {
        duration.map(time::duration_to_wire)
    }

    pub fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Option<Duration>, InvalidWire> {
        wire.map(time::duration_from_wire).transpose().in_field(field)
    }
}

/// A point in time.
pub mod timestamp {
    use jiff::Timestamp;

    use super::{InField, InvalidWire, time};

    #[must_use]
    pub fn write(at: Timestamp) -> Option<prost_types::Timestamp> {
        Some(time::timestamp_to_wire(at))
    }

    pub fn read(wire: Option<prost_types::Timestamp>, field: &str) -> Result<Timestamp, InvalidWire> {
        time::timestamp_from_wire(wire.ok_or_else(|| InvalidWire::missing(field))?).in_field(field)
    }
}

/// A point in time that may be absent.
pub mod optional_timestamp {
    use jiff::Timestamp;

    use super::{InvalidWire, timestamp};

    #[must_use]
    pub fn write(at: Option<Timestamp>) -> Option<prost_types::Timestamp> {
        at.and_then(timestamp::write)
    }

    pub fn read(wire: Option<prost_types::Timestamp>, field: &str) -> Result<Option<Timestamp>, InvalidWire> {
        wire.map(|at| timestamp::read(Some(at), field)).transpose()
    }
}

/// A part that is never missing, and bare on the wire: a choice's value.
pub mod direct {
    use super::{AtField, InField};

    pub fn write<T, W: From<T>>(value: T) -> W {
        W::from(value)
    }

    pub fn read<W, T: TryFrom<W, Error: AtField>>(wire: W, field: &str) -> Result<T, T::Error> {
        T::try_from(wire).in_field(field)
    }
}

/// A message that must be there.
pub mod message {
    use super::{AtField, InField, InvalidWire};

    pub fn write<T, W: From<T>>(value: T) -> Option<W> {
        Some(W::from(value))
    }

    pub fn read<W, T: TryFrom<W, Error: AtField + From<InvalidWire>>>(
        wire: Option<W>,
        field: &str,
    ) -> Result<T, T::Error> {
        T::try_from(wire.ok_or_else(|| InvalidWire::missing(field))?).in_field(field)
    }
}

/// A message that may be absent.
pub mod optional_message {
    use super::{AtField, InField};

    pub fn write<T, W: From<T>>(value: Option<T>) -> Option<W> {
        value.map(W::from)
    }

    pub fn read<W, T: TryFrom<W, Error: AtField>>(
        wire: Option<W>,
        field: &str,
    ) -> Result<Option<T>, T::Error> {
        wire.map(T::try_from).transpose().in_field(field)
    }
}

/// A message that stands for its default where it is absent.
pub mod or_default {
    use super::{AtField, InField};

    pub fn write<T, W: From<T>>(value: T) -> Option<W> {
        Some(W::from(value))
    }

    pub fn read<W, T: TryFrom<W, Error: AtField> + Default>(
        wire: Option<W>,
        field: &str,
    ) -> Result<T, T::Error> {
        wire.map(T::try_from).transpose().in_field(field).map(Option::unwrap_or_default)
    }
}

/// Several messages.
pub mod messages {
    use super::AtField;

    pub fn write<T, W: From<T>>(values: Vec<T>) -> Vec<W> {
        values.into_iter().map(W::from).collect()
    }

    pub fn read<W, T: TryFrom<W, Error: AtField>>(wire: Vec<W>, field: &str) -> Result<Vec<T>, T::Error> {
        super::each(wire, field, T::try_from)
    }
}

fn each<W, T, E: AtField>(wire: Vec<W>, field: &str, read: impl Fn(W) -> Result<T, E>) -> Result<Vec<T>, E> {
    let read = |(i, value)| read(value).map_err(|error| error.at_field(&format!("{field}[{i}]")));
    wire.into_iter().enumerate().map(read).collect()
}
