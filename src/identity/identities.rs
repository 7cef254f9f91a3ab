//! [`Identity`]: the directories in their order, and what the configuration makes of the people in them.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::ldap::LdapDirectory;
use super::queue::Lanes;
use super::rules::{Refusal, Rules};
use super::tokens::{Bearer, Bearers, Issuers, TokenRefused};
use super::users_file::UsersFile;
use super::verifier::Verifier;
use super::{BuildError, Directory, LookUpError, Means, Password, Person, SignInError};
use crate::config::{self, Config, DirectoryKind};
use crate::model::{Principal, TenantId, Timestamp, UserId};

/// All directories behind one handle. Clones share it.
#[derive(Clone)]
pub struct Identity {
    current: Arc<ArcSwap<Directories>>,
    opener: Arc<Opener>,
    bearers: Bearers,
}

/// What opens directories, and what outlives each of them.
struct Opener {
    verifier: Arc<Verifier>,
    lanes: Arc<Lanes>,
    /// `None` where nobody is asked over a network.
    means: Option<Means>,
}

/// What one configuration says. Replaced whole.
struct Directories {
    in_order: Vec<Arc<dyn Directory>>,
    /// Those of them that are asked over a network, which are kept if nothing about them changes.
    ldap: Vec<Arc<LdapDirectory>>,
    rules: Rules,
    /// How many were in force before.
    generation: u64,
}

/// Directories that were opened and are not in force yet.
pub struct Prepared(Directories, Issuers);

impl Identity {
    /// Opens the configured directories, which must be files. Reads them: not for a proxy thread.
    ///
    /// # Errors
    /// Returns an error if a users file cannot be read or used, or if a directory is asked over a network.
    pub fn build(config: &Config) -> Result<Self, BuildError> {
        Self::open(config, Opener::new(None))
    }

    /// Opens the configured directories, those that are asked over a network included. Reads files and connects to
    /// nobody yet: not for a proxy thread.
    ///
    /// # Errors
    /// Returns an error if a file that is named cannot be read or used.
    pub fn build_with(config: &Config, means: Means) -> Result<Self, BuildError> {
        Self::open(config, Opener::new(Some(means)))
    }

    fn open(config: &Config, opener: Opener) -> Result<Self, BuildError> {
        let directories = opener.open(config, &[])?;
        let bearers = Bearers::new(Issuers::build(config, None)?);
        Ok(Self { current: Arc::new(ArcSwap::from_pointee(directories)), opener: Arc::new(opener), bearers })
    }

    /// These directories, with tenants and roles from `config`. For directories that are made elsewhere.
    ///
    /// # Panics
    /// Panics if a rule or key of `config` cannot be read: it is one that was checked.
    #[must_use]
    pub fn of(in_order: Vec<Arc<dyn Directory>>, config: &Config) -> Self {
        let rules = Rules::new(config).expect("the rules of a configuration that was checked");
        let directories = Directories { in_order, ldap: Vec::new(), rules, generation: 0 };
        let issuers = Issuers::build(config, None).expect("the keys of a configuration that was checked");
        let (current, opener) = (Arc::new(ArcSwap::from_pointee(directories)), Arc::new(Opener::new(None)));
        Self { current, opener, bearers: Bearers::new(issuers) }
    }

    /// Opens the directories again as `config` has them, users files included, and leaves those in force that are.
    ///
    /// # Errors
    /// Returns an error if a users file or a key cannot be read or used.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, BuildError> {
        let directories = self.opener.open(config, &self.current.load().ldap)?;
        Ok(Prepared(directories, self.bearers.prepare(config)?))
    }

    /// Puts directories in force that were prepared. Follow it with `Sessions::refresh_principals`, so that people
    /// who are signed in notice.
    pub fn adopt(&self, Prepared(mut directories, issuers): Prepared) {
        directories.generation = self.generation() + 1;
        self.current.store(Arc::new(directories));
        self.bearers.adopt(issuers);
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
    /// Returns why not, and whether it counts as a guess. A directory that cannot be reached or is busy is passed over,
    /// and named if none of the others admits them either: over everything else, so that the answer does not depend on
    /// whether an account exists.
    pub async fn sign_in(&self, user: &str, password: &Password) -> Result<Principal, NotSignedIn> {
        let current = self.current.load_full();
        let mut outcome = SignInError::WrongCredentials;
        let mut guessed = false;
        for directory in &current.in_order {
            match directory.verify(user, password).await {
                Ok(person) => {
                    let principal = current.rules.principal(person).map_err(SignInError::from)?;
                    self.opener.lanes.learn(user, &principal.tenant);
                    return Ok(principal);
                }
                Err(SignInError::WrongCredentials) => guessed = true,
                Err(error @ SignInError::Unproven(_)) => {
                    guessed = true;
                    if outcome == SignInError::WrongCredentials {
                        outcome = error;
                    }
                }
                Err(
                    error @ (SignInError::Busy | SignInError::Unreachable { .. } | SignInError::Misconfigured { .. }),
                ) => outcome = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(NotSignedIn { error: outcome, guessed })
    }

    /// Makes a principal of somebody whom a directory, an issuer or a provider vouches for: their tenant and roles by
    /// the rules that hold for that source.
    ///
    /// # Errors
    /// Returns an error if no tenant, or more than one, is theirs, or if their tenant is not admitted.
    pub fn admit(&self, person: Person) -> Result<Principal, SignInError> {
        Ok(self.current.load().rules.principal(person)?)
    }

    /// Whom somebody may ask who is refused with `error`; `None` if nobody is named, or nobody could help.
    #[must_use]
    pub fn contact(&self, error: &SignInError) -> Option<String> {
        self.current.load().rules.contact(error)
    }

    /// Issuers of bearer tokens.
    #[must_use]
    pub const fn bearers(&self) -> &Bearers {
        &self.bearers
    }

    /// Whom a bearer token vouches for at `now`, and the name of its issuer, empty if none of ours. Does no I/O.
    ///
    /// # Errors
    /// Returns why it is worth nothing, after two seconds at most if its key has to be fetched first.
    pub async fn bearer(&self, token: &str, now: Timestamp) -> (Arc<str>, Result<Arc<Bearer>, TokenRefused>) {
        self.bearers.verify(token, now, &|person| self.admit(person)).await
    }

    /// Ends bearers that have expired, are `revoked`, or whose user is not admitted as they were. To be called each second.
    pub fn sweep_bearers(&self, now: Timestamp, revoked: &dyn Fn(&Bearer) -> bool) {
        self.bearers.sweep(now, revoked, &|person| self.admit(person));
    }

    /// Reads somebody again from the directory that vouched for them. `None`: they are not there any more, are
    /// disabled, belong to another tenant now or to none, or their tenant or directory is no longer admitted.
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
        let Some(person) = directory.look_up(user).await? else { return Ok(None) };
        match current.rules.principal(person) {
            Ok(principal) => {
                self.opener.lanes.learn(user.as_str(), &principal.tenant);
                Ok(Some(principal).filter(|principal| principal.tenant == *tenant))
            }
            Err(Refusal::TenantNotAllowed { .. }) => Ok(None),
            Err(reason) => {
                tracing::warn!(directory = source, %user, %tenant, %reason, "access withdrawn");
                Ok(None)
            }
        }
    }
}

impl Opener {
    fn new(means: Option<Means>) -> Self {
        Self { verifier: Arc::new(Verifier::for_this_machine()), lanes: Arc::default(), means }
    }

    fn open(&self, config: &Config, former: &[Arc<LdapDirectory>]) -> Result<Directories, BuildError> {
        let mut opened =
            Directories { in_order: Vec::new(), ldap: Vec::new(), rules: Rules::new(config)?, generation: 0 };
        for directory in &config.identity.directories {
            self.open_one(directory, config, former, &mut opened)?;
        }
        Ok(opened)
    }

    fn open_one(
        &self,
        directory: &config::Directory,
        config: &Config,
        former: &[Arc<LdapDirectory>],
        opened: &mut Directories,
    ) -> Result<(), BuildError> {
        let name = &directory.name;
        match (directory.kind(), &self.means) {
            (Some(DirectoryKind::UsersFile(file)), _) => {
                let file = UsersFile::open(name, Path::new(&file.path), self.verifier.clone())?;
                opened.in_order.push(Arc::new(file));
            }
            (Some(DirectoryKind::Ldap(ldap)), Some(means)) => {
                let former = former.iter().find(|former| former.name() == name);
                let asked_by_rules = config.identity.attributes_of_rules(directory.tenant.as_deref());
                let ldap = LdapDirectory::open(name, ldap, asked_by_rules, &self.lanes, means, former)?;
                opened.ldap.push(ldap.clone());
                opened.in_order.push(ldap);
            }
            (Some(DirectoryKind::Ldap(_)), None) => return Err(BuildError::NoNetwork { directory: name.clone() }),
            (None, _) => return Err(BuildError::NoKind { directory: name.clone() }),
        }
        Ok(())
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

/// Why somebody was not signed in, and whether a directory judged their password wrong: while another one cannot be asked,
/// the answer is that, and guessing must count all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSignedIn {
    /// What they are told.
    pub error: SignInError,
    /// Whether it counts as a failed guess.
    pub guessed: bool,
}

impl From<SignInError> for NotSignedIn {
    fn from(error: SignInError) -> Self {
        Self { guessed: error.is_failed_guess(), error }
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
    use crate::identity::{AccountTrouble, hash_password};
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
            assert_eq!(
                identity.sign_in(user, &password(text)).await.err().map(|refused| refused.error),
                expected,
                "{user} {text}"
            );
        }
    }

    #[tokio::test]
    async fn an_unknown_user_costs_as_many_checks_as_a_wrong_password() {
        let identity = Fixture::new(USERS).identity();
        let mut counts = Vec::new();
        for user in ["Ann", "nobody", "out", ""] {
            let before = identity.opener.verifier.checks.load(Ordering::Relaxed);
            assert_eq!(identity.sign_in(user, &password("wrong")).await, Err(SignInError::WrongCredentials.into()));
            counts.push(identity.opener.verifier.checks.load(Ordering::Relaxed) - before);
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

    /// A directory that always says the same to who signs in, and is down for who is looked up.
    struct Says(Result<Person, SignInError>);

    fn broken() -> SignInError {
        SignInError::Unreachable { directory: "broken".to_owned() }
    }

    #[async_trait]
    impl Directory for Says {
        fn name(&self) -> &str {
            "broken"
        }

        async fn verify(&self, _: &str, _: &Password) -> Result<Person, SignInError> {
            self.0.clone()
        }

        async fn look_up(&self, _: &UserId) -> Result<Option<Person>, LookUpError> {
            match &self.0 {
                Ok(person) => Ok(Some(person.clone())),
                Err(_) => Err(LookUpError { directory: "broken".to_owned(), detail: "down".to_owned() }),
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_proven_gives_way_to_a_later_directory_and_to_one_that_is_down() {
        let fixture = Fixture::new(USERS);
        let unproven = || Arc::new(Says(Err(SignInError::Unproven(AccountTrouble::Locked)))) as Arc<dyn Directory>;
        let down = || Arc::new(Says(Err(broken()))) as Arc<dyn Directory>;
        let of = |mut in_order: Vec<Arc<dyn Directory>>| {
            in_order.extend(fixture.identity().current.load().in_order.iter().cloned());
            Identity::of(in_order, &fixture.config)
        };
        let alone = of(vec![unproven()]);
        assert!(alone.sign_in("ann", &password("secret")).await.is_ok());
        let refused = alone.sign_in("ann", &password("wrong")).await.expect_err("wrong");
        assert_eq!((refused.error.label(), refused.guessed), ("locked", true));
        for in_order in [vec![unproven(), down()], vec![down(), unproven()]] {
            let refused = of(in_order).sign_in("ann", &password("wrong")).await;
            assert_eq!(refused, Err(NotSignedIn { error: broken(), guessed: true }));
        }
    }

    #[tokio::test]
    async fn a_guess_counts_as_one_while_another_directory_is_down_or_busy_and_none_hides_the_next() {
        let fixture = Fixture::new(USERS);
        for error in [
            broken(),
            SignInError::Busy,
            SignInError::Misconfigured { directory: "d".to_owned(), detail: "x".to_owned() },
        ] {
            let mut in_order: Vec<Arc<dyn Directory>> = vec![Arc::new(Says(Err(error.clone())))];
            in_order.extend(fixture.identity().current.load().in_order.iter().cloned());
            let identity = Identity::of(in_order, &fixture.config);
            assert!(identity.sign_in("ann", &password("secret")).await.is_ok(), "{error}");
            let refused = identity.sign_in("ann", &password("wrong")).await;
            assert_eq!(refused, Err(NotSignedIn { error, guessed: true }));
        }
        let alone = Identity::of(vec![Arc::new(Says(Err(broken())))], &fixture.config);
        let refused = alone.sign_in("ann", &password("wrong")).await;
        assert_eq!(refused, Err(NotSignedIn { error: broken(), guessed: false }), "nobody judged it");
    }

    #[tokio::test]
    async fn who_yields_no_tenant_any_more_has_lost_their_access() {
        let fixture = Fixture::new(USERS);
        let (ann, acme) = (UserId::new("ann").expect("a user"), TenantId::new("acme").expect("a tenant"));
        let person = Person::new(ann.clone(), Arc::from("broken"));
        let identity = Identity::of(vec![Arc::new(Says(Ok(person.clone())))], &fixture.config);
        assert_eq!(identity.look_up("broken", &ann, &acme).await, Ok(None));
        assert_eq!(identity.admit(person.clone()), Err(SignInError::NoTenant));
        let person = Person { tenant: Some(acme.clone()), ..person };
        let identity = Identity::of(vec![Arc::new(Says(Ok(person)))], &fixture.config);
        assert!(identity.look_up("broken", &ann, &acme).await.expect("can tell").is_some());
    }

    #[tokio::test]
    async fn a_directory_that_is_down_is_passed_over_and_named_only_if_no_other_knows_them() {
        let fixture = Fixture::new(USERS);
        let mut in_order: Vec<Arc<dyn Directory>> = vec![Arc::new(Says(Err(broken())))];
        in_order.extend(fixture.identity().current.load().in_order.iter().cloned());
        let identity = Identity::of(in_order, &fixture.config);
        assert!(identity.sign_in("ann", &password("secret")).await.is_ok());
        let outcome = identity.sign_in("ann", &password("wrong")).await.map_err(|refused| refused.error);
        assert_eq!(sign_in_labels(&outcome), ("broken", "unreachable"));
    }
}
