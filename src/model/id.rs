//! Newtypes for names that come from outside, each with its own rule, checked where it is made.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;

/// Why a text is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct IdError {
    /// What the text was meant to be, e.g. `tenant`.
    pub what: &'static str,
    /// The rule that it breaks; never contains the text itself.
    pub rule: &'static str,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses a name.
            ///
            /// # Errors
            /// Returns an error if the text breaks this type's rule.
            pub fn new(text: &str) -> Result<Self, IdError> {
                match $check(text) {
                    Ok(()) => Ok(Self(Arc::from(text))),
                    Err(rule) => Err(IdError { what: $what, rule }),
                }
            }

            /// The name as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(
    /// A customer company: 1 to 48 of `a-z 0-9 -`, starting and ending with a letter or digit.
    TenantId,
    "tenant",
    tenant_rule
);
name_type!(
    /// A developer, as the directory names them: 1 to 300 bytes, any script, no control characters
    /// and no blanks at either end. Unique within its tenant.
    UserId,
    "user",
    text_rule
);
name_type!(
    /// A kind of workspace from the configuration (`ide`, `desktop`): 1 to 32 of `a-z 0-9 -`.
    KindName,
    "workspace kind",
    label_rule
);
name_type!(
    /// A size of a workspace (`small`, `large`): 1 to 32 of `a-z 0-9 -`.
    ProfileName,
    "profile",
    label_rule
);
name_type!(
    /// A group of the directory: 1 to 300 bytes, no control characters.
    GroupName,
    "group",
    text_rule
);
name_type!(
    /// One run of a workspace, unique for ever: a pod's uid, or what the process runtime makes.
    /// Upstream connections are pooled by it, so that an address that changes hands is never reused.
    InstanceId,
    "instance",
    text_rule
);

fn label_rule(text: &str) -> Result<(), &'static str> {
    label_up_to(text, 32).ok_or("must be 1 to 32 of a-z, 0-9 and -, with a letter or digit at both ends")
}

fn tenant_rule(text: &str) -> Result<(), &'static str> {
    label_up_to(text, 48).ok_or("must be 1 to 48 of a-z, 0-9 and -, with a letter or digit at both ends")
}

fn label_up_to(text: &str, longest: usize) -> Option<()> {
    let bytes = text.as_bytes();
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let valid = bytes.len() <= longest
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|b| edge(b) || *b == b'-');
    valid.then_some(())
}

fn text_rule(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > 300 {
        return Err("must have 1 to 300 bytes");
    }
    if text.trim() != text {
        return Err("must not start or end with a blank");
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(())
}

/// One user's environment of one kind. Derived from a principal and a route, never from a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkspaceId {
    /// The company that it is billed to.
    pub tenant: TenantId,
    /// Its owner.
    pub user: UserId,
    /// What kind of environment it is.
    pub kind: KindName,
}

impl WorkspaceId {
    /// A DNS label of at most 23 octets for this workspace: readable where the user's name allows,
    /// the same for ever, and distinct for distinct ids (60 bits of SHA-256 over the length-prefixed parts).
    /// 23 leaves room for the 40 octets that Theia's webview names put before it in one label of 63.
    #[must_use]
    pub fn label(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [self.tenant.as_str(), self.user.as_str(), self.kind.as_str()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let hash = context.finish();
        let mut label: String = self
            .user
            .as_str()
            .chars()
            .map(|c| c.to_ascii_lowercase())
            .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            .take(10)
            .collect();
        if !label.starts_with(|c: char| c.is_ascii_lowercase()) {
            label.insert(0, 'u');
            label.truncate(10);
        }
        label.push('-');
        // Five bits a character; the alphabet is RFC 4648's base32 in lower case.
        label.extend(hash.as_ref().iter().take(12).map(|byte| {
            char::from(b"abcdefghijklmnopqrstuvwxyz234567".get(usize::from(byte & 31)).copied().unwrap_or(b'a'))
        }));
        label
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.user, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(tenant: &str, user: &str, kind: &str) -> WorkspaceId {
        WorkspaceId {
            tenant: TenantId::new(tenant).expect("test tenant"),
            user: UserId::new(user).expect("test user"),
            kind: KindName::new(kind).expect("test kind"),
        }
    }

    #[test]
    fn names_are_checked_where_they_are_made() {
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", &"a".repeat(49)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?} was accepted as a tenant");
        }
        for bad in ["", " a", "a ", "a\nb", "a\u{0}", &"a".repeat(301)] {
            assert!(UserId::new(bad).is_err(), "{bad:?} was accepted as a user");
        }
        assert!(UserId::new("Ada.Lovelace@example.com").is_ok());
        assert!(UserId::new("张伟").is_ok());
    }

    #[test]
    fn labels_are_dns_labels_of_at_most_23_octets_and_distinct() {
        let users = ["ada", "Ada", "ada@example.com", "张伟", "9lives", &"x".repeat(300), "a d a"];
        let mut seen = std::collections::BTreeSet::new();
        for user in users {
            for (tenant, kind) in [("acme", "ide"), ("acme", "desktop"), ("globex", "ide")] {
                let label = workspace(tenant, user, kind).label();
                assert!(label.len() <= 23, "{label} is too long");
                assert!(label.starts_with(|c: char| c.is_ascii_lowercase()), "{label}");
                assert!(label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{label}");
                assert!(seen.insert(label.clone()), "{label} stands for two workspaces");
            }
        }
    }

    #[test]
    fn parts_that_join_to_the_same_text_have_different_labels() {
        assert_ne!(workspace("a", "b-c", "ide").label(), workspace("a-b", "c", "ide").label());
    }
}
