//! The life of workspaces: phases, supervisors, activity, autostop.
