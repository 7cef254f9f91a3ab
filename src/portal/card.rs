//! A workspace as a card: what is shown and offered in each phase. Pure.

use std::time::Duration;

use askama::Template;

use super::state::WorkspaceOffer;
use super::texts::Texts;
use super::words::{Html, Words};
use crate::model::{KindName, Phase, PhaseName};
use crate::workspace::View;

/// Times to hold off a stop that are offered, as far as the kind allows; its own limit comes last.
const HOLDS: [Duration; 4] =
    [Duration::from_secs(1800), Duration::from_secs(3600), Duration::from_secs(7200), Duration::from_secs(14_400)];

/// A card.
pub(super) struct Card<'a> {
    pub(super) words: Words,
    pub(super) token: &'a str,
    pub(super) kind: &'a KindName,
    pub(super) title: &'a str,
    pub(super) phase: PhaseName,
    pub(super) phase_said: &'static str,
    /// A sentence in place of facts.
    pub(super) line: Option<Html>,
    pub(super) facts: Vec<Fact>,
    /// That it stops soon.
    pub(super) warning: Option<Html>,
    /// What happened in a failure, and what to do.
    pub(super) failure: Option<(&'static str, &'static str)>,
    pub(super) profiles: Vec<Choice<'a>>,
    pub(super) can_start: bool,
    pub(super) can_stop: bool,
    pub(super) can_release: bool,
    /// Seconds and words of each hold on offer.
    pub(super) holds: Vec<(u64, String)>,
    /// Address and words of the link that opens it.
    pub(super) open: Option<(&'a str, &'static str)>,
}

/// A line of a card.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) value: Html,
}

/// A size to choose.
pub(super) struct Choice<'a> {
    pub(super) name: &'a str,
    pub(super) title: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) chosen: bool,
}

#[derive(Template)]
#[template(path = "card.html")]
struct CardBody<'a> {
    card: &'a Card<'a>,
    t: &'static Texts,
}

impl<'a> Card<'a> {
    /// The card for a workspace as it is now.
    pub(super) fn new(words: Words, offer: &'a WorkspaceOffer, view: &View, token: &'a str) -> Self {
        let phase = view.phase.name();
        let up = matches!(phase, PhaseName::Running | PhaseName::Idle);
        let held = view.hold_until.is_some_and(|until| until > words.now);
        let failure = match &view.phase {
            Phase::Failed { failure, .. } => Some(words.failure(failure.class)),
            _ => None,
        };
        let warning = view.stops_at.as_ref().filter(|_| view.stops_soon && up);
        Self {
            words,
            token,
            kind: &offer.kind,
            title: &offer.title,
            phase,
            phase_said: words.phase(phase),
            line: line(words, view),
            facts: if up { facts(words, offer, view) } else { Vec::new() },
            warning: warning.map(|(at, reason)| words.warning(*at, reason)),
            failure,
            profiles: choices(offer, view),
            can_start: matches!(phase, PhaseName::Stopped | PhaseName::Failed),
            can_stop: up || phase == PhaseName::Starting,
            can_release: up && held,
            holds: if up && !held { holds(words, offer.may_hold_for) } else { Vec::new() },
            open: open(words, offer, phase),
        }
    }

    /// The inside of the card's element.
    pub(super) fn body(&self) -> Html {
        Html::rendered(&CardBody { card: self, t: self.words.texts() })
    }
}

fn open(words: Words, offer: &WorkspaceOffer, phase: PhaseName) -> Option<(&str, &'static str)> {
    match phase {
        PhaseName::Running | PhaseName::Idle => Some((offer.href.as_str(), words.texts().open)),
        PhaseName::Starting => Some((offer.href.as_str(), words.texts().watch_start)),
        PhaseName::Stopped | PhaseName::Stopping | PhaseName::Failed => None,
    }
}

fn line(words: Words, view: &View) -> Option<Html> {
    let t = words.texts();
    match &view.phase {
        Phase::Stopped { since, reason } => Some(match (&view.last_stop, since) {
            (Some((at, reason)), _) => words.stopped(*at, Some(reason)),
            (None, Some(at)) => words.stopped(*at, reason.as_ref()),
            (None, None) => Html::text(t.never_started),
        }),
        Phase::Starting { since, .. } => Some(Words::sentence(t.starting_since, &[("time", &words.clock(*since))])),
        Phase::Stopping { since, .. } => Some(Words::sentence(t.stopping_since, &[("time", &words.clock(*since))])),
        Phase::Running { .. } | Phase::Idle { .. } | Phase::Failed { .. } => None,
    }
}

fn facts(words: Words, offer: &WorkspaceOffer, view: &View) -> Vec<Fact> {
    let t = words.texts();
    let mut facts = Vec::new();
    if let Phase::Running { since, .. } | Phase::Idle { since, .. } = &view.phase {
        facts.push(Fact { label: t.fact_since, value: words.clock(*since) });
    }
    if let Some(title) = profile_title(offer, view) {
        facts.push(Fact { label: t.fact_size, value: Html::text(title) });
    }
    facts.push(Fact { label: t.fact_activity, value: activity(words, view) });
    facts.push(Fact { label: t.fact_stops, value: stops(words, view) });
    if let Some(by) = view.kept.as_deref().filter(|by| *by != "hold") {
        facts.push(Fact { label: t.fact_kept, value: Html::text(words.kept(by)) });
    }
    facts
}

fn profile_title<'a>(offer: &'a WorkspaceOffer, view: &View) -> Option<&'a str> {
    let name = view.profile.as_ref()?;
    offer.profiles.iter().find(|profile| profile.name == *name).map(|profile| profile.title.as_str())
}

/// The latest evidence of either clock.
fn activity(words: Words, view: &View) -> Html {
    let latest = [view.human, view.work].into_iter().flatten().max_by_key(|evidence| evidence.at);
    let Some(latest) = latest else { return Html::text(words.texts().activity_unknown) };
    let (ago, source) = (words.ago(latest.at), Html::text(words.source(latest.source)));
    Words::sentence(words.texts().activity, &[("ago", &ago), ("source", &source)])
}

fn stops(words: Words, view: &View) -> Html {
    let t = words.texts();
    if let Some(until) = view.hold_until.filter(|until| *until > words.now) {
        return Words::sentence(t.stops_held, &[("time", &words.clock(until))]);
    }
    match &view.stops_at {
        Some((at, reason)) => words.stops(*at, reason),
        None => Html::text(t.stops_never),
    }
}

fn choices<'a>(offer: &'a WorkspaceOffer, view: &View) -> Vec<Choice<'a>> {
    let last = view.profile.as_ref().filter(|last| offer.profiles.iter().any(|profile| profile.name == **last));
    let chosen = last.or_else(|| offer.profiles.first().map(|profile| &profile.name));
    let choice = |profile: &'a super::state::ProfileOffer| Choice {
        name: profile.name.as_str(),
        title: &profile.title,
        description: profile.description.as_deref(),
        chosen: chosen == Some(&profile.name),
    };
    offer.profiles.iter().map(choice).collect()
}

fn holds(words: Words, limit: Option<Duration>) -> Vec<(u64, String)> {
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else { return Vec::new() };
    let shorter = HOLDS.into_iter().filter(|hold| *hold < limit);
    shorter.chain([limit]).map(|hold| (hold.as_secs(), words.span(hold))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ActivitySource, Endpoint, Evidence, InstanceId, StopReason, TenantId, Timestamp, UserId, WorkspaceId,
    };
    use crate::portal::language::Language;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn offer() -> WorkspaceOffer {
        WorkspaceOffer {
            kind: KindName::new("ide").expect("valid"),
            title: "<IDE>".to_owned(),
            href: "/ide/".to_owned(),
            profiles: Vec::new(),
            may_hold_for: Some(Duration::from_secs(3600)),
        }
    }

    /// Up for an hour, last used 25 minutes ago, to be stopped in five.
    fn idle() -> View {
        let endpoint = Endpoint {
            address: ([127, 0, 0, 1], 1).into(),
            tls: false,
            instance: InstanceId::new("i").expect("valid"),
        };
        let at = NOW - Duration::from_secs(1500);
        View {
            id: WorkspaceId {
                tenant: TenantId::new("acme").expect("valid"),
                user: UserId::new("ada").expect("valid"),
                kind: KindName::new("ide").expect("valid"),
            },
            phase: Phase::Idle { since: NOW - Duration::from_secs(3600), idle_since: at, endpoint },
            profile: None,
            steps: Vec::new(),
            human: Some(Evidence { at, source: ActivitySource::WebSocket }),
            work: None,
            stops_at: Some((NOW + Duration::from_secs(300), StopReason::HumanIdle { after_secs: 1800 })),
            stops_soon: true,
            hold_until: None,
            expected_start: None,
            last_stop: None,
            kept: None,
        }
    }

    fn body(language: Language, view: &View) -> String {
        Card::new(Words { language, now: NOW }, &offer(), view, "token").body().to_string()
    }

    #[test]
    fn a_stop_that_is_near_is_warned_of_with_a_way_out() {
        let english = body(Language::English, &idle());
        assert!(english.contains("so it stops at <time datetime=\"2023-11-14T22:18:20.000Z\""), "{english}");
        assert!(english.contains("25 minutes ago</time> (work in the browser)"), "{english}");
        assert!(english.contains("value=\"1800\"") && english.contains("value=\"3600\""), "{english}");
        assert!(!english.contains("value=\"7200\""), "a longer hold than allowed is offered: {english}");
        assert!(body(Language::Chinese, &idle()).contains("25 分钟前</time>（浏览器内操作）"));
    }

    #[test]
    fn a_hold_can_be_ended_and_is_not_offered_twice() {
        let held = View { hold_until: Some(NOW + Duration::from_secs(60)), stops_soon: false, ..idle() };
        let said = body(Language::English, &held);
        assert!(said.contains("kept running until <time") && said.contains("id=\"release-ide\""), "{said}");
        assert!(!said.contains("hold-menu-ide") && !said.contains("note warn"), "{said}");
    }

    #[test]
    fn what_keeps_a_workspace_is_said() {
        let kept = View { kept: Some("brake".to_owned()), ..idle() };
        assert!(body(Language::English, &kept).contains("looks like a fault"));
    }

    #[test]
    fn titles_from_the_configuration_are_escaped() {
        let said = body(Language::English, &idle());
        assert!(said.contains("&#60;IDE&#62;") && !said.contains("<IDE>"), "{said}");
    }
}
