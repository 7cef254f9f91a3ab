//! A client of a directory that is no gateway.

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings};

use crate::support::within;

/// Connects, after StartTLS if so wished. Certificates are not looked at: it is the gateway that is tested.
pub(crate) async fn connect(url: &str, start_tls: bool) -> Ldap {
    let settings = LdapConnSettings::new().set_starttls(start_tls).set_no_tls_verify(true);
    let (connection, ldap) = within(LdapConnAsync::with_settings(settings, url)).await.unwrap();
    // It ends with the last handle.
    drop(tokio::runtime::Handle::current().spawn(connection.drive()));
    ldap
}
