//! What an agent did and when: spans for the sinks, with nothing in them that must not be seen.
//!
//! Names, parents, input and output are the reference's, so its dashboard shows our spans too. Every
//! text is presentable before it leaves: secrets masked, no NUL (Postgres takes none in JSON).

use chrono::{DateTime, Utc};
use millstream::domain::{Failure, SpanEnd, SpanId, SpanKind, SpanStart, SpanStatus, Usage};
use serde_json::{Value, json};

use crate::model::{TurnAnswer, TurnFault};
use crate::review::sinks::Sinks;
use crate::tools::secrets;

/// The wall clock, and the one place of this crate that reads it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this crate that reads the wall clock"
)]
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// A text as it may be stored and shown.
#[must_use]
pub fn presentable(text: &str) -> String {
    secrets::mask(text).replace('\0', "\u{fffd}")
}

/// As [`presentable`], and no longer than so many characters. It is masked before it is cut: half a
/// secret is no longer recognised as one.
#[must_use]
pub fn excerpt(text: &str, longest: usize) -> String {
    let text = presentable(text);
    match text.char_indices().nth(longest) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A JSON value as it may be stored and shown.
#[must_use]
pub fn presentable_json(value: &Value) -> Value {
    without_nul(secrets::mask_json(value))
}

fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => items.into_iter().map(without_nul).collect(),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, member)| (name.replace('\0', "\u{fffd}"), without_nul(member)))
                .collect(),
        ),
        other => other,
    }
}

/// Begins and ends spans.
#[derive(Clone, Copy)]
pub struct Trace<'a> {
    sinks: &'a dyn Sinks,
}

/// A span that has begun. If it is dropped with its review, the engine closes it.
#[derive(Debug)]
#[must_use = "a span that is not ended stays open"]
pub struct Span {
    /// Its identity, the parent of what happens in it.
    pub id: SpanId,
}

impl<'a> Trace<'a> {
    /// Spans for these sinks.
    #[must_use]
    pub const fn new(sinks: &'a dyn Sinks) -> Self {
        Self { sinks }
    }

    /// Begins a span.
    pub fn begin(&self, kind: SpanKind, name: &str, parent: Option<&Span>, input: &Value) -> Span {
        let id = SpanId::fresh();
        self.sinks.span_start(SpanStart {
            id,
            parent: parent.map(|span| span.id),
            kind,
            name: excerpt(name, 100),
            input: presentable_json(input),
            at: now(),
        });
        Span { id }
    }

    /// Ends one that did what it should.
    pub fn end(&self, span: &Span, output: &Value) {
        self.sinks
            .span_end(ended(span, SpanStatus::Ok, presentable_json(output)));
    }

    /// Ends a model's turn, with what it used.
    pub fn end_turn(&self, span: &Span, output: &Value, answer: &TurnAnswer) {
        self.sinks.span_end(SpanEnd {
            usage: answer.usage,
            cost_usd: answer.cost_usd,
            model: Some(answer.model.clone()),
            ..ended(span, SpanStatus::Ok, presentable_json(output))
        });
    }

    /// Ends one that failed.
    pub fn fail(&self, span: &Span, message: &str) {
        let error = Some(excerpt(message, 1_000));
        self.sinks.span_end(SpanEnd {
            error,
            ..ended(span, SpanStatus::Error, Value::Null)
        });
    }

    /// Ends a model's turn that came to nothing, with what it used all the same.
    pub fn fail_turn(&self, span: &Span, fault: &TurnFault) {
        let output = fault
            .fault
            .map_or(Value::Null, |fault| json!({ "fault": fault.rule().name }));
        self.sinks.span_end(SpanEnd {
            usage: fault.usage,
            cost_usd: fault.cost_usd,
            model: fault.model.clone(),
            error: Some(excerpt(&fault.failure.message, 1_000)),
            ..ended(span, SpanStatus::Error, output)
        });
    }

    /// Ends one as its work has ended.
    pub fn settle<T>(&self, span: &Span, result: &Result<T, Failure>, output: impl FnOnce(&T) -> Value) {
        match result {
            Ok(value) => self.end(span, &output(value)),
            Err(failure) => self.fail(span, &failure.message),
        }
    }
}

fn ended(span: &Span, status: SpanStatus, output: Value) -> SpanEnd {
    SpanEnd {
        id: span.id,
        status,
        output,
        error: None,
        usage: Usage::default(),
        cost_usd: 0.0,
        model: None,
        at: now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StopReason;
    use crate::review::sinks::Recorded;
    use millstream::domain::FailureClass;

    #[test]
    fn a_text_is_masked_before_it_is_cut() {
        let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
        assert_eq!(excerpt(&format!("x {key} y"), 8), "x AKIA…(…");
        assert_eq!(excerpt("short", 5), "short");
    }

    #[test]
    fn no_part_of_a_span_tells_a_secret() {
        let key = format!("AKIA{}", "Q7FAKE2DEMO4KEY5");
        let sinks = Recorded::new();
        let trace = Trace::new(&sinks);
        let begin = || trace.begin(SpanKind::Tool, &key, None, &json!({ "key": key }));
        let answer = TurnAnswer {
            blocks: vec![],
            stop: StopReason::EndTurn,
            usage: Usage::default(),
            cached_tokens: 0,
            cost_usd: 0.0,
            model: "m".into(),
        };
        let failure = Failure::passing(FailureClass::Model, key.as_str());
        trace.end(&begin(), &json!([key]));
        trace.end_turn(&begin(), &json!([key]), &answer);
        trace.fail(&begin(), &key);
        trace.fail_turn(&begin(), &TurnFault::from(failure.clone()));
        trace.settle(&begin(), &Err::<(), _>(failure), |()| Value::Null);
        let told = sinks.everything();
        assert!(!told.contains("Q7FAKE"), "{told}");
        // Name and input of each of the five, and how it ended.
        assert_eq!(told.matches("AKIA…(masked)").count(), 15);
    }

    #[test]
    fn nothing_that_postgres_refuses_is_left() {
        assert_eq!(presentable("a\0b"), "a\u{fffd}b");
        assert_eq!(
            presentable_json(&json!({"\0": ["\0", 1]})),
            json!({"\u{fffd}": ["\u{fffd}", 1]})
        );
    }
}
