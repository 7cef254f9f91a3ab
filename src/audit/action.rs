//! What is recorded, and by what it came about.

/// What somebody did, or what the gateway did to somebody's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Somebody signed in, or tried to.
    SignIn,
    /// A user signed out.
    SignOut,
    /// A user ended all their sessions.
    SignOutEverywhere,
    /// The gateway ended a session; the class tells why.
    SessionEnd,
    /// A session came to the host of another route, or a ticket for that was refused.
    HostEntry,
    /// Somebody had to prove again who they are before an administrator's action.
    ReAuthentication,
    /// An operator, or an identity provider, ended what somebody holds.
    Revocation,
    /// A user has other groups or roles now.
    RightsChange,
    /// A bearer token was refused.
    TokenRefusal,
    /// An administrator stopped somebody's workspace.
    WorkspaceStop,
    /// A user held off the idle stop of their workspace.
    WorkspaceHold,
    /// A changed configuration was put in force or refused.
    ConfigReload,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 12] = [
        Self::SignIn,
        Self::SignOut,
        Self::SignOutEverywhere,
        Self::SessionEnd,
        Self::HostEntry,
        Self::ReAuthentication,
        Self::Revocation,
        Self::RightsChange,
        Self::TokenRefusal,
        Self::WorkspaceStop,
        Self::WorkspaceHold,
        Self::ConfigReload,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::SignOut => "sign-out",
            Self::SignOutEverywhere => "sign-out-everywhere",
            Self::SessionEnd => "session-end",
            Self::HostEntry => "host-entry",
            Self::ReAuthentication => "re-authentication",
            Self::Revocation => "revocation",
            Self::RightsChange => "rights-change",
            Self::TokenRefusal => "token-refusal",
            Self::WorkspaceStop => "workspace-stop",
            Self::WorkspaceHold => "workspace-hold",
            Self::ConfigReload => "config-reload",
        }
    }
}

/// By what something was proven, or what brought it about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// A user name and a password.
    Password,
    /// A browser's session.
    Session,
    /// A bearer token.
    Token,
    /// An identity provider.
    Provider,
    /// What a directory or issuer says about somebody when it is read again.
    DirectoryRefresh,
    /// A command of an operator.
    Command,
    /// A changed configuration.
    Configuration,
    /// The gateway, by its own rules.
    Gateway,
}

impl By {
    /// Every value.
    pub const ALL: [Self; 8] = [
        Self::Password,
        Self::Session,
        Self::Token,
        Self::Provider,
        Self::DirectoryRefresh,
        Self::Command,
        Self::Configuration,
        Self::Gateway,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Session => "session",
            Self::Token => "token",
            Self::Provider => "provider",
            Self::DirectoryRefresh => "directory-refresh",
            Self::Command => "command",
            Self::Configuration => "configuration",
            Self::Gateway => "gateway",
        }
    }
}
