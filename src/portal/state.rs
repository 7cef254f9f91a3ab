//! What the portal is given: handles of the parts that it shows, and what each principal is offered.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::assets::Assets;
use super::streams::Streams;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::model::{KindName, Principal, ProfileName, TenantId};
use crate::session::{LoginThrottle, LoginTokens, Sessions};
use crate::workspace::Workspaces;

/// Tells what somebody may open, in the order of the cards. Asked for each page; must not block.
pub type Offers = Arc<dyn Fn(&Principal) -> Vec<Offer> + Send + Sync>;
/// Tells what pages say about a tenant. Asked for each page; must not block.
pub type TenantCards = Arc<dyn Fn(&TenantId) -> TenantCard + Send + Sync>;

/// What the portal works with.
#[derive(Clone)]
pub struct PortalState {
    /// Checks passwords.
    pub identity: Identity,
    /// Starts and ends sessions.
    pub sessions: Sessions,
    /// Slows guessing of passwords down.
    pub throttle: LoginThrottle,
    /// Makes and checks the tokens of sign-in forms.
    pub login_tokens: LoginTokens,
    /// Shows, starts, stops and holds workspaces.
    pub workspaces: Workspaces,
    /// Counts sign-ins and problems.
    pub metrics: Arc<Metrics>,
    /// Records who signs in and what administrators do.
    pub audit: Audit,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// What each principal may open.
    pub offers: Offers,
    /// What pages say about a tenant.
    pub tenants: TenantCards,
    /// Cancelled when the gateway no longer accepts: streams of updates end, which would not by themselves.
    pub leaving: CancellationToken,
}

/// Something that a principal may open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Their own workspace of one kind.
    Workspace(WorkspaceOffer),
    /// A service that all users share.
    Link(LinkOffer),
}

/// A kind of workspace that a route leads to and that the principal may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceOffer {
    /// The kind.
    pub kind: KindName,
    /// Its name on the card.
    pub title: String,
    /// Where it is opened: a path on this host, or a whole `https://` address.
    pub href: String,
    /// Its sizes, the default one first; empty if there is no choice.
    pub profiles: Vec<ProfileOffer>,
    /// The longest time for which its user may hold off an idle stop; `None`: they may not.
    pub may_hold_for: Option<Duration>,
}

/// A size to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileOffer {
    /// Its name in the configuration.
    pub name: ProfileName,
    /// Its name on pages.
    pub title: String,
    /// One line that tells what it is for.
    pub description: Option<String>,
}

/// A shared service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOffer {
    /// Its name on the card.
    pub title: String,
    /// Where it is opened.
    pub href: String,
}

/// What pages say about a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantCard {
    /// Its name on pages; the id if there is none.
    pub title: Option<String>,
    /// Whom its users ask for help.
    pub contact: Option<String>,
}

/// What handlers share: the state, the embedded files and the count of open streams.
pub(super) struct Shared {
    pub(super) state: PortalState,
    pub(super) assets: Assets,
    pub(super) streams: Arc<Streams>,
}

/// The state of the router; cheap to clone.
pub(super) type Portal = Arc<Shared>;

impl Shared {
    pub(super) fn new(state: PortalState) -> Portal {
        Arc::new(Self { state, assets: Assets::embedded(), streams: Arc::default() })
    }

    /// The workspaces that `principal` may use.
    pub(super) fn workspaces_of(&self, principal: &Principal) -> Vec<WorkspaceOffer> {
        let workspace = |offer| match offer {
            Offer::Workspace(workspace) => Some(workspace),
            Offer::Link(_) => None,
        };
        (self.state.offers)(principal).into_iter().filter_map(workspace).collect()
    }

    /// The workspace of `kind`, if `principal` may use it.
    pub(super) fn workspace_of(&self, principal: &Principal, kind: &str) -> Option<WorkspaceOffer> {
        self.workspaces_of(principal).into_iter().find(|offer| offer.kind.as_str() == kind)
    }
}
