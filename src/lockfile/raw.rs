//! A lockfile's top level, as it stands in the file.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::manifest::Manifest;

#[derive(Debug)]
pub(super) struct RawLockfile<'a> {
    pub version: LockfileVersion,
    pub packages: Option<Packages<'a>>,
    pub has_dependencies: bool,
    /// All other fields but `requires`.
    pub head: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// `lockfileVersion`, by what it means for a reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LockfileVersion {
    /// Below 2, or not said: what an entry does not say has to be found out otherwise.
    Old,
    Current,
    Four,
    Unknown(String),
}

#[derive(Debug, Default)]
pub(super) struct Packages<'a> {
    pub entries: Vec<(Cow<'a, str>, Manifest<'a>)>,
    /// Some key is not written as it reads (`node_modules\/a`).
    pub has_escapes: bool,
}

impl LockfileVersion {
    /// npm compares it as JavaScript does, where `"3"` is 3 and `null` is 0.
    pub fn of(value: &Value) -> Self {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number > 4.0 => Self::Unknown(value.to_string()),
            Some(4.0) => Self::Four,
            Some(number) if number >= 2.0 => Self::Current,
            Some(_) | None => Self::Old,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawLockfile<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LockfileVisitor;
        impl<'de> Visitor<'de> for LockfileVisitor {
            type Value = RawLockfile<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<RawLockfile<'de>, A::Error> {
                let mut raw = RawLockfile {
                    version: LockfileVersion::Old,
                    packages: None,
                    has_dependencies: false,
                    head: Vec::new(),
                };
                while let Some(Text(key)) = map.next_key()? {
                    match &*key {
                        "lockfileVersion" => {
                            raw.version = LockfileVersion::of(&map.next_value::<Value>()?);
                        }
                        "packages" => raw.packages = Some(map.next_value()?),
                        "dependencies" => {
                            raw.has_dependencies = true;
                            map.next_value::<IgnoredAny>()?;
                        }
                        "requires" => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        _ => {
                            let value = map.next_value()?;
                            raw.head.retain(|(earlier, _)| *earlier != key);
                            raw.head.push((key, value));
                            if raw.head.len() > HEAD_FIELDS_MAX {
                                return Err(serde::de::Error::custom("too many fields"));
                            }
                        }
                    }
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(LockfileVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Packages<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PackagesVisitor;
        impl<'de> Visitor<'de> for PackagesVisitor {
            type Value = Packages<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of packages")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Packages<'de>, A::Error> {
                let mut packages = Packages::default();
                while let Some((Text(key), manifest)) = map.next_entry()? {
                    packages.has_escapes |= matches!(key, Cow::Owned(_));
                    packages.entries.push((key, manifest));
                }
                Ok(packages)
            }
        }
        deserializer.deserialize_map(PackagesVisitor)
    }
}

/// A string, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// npm writes two; each is looked for among the earlier ones.
const HEAD_FIELDS_MAX: usize = 1000;
