//! `workspaces`: kinds, their processes and autostop.

use std::collections::{BTreeMap, BTreeSet};

use super::spans::has_length;
use super::{Checks, Draft, KeyPath, quoted};
use crate::config::{ActivityClassifier, Autostop, ProcessSettings, RuntimeKind, WorkspaceKind, template};

pub(super) fn check(draft: &Draft, checks: &mut Checks<'_>) {
    for (name, kind) in &draft.workspaces {
        let path = KeyPath::of("workspaces").key(name);
        runtime(&path, kind, checks);
        autostop(&path.key("autostop"), &kind.autostop, checks);
        activity(&path, kind, checks);
        has_length(&path.key("start_timeout"), kind.start_timeout, checks);
        for (profile, settings) in &kind.profiles {
            environment(&path.key("profiles").key(profile).key("environment"), &settings.environment, checks);
        }
    }
}

/// Warns of kinds that nobody can open. With an error elsewhere it is too early to say: a route may be misspelt.
pub(super) fn check_use(draft: &Draft, checks: &mut Checks<'_>) {
    if checks.source.has_errors() {
        return;
    }
    let led_to: BTreeSet<&str> = draft.routes.iter().filter_map(|(_, route)| route.workspace.as_deref()).collect();
    for name in draft.workspaces.keys().filter(|name| !led_to.contains(name.as_str())) {
        let path = KeyPath::of("workspaces").key(name);
        checks.source.warning_at_key(&path, "no route leads to this kind, so nobody can open it");
    }
}

fn runtime(path: &KeyPath, kind: &WorkspaceKind, checks: &mut Checks<'_>) {
    match (kind.runtime, &kind.process) {
        (RuntimeKind::Process, Some(settings)) => process(&path.key("process"), settings, kind, checks),
        (RuntimeKind::Process, None) => checks.absent(path, "runtime: process needs the key process"),
    }
}

fn process(path: &KeyPath, settings: &ProcessSettings, kind: &WorkspaceKind, checks: &mut Checks<'_>) {
    if settings.command.first().is_some_and(String::is_empty) {
        checks.error(&path.key("command").index(0), "must name a program");
    }
    for (at, argument) in settings.command.iter().enumerate() {
        let path = path.key("command").index(at);
        checks.placeholders(&path, argument, &ProcessSettings::PLACEHOLDERS);
        without_nul(&path, argument, checks);
    }
    environment(&path.key("environment"), &settings.environment, checks);
    for (at, name) in settings.pass_environment.iter().enumerate() {
        variable_name(&path.key("pass_environment").index(at), name, checks);
    }
    learns_its_port(path, settings, kind, checks);
    if let Some(home) = &settings.home {
        separate_homes(&path.key("home"), home, checks);
    }
    let readiness = path.key("readiness");
    has_length(&readiness.key("interval"), settings.readiness.interval, checks);
    has_length(&readiness.key("timeout"), settings.readiness.timeout, checks);
    if settings.readiness.http_path.as_deref().is_some_and(|path| path.parse::<http::uri::PathAndQuery>().is_err()) {
        checks.error(&readiness.key("http_path"), "must be a path as it is sent in a request, without blanks");
    }
}

fn learns_its_port(path: &KeyPath, settings: &ProcessSettings, kind: &WorkspaceKind, checks: &mut Checks<'_>) {
    let profiles = kind.profiles.values().flat_map(|profile| profile.environment.values());
    let mut texts = settings.command.iter().chain(settings.environment.values()).chain(profiles);
    if !texts.any(|text| template::placeholders(text).any(|name| name == "port")) {
        let message = "{port} stands neither here nor in environment, so the program cannot know where to listen";
        checks.warning(&path.key("command"), message);
    }
}

fn separate_homes(path: &KeyPath, home: &str, checks: &mut Checks<'_>) {
    checks.placeholders(path, home, &ProcessSettings::HOME_PLACEHOLDERS);
    if !template::placeholders(home).any(|name| name == "workspace") {
        checks.error(path, "must hold {workspace}, or users would share one home");
    }
    without_nul(path, home, checks);
}

fn environment(path: &KeyPath, variables: &BTreeMap<String, String>, checks: &mut Checks<'_>) {
    for (name, value) in variables {
        let path = path.key(name);
        variable_name(&path, name, checks);
        checks.placeholders(&path, value, &ProcessSettings::PLACEHOLDERS);
        without_nul(&path, value, checks);
    }
}

fn variable_name(path: &KeyPath, name: &str, checks: &mut Checks<'_>) {
    let valid = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        let message = format!("{} cannot be the name of an environment variable", quoted(name));
        checks.error_at_key(path, message);
    }
}

fn without_nul(path: &KeyPath, text: &str, checks: &mut Checks<'_>) {
    if text.contains('\0') {
        checks.error(path, "must not hold a NUL character");
    }
}

fn autostop(path: &KeyPath, autostop: &Autostop, checks: &mut Checks<'_>) {
    if !autostop.human_idle.is_zero() {
        if autostop.warning >= autostop.human_idle {
            checks.error(&path.key("warning"), format!("must be shorter than human_idle ({})", autostop.human_idle));
        }
        if autostop.idle_after > autostop.human_idle {
            let message = format!("must not be longer than human_idle ({})", autostop.human_idle);
            checks.error(&path.key("idle_after"), message);
        }
    }
    if !autostop.max_lifetime.is_zero() && autostop.warning >= autostop.max_lifetime {
        checks.error(&path.key("warning"), format!("must be shorter than max_lifetime ({})", autostop.max_lifetime));
    }
}

fn activity(path: &KeyPath, kind: &WorkspaceKind, checks: &mut Checks<'_>) {
    use ActivityClassifier::{Connections, Http, Socketio, Theia, Websocket};
    let named = |classifier: ActivityClassifier| kind.activity.contains(&classifier);
    let path_of_activity = path.key("activity");
    if (named(Theia) || named(Socketio)) && (named(Websocket) || named(Connections)) {
        let message = "websocket and connections count the heartbeats that theia and socketio leave out, \
                       so an open tab will never be idle";
        checks.warning(&path_of_activity, message);
    }
    if !kind.http_activity.exclude.is_empty() && !named(Http) {
        checks.warning(&path.key("http_activity"), "has no effect: activity does not name http");
    }
}
