//! [`Identity`]: the directories in their order, and what the configuration makes of the people in them.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::policy::Policy;
use super::users_file::UsersFile;
use super::verifier::Verifier;
use super::{BuildError, Directory, LookUpError, Password, SignInError};
use crate::config::{self, Config};
use crate::model::{Principal, TenantId, UserId};

/// All directories behind one handle. Clones share it.
#[derive(Clone)]
pub struct Identity {
    current: Arc<ArcSwap<Directories>>,
    verifier: Arc<Verifier>,
}

/// What one configuration says. Replaced whole.
struct Directories {
    in_order: Vec<Arc<dyn Directory>>,
    policy: Policy,
    /// How many were in force before.
    generation: u64,
}

/// Directories that were opened and are not in force yet.
pub struct Prepared(Directories);

impl Identity {
    /// Opens the configured directories. Reads files: not for a proxy thread.
    ///
    /// # Errors
    /// Returns an error if a users file cannot be read or used.
    pub fn build(config: &Config) -> Result<Self, BuildError> {
        let verifier = Arc::new(Verifier::for_this_machine());
        let directories = Directories::open(config, &verifier)?;
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(directories)), verifier })
    }

    /// These directories, with tenants and roles from `config`. For directories that are made elsewhere.
    #[must_use]
    pub fn of(in_order: Vec<Arc<dyn Directory>>, config: &Config) -> Self {
        let directories = Directories { in_order, policy: Policy::new(config), generation: 0 };
        let verifier = Arc::new(Verifier::for_this_machine());
        Self { current: Arc::new(ArcSwap::from_pointee(directories)), verifier }
    }

    /// Opens the directories again as `config` has them, users files included, and leaves those in force that are.
    ///
    /// # Errors
    /// Returns an error if a users file cannot be read or used.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, BuildError> {
        Directories::open(config, &self.verifier).map(Prepared)
    }

    /// Puts directories in force that were prepared. Follow it with `Sessions::refresh_principals`, so that people
    /// who are signed in notice.
    pub fn adopt(&self, Prepared(mut directories): Prepared) {
        directories.generation = self.generation() + 1;
        self.current.store(Arc::new(directories));
    }

    /// [`prepare`](Self::prepare) and [`adopt`](Self::adopt) in one.
    ///
    /// # Errors
    /// Returns an error if a users file cannot be read or used; then all stays as it was.
    pub fn apply(&self, config: &Config) -> Result<(), BuildError> {
        self.adopt(self.prepare(config)?);
        Ok(())
    }

    /// Changes whenever other directories come into force: what was learned at one may not hold at the next.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }

    /// Checks a user name and password against the directories in their order; the first that knows both decides.
    ///
    /// # Errors
    /// Returns why not. A directory that cannot be reached is passed over, and named if none of the others
    /// admits them either.
    pub async fn sign_in(&self, user: &str, password: &Password) -> Result<Principal, SignInError> {
        let current = self.current.load_full();
        let mut outcome = SignInError::WrongCredentials;
        for directory in &current.in_order {
            match directory.verify(user, password).await {
                Ok(principal) => return current.admit(principal),
                Err(SignInError::WrongCredentials) => {}
                Err(error @ (SignInError::Unreachable { .. } | SignInError::Misconfigured { .. })) => outcome = error,
                Err(error) => return Err(error),
            }
        }
        Err(outcome)
    }

    /// Reads somebody again from the directory that vouched for them. `None`: they are not there any more, are
    /// disabled, belong to another tenant now, or their tenant or directory is no longer admitted.
    ///
    /// # Errors
    /// Returns an error if the directory cannot tell.
    pub async fn look_up(
        &self,
        source: &str,
        user: &UserId,
        tenant: &TenantId,
    ) -> Result<Option<Principal>, LookUpError> {
        let current = self.current.load_full();
        let Some(directory) = current.in_order.iter().find(|directory| directory.name() == source) else {
            return Ok(None);
        };
        let found = directory.look_up(user).await?;
        Ok(found.filter(|principal| principal.tenant == *tenant).and_then(|found| current.policy.admit(found)))
    }
}

impl Directories {
    fn open(config: &Config, verifier: &Arc<Verifier>) -> Result<Self, BuildError> {
        let open = |directory: &config::Directory| {
            UsersFile::open(&directory.name, Path::new(&directory.users_file.path), verifier.clone())
                .map(|opened| Arc::new(opened) as Arc<dyn Directory>)
        };
        let in_order = config.identity.directories.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { in_order, policy: Policy::new(config), generation: 0 })
    }

    fn admit(&self, principal: Principal) -> Result<Principal, SignInError> {
        let tenant = principal.tenant.clone();
        self.policy.admit(principal).ok_or(SignInError::TenantRefused { tenant })
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// What `metrics.login(directory, result)` is to be told of a sign-in. The directory is empty where none decided.
#[must_use]
pub fn sign_in_labels(outcome: &Result<Principal, SignInError>) -> (&str, &'static str) {
    match outcome {
        Ok(principal) => (&principal.source, "success"),
        Err(error) => match error {
            SignInError::Unreachable { directory } | SignInError::Misconfigured { directory, .. } => {
                (directory, error.label())
            }
            _ => ("", error.label()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use async_trait::async_trait;

    use super::*;
    use crate::identity::hash_password;
    use crate::model::GroupName;

    const CONFIG: &str = r#"
public_url: https://dev.example.com
listen: { public: { address: "127.0.0.1:0", tls: { certificate: c, key: k } } }
session: { keys: [ { id: k1, file: k1 } ] }
identity:
  directories: [ { name: local, users_file: { path: USERS } } ]
  operators: [ "group:ops" ]
tenants:
  acme: { admins: [ acme-admins, "group:acme-leads" ] }
  gone: { disabled: true }
"#;

    struct Fixture {
        folder: tempfile::TempDir,
        config: Config,
    }

    impl Fixture {
        fn new(users: &str) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("users.yaml");
            let config =
                serde_saphyr::from_str(&CONFIG.replace("USERS", &path.display().to_string())).expect("a configuration");
            let fixture = Self { folder, config };
            fixture.write(users);
            fixture
        }

        fn write(&self, users: &str) {
            let hash = hash_password(&password("secret"));
            let text = format!("users:\n{}", users.replace("HASH", &format!("'{hash}'")));
            std::fs::write(self.folder.path().join("users.yaml"), text).expect("written");
        }

        fn identity(&self) -> Identity {
            Identity::build(&self.config).expect("builds")
        }
    }

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).expect("a password")
    }

    const USERS: &str = "\
- { name: Ann, tenant: acme, password: HASH, display_name: Ann A., groups: [zoo, acme-leads, zoo] }
- { name: bob, tenant: acme, password: HASH, groups: [ops], disabled: false }
- { name: out, tenant: acme, password: HASH, disabled: true }
- { name: guy, tenant: gone, password: HASH }
";

    #[tokio::test]
    async fn every_sign_in_has_its_answer() {
        let identity = Fixture::new(USERS).identity();
        let gone = TenantId::new("gone").expect("a tenant");
        let table = [
            ("Ann", "secret", None),
            ("ann", "secret", None),
            (" ANN ", "secret", None),
            ("Ann", "Secret", Some(SignInError::WrongCredentials)),
            ("nobody", "secret", Some(SignInError::WrongCredentials)),
            ("", "secret", Some(SignInError::WrongCredentials)),
            ("out", "secret", Some(SignInError::Disabled)),
            ("out", "wrong", Some(SignInError::WrongCredentials)),
            ("guy", "secret", Some(SignInError::TenantRefused { tenant: gone })),
            ("guy", "wrong", Some(SignInError::WrongCredentials)),
        ];
        for (user, text, expected) in table {
            assert_eq!(identity.sign_in(user, &password(text)).await.err(), expected, "{user} {text}");
        }
    }

    #[tokio::test]
    async fn an_unknown_user_costs_as_many_checks_as_a_wrong_password() {
        let identity = Fixture::new(USERS).identity();
        let mut counts = Vec::new();
        for user in ["Ann", "nobody", "out", ""] {
            let before = identity.verifier.checks.load(Ordering::Relaxed);
            assert_eq!(identity.sign_in(user, &password("wrong")).await, Err(SignInError::WrongCredentials));
            counts.push(identity.verifier.checks.load(Ordering::Relaxed) - before);
        }
        assert_eq!(counts, [1, 1, 1, 1]);
    }

    #[tokio::test]
    async fn roles_come_from_the_configured_groups() {
        let identity = Fixture::new(USERS).identity();
        let ann = identity.sign_in("ann", &password("secret")).await.expect("signs in");
        assert!(ann.roles.tenant_admin && !ann.roles.operator);
        assert_eq!(ann.user.as_str(), "Ann", "as the file writes it");
        assert_eq!(ann.groups.iter().map(GroupName::as_str).collect::<Vec<_>>(), ["acme-leads", "zoo"]);
        assert_eq!((&*ann.source, ann.greeting()), ("local", "Ann A."));
        let bob = identity.sign_in("bob", &password("secret")).await.expect("signs in");
        assert!(bob.roles.operator && !bob.roles.tenant_admin);
    }

    #[tokio::test]
    async fn looking_up_finds_only_those_who_would_be_admitted() {
        let identity = Fixture::new(USERS).identity();
        let table = [
            ("local", "Ann", "acme", true),
            ("local", "out", "acme", false),
            ("local", "guy", "gone", false),
            ("local", "Ann", "other", false),
            ("other", "Ann", "acme", false),
            ("local", "nobody", "acme", false),
        ];
        for (source, user, tenant, expected) in table {
            let (user, tenant) = (UserId::new(user).expect("a user"), TenantId::new(tenant).expect("a tenant"));
            let found = identity.look_up(source, &user, &tenant).await.expect("can tell");
            assert_eq!(found.is_some(), expected, "{source} {user} {tenant}");
        }
    }

    #[tokio::test]
    async fn a_changed_file_holds_once_applied_and_a_broken_one_does_not() {
        let fixture = Fixture::new(USERS);
        let identity = fixture.identity();
        fixture.write("- { name: eve, tenant: acme, password: HASH }\n");
        assert!(identity.sign_in("eve", &password("secret")).await.is_err());
        identity.apply(&fixture.config).expect("applies");
        assert!(identity.sign_in("eve", &password("secret")).await.is_ok());
        assert!(identity.sign_in("ann", &password("secret")).await.is_err());
        fixture.write("- { name: eve, tenant: acme, password: plain }\n");
        let error = identity.apply(&fixture.config).expect_err("refused");
        assert!(!error.to_string().contains("plain"), "{error}");
        assert!(identity.sign_in("eve", &password("secret")).await.is_ok(), "the old one stays");
    }

    struct Broken;

    #[async_trait]
    impl Directory for Broken {
        fn name(&self) -> &str {
            "broken"
        }

        async fn verify(&self, _: &str, _: &Password) -> Result<Principal, SignInError> {
            Err(SignInError::Unreachable { directory: "broken".to_owned() })
        }

        async fn look_up(&self, _: &UserId) -> Result<Option<Principal>, LookUpError> {
            Err(LookUpError { directory: "broken".to_owned(), detail: "down".to_owned() })
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_down_is_passed_over_and_named_only_if_no_other_knows_them() {
        let fixture = Fixture::new(USERS);
        let mut in_order: Vec<Arc<dyn Directory>> = vec![Arc::new(Broken)];
        in_order.extend(fixture.identity().current.load().in_order.iter().cloned());
        let identity = Identity::of(in_order, &fixture.config);
        assert!(identity.sign_in("ann", &password("secret")).await.is_ok());
        let outcome = identity.sign_in("ann", &password("wrong")).await;
        assert_eq!(sign_in_labels(&outcome), ("broken", "unreachable"));
    }
}
