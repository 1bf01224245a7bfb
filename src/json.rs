//! Borrowed JSON values for lockfiles and package.json files.
//!
//! npm reads both leniently: a field of the wrong type is as good as absent. The types here do the
//! same, and borrow from the file's text wherever the text has no escapes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A string, borrowed where it has no escapes; anything else reads as absent.
pub type Text<'a> = Lenient<Cow<'a, str>>;

/// A list of strings; a lone string is a list of one.
pub type List<'a> = Lenient<Vec<Cow<'a, str>>>;

/// `dependencies` and its kin: name and specifier, in the order of the file.
pub type Dependencies<'a> = Lenient<Vec<(Cow<'a, str>, Cow<'a, str>)>>;

/// A value that is absent where the JSON has another type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lenient<T>(pub T);

impl<T> std::ops::Deref for Lenient<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl Lenient<Cow<'_, str>> {
    /// `None` where the string is absent or empty: npm treats both alike.
    pub fn get(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(&*self.0)
    }
}

impl<'a> Lenient<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, specifier)| (&**name, &**specifier))
    }
}

/// A boolean that is true only where the JSON says `true`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub bool);

/// `bundleDependencies`: a list of names, or `true` for all dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Bundle<'a> {
    #[default]
    Nothing,
    All,
    Names(Vec<Cow<'a, str>>),
}

/// What a lenient visitor makes of each JSON type; the default is the type's empty value.
trait FromJson<'de>: Default {
    fn from_str(_text: Cow<'de, str>) -> Self {
        Self::default()
    }

    fn from_bool(_value: bool) -> Self {
        Self::default()
    }

    fn add_item(&mut self, _item: Cow<'de, str>) {}

    fn add_pair(&mut self, _key: Cow<'de, str>, _value: Option<Cow<'de, str>>) {}

    /// Called after the last pair.
    fn finish(&mut self) {}
}

impl<'de> FromJson<'de> for Cow<'de, str> {
    fn from_str(text: Cow<'de, str>) -> Self {
        text
    }
}

impl<'de> FromJson<'de> for Vec<Cow<'de, str>> {
    fn from_str(text: Cow<'de, str>) -> Self {
        vec![text]
    }

    fn add_item(&mut self, item: Cow<'de, str>) {
        self.push(item);
    }
}

impl<'de> FromJson<'de> for Vec<(Cow<'de, str>, Cow<'de, str>)> {
    fn add_pair(&mut self, key: Cow<'de, str>, value: Option<Cow<'de, str>>) {
        if let Some(value) = value {
            self.push((key, value));
        }
    }

    /// As in JavaScript, a key that comes twice has its last value.
    fn finish(&mut self) {
        // npm writes keys in order; only others can hold one twice.
        if self.is_sorted_by(|first, second| first.0 < second.0) {
            return;
        }
        let mut seen = HashSet::with_capacity(self.len());
        let mut last: Vec<_> =
            self.drain(..).rev().filter(|(key, _)| seen.insert(key.clone())).collect();
        last.reverse();
        *self = last;
    }
}

impl FromJson<'_> for Flag {
    fn from_bool(value: bool) -> Self {
        Self(value)
    }
}

impl<'de> FromJson<'de> for Bundle<'de> {
    fn from_bool(value: bool) -> Self {
        if value { Bundle::All } else { Bundle::Nothing }
    }

    fn add_item(&mut self, item: Cow<'de, str>) {
        match self {
            Bundle::Names(names) => names.push(item),
            Bundle::Nothing | Bundle::All => *self = Bundle::Names(vec![item]),
        }
    }

    fn add_pair(&mut self, key: Cow<'de, str>, _value: Option<Cow<'de, str>>) {
        self.add_item(key);
    }
}

struct LenientVisitor<T>(PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<T, E> {
        Ok(T::from_str(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::from_str(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::from_bool(value))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _value: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while let Some(Scalar(item)) = items.next_element()? {
            if let Some(item) = item {
                value.add_item(item);
            }
        }
        Ok(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<T, A::Error> {
        let mut value = T::default();
        while let Some(Scalar(key)) = pairs.next_key()? {
            let Scalar(item) = pairs.next_value()?;
            if let Some(key) = key {
                value.add_pair(key, item);
            }
        }
        value.finish();
        Ok(value)
    }
}

/// A string inside a list or map; any other value is passed over.
struct Scalar<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any JSON value")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_bool<E>(self, _value: bool) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }

            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }

            fn visit_i64<E>(self, _value: i64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }

            fn visit_u64<E>(self, _value: u64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }

            fn visit_f64<E>(self, _value: f64) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar<'de>, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Scalar<'de>, A::Error> {
                while pairs.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar(None))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

macro_rules! deserialize_leniently {
    ($($type:ty => $make:expr;)*) => {$(
        impl<'de: 'a, 'a> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(LenientVisitor(PhantomData)).map($make)
            }
        }
    )*};
}

deserialize_leniently! {
    Text<'a> => Lenient;
    List<'a> => Lenient;
    Dependencies<'a> => Lenient;
    Bundle<'a> => |bundle: Bundle<'de>| bundle;
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LenientVisitor(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_wrong_type_reads_as_absent() {
        assert_eq!(serde_json::from_str::<Text<'_>>("[1]").unwrap().get(), None);
        assert_eq!(serde_json::from_str::<List<'_>>(r#"{"a": 1}"#).unwrap().len(), 0);
        assert_eq!(serde_json::from_str::<Flag>("\"yes\"").unwrap(), Flag(false));
        let dependencies: Dependencies<'_> =
            serde_json::from_str(r#"{"a": "1", "b": {"c": []}, "d": "2"}"#).unwrap();
        assert_eq!(dependencies.pairs().collect::<Vec<_>>(), [("a", "1"), ("d", "2")]);
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let list: List<'_> = serde_json::from_str(r#"["plain", "esc\u0061ped"]"#).unwrap();
        assert!(matches!(list[0], Cow::Borrowed("plain")));
        assert_eq!(list[1], "escaped");
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        let dependencies: Dependencies<'_> =
            serde_json::from_str(r#"{"a": "1", "b": "2", "a": "3"}"#).unwrap();
        assert_eq!(dependencies.pairs().collect::<Vec<_>>(), [("b", "2"), ("a", "3")]);
    }

    #[test]
    fn a_bundle_is_a_list_or_true() {
        let bundle: Bundle<'_> = serde_json::from_str("true").unwrap();
        assert_eq!(bundle, Bundle::All);
        let bundle: Bundle<'_> = serde_json::from_str(r#"["a", 1]"#).unwrap();
        assert_eq!(bundle, Bundle::Names(vec!["a".into()]));
    }
}
