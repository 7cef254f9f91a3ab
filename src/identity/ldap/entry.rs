//! One entry of a directory, as a search finds it.

use ldap3::asn1::StructureTag;
use serde_json::{Map, Value};

/// The id of a search result's entry among LDAP's operations.
const ENTRY: u64 = 4;

/// A distinguished name and those of its attributes that were asked for and are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    /// By their names in lower case, as attribute names are compared.
    attributes: Vec<(String, Vec<String>)>,
}

impl Entry {
    /// Reads an entry off the wire; the library's own reading panics on what is not one.
    pub(super) fn read(found: StructureTag) -> Option<Self> {
        let mut parts = found.match_id(ENTRY)?.expect_constructed()?.into_iter();
        let dn = text(parts.next()?)?;
        let attributes = parts.next()?.expect_constructed()?;
        let attributes = attributes.into_iter().map(attribute).collect::<Option<_>>()?;
        Some(Self { dn, attributes })
    }

    #[cfg(test)]
    pub(super) fn of(dn: &str, attributes: &[(&str, &[&str])]) -> Self {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let attributes = attributes.iter().map(|(name, values)| (name.to_ascii_lowercase(), owned(values))).collect();
        Self { dn: dn.to_owned(), attributes }
    }

    /// The values of an attribute, in the server's order, which means nothing.
    pub(super) fn values(&self, name: &str) -> &[String] {
        let found = self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(&[], |(_, values)| values)
    }

    /// The only value of an attribute, or one of several.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).first().map(String::as_str)
    }

    /// Whether the server has held back some values of an attribute (`member;range=0-1499` in Active Directory).
    pub(super) fn is_cut(&self, name: &str) -> bool {
        let ranged = |known: &str| known.split_once(";range=").is_some_and(|(base, _)| base.eq_ignore_ascii_case(name));
        self.attributes.iter().any(|(known, _)| ranged(known))
    }

    /// These attributes as rules see them: a list of texts for each, by the names that were asked for.
    pub(super) fn claims(&self, names: &[String]) -> Map<String, Value> {
        let claim = |name: &String| {
            let values = self.values(name);
            (!values.is_empty()).then(|| (name.clone(), values.iter().cloned().map(Value::String).collect()))
        };
        names.iter().filter_map(claim).collect()
    }
}

fn attribute(tag: StructureTag) -> Option<(String, Vec<String>)> {
    let mut parts = tag.expect_constructed()?.into_iter();
    let name = text(parts.next()?)?.to_ascii_lowercase();
    let values = parts.next()?.expect_constructed()?;
    // What is not text, an objectGUID for instance, is of no use here.
    Some((name, values.into_iter().filter_map(text).collect()))
}

fn text(tag: StructureTag) -> Option<String> {
    String::from_utf8(tag.expect_primitive()?).ok()
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::{PL, TagClass};

    use super::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        StructureTag { class: TagClass::Universal, id, payload }
    }

    fn octets(bytes: &[u8]) -> StructureTag {
        tag(4, PL::P(bytes.to_vec()))
    }

    fn found(name: &[u8], values: Vec<StructureTag>) -> StructureTag {
        let attribute = tag(16, PL::C(vec![octets(name), tag(17, PL::C(values))]));
        tag(ENTRY, PL::C(vec![octets(b"uid=ada,dc=example"), tag(16, PL::C(vec![attribute]))]))
    }

    #[test]
    fn an_entry_is_read_with_what_of_it_is_text() {
        let entry = Entry::read(found(b"memberOf", vec![octets(b"cn=a"), octets(b"\xff\xfe")])).unwrap();
        assert_eq!(entry, Entry::of("uid=ada,dc=example", &[("memberOf", &["cn=a"])]));
        assert_eq!((entry.value("MEMBEROF"), entry.value("member")), (Some("cn=a"), None));
        assert_eq!(serde_json::to_string(&entry.claims(&["memberof".to_owned()])).unwrap(), r#"{"memberof":["cn=a"]}"#);
    }

    #[test]
    fn what_is_no_entry_is_refused_without_a_panic() {
        for odd in [
            octets(b"x"),
            tag(ENTRY, PL::P(vec![])),
            tag(ENTRY, PL::C(vec![])),
            tag(ENTRY, PL::C(vec![octets(b"\xff")])),
            tag(ENTRY, PL::C(vec![octets(b"dc=x"), octets(b"")])),
            found(b"\xff", vec![]),
        ] {
            assert_eq!(Entry::read(odd.clone()), None, "{odd:?}");
        }
    }

    #[test]
    fn values_that_were_held_back_are_noticed() {
        let entry = Entry::read(found(b"memberOf;range=0-1499", vec![octets(b"cn=a")])).unwrap();
        assert!(entry.is_cut("memberof") && !entry.is_cut("member"));
    }
}
