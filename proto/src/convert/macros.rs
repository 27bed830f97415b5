//! Conversions written once for both directions, so that neither can forget a field, a variant or a value that the
//! other knows: the match and the literal that they expand to are complete or don't compile.

/// `wire_enum!(Variant { Standard, Batched })`: an enum of the model whose values have the same names on the wire.
macro_rules! wire_enum {
    ($model:ident { $($value:ident),+ $(,)? }) => {
        impl From<$model> for v1::$model {
            fn from(value: $model) -> Self {
                match value {
                    $($model::$value => Self::$value),+
                }
            }
        }

        impl TryFrom<v1::$model> for $model {
            type Error = $crate::convert::InvalidWire;

            fn try_from(value: v1::$model) -> Result<Self, Self::Error> {
                match value {
                    v1::$model::Unspecified => Err(Self::Error::new("", "is not set")),
                    $(v1::$model::$value => Ok(Self::$value)),+
                }
            }
        }

        impl $crate::convert::WireEnum for $model {
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn to_wire(self) -> i32 {
                v1::$model::from(self).into()
            }

            fn from_wire(value: i32) -> Result<Self, $crate::convert::InvalidWire> {
                v1::$model::try_from(value)
                    .map_err(|_| {
                        let why = format!("{value} is unknown to this version of Stopover");
                        $crate::convert::InvalidWire::new("", why)
                    })
                    .and_then(Self::try_from)
            }
        }
    };
}

/// `wire_message!(SqlPlace { file: plain, line: from_one, … })`: a struct of the model and the message of the same
/// name and fields, each field with its way to travel (see [`field`](crate::convert::field)).
macro_rules! wire_message {
    ($model:ident { $($field:ident: $how:ident),+ $(,)? }) => {
        impl From<$model> for v1::$model {
            fn from(model: $model) -> Self {
                Self { $($field: $how::write(model.$field)),+ }
            }
        }

        impl TryFrom<v1::$model> for $model {
            type Error = $crate::convert::InvalidWire;

            fn try_from(wire: v1::$model) -> Result<Self, Self::Error> {
                Ok(Self { $($field: $how::read(wire.$field, stringify!($field))?),+ })
            }
        }
    };
}

/// `wire_choice!(LogLine, log_line { … })`: an enum of the model and the message of the same name whose only field is
/// the choice `kind`. Each variant comes with its field's name on the wire, and in one of three forms:
///
/// - `"row" Row(how)` has one unnamed value, which is the choice's value.
/// - `"text" Text { text = how }` has one named value, which is the choice's value.
/// - `"notice" Notice { code: how, text: how }` has a message of the same name and fields.
macro_rules! wire_choice {
    ($model:ident, $module:ident { $($tag:literal $variant:ident $body:tt),+ $(,)? }) => {
        impl From<$model> for v1::$model {
            fn from(model: $model) -> Self {
                let kind = match model {
                    $(wire_choice!(@pattern value $model $variant $body) => {
                        v1::$module::Kind::$variant(wire_choice!(@write value $module $variant $body))
                    })+
                };
                Self { kind: Some(kind) }
            }
        }

        impl TryFrom<v1::$model> for $model {
            type Error = $crate::convert::InvalidWire;

            fn try_from(wire: v1::$model) -> Result<Self, Self::Error> {
                match wire.kind.ok_or_else(|| Self::Error::missing("kind"))? {
                    $(v1::$module::Kind::$variant(value) => {
                        wire_choice!(@read value $model $tag $variant $body)
                    })+
                }
            }
        }

        #[cfg(test)]
        impl $crate::convert::tests::Choice for $model {
            const TAGS: &'static [&'static str] = &[$($tag),+];

            fn tag(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $tag),+
                }
            }
        }
    };

    (@pattern $value:ident $model:ident $variant:ident ($how:ident)) => { $model::$variant($value) };
    (@pattern $value:ident $model:ident $variant:ident { $field:ident = $how:ident }) => {
        $model::$variant { $field: $value }
    };
    (@pattern $value:ident $model:ident $variant:ident { $($field:ident: $how:ident),+ $(,)? }) => {
        $model::$variant { $($field),+ }
    };

    (@write $value:ident $module:ident $variant:ident ($how:ident)) => { $how::write($value) };
    (@write $value:ident $module:ident $variant:ident { $field:ident = $how:ident }) => { $how::write($value) };
    (@write $value:ident $module:ident $variant:ident { $($field:ident: $how:ident),+ $(,)? }) => {
        v1::$module::$variant { $($field: $how::write($field)),+ }
    };

    (@read $value:ident $model:ident $tag:literal $variant:ident ($how:ident)) => {
        Ok($model::$variant($how::read($value, $tag)?))
    };
    (@read $value:ident $model:ident $tag:literal $variant:ident { $field:ident = $how:ident }) => {
        Ok($model::$variant { $field: $how::read($value, $tag)? })
    };
    (@read $value:ident $model:ident $tag:literal $variant:ident { $($field:ident: $how:ident),+ $(,)? }) => {{
        let read = || Ok($model::$variant { $($field: $how::read($value.$field, stringify!($field))?),+ });
        $crate::convert::InField::in_field(read(), $tag)
    }};
}
