//! How times, spans and reasons are said to one reader at one moment.
//!
//! Times are `<time>` elements: the server writes UTC, which a script turns into the reader's own time.

use std::fmt;
use std::time::Duration;

use super::language::Language;
use super::texts::{Texts, fill};
use crate::model::{ActivitySource, FailureClass, PhaseName, StartStep, StopReason, Timestamp};

/// Text that is HTML already. Made only from escaped text and elements of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Html(String);

impl Html {
    /// Plain text as HTML.
    pub(super) fn text(text: &str) -> Self {
        Self(escape(text))
    }

    /// What a template of ours makes; nothing if it fails, which it never does into a string.
    pub(super) fn rendered(template: &impl askama::Template) -> Self {
        Self(template.render().unwrap_or_default())
    }
}

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Html {}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// A reader's language and the moment of writing.
#[derive(Clone, Copy)]
pub(super) struct Words {
    pub(super) language: Language,
    pub(super) now: Timestamp,
}

impl Words {
    pub(super) const fn texts(self) -> &'static Texts {
        self.language.texts()
    }

    /// `text` as HTML, with each blank replaced by HTML.
    pub(super) fn sentence(text: &str, values: &[(&str, &Html)]) -> Html {
        let values: Vec<(&str, &str)> = values.iter().map(|(name, html)| (*name, html.0.as_str())).collect();
        Html(fill(&escape(text), &values))
    }

    /// A time of day, with the date if it is not today's.
    pub(super) fn clock(self, at: Timestamp) -> Html {
        let full = at.to_string();
        let (date, rest) = full.split_once('T').unwrap_or((&full, ""));
        let time = format!("{} UTC", rest.get(..5).unwrap_or(rest));
        let today = self.now.to_string();
        let said = if today.starts_with(date) {
            time
        } else {
            fill(self.texts().time_other_day, &[("time", &time), ("date", date)])
        };
        Html(format!("<time datetime=\"{full}\" data-clock>{}</time>", escape(&said)))
    }

    /// How long ago a time was.
    pub(super) fn ago(self, at: Timestamp) -> Html {
        let past = self.now.since(at);
        let said = if past < Duration::from_secs(10) {
            self.texts().just_now.to_owned()
        } else {
            fill(self.texts().ago, &[("span", &self.span(coarse(past)))])
        };
        Html(format!("<time datetime=\"{at}\" data-ago>{}</time>", escape(&said)))
    }

    /// A length of time in its two largest units.
    pub(super) fn span(self, span: Duration) -> String {
        let t = self.texts();
        let secs = span.as_secs();
        let count = |n: u64, one: &str, many: &str| match n {
            0 => None,
            1 => Some(one.to_owned()),
            n => Some(fill(many, &[("n", &n.to_string())])),
        };
        let days = count(secs / 86_400, t.days_one, t.days);
        let hours = count(secs / 3600 % 24, t.hours_one, t.hours);
        let minutes = count(secs / 60 % 60, t.minutes_one, t.minutes);
        let seconds = count(secs % 60, t.seconds_one, t.seconds);
        let units = [days, hours, minutes, seconds];
        let Some(first) = units.iter().position(Option::is_some) else {
            return fill(t.seconds, &[("n", "0")]);
        };
        let said: Vec<String> = units.into_iter().skip(first).take(2).flatten().collect();
        said.join(" ")
    }

    /// A short length of time as it is measured: `0.4 s`.
    pub(super) fn measured(span: Duration) -> String {
        if span < Duration::from_secs(60) {
            format!("{:.1} s", span.as_secs_f64())
        } else {
            format!("{}:{:02} min", span.as_secs() / 60, span.as_secs() % 60)
        }
    }

    pub(super) const fn phase(self, phase: PhaseName) -> &'static str {
        let t = self.texts();
        match phase {
            PhaseName::Stopped => t.phase_stopped,
            PhaseName::Starting => t.phase_starting,
            PhaseName::Running => t.phase_running,
            PhaseName::Idle => t.phase_idle,
            PhaseName::Stopping => t.phase_stopping,
            PhaseName::Failed => t.phase_failed,
        }
    }

    pub(super) const fn step(self, step: StartStep) -> &'static str {
        let t = self.texts();
        match step {
            StartStep::Queued => t.step_queued,
            StartStep::Requested => t.step_requested,
            StartStep::Created => t.step_created,
            StartStep::Waiting => t.step_waiting,
            StartStep::Ready => t.step_ready,
        }
    }

    pub(super) const fn source(self, source: ActivitySource) -> &'static str {
        let t = self.texts();
        match source {
            ActivitySource::WebSocket => t.activity_websocket,
            ActivitySource::Http => t.activity_http,
            ActivitySource::Connection => t.activity_connection,
            ActivitySource::Start => t.activity_start,
            ActivitySource::Restart => t.activity_restart,
        }
    }

    /// Why it was not stopped although that was due; `by` as in [`View::kept`](crate::workspace::View).
    pub(super) fn kept(self, by: &str) -> &'static str {
        let t = self.texts();
        match by {
            "hold" => t.kept_hold,
            "connection" => t.kept_connection,
            "brake" => t.kept_brake,
            _ => t.kept_unknown,
        }
    }

    /// Why and when it was stopped, as a sentence.
    pub(super) fn stopped(self, at: Timestamp, reason: Option<&StopReason>) -> Html {
        let t = self.texts();
        let time = self.clock(at);
        let span = |secs: &u64| Html::text(&self.span(Duration::from_secs(*secs)));
        let say = |text| Self::sentence(text, &[("time", &time)]);
        match reason {
            None => say(t.stopped_plain),
            Some(StopReason::User) => say(t.stopped_user),
            Some(StopReason::Administrator { by }) => {
                Self::sentence(t.stopped_administrator, &[("time", &time), ("by", &Html::text(by))])
            }
            Some(StopReason::HumanIdle { after_secs }) => {
                Self::sentence(t.stopped_idle, &[("time", &time), ("span", &span(after_secs))])
            }
            Some(StopReason::MaxLifetime { after_secs }) => {
                Self::sentence(t.stopped_lifetime, &[("time", &time), ("span", &span(after_secs))])
            }
            Some(StopReason::GatewayShutdown) => say(t.stopped_shutdown),
            Some(StopReason::Withdrawn) => say(t.stopped_withdrawn),
            Some(StopReason::Exited) => say(t.stopped_exited),
            Some(StopReason::Crashed) => say(t.stopped_crashed),
            Some(StopReason::Leftover) => say(t.stopped_leftover),
        }
    }

    /// When it will stop and why.
    pub(super) fn stops(self, at: Timestamp, reason: &StopReason) -> Html {
        self.about_to_stop(at, reason, |t| [t.stops_idle, t.stops_lifetime, t.stops_other])
    }

    /// The warning before a stop.
    pub(super) fn warning(self, at: Timestamp, reason: &StopReason) -> Html {
        self.about_to_stop(at, reason, |t| [t.warning_idle, t.warning_lifetime, t.warning_other])
    }

    fn about_to_stop(self, at: Timestamp, reason: &StopReason, say: fn(&Texts) -> [&str; 3]) -> Html {
        let [idle, lifetime, other] = say(self.texts());
        let time = self.clock(at);
        match reason {
            StopReason::HumanIdle { .. } => Self::sentence(idle, &[("time", &time)]),
            StopReason::MaxLifetime { after_secs } => {
                let span = Html::text(&self.span(Duration::from_secs(*after_secs)));
                Self::sentence(lifetime, &[("time", &time), ("span", &span)])
            }
            _ => Self::sentence(other, &[("time", &time)]),
        }
    }

    /// What happened in a failure, and what its user can do.
    pub(super) const fn failure(self, class: FailureClass) -> (&'static str, &'static str) {
        let t = self.texts();
        match class {
            FailureClass::NotRunnable => (t.cause_not_runnable, t.advice_not_runnable),
            FailureClass::CrashedAtStart => (t.cause_crashed_at_start, t.advice_crashed_at_start),
            FailureClass::Crashed => (t.cause_crashed, t.advice_crashed),
            FailureClass::NotReady => (t.cause_not_ready, t.advice_not_ready),
            FailureClass::Quota => (t.cause_quota, t.advice_quota),
            FailureClass::NoCapacity => (t.cause_no_capacity, t.advice_no_capacity),
            FailureClass::Runtime => (t.cause_runtime, t.advice_runtime),
        }
    }
}

/// The largest unit alone: nobody wants to read "3 hours 12 minutes ago".
fn coarse(span: Duration) -> Duration {
    let secs = span.as_secs();
    let unit = [86_400, 3600, 60].into_iter().find(|unit| secs >= *unit).unwrap_or(1);
    Duration::from_secs(secs / unit * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: Words = Words { language: Language::English, now: Timestamp::from_secs(1_700_000_000) };
    const CHINESE: Words = Words { language: Language::Chinese, now: Timestamp::from_secs(1_700_000_000) };

    #[test]
    fn spans_are_said_in_their_two_largest_units() {
        for (secs, english, chinese) in [
            (0, "0 seconds", "0 秒"),
            (1, "1 second", "1 秒"),
            (1800, "30 minutes", "30 分钟"),
            (5400, "1 hour 30 minutes", "1 小时 30 分钟"),
            (3605, "1 hour", "1 小时"),
            (200_000, "2 days 7 hours", "2 天 7 小时"),
        ] {
            assert_eq!(ENGLISH.span(Duration::from_secs(secs)), english);
            assert_eq!(CHINESE.span(Duration::from_secs(secs)), chinese);
        }
    }

    #[test]
    fn a_stop_is_explained_with_its_time_and_cause() {
        let reason = StopReason::HumanIdle { after_secs: 1800 };
        let said = ENGLISH.stopped(Timestamp::from_secs(1_700_000_000 - 600), Some(&reason)).to_string();
        assert_eq!(
            said,
            "It was stopped at <time datetime=\"2023-11-14T22:03:20.000Z\" data-clock>22:03 UTC</time> \
             because nobody had worked in it for 30 minutes."
        );
        let said = CHINESE.stopped(Timestamp::from_secs(1_600_000_000), Some(&reason)).to_string();
        assert!(said.contains("2020-09-13 12:26 UTC") && said.starts_with("因连续 30 分钟无人使用"), "{said}");
    }

    #[test]
    fn names_from_outside_are_escaped_in_sentences() {
        let reason = StopReason::Administrator { by: "<b>{time}</b>".to_owned() };
        let said = ENGLISH.stopped(Timestamp::from_secs(0), Some(&reason)).to_string();
        assert!(said.starts_with("&lt;b&gt;{time}&lt;/b&gt;, an administrator"), "{said}");
    }
}
