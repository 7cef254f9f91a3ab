//! `listen`: addresses and certificates.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Checks, Draft, KeyPath, files};
use crate::config::public_url::PublicUrl;
use crate::config::{Listen, Tls};

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    let Some(listen) = &draft.listen else { return };
    distinct_addresses(listen, checks);
    certificates(&listen.public.tls, draft.public_url.as_deref(), checks);
    if listen.handover_socket.as_deref() == Some("") {
        checks.error(&KeyPath::of("listen.handover_socket"), "must name a socket");
    }
}

fn distinct_addresses(listen: &Listen, checks: &mut Checks<'_>) {
    let redirect = listen.redirect.as_ref().map(|redirect| ("redirect", &redirect.address));
    let named =
        [("public", &listen.public.address)].into_iter().chain(redirect).chain([("admin", &listen.admin.address)]);
    let mut taken: BTreeMap<u16, Vec<(&str, SocketAddr)>> = BTreeMap::new();
    for (name, address) in named {
        let Ok(address) = address.parse::<SocketAddr>() else { continue };
        let same_port = taken.entry(address.port()).or_default();
        if let Some((other, _)) = same_port.iter().find(|(_, other)| collide(*other, address)) {
            let path = KeyPath::of("listen").key(name).key("address");
            checks.error(&path, format!("takes the same address as listen.{other}.address"));
        }
        same_port.push((name, address));
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() != 0 && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn certificates(tls: &Tls, public_url: Option<&str>, checks: &mut Checks<'_>) {
    let path = KeyPath::of("listen.public.tls");
    let leaf = files::pair(&path, &tls.certificate, &tls.key, checks);
    for (at, pair) in tls.additional.iter().enumerate() {
        files::pair(&path.key("additional").index(at), &pair.certificate, &pair.key, checks);
    }
    let host = public_url.and_then(|url| PublicUrl::parse(url).ok()).map(|url| url.host);
    if let (Some(leaf), Some(host), true) = (leaf, host, tls.additional.is_empty())
        && !files::serves(&leaf, &host)
    {
        checks.warning(&path.key("certificate"), format!("is not made out to {host}, the host of public_url"));
    }
}
