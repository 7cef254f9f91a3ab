//! [`Event`]: what is recorded of one thing that happened, and its line.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::{Action, Attempt, By};
use crate::model::{Principal, TenantId, Timestamp, UserId};

/// Longest text of a field in bytes; as in `UserId`.
const LONGEST: usize = 300;
/// Most groups and roles that one line names as added or removed; `detail` tells how many there were.
const MOST_RIGHTS: usize = 50;

/// One thing that happened. Build it with what is known; the rest has no field.
#[derive(Debug, Clone)]
pub struct Event {
    action: Action,
    result: &'static str,
    class: Option<String>,
    by: Option<By>,
    tenant: Option<TenantId>,
    user: Option<UserId>,
    typed: Option<Box<str>>,
    actor: Option<UserId>,
    source: Option<String>,
    address: Option<IpAddr>,
    request_id: Option<String>,
    session: Option<String>,
    added: Vec<String>,
    removed: Vec<String>,
    count: Option<u64>,
    detail: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "as_text")]
    time: Timestamp,
    target: &'static str,
    action: &'static str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    typed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    added: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    removed: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl Event {
    /// `action` was done.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self {
            action,
            result: "success",
            class: None,
            by: None,
            tenant: None,
            user: None,
            typed: None,
            actor: None,
            source: None,
            address: None,
            request_id: None,
            session: None,
            added: Vec::new(),
            removed: Vec::new(),
            count: None,
            detail: None,
        }
    }

    /// It was refused; `class` is one of a fixed few words that tell why.
    #[must_use]
    pub fn refused(mut self, class: &str) -> Self {
        self.result = "refused";
        self.class(class)
    }

    /// Why it was done; one of a fixed few words.
    #[must_use]
    pub fn class(mut self, class: &str) -> Self {
        self.class = Some(bounded(class));
        self
    }

    pub(super) fn class_text(&self) -> &str {
        self.class.as_deref().unwrap_or_default()
    }

    /// By what it was proven, or what brought it about.
    #[must_use]
    pub const fn by(mut self, by: By) -> Self {
        self.by = Some(by);
        self
    }

    /// Whom it is about, and who vouches for them.
    #[must_use]
    pub fn principal(self, principal: &Principal) -> Self {
        self.tenant(&principal.tenant).user(&principal.user).source(&principal.source)
    }

    /// The tenant that it is about.
    #[must_use]
    pub fn tenant(mut self, tenant: &TenantId) -> Self {
        self.tenant = Some(tenant.clone());
        self
    }

    /// The user that it is about. Never a name that was only typed in: see [`attempt`](Self::attempt).
    #[must_use]
    pub fn user(mut self, user: &UserId) -> Self {
        self.user = Some(user.clone());
        self
    }

    /// The user that it is about, unless that has been said.
    #[must_use]
    pub fn or_user(self, user: &UserId) -> Self {
        if self.user.is_some() { self } else { self.user(user) }
    }

    /// What may be told of the user name that was typed in. The account that it is known to lead to is told too,
    /// unless whom it is about has been said.
    #[must_use]
    pub fn attempt(mut self, attempt: &Attempt) -> Self {
        self.typed = Some(attempt.digest.clone());
        if let (None, None, Some((tenant, user))) = (&self.tenant, &self.user, &attempt.account) {
            self = self.tenant(tenant).user(user);
        }
        self
    }

    /// Who did it, if that is somebody else than whom it is about.
    #[must_use]
    pub fn actor(mut self, actor: &UserId) -> Self {
        self.actor = Some(actor.clone());
        self
    }

    /// The directory, issuer or provider, by its name in the configuration.
    #[must_use]
    pub fn source(mut self, source: &str) -> Self {
        self.source = Some(bounded(source)).filter(|source| !source.is_empty());
        self
    }

    /// The client's address.
    #[must_use]
    pub const fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// The request's id, as in the access log.
    #[must_use]
    pub fn request_id(mut self, id: &str) -> Self {
        self.request_id = Some(bounded(id));
        self
    }

    /// The session, by the short form of its id that logs have. Never its cookie.
    #[must_use]
    pub fn session(mut self, id: &impl fmt::Display) -> Self {
        self.session = Some(bounded(&id.to_string()));
        self
    }

    /// What somebody may do now that they could not before, and the reverse: `group:…`, `role:…`. `None` if nothing
    /// of that has changed.
    #[must_use]
    pub fn rights(mut self, before: &Principal, now: &Principal) -> Option<Self> {
        let (added, removed) = (rights_beyond(now, before), rights_beyond(before, now));
        if added.is_empty() && removed.is_empty() {
            return None;
        }
        if added.len().max(removed.len()) > MOST_RIGHTS {
            self = self.detail(&format!("{} added, {} removed", added.len(), removed.len()));
        }
        let first = |rights: Vec<String>| rights.into_iter().take(MOST_RIGHTS).collect();
        (self.added, self.removed) = (first(added), first(removed));
        Some(self)
    }

    /// How many this line stands for.
    #[must_use]
    pub const fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// A word more, for people. Bounded; nothing secret, and nothing that was typed in.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.detail = Some(bounded(detail));
        self
    }

    /// What it is about.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.action
    }

    /// Adds its line to `out`, without an end.
    pub(super) fn write(&self, time: Timestamp, out: &mut Vec<u8>) {
        let line = Line {
            time,
            target: "audit",
            action: self.action.label(),
            result: self.result,
            class: self.class.as_deref(),
            by: self.by.map(By::label),
            tenant: self.tenant.as_ref().map(TenantId::as_str),
            user: self.user.as_ref().map(UserId::as_str),
            typed: self.typed.as_deref(),
            actor: self.actor.as_ref().map(UserId::as_str),
            source: self.source.as_deref(),
            address: self.address,
            request_id: self.request_id.as_deref(),
            session: self.session.as_deref(),
            added: &self.added,
            removed: &self.removed,
            count: self.count,
            detail: self.detail.as_deref(),
        };
        // Writing to memory cannot fail, and every field is a string or a number.
        let _ = serde_json::to_writer(out, &line);
    }
}

/// The groups and roles of `one` that `other` lacks.
fn rights_beyond(one: &Principal, other: &Principal) -> Vec<String> {
    let groups = one.groups.iter().filter(|group| !other.in_group(group.as_str()));
    let groups = groups.map(|group| bounded(&format!("group:{group}")));
    let role = |name: &str, has: bool, had: bool| (has && !had).then(|| format!("role:{name}"));
    let roles = [
        role("tenant-admin", one.roles.tenant_admin, other.roles.tenant_admin),
        role("operator", one.roles.operator, other.roles.operator),
    ];
    groups.chain(roles.into_iter().flatten()).collect()
}

/// At most [`LONGEST`] bytes, and without what would move a terminal's cursor or turn the text around.
fn bounded(text: &str) -> String {
    let printable = |c| if is_unprintable(c) { char::REPLACEMENT_CHARACTER } else { c };
    let mut out: String = text.chars().take(LONGEST + 1).map(printable).collect();
    if out.len() > LONGEST {
        out.truncate(out.floor_char_boundary(LONGEST - '…'.len_utf8()));
        out.push('…');
    }
    out
}

fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::model::{GroupName, Roles};

    fn line(event: &Event) -> Value {
        let mut out = Vec::new();
        event.write(Timestamp::from_millis(1_700_000_000_123), &mut out);
        assert!(!out.contains(&b'\n'));
        serde_json::from_slice(&out).expect("is JSON")
    }

    fn principal(groups: &[&str], roles: Roles) -> Principal {
        Principal {
            user: UserId::new("ann").expect("a user"),
            tenant: TenantId::new("acme").expect("a tenant"),
            display_name: None,
            groups: groups.iter().map(|group| GroupName::new(group).expect("a group")).collect(),
            roles,
            source: "local".into(),
        }
    }

    #[test]
    fn a_line_has_what_is_known_and_no_more() {
        let event = Event::new(Action::SignOut).principal(&principal(&[], Roles::default())).by(By::Session);
        let expected = serde_json::json!({
            "time": "2023-11-14T22:13:20.123Z", "target": "audit", "action": "sign-out", "result": "success",
            "by": "session", "tenant": "acme", "user": "ann", "source": "local",
        });
        assert_eq!(line(&event), expected);
    }

    #[test]
    fn text_is_bounded_and_cannot_break_the_line_or_turn_it_around() {
        let event = Event::new(Action::SignIn).detail("a\nb\u{1b}[2J\u{202e}\u{9b}\"}{");
        assert_eq!(line(&event)["detail"], "a\u{fffd}b\u{fffd}[2J\u{fffd}\u{fffd}\"}{");
        for (long, expected) in [("x".repeat(300), 300), ("x".repeat(301), 300), ("語".repeat(5000), 300)] {
            let event = Event::new(Action::SignIn).detail(&long).source(&long).refused(&long);
            for field in ["detail", "source", "class"] {
                assert_eq!(line(&event)[field].as_str().expect("a text").len(), expected, "{field}");
            }
        }
    }

    #[test]
    fn a_change_of_rights_names_what_came_and_what_went() {
        let before = principal(&["dev", "zoo"], Roles { operator: true, tenant_admin: false });
        let now = principal(&["acme-admins", "dev"], Roles { operator: false, tenant_admin: true });
        let event = Event::new(Action::RightsChange).rights(&before, &now).expect("has changed");
        let line = line(&event);
        assert_eq!(line["added"], serde_json::json!(["group:acme-admins", "role:tenant-admin"]));
        assert_eq!(line["removed"], serde_json::json!(["group:zoo", "role:operator"]));
        let renamed = Principal { display_name: Some("Ann".into()), ..now.clone() };
        assert!(Event::new(Action::RightsChange).rights(&renamed, &now).is_none(), "a name is no right");
    }

    #[test]
    fn a_change_of_very_many_groups_is_told_in_bounded_space() {
        let groups: Vec<_> = (0..5000).map(|n| format!("{n:0280}")).collect();
        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
        let (before, now) = (principal(&[], Roles::default()), principal(&groups, Roles::default()));
        let line = line(&Event::new(Action::RightsChange).rights(&before, &now).expect("has changed"));
        assert_eq!(line["added"].as_array().map(Vec::len), Some(MOST_RIGHTS));
        assert_eq!(line["detail"], "5000 added, 0 removed");
    }
}
