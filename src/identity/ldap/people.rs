//! One directory's people: signing in, reading again. Runs on the control runtime; [`directory`](super::directory)
//! sees to that, to the turns and to the overall limit.

use std::sync::Arc;

use aws_lc_rs::rand;
use ldap3::LdapResult;
use tokio::time::Instant;

use super::account;
use super::connection::{Connection, Found, Meter, Query};
use super::entry::Entry;
use super::fault::{Fault, result};
use super::outcome::{self, Refused};
use super::servers::Servers;
use super::settings::{Place, Settings};
use super::shared::{NotOpened, Shared};
use super::wire::Wire;
use crate::clock::Clock;
use crate::identity::{AccountTrouble, Password, Person, SignInError, dn};
use crate::model::UserId;

/// What Active Directory calls an account by.
pub(super) const ACCOUNT: &str = "sAMAccountName";

/// Everything about one directory.
pub(super) struct People {
    pub(super) name: Arc<str>,
    pub(super) settings: Settings,
    servers: Servers,
    shared: Shared,
    meter: Meter,
    clock: Arc<dyn Clock>,
}

/// By which connection something is read.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    /// The shared one.
    Shared,
    /// That of the person who is signing in.
    Own(&'a Connection),
}

impl People {
    pub(super) fn new(name: Arc<str>, settings: Settings, meter: Meter, clock: Arc<dyn Clock>) -> Self {
        let servers = Servers::new(settings.servers.clone(), meter.clone());
        Self { name, settings, servers, shared: Shared::default(), meter, clock }
    }

    /// Checks a password.
    ///
    /// # Errors
    /// Returns what is wrong with the person, or with the directory.
    pub(super) async fn verify(&self, user: &str, password: &Password) -> Result<Person, Refused> {
        if self.settings.config.direct.is_some() {
            self.sign_in_directly(user, password).await
        } else {
            self.find_and_sign_in(user, password).await
        }
    }

    /// Reads somebody again. `None`: not there, or their account is of no use any more.
    ///
    /// # Errors
    /// Returns an error if the directory cannot tell.
    pub(super) async fn look_up(&self, user: &UserId) -> Result<Option<Person>, Fault> {
        let place = self.settings.place_of_known(user.as_str());
        let Some(entry) = self.find(&place, By::Shared).await? else { return Ok(None) };
        if let Some(trouble) = account::trouble(&entry, self.clock.now()) {
            tracing::info!(directory = &*self.name, %user, %trouble, "access withdrawn");
            return Ok(None);
        }
        self.person(&entry, By::Shared).await.map(Some)
    }

    async fn find_and_sign_in(&self, user: &str, password: &Password) -> Result<Person, Refused> {
        let place = self.settings.place_of_typed(user);
        let Some(entry) = self.find(&place, By::Shared).await? else {
            self.sign_in_nobody(&place.base).await?;
            return Err(Refused::Person(SignInError::WrongCredentials));
        };
        let (connection, answer) = self.bind(&entry.dn, password.expose()).await?;
        // Bound as somebody, it is of no use for anybody else.
        drop(connection);
        outcome::of_bind(&answer)?;
        self.admitted(&entry)?;
        Ok(self.person(&entry, By::Shared).await?)
    }

    async fn sign_in_directly(&self, user: &str, password: &Password) -> Result<Person, Refused> {
        let name = self.settings.direct_name(user).ok_or(Refused::Person(SignInError::WrongCredentials))?;
        let (connection, answer) = self.bind(&name, password.expose()).await?;
        outcome::of_bind(&answer)?;
        let by = if self.settings.service().is_some() { By::Shared } else { By::Own(&connection) };
        let found = self.find(&self.settings.place_of_typed(user), by).await?;
        let entry =
            found.ok_or_else(|| Fault::Misconfigured("somebody signed in whose entry cannot be read".to_owned()))?;
        self.is_who_signed_in(&entry, &connection).await?;
        self.admitted(&entry)?;
        Ok(self.person(&entry, by).await?)
    }

    /// What was typed is one name to whom it signs in, and may be another to the search: nobody becomes somebody else by
    /// that. A server that does not say whom it took them for is believed.
    async fn is_who_signed_in(&self, entry: &Entry, connection: &Connection) -> Result<(), Fault> {
        if self.settings.config.users.is_none() {
            return Ok(());
        }
        match connection.who_am_i().await? {
            Some(name) if !is_of(&name, entry) => {
                Err(Fault::Misconfigured("users.filter finds somebody else than who signed in".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// What servers do not look at when somebody binds; the password is proven by now.
    fn admitted(&self, entry: &Entry) -> Result<(), AccountTrouble> {
        account::trouble(entry, self.clock.now()).map_or(Ok(()), Err)
    }

    /// An unknown user costs what a wrong password costs: a connection, TLS and a bind, here under a name that nobody
    /// has, with a password that nobody knows. What remains is the time in which the server compares hashes. It tells of
    /// a server that refuses every bind, too.
    async fn sign_in_nobody(&self, base: &str) -> Result<(), Fault> {
        let mut random = [0; 16];
        rand::fill(&mut random).map_err(|_| Fault::Unreachable("this machine has no random numbers".to_owned()))?;
        let name = format!("uid=nobody-of-this-name,{base}");
        let (_, answer) = self.bind(&name, &format!("{:032x}", u128::from_be_bytes(random))).await?;
        outcome::of_nobodys_bind(&answer)
    }

    /// Binds on a fresh connection.
    async fn bind(&self, name: &str, password: &str) -> Result<(Connection, LdapResult), Fault> {
        match self.connect(Some((name, password))).await? {
            (connection, Some(answer)) => Ok((connection, answer)),
            (_, None) => Err(Fault::Misconfigured("a bind needs a name and a password".to_owned())),
        }
    }

    /// A connection for searches.
    async fn open_shared(&self) -> Result<Connection, NotOpened> {
        match self.connect(self.settings.service()).await? {
            (_, Some(answer)) if answer.rc != 0 => {
                let refused = result(answer.rc, &answer.text);
                let told = format!("bind_dn cannot sign in with bind_password_file ({refused})");
                Err(NotOpened::Refused(Fault::Misconfigured(told)))
            }
            (connection, _) => Ok(connection),
        }
    }

    /// Connects to one server after the other until one answers; binds if there is whom to bind as.
    async fn connect(&self, account: Option<(&str, &str)>) -> Result<(Connection, Option<LdapResult>), Fault> {
        let mut last = Fault::Unreachable("no server is configured".to_owned());
        for server in self.servers.in_order() {
            match self.connect_to(server, account).await {
                Ok(opened) => {
                    self.servers.answered(server);
                    return Ok(opened);
                }
                Err(fault) => {
                    self.servers.failed(server);
                    let (directory, url) = (&*self.name, self.servers.get(server).0);
                    tracing::warn!(directory, url, reason = fault.text(), "LDAP server failed");
                    last = fault;
                }
            }
        }
        Err(last)
    }

    async fn connect_to(
        &self,
        server: usize,
        account: Option<(&str, &str)>,
    ) -> Result<(Connection, Option<LdapResult>), Fault> {
        let since = Instant::now();
        let config = &self.settings.config;
        let opened = Wire::open(self.servers.get(server).1, &self.settings.protection, config.connect_timeout.0).await;
        self.meter.count("connect", if opened.is_ok() { "ok" } else { "failed" }, since);
        let connection = Connection::new(opened?, server, config.operation_timeout.0, self.meter.clone());
        let Some((name, password)) = account else { return Ok((connection, None)) };
        let answer = connection.bind(name, password).await?;
        match answer.rc {
            // "Busy" and "unavailable" are no answers; another server may have one.
            51 | 52 => Err(outcome::fault(answer.rc, &answer.text, "a bind")),
            _ => Ok((connection, Some(answer))),
        }
    }

    /// Searches on the given connection. A shared one that fails is replaced: once for its having been dropped unseen,
    /// and once for every server.
    pub(super) async fn search(&self, query: Query<'_>, by: By<'_>) -> Result<Found, Fault> {
        let By::Own(connection) = by else { return self.search_shared(query).await };
        connection.search(query).await
    }

    async fn search_shared(&self, query: Query<'_>) -> Result<Found, Fault> {
        let mut last = Fault::Unreachable("no server is configured".to_owned());
        for _ in 0..=self.servers.len() {
            let (connection, reused) = self.shared.get(self.open_shared()).await?;
            match connection.search(query).await {
                Ok(found) => return Ok(found),
                Err(fault @ Fault::Misconfigured(_)) => return Err(fault),
                Err(fault) => {
                    self.shared.discard(&connection).await;
                    if !(reused && connection.is_closed()) {
                        self.servers.failed(connection.server);
                    }
                    last = fault;
                }
            }
        }
        Err(last)
    }

    /// The one entry at a place.
    async fn find(&self, place: &Place, by: By<'_>) -> Result<Option<Entry>, Fault> {
        let query = Query {
            base: &place.base,
            scope: place.scope,
            filter: &place.filter,
            attributes: &self.settings.attributes,
            at_most: 1,
            paged: false,
        };
        let found = self.search(query, by).await?;
        self.only(found, &place.base)
    }

    fn only(&self, mut found: Found, base: &str) -> Result<Option<Entry>, Fault> {
        if found.entries.len() > 1 {
            return Err(Fault::Misconfigured("more than one entry fits users.filter".to_owned()));
        }
        match found.code {
            0 => {}
            // noSuchObject: where a name leads to the entry itself, there is none, if there is what it would stand under.
            32 if self.settings.config.users.is_none() && is_above(&found.matched, base) => return Ok(None),
            32 => {
                let refused = result(32, &found.text);
                return Err(Fault::Misconfigured(format!("what people stand under is not there ({refused})")));
            }
            code => return Err(outcome::fault(code, &found.text, "a search")),
        }
        let Some(entry) = found.entries.pop() else { return Ok(None) };
        // To bind as the nameless root would be an anonymous bind.
        if entry.dn.trim().is_empty() {
            return Err(Fault::Misconfigured("an entry without a name fits users.filter".to_owned()));
        }
        Ok(Some(entry))
    }

    /// Everything about somebody whose entry is known.
    async fn person(&self, entry: &Entry, by: By<'_>) -> Result<Person, Fault> {
        let user = self.user(entry)?;
        let groups = self.groups(entry, &user, by).await?;
        let display_name = entry.value(&self.settings.config.display_name_attribute);
        Ok(Person {
            display_name: display_name.map(str::trim).filter(|name| !name.is_empty()).map(Arc::from),
            groups,
            dn: Some(Arc::from(entry.dn.as_str())),
            claims: Arc::new(entry.claims(&self.settings.claims)),
            ..Person::new(user, self.name.clone())
        })
    }

    fn user(&self, entry: &Entry) -> Result<UserId, Fault> {
        known_as(entry, &self.settings.config.user_attribute)
    }
}

/// What somebody is known as. Of values that differ in case alone always the same one, since servers keep them in no
/// order; of others none: whoever may add a value to an entry would choose whom it stands for.
fn known_as(entry: &Entry, attribute: &str) -> Result<UserId, Fault> {
    let wrong = |what: &str| Fault::Misconfigured(format!("user_attribute {attribute}: {what}"));
    let values = || entry.values(attribute).iter().map(|value| value.trim());
    let name = values().min().ok_or_else(|| wrong("somebody has none"))?;
    if values().any(|value| value.to_lowercase() != name.to_lowercase()) {
        return Err(wrong("somebody has several values, and may have one only"));
    }
    UserId::new(name).map_err(|error| wrong(&error.to_string()))
}

/// Whether an authorization identity (RFC 4513, section 5.2.1.8) is that of an entry: `dn:uid=ada,…`, or in Active
/// Directory `u:CORP\ada`. One that is neither says nothing.
fn is_of(identity: &str, entry: &Entry) -> bool {
    let plain = |dn: &str| dn::normalised(dn).map(|dn| dn.to_lowercase());
    if let Some(name) = identity.strip_prefix("dn:") {
        return plain(name).is_ok_and(|name| plain(&entry.dn) == Ok(name));
    }
    match identity.strip_prefix("u:").and_then(|name| name.split_once('\\')) {
        Some((_, account)) => entry.value(ACCOUNT).is_none_or(|known| known.to_lowercase() == account.to_lowercase()),
        None => true,
    }
}

/// Whether an entry stands directly above another. Commas in normal form separate, and nothing else.
fn is_above(above: &str, name: &str) -> bool {
    let plain = |dn: &str| dn::normalised(dn).map(|dn| dn.to_lowercase()).unwrap_or_default();
    plain(name).split_once(',').is_some_and(|(_, rest)| !rest.is_empty() && rest == plain(above))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_gone_only_from_a_place_that_is_there() {
        let ada = r"uid=a\,da, ou=People, dc=x";
        assert!(is_above("OU=people,dc=x", ada));
        for above in ["", "dc=x", ada, "da,ou=People,dc=x"] {
            assert!(!is_above(above, ada), "{above}");
        }
        assert!(!is_above("", "uid=ada"));
    }

    #[test]
    fn nobody_is_known_by_one_of_several_names() {
        let table: &[(&[&str], Result<&str, &str>)] = &[
            (&["ada"], Ok("ada")),
            (&[" ada "], Ok("ada")),
            (&["ada", "Ada"], Ok("Ada")),
            (&["Ada", "ada"], Ok("Ada")),
            (&["ada", "aaron"], Err("somebody has several values, and may have one only")),
            (&["zoe", "ada"], Err("somebody has several values, and may have one only")),
            (&["ada", ""], Err("somebody has several values, and may have one only")),
            (&[], Err("somebody has none")),
        ];
        for (values, expected) in table {
            let entry = Entry::of("uid=ada,dc=x", &[("uid", values)]);
            let expected = expected.map_err(|what| Fault::Misconfigured(format!("user_attribute uid: {what}")));
            assert_eq!(known_as(&entry, "uid").as_ref().map(UserId::as_str), expected.as_ref().copied(), "{values:?}");
        }
    }

    #[test]
    fn who_signed_in_is_told_from_who_was_found() {
        let entry = Entry::of("uid=Ada,ou=People,dc=x", &[("sAMAccountName", &["ada"])]);
        let table = [
            ("dn:UID=ada, ou=people, dc=x", true),
            ("dn:uid=bob,ou=People,dc=x", false),
            ("dn:", false),
            ("u:CORP\\Ada", true),
            ("u:CORP\\bob", false),
            ("u:ada", true),
            ("", true),
        ];
        for (identity, expected) in table {
            assert_eq!(is_of(identity, &entry), expected, "{identity}");
        }
    }
}
