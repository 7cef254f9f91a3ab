//! The operations that are used, bind and search above all, on one connection: each with a limit, counted, and without the
//! library's ways to panic.

use std::sync::Arc;
use std::time::Duration;

use ldap3::controls::{PagedResults, RawControl};
use ldap3::exop::WhoAmI;
use ldap3::result::ExopResult;
use ldap3::{LdapError, LdapResult, Scope, SearchOptions};
use tokio::time::Instant;

use super::ber;
use super::entry::Entry;
use super::fault::Fault;
use super::wire::Wire;
use crate::metrics::Metrics;

/// Paged results, RFC 2696.
const PAGED_RESULTS: &str = "1.2.840.113556.1.4.319";
/// Password policy, draft-behera-ldap-password-policy.
pub(super) const PASSWORD_POLICY: &str = "1.3.6.1.4.1.42.2.27.8.5.1";
/// Entries of a page. Active Directory gives at most 1000 at once, OpenLDAP 500 unless told otherwise.
const PAGE: i32 = 200;

/// Counts what is asked of a directory, and how long it takes.
#[derive(Clone)]
pub(super) struct Meter {
    pub(super) metrics: Arc<Metrics>,
    pub(super) directory: Arc<str>,
}

impl Meter {
    pub(super) fn count(&self, operation: &'static str, result: &'static str, since: Instant) {
        self.metrics.directory_request(&self.directory, operation, result, since.elapsed());
    }
}

/// An open connection to one server.
pub(super) struct Connection {
    wire: Wire,
    /// Which of the directory's servers.
    pub(super) server: usize,
    limit: Duration,
    meter: Meter,
}

/// What to search for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) base: &'a str,
    pub(super) scope: Scope,
    /// Filled and escaped.
    pub(super) filter: &'a str,
    pub(super) attributes: &'a [String],
    /// More entries than this are not waited for.
    pub(super) at_most: usize,
    /// Whether to ask for page after page, as servers with a limit of their own want it.
    pub(super) paged: bool,
}

/// What a search found.
#[derive(Debug)]
pub(super) struct Found {
    /// One more than was asked for if there are more. Referrals are no entries and are not followed.
    pub(super) entries: Vec<Entry>,
    /// The server's result code and words.
    pub(super) code: u32,
    pub(super) text: String,
    /// With code 32 (noSuchObject), the nearest entry above the base that is there.
    pub(super) matched: String,
}

impl Connection {
    pub(super) const fn new(wire: Wire, server: usize, limit: Duration, meter: Meter) -> Self {
        Self { wire, server, limit, meter }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.wire.is_closed()
    }

    /// Binds, and says what the server says; only code 0 is success. Changes whose rights this connection has: never
    /// done on one that is shared.
    ///
    /// # Errors
    /// Returns an error if there is no answer. An empty password would be an anonymous bind, and success, on some
    /// servers: it is not sent.
    pub(super) async fn bind(&self, name: &str, password: &str) -> Result<LdapResult, Fault> {
        if name.trim().is_empty() || password.trim().is_empty() || password.contains('\0') {
            return Err(Fault::Misconfigured("a bind needs a name and a password".to_owned()));
        }
        let since = Instant::now();
        let mut ldap = self.wire.ldap();
        let policy = RawControl { ctype: PASSWORD_POLICY.to_owned(), crit: false, val: None };
        let answer = ldap.with_controls(vec![policy]).with_timeout(self.limit).simple_bind(name, password).await;
        self.counted("bind", since, answer, |answer| answer.rc)
    }

    /// Searches.
    ///
    /// # Errors
    /// Returns an error if there is no answer in time. A result code other than 0 is an answer.
    pub(super) async fn search(&self, query: Query<'_>) -> Result<Found, Fault> {
        let since = Instant::now();
        let answer = self.pages(query).await;
        self.counted("search", since, answer, |found| found.code)
    }

    /// Whom the server takes this connection for (RFC 4532); `None` if it does not say.
    ///
    /// # Errors
    /// Returns an error if there is no answer in time.
    pub(super) async fn who_am_i(&self) -> Result<Option<String>, Fault> {
        let since = Instant::now();
        let answer = self.wire.ldap().with_timeout(self.limit).extended(WhoAmI).await;
        let ExopResult(exop, answer) = self.counted("who-am-i", since, answer, |answer| answer.1.rc)?;
        Ok(exop.val.filter(|_| answer.rc == 0).and_then(|name| String::from_utf8(name).ok()))
    }

    fn counted<T>(
        &self,
        operation: &'static str,
        since: Instant,
        answer: Result<T, LdapError>,
        code: impl Fn(&T) -> u32,
    ) -> Result<T, Fault> {
        let result = match &answer {
            Ok(answer) if code(answer) == 0 => "ok",
            Ok(_) => "refused",
            Err(LdapError::Timeout { .. }) => "timeout",
            Err(_) => "failed",
        };
        self.meter.count(operation, result, since);
        answer.map_err(|error| match error {
            LdapError::Timeout { .. } => {
                Fault::Unreachable(format!("no answer to a {operation} within {:?}", self.limit))
            }
            LdapError::DecodingUTF8 => Fault::Unreachable(format!("answered a {operation} with what cannot be read")),
            LdapError::FilterParsing => Fault::Misconfigured("a filter cannot be read".to_owned()),
            // The library's own words tell of its channels.
            _ => Fault::Unreachable(format!("the connection ended during a {operation}")),
        })
    }

    async fn pages(&self, query: Query<'_>) -> Result<Found, LdapError> {
        let mut entries = Vec::new();
        let mut cookie = Vec::new();
        loop {
            let page = tokio::time::timeout(self.limit, self.page(query, &cookie, &mut entries));
            let answer = page.await.map_err(LdapError::from)??;
            cookie = next_page(&answer).filter(|_| query.paged).unwrap_or_default();
            if answer.rc != 0 || cookie.is_empty() || entries.len() > query.at_most {
                return Ok(Found { entries, code: answer.rc, text: answer.text, matched: answer.matched });
            }
        }
    }

    async fn page(&self, query: Query<'_>, cookie: &[u8], entries: &mut Vec<Entry>) -> Result<LdapResult, LdapError> {
        let mut ldap = self.wire.ldap();
        let most = i32::try_from(query.at_most.saturating_add(1)).unwrap_or(i32::MAX);
        let seconds = i32::try_from(self.limit.as_secs().max(1)).unwrap_or(i32::MAX);
        ldap.with_search_options(SearchOptions::new().sizelimit(most).timelimit(seconds));
        if query.paged {
            ldap.with_controls(PagedResults { size: PAGE, cookie: cookie.to_vec() });
        }
        let mut stream = ldap.streaming_search(query.base, query.scope, query.filter, query.attributes).await?;
        while let Some(item) = stream.next().await? {
            if item.is_ref() || item.is_intermediate() {
                continue;
            }
            // A server that ignores the size limit is not listened to for ever.
            if entries.len() > query.at_most {
                break;
            }
            entries.push(Entry::read(item.0).ok_or(LdapError::DecodingUTF8)?);
        }
        Ok(stream.finish().await)
    }
}

/// The cookie by which the next page is asked for; `None` after the last.
fn next_page(answer: &LdapResult) -> Option<Vec<u8>> {
    let control = answer.ctrls.iter().map(|control| &control.1).find(|control| control.ctype == PAGED_RESULTS)?;
    ber::page_cookie(control.val.as_deref()?).filter(|cookie| !cookie.is_empty()).map(<[u8]>::to_vec)
}
