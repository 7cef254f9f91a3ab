//! The groups of a person: by an attribute of theirs, or by searching for groups that have them.

use std::sync::Arc;

use ldap3::ldap_escape;

use super::connection::Query;
use super::entry::Entry;
use super::fault::{Fault, result};
use super::outcome;
use super::people::{By, People};
use super::settings::scope;
use crate::config::{LdapGroups, template};
use crate::identity::dn::Dn;
use crate::identity::person::group_set;
use crate::model::{GroupName, UserId};

/// Asks for no attribute at all (RFC 4511, section 4.5.1.8): the name is enough.
const NO_ATTRIBUTES: &str = "1.1";
/// What a group is called by its whole name, in place of an attribute.
const WHOLE_NAME: &str = "dn";

impl People {
    /// The groups of a person, from all configured sources.
    ///
    /// # Errors
    /// Returns an error if any source cannot tell: rights that are missing by mistake end sessions.
    pub(super) async fn groups(&self, entry: &Entry, user: &UserId, by: By<'_>) -> Result<Arc<[GroupName]>, Fault> {
        let mut groups = Vec::new();
        for source in &self.settings.config.groups {
            match &source.member_of {
                Some(attribute) => groups.extend(from_attribute(entry, attribute, source)?),
                None => groups.extend(self.search_groups(source, entry, user, by).await?),
            }
        }
        Ok(group_set(groups))
    }

    async fn search_groups(
        &self,
        source: &LdapGroups,
        entry: &Entry,
        user: &UserId,
        by: By<'_>,
    ) -> Result<Vec<GroupName>, Fault> {
        let (dn, user) = (ldap_escape(entry.dn.as_str()), ldap_escape(user.as_str()));
        let filter = template::fill(source.filter.as_deref().unwrap_or_default(), |name| match name {
            "dn" => Some(&*dn),
            "user" => Some(&*user),
            _ => None,
        });
        let attribute = source.name.as_deref().filter(|name| !is_whole_name(name));
        let query = Query {
            base: source.base.as_deref().unwrap_or_default(),
            scope: scope(source.scope),
            filter: &filter,
            attributes: &[attribute.unwrap_or(NO_ATTRIBUTES).to_owned()],
            at_most: usize::try_from(self.settings.config.max_groups).unwrap_or(usize::MAX),
            paged: true,
        };
        let found = self.search(query, by).await?;
        if found.entries.len() > query.at_most {
            return Err(Fault::Misconfigured(format!("somebody has more than max_groups ({}) groups", query.at_most)));
        }
        match found.code {
            0 => {}
            32 => {
                let refused = result(32, &found.text);
                return Err(Fault::Misconfigured(format!("the base of groups is not there ({refused})")));
            }
            code => return Err(outcome::fault(code, &found.text, "a search")),
        }
        if let Some(group) = &source.group {
            return Ok(if found.entries.is_empty() { Vec::new() } else { named(group).into_iter().collect() });
        }
        Ok(found.entries.iter().filter_map(|group| name_of(group, source)).collect())
    }
}

fn from_attribute(entry: &Entry, attribute: &str, source: &LdapGroups) -> Result<Vec<GroupName>, Fault> {
    if entry.is_cut(attribute) {
        return Err(Fault::Misconfigured(format!("{attribute} has more values than the server gives at once")));
    }
    let within = |dn: &&Dn| source.base.as_deref().is_none_or(|base| stands_under(dn, base));
    let groups = entry.values(attribute).iter().filter_map(|dn| Dn::parse(dn).ok());
    Ok(groups.filter(|dn| within(&dn)).filter_map(|dn| called(&dn, source)).collect())
}

/// What a group that was found is called. One whose name cannot be a group's gives no right.
fn name_of(group: &Entry, source: &LdapGroups) -> Option<GroupName> {
    match source.name.as_deref().filter(|name| !is_whole_name(name)) {
        Some(attribute) => named(group.values(attribute).iter().min()?),
        None => called(&Dn::parse(&group.dn).ok()?, source),
    }
}

fn called(dn: &Dn, source: &LdapGroups) -> Option<GroupName> {
    if source.name.as_deref().is_some_and(is_whole_name) {
        return named(&dn.normalised());
    }
    named(dn.first()?.1)
}

fn named(name: &str) -> Option<GroupName> {
    let group = GroupName::new(name);
    if let Err(error) = &group {
        tracing::debug!(name, %error, "group passed over");
    }
    group.ok()
}

const fn is_whole_name(name: &str) -> bool {
    name.eq_ignore_ascii_case(WHOLE_NAME)
}

/// Whether an entry stands somewhere below another. Names are compared as directories mostly do, without case.
fn stands_under(dn: &Dn, base: &str) -> bool {
    let Ok(base) = Dn::parse(base) else { return false };
    dn.normalised().to_lowercase().ends_with(&format!(",{}", base.normalised().to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(json: serde_json::Value) -> LdapGroups {
        serde_json::from_value(json).unwrap()
    }

    fn names(groups: &[GroupName]) -> Vec<&str> {
        groups.iter().map(GroupName::as_str).collect()
    }

    #[test]
    fn groups_of_an_attribute_are_called_by_their_first_value_or_their_whole_name() {
        let entry = Entry::of(
            "uid=ada",
            &[(
                "memberOf",
                &["CN=ops,OU=Groups,DC=x", r"cn=a\,b, ou=groups, dc=x", "cn=ops,ou=evil,dc=x", "not a name"],
            )],
        );
        let all = from_attribute(&entry, "memberof", &source(serde_json::json!({ "member_of": "memberOf" }))).unwrap();
        assert_eq!(names(&all), ["ops", "a,b", "ops"]);
        let below = source(serde_json::json!({ "member_of": "memberOf", "base": "ou=Groups,dc=x", "name": "dn" }));
        let below = from_attribute(&entry, "memberOf", &below).unwrap();
        assert_eq!(names(&below), ["cn=ops,ou=Groups,dc=x", r"cn=a\2cb,ou=groups,dc=x"]);
    }

    #[test]
    fn groups_that_are_held_back_are_a_fault_and_not_missing() {
        let entry = Entry::of("uid=ada", &[("memberOf;range=0-1499", &["cn=ops,dc=x"])]);
        let source = source(serde_json::json!({ "member_of": "memberOf" }));
        assert!(from_attribute(&entry, "memberOf", &source).is_err());
    }

    #[test]
    fn a_name_that_ends_like_a_base_does_not_stand_under_it() {
        let dn = |text| Dn::parse(text).unwrap();
        assert!(stands_under(&dn("cn=a,OU=g,dc=x"), "ou=G, dc=X"));
        for text in ["ou=g,dc=x", "cn=a,zou=g,dc=x", r"cn=a\,ou\=g,dc=x", "cn=a,ou=g,dc=x,dc=y"] {
            assert!(!stands_under(&dn(text), "ou=g,dc=x"), "{text}");
        }
    }

    #[test]
    fn a_group_that_was_found_is_called_as_configured() {
        let group = Entry::of("cn=ops+gidNumber=7,ou=g,dc=x", &[("description", &["Operators", "Crew"])]);
        let called = |json| name_of(&group, &source(json)).map(|name| name.to_string());
        assert_eq!(called(serde_json::json!({})).as_deref(), Some("ops"));
        assert_eq!(called(serde_json::json!({ "name": "description" })).as_deref(), Some("Crew"));
        assert_eq!(called(serde_json::json!({ "name": "cn" })), None);
    }
}
