//! `usher session`: what an operator does to browser logins.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::model::{TenantId, UserId};
use crate::session::{self, Whom};

/// What can be done to logins.
#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// End every login of a user, on all hosts, with their open WebSockets, and refuse bearer tokens issued until now.
    /// A running gateway obeys within five seconds; without one it holds from its next start on. They may sign in again:
    /// to keep somebody out, disable the account in the directory.
    Revoke {
        /// The user's name, in any case.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        user: Option<String>,
        /// Only the user of this tenant. Without it, the users of this name in every tenant.
        #[arg(long, conflicts_with = "all")]
        tenant: Option<String>,
        /// Every login of everybody.
        #[arg(long)]
        all: bool,
        /// The configuration file of the gateway.
        #[arg(long)]
        config: PathBuf,
    },
}

/// Runs a command on logins.
///
/// # Errors
/// Returns what is wrong, for a person at a terminal.
pub(super) fn run(command: SessionCommand) -> Result<ExitCode, String> {
    let SessionCommand::Revoke { user, tenant, all: _, config } = command;
    let whom = whom(user.as_deref(), tenant.as_deref())?;
    let loaded = match config::check(&config) {
        Ok(loaded) => loaded,
        Err(report) => {
            eprint!("{report}");
            return Err("nothing was revoked, because the configuration has errors".to_owned());
        }
    };
    let now = SystemClock.now();
    let said = whom.to_string();
    session::revoke(&loaded.config, whom, now).map_err(|error| format!("nothing was revoked: {error}"))?;
    println!("revoked every login of {said} until {now}; a running gateway ends them within five seconds");
    Ok(ExitCode::SUCCESS)
}

fn whom(user: Option<&str>, tenant: Option<&str>) -> Result<Whom, String> {
    let Some(user) = user else { return Ok(Whom::Everybody) };
    let user = UserId::new(user).map_err(|error| error.to_string())?;
    let tenant = tenant.map(TenantId::new).transpose().map_err(|error| error.to_string())?;
    Ok(Whom::User { tenant, user })
}
