//! What the portal shows on its cards: read from routes and kinds, replaced at a reload.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::{self, Config, Tenants};
use crate::model::{KindName, Principal, ProfileName};
use crate::portal::{LinkOffer, Offer, Offers, ProfileOffer, TenantCard, TenantCards, WorkspaceOffer};
use crate::routing::{BuildError, HostPattern, PublicUrl, Route, RouteTable, Target};

/// The offers of a configuration. A cheap handle.
#[derive(Clone)]
pub(super) struct OfferTable(Arc<ArcSwap<Table>>);

struct Table {
    public: PublicUrl,
    routes: Vec<(Arc<Route>, Offer)>,
    tenants: Tenants,
}

impl OfferTable {
    pub(super) fn new(config: &Config) -> Result<Self, BuildError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(Table::new(config)?))))
    }

    pub(super) fn replace(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    pub(super) fn offers(&self) -> Offers {
        let table = self.0.clone();
        Arc::new(move |principal| table.load().for_principal(principal))
    }

    pub(super) fn tenants(&self) -> TenantCards {
        let table = self.0.clone();
        Arc::new(move |tenant| {
            let tenant = table.load().tenants.resolve(tenant.as_str());
            TenantCard { title: tenant.title, contact: tenant.contact }
        })
    }
}

impl Table {
    fn new(config: &Config) -> Result<Self, BuildError> {
        let routes = RouteTable::build(config)?;
        let offers = routes.routes().iter().filter_map(|route| Some((route.clone(), offer(route, config)?)));
        Ok(Self { public: routes.public().clone(), routes: offers.collect(), tenants: config.tenants.clone() })
    }

    /// One card for each kind, whatever the number of routes that lead to it, and one for each shared service.
    fn for_principal(&self, principal: &Principal) -> Vec<Offer> {
        let mut offers = Vec::new();
        let mut seen: Vec<&KindName> = Vec::new();
        for (route, offer) in self.routes.iter().filter(|(route, _)| route.allow.permit(principal)) {
            if let Target::Workspace(kind) = &route.target {
                if seen.contains(&kind) {
                    continue;
                }
                seen.push(kind);
            }
            offers.push(self.addressed(route, offer.clone(), principal));
        }
        offers
    }

    /// An offer with the address that this principal opens it at.
    fn addressed(&self, route: &Route, offer: Offer, principal: &Principal) -> Offer {
        match offer {
            Offer::Workspace(workspace) => {
                let href = self.href(route, Some(&principal.workspace(&workspace.kind).label()));
                Offer::Workspace(WorkspaceOffer { href, ..workspace })
            }
            Offer::Link(link) => Offer::Link(LinkOffer { href: self.href(route, None), ..link }),
        }
    }

    fn href(&self, route: &Route, label: Option<&str>) -> String {
        let host = match &route.host {
            HostPattern::Exact(host) if host == self.public.host() => return route.prefix.clone(),
            pattern => pattern.for_label(label.unwrap_or_default()),
        };
        format!("https://{host}{}{}", self.public.port_suffix(), route.prefix)
    }
}

fn offer(route: &Route, config: &Config) -> Option<Offer> {
    match &route.target {
        Target::Workspace(kind) => {
            let settings = config.workspaces.get(kind.as_str())?;
            Some(Offer::Workspace(workspace_offer(kind, settings)))
        }
        Target::Upstream(_) => {
            let title = route.label.trim_matches('/').to_owned();
            Some(Offer::Link(LinkOffer { title, href: String::new() }))
        }
        Target::Own | Target::Entrance => None,
    }
}

fn workspace_offer(kind: &KindName, settings: &config::WorkspaceKind) -> WorkspaceOffer {
    let profile = |(name, profile): (&String, &config::Profile)| {
        Some(ProfileOffer {
            title: profile.title.clone().unwrap_or_else(|| name.clone()),
            description: profile.description.clone(),
            name: ProfileName::new(name).ok()?,
        })
    };
    WorkspaceOffer {
        title: settings.title.clone().unwrap_or_else(|| kind.to_string()),
        kind: kind.clone(),
        href: String::new(),
        profiles: settings.profiles.iter().filter_map(profile).collect(),
        may_hold_for: Some(settings.autostop.max_hold.0).filter(|span| !span.is_zero()),
    }
}
