//! [`LdapDirectory`]: the directory as [`Identity`](crate::identity::Identity) asks it.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::connection::Meter;
use super::fault::Fault;
use super::outcome::Refused;
use super::people::People;
use super::settings::Settings;
use crate::config;
use crate::identity::queue::{Lanes, Turns};
use crate::identity::{BuildError, Directory, LookUpError, Means, Password, Person, SignInError};
use crate::model::UserId;

/// Longest name that is looked for; no [`UserId`] is longer.
const LONGEST_NAME: usize = 300;
/// People that are read again at once. They share a connection, so that more would only make its answers late.
const LOOK_UPS: usize = 32;

/// People from an LDAP server.
pub(in crate::identity) struct LdapDirectory {
    people: Arc<People>,
    turns: Turns,
    lanes: Arc<Lanes>,
    look_ups: Arc<Semaphore>,
    control: Handle,
}

impl LdapDirectory {
    /// Reads what the configuration names. `former` is returned in its place if nothing has changed: it knows which
    /// servers answer, has a connection, and people may be waiting for it.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or used.
    pub(in crate::identity) fn open<'c>(
        name: &str,
        config: &'c config::Ldap,
        rule_attributes: impl Iterator<Item = &'c str>,
        lanes: &Arc<Lanes>,
        means: &Means,
        former: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, BuildError> {
        let settings = Settings::load(config, rule_attributes)
            .map_err(|detail| BuildError::Ldap { directory: name.to_owned(), detail })?;
        if let Some(former) = former.filter(|former| former.people.settings.same_as(&settings)) {
            return Ok(former.clone());
        }
        let name: Arc<str> = Arc::from(name);
        let meter = Meter { metrics: means.metrics.clone(), directory: name.clone() };
        Ok(Arc::new(Self {
            turns: Turns::new(usize::try_from(config.max_binds).unwrap_or(usize::MAX)),
            people: Arc::new(People::new(name, settings, meter, means.clock.clone())),
            lanes: lanes.clone(),
            look_ups: Arc::new(Semaphore::new(LOOK_UPS)),
            control: means.control.clone(),
        }))
    }

    /// Does work on the control runtime within the directory's limit. It is finished even if nobody waits for it any
    /// more, so that a client that leaves does not make room for another. A panic in the library is a failed request.
    async fn on_control<T, E>(&self, work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
    {
        let limit = self.people.settings.config.timeout.0;
        let work = async move {
            let late = |_| Fault::Unreachable(format!("no answer within {limit:?}"));
            tokio::time::timeout(limit, work).await.map_err(late)?
        };
        let ended = self.control.spawn(work).await;
        ended.map_err(|lost| {
            let reason = if lost.is_panic() { "answered what cannot be read" } else { "this gateway is leaving" };
            Fault::Unreachable(reason.to_owned())
        })?
    }

    fn told(&self, fault: &Fault, doing: &'static str) {
        tracing::warn!(directory = &*self.people.name, reason = fault.text(), "{doing} failed");
    }
}

#[async_trait]
impl Directory for LdapDirectory {
    fn name(&self) -> &str {
        &self.people.name
    }

    async fn verify(&self, user: &str, password: &Password) -> Result<Person, SignInError> {
        let user = user.trim();
        if user.is_empty() || user.len() > LONGEST_NAME || user.contains(char::is_control) {
            return Err(SignInError::WrongCredentials);
        }
        let turn = self.turns.take(self.lanes.of(user)).await?;
        let (people, user, password) = (self.people.clone(), user.to_owned(), password.clone());
        let work = async move {
            let _turn = turn;
            people.verify(&user, &password).await
        };
        self.on_control(work).await.map_err(|refused| match refused {
            Refused::Person(error) => error,
            Refused::Directory(fault) => {
                self.told(&fault, "sign-in at directory");
                fault.sign_in_error(&self.people.name)
            }
        })
    }

    async fn look_up(&self, user: &UserId) -> Result<Option<Person>, LookUpError> {
        let name = &*self.people.name;
        if !self.people.settings.config.can_read_again() {
            let fault = Fault::Misconfigured("without bind_dn nobody can be read again".to_owned());
            return Err(fault.look_up_error(name));
        }
        let (people, user, look_ups) = (self.people.clone(), user.clone(), self.look_ups.clone());
        let work = async move {
            let Ok(_permit) = look_ups.acquire().await else {
                return Err(Fault::Unreachable("this gateway is leaving".to_owned()));
            };
            people.look_up(&user).await
        };
        self.on_control(work).await.map_err(|fault: Fault| fault.look_up_error(name))
    }
}
