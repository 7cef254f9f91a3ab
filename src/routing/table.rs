//! All routes, by host and path.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::own::{ENTRANCE, ICON, OWN_SEGMENT};
use super::tree::{Found, Tree, as_read};
use super::{BuildError, HostPattern, PublicUrl, Route};
use crate::config::Config;

/// All routes of one configuration.
#[derive(Debug)]
pub struct RouteTable {
    public: PublicUrl,
    own: Arc<Route>,
    entrance: Arc<Route>,
    exact: HashMap<Box<str>, Tree, RandomState>,
    /// By what follows the first label; the more specific pattern first.
    per_workspace: HashMap<Box<str>, Vec<(HostPattern, Tree)>, RandomState>,
    routes: Vec<Arc<Route>>,
}

/// The route that covers an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The route.
    pub route: Arc<Route>,
    /// The workspace's label in the host, where the route's host has one.
    pub workspace_label: Option<String>,
    /// Where in the path the prefix ends: at its last slash, or at the end of the path if that slash is missing.
    pub prefix_end: usize,
    /// The path is the prefix without its last slash: `/ide` for `/ide/`.
    pub lacks_slash: bool,
    /// Other routes, or our own pages, have the same host.
    pub shared_host: bool,
}

/// Why no route covers an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// No route has this host.
    Host,
    /// The host is known, and no route of it has this path.
    Path,
}

impl RouteTable {
    /// Compiles all routes.
    ///
    /// # Errors
    /// Returns the first route that cannot be compiled. A configuration that was loaded without problems has none.
    pub fn build(config: &Config) -> Result<Self, BuildError> {
        let public = PublicUrl::parse(&config.public_url).ok_or(BuildError::PublicUrl)?;
        let mut table = Self {
            own: Arc::new(Route::own(&public)),
            entrance: Arc::new(Route::entrance(&public)),
            exact: HashMap::from_iter([(Box::from(public.host()), Tree::default())]),
            per_workspace: HashMap::default(),
            routes: Vec::with_capacity(config.routes.len()),
            public,
        };
        for route in &config.routes {
            let route = Arc::new(Route::compile(route, &table.public)?);
            if !table.tree(&route.host).insert(&route) {
                return Err(BuildError::Duplicate { route: route.label.to_string() });
            }
            table.routes.push(route);
        }
        for patterns in table.per_workspace.values_mut() {
            patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.fixed_length()));
        }
        Ok(table)
    }

    fn tree(&mut self, host: &HostPattern) -> &mut Tree {
        match host {
            HostPattern::Exact(host) => self.exact.entry(Box::from(host.as_str())).or_default(),
            HostPattern::PerWorkspace { domain, .. } => {
                let patterns = self.per_workspace.entry(Box::from(domain.as_str())).or_default();
                let at = patterns.iter().position(|(pattern, _)| pattern == host).unwrap_or_else(|| {
                    patterns.push((host.clone(), Tree::default()));
                    patterns.len() - 1
                });
                &mut patterns[at].1
            }
        }
    }

    /// The public address.
    #[must_use]
    pub const fn public(&self) -> &PublicUrl {
        &self.public
    }

    /// All configured routes, in the order of the configuration; ours is not among them.
    #[must_use]
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The route for a host in lower case, without port, and a canonical path.
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<Match> {
        self.look_up(host, path).ok()
    }

    /// The same, telling an unknown host from an unknown path.
    ///
    /// # Errors
    /// Returns what is not known.
    pub fn look_up(&self, host: &str, path: &str) -> Result<Match, Miss> {
        let own_path = is_own(path);
        if let Some(tree) = self.exact.get(host) {
            if host == self.public.host() && (own_path || path == "/") {
                return Ok(own_match(&self.own));
            }
            if path == ENTRANCE {
                return Ok(own_match(&self.entrance));
            }
            let shared = host == self.public.host() || tree.len() > 1;
            let found = found(tree, own_path, path).map(|found| to_match(found, path, None, shared));
            // Ours only if no route has it: one for `/` may.
            let is_own_icon = found.is_err() && path == ICON && host == self.public.host();
            return if is_own_icon { Ok(own_match(&self.own)) } else { found };
        }
        let (first_label, domain) = host.split_once('.').ok_or(Miss::Host)?;
        let patterns = self.per_workspace.get(domain).ok_or(Miss::Host)?;
        let captured = patterns.iter().find_map(|(pattern, tree)| Some((pattern.capture(first_label)?, tree)));
        let (label, tree) = captured.ok_or(Miss::Host)?;
        if path == ENTRANCE {
            return Ok(own_match(&self.entrance));
        }
        let label = Some(label.to_owned());
        found(tree, own_path, path).map(|found| to_match(found, path, label, tree.len() > 1))
    }
}

/// A match of one of our own routes.
fn own_match(route: &Arc<Route>) -> Match {
    Match { route: route.clone(), workspace_label: None, prefix_end: 0, lacks_slash: false, shared_host: true }
}

/// Whether the path is `/.usher` or below it, in any spelling.
fn is_own(path: &str) -> bool {
    path.split('/').nth(1).is_some_and(|segment| as_read(segment) == OWN_SEGMENT)
}

fn found<'t>(tree: &'t Tree, own_path: bool, path: &str) -> Result<Found<'t>, Miss> {
    if own_path || !path.starts_with('/') {
        return Err(Miss::Path);
    }
    tree.find(path).ok_or(Miss::Path)
}

fn to_match(found: Found<'_>, path: &str, workspace_label: Option<String>, shared_host: bool) -> Match {
    Match {
        route: found.route.clone(),
        workspace_label,
        prefix_end: found.end,
        lacks_slash: found.end == path.len(),
        shared_host,
    }
}

#[cfg(test)]
mod tests;
