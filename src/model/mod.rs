//! The words that every other module speaks: ids, principals, phases, failures.
//!
//! Nothing here does I/O or reads a clock. A value of one of these types is valid by construction;
//! what comes from outside is parsed into it once, at the edge that it comes in by.

mod activity;
mod error_kind;
mod id;
mod page;
mod principal;
mod time;
mod workspace;

pub use activity::{ActivitySource, Evidence};
pub use error_kind::ErrorKind;
pub use id::{GroupName, IdError, InstanceId, KindName, ProfileName, TenantId, UserId, WorkspaceId};
pub use page::{Asked, PageRequest, Problem};
pub use principal::{Principal, Role, Roles};
pub use time::Timestamp;
pub use workspace::{Endpoint, Failure, FailureClass, Phase, PhaseName, StartStep, StopReason};
