//! Bounded pieces of JSON: hostile input cannot make many small things of one body.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Fields of one object that are told apart.
pub(super) const MEMBERS_MAX: usize = 1_000;

/// The members of an object. Where a name stands twice, the last one counts, as in JavaScript.
#[derive(Debug)]
pub(super) struct Members<'a>(pub(super) BTreeMap<Cow<'a, str>, &'a RawValue>);

/// A member's name, which is copied only where it holds an escape.
struct Name<'a>(Cow<'a, str>);

/// The first elements of an array, one more than `MAX` at most.
#[derive(Debug)]
pub(super) struct Elements<'a, const MAX: usize>(pub(super) Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {MEMBERS_MAX} fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((Name(name), json)) = map.next_entry()? {
            members.insert(name, json);
            if members.len() > MEMBERS_MAX {
                return Err(A::Error::custom("too many fields"));
            }
        }
        Ok(Members(members))
    }
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(name.into()))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(name.to_owned().into()))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Elements<'de, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor::<MAX>)
    }
}

struct ElementsVisitor<const MAX: usize>;

impl<'de, const MAX: usize> Visitor<'de> for ElementsVisitor<MAX> {
    type Value = Elements<'de, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(json) = array.next_element()? {
            elements.push(json);
            if elements.len() > MAX {
                return Err(A::Error::custom("too many elements"));
            }
        }
        Ok(Elements(elements))
    }
}
