//! A model in which every text that somebody else may have written is hostile.

use std::collections::BTreeSet;

use millstream::untrusted::Untrusted;
use millstream_tui::model::Model;
use millstream_tui::model::activity::ActionLine;
use millstream_tui::model::connection::{LampState, Server};
use millstream_tui::model::dead::LETTERS;
use millstream_tui::model::filter::Filter;
use millstream_tui::model::happening::{Happening, Happenings};
use millstream_tui::model::history::TimeMark;
use millstream_tui::model::job::{AttemptLine, JobFacts};
use millstream_tui::model::jobs::JobLine;
use millstream_tui::model::need::Need;
use millstream_tui::model::notice::{Notice, Tone};
use millstream_tui::model::overlay::{Field, Overlay, Want};
use millstream_tui::model::pending::{Payload, PendingLine};
use millstream_tui::model::remote::Remote;
use millstream_tui::model::streams::{ConsumerLine, Detail, HeldLine, StreamLine};
use millstream_tui::model::trace::{SpanLine, SpanText, TraceFacts};
use millstream_tui::model::view::Size;
use millstream_tui::model::workers::{WorkerLine, WorkerName};
use millstream_tui::msg::Msg;
use millstream_tui::update::update;
use serde_json::Value;

use crate::support::hostile::MARK;

/// Texts, one after the other, over and over.
pub struct Poison {
    texts: Vec<String>,
    next: usize,
}

impl Poison {
    /// These texts.
    pub const fn new(texts: Vec<String>) -> Self {
        Self { texts, next: 0 }
    }

    fn text(&mut self) -> Untrusted {
        self.next += 1;
        Untrusted::new(self.texts[self.next % self.texts.len()].as_str())
    }

    fn some(&mut self) -> Option<Untrusted> {
        Some(self.text())
    }

    fn worker(&mut self) -> WorkerName {
        WorkerName::new(self.text().raw())
    }

    /// The model with hostile text in every field that holds text.
    pub fn spread(&mut self, mut model: Model) -> Model {
        model.profile.name = self.text();
        model.profile.queue = self.text();
        model.profile.group = self.text();
        model.connection.valkey.place = self.text();
        model.connection.postgres.place = self.text();
        for server in [Server::Valkey, Server::Postgres] {
            if let LampState::Lost { why, .. } = &mut model.connection.lamp_mut(server).state {
                *why = self.text();
            }
        }
        if let Some(fleet) = &mut model.fleet {
            fleet.web_url = self.text();
        }
        for sent in &mut model.sent {
            sent.text = self.text();
        }
        let notice = Notice::new(Tone::Bad, self.text().raw(), model.now);
        model.notice = Some(notice);
        self.overview(&mut model);
        self.lists(&mut model);
        self.opened(&mut model);
        self.typed(&mut model);
        let size = model.size;
        update(&mut model, Msg::Resize(Size { ..size }));
        model
    }

    fn overview(&mut self, model: &mut Model) {
        for need in &mut model.overview.needs {
            self.need(need);
        }
        let mut happenings = Happenings::default();
        for told in model.happenings.iter() {
            happenings.add(self.happening(told));
        }
        model.happenings = happenings;
        let marks: Vec<TimeMark> = model.history.marks().cloned().collect();
        for mark in marks {
            let label = self.text();
            model.history.mark(TimeMark { label, ..mark });
        }
        if let Some(ledger) = model.overview.ledger.value_mut() {
            let recent = std::mem::take(&mut ledger.recent);
            ledger.recent = recent.iter().map(|told| self.happening(told)).collect();
        }
        self.remote(&mut model.overview.queue);
        self.remote(&mut model.overview.ledger);
    }

    fn lists(&mut self, model: &mut Model) {
        for row in model
            .jobs
            .page
            .value_mut()
            .into_iter()
            .flat_map(|page| &mut page.rows)
        {
            self.job_line(row);
        }
        for row in model
            .workers
            .page
            .value_mut()
            .into_iter()
            .flat_map(|page| &mut page.rows)
        {
            self.worker_line(row);
        }
        for row in model
            .pending
            .page
            .value_mut()
            .into_iter()
            .flat_map(|page| &mut page.rows)
        {
            self.pending_line(row);
        }
        for row in model
            .activity
            .page
            .value_mut()
            .into_iter()
            .flat_map(|page| &mut page.rows)
        {
            self.action_line(row);
        }
        if let Some(page) = model.dead.page.value_mut() {
            for cause in &mut page.causes {
                cause.class = self.text();
                cause.sample = self.text();
                cause.kinds = vec![self.text(), self.text()];
            }
            for row in page.members.iter_mut().flat_map(|members| &mut members.rows) {
                self.job_line(row);
            }
        }
        if let Some(page) = model.dead.letters.value_mut() {
            // The story has none; those that are told elsewhere are as hostile as the rest.
            let told = millstream_tui::sample::dead_letters().dead.letters;
            if let Some(told) = told.value().filter(|_| page.causes.is_empty()) {
                page.clone_from(told);
            }
            for cause in &mut page.causes {
                cause.class = self.text();
                cause.sample = self.text();
                cause.kinds = vec![self.text()];
            }
            for line in &mut page.members {
                line.entry = self.text();
                line.worker = self.text();
                line.error = self.text();
                self.payload(&mut line.payload);
            }
        }
        if let Some(page) = model.streams.page.value_mut() {
            for row in &mut page.rows {
                self.stream_line(row);
            }
            if let Some((_, detail)) = &mut page.detail {
                self.detail(detail);
            }
        }
        self.remote(&mut model.jobs.page);
        self.remote(&mut model.workers.page);
        self.remote(&mut model.pending.page);
        self.remote(&mut model.activity.page);
        self.remote(&mut model.dead.page);
        self.remote(&mut model.dead.letters);
        self.remote(&mut model.streams.page);
    }

    fn opened(&mut self, model: &mut Model) {
        if let Some(job) = &mut model.job {
            if let Some(Some(facts)) = job.facts.value_mut() {
                self.job_facts(facts);
            }
            self.remote(&mut job.facts);
        }
        if let Some(Some(facts)) = model.trace.facts.value_mut() {
            self.trace_facts(facts);
        }
        self.remote(&mut model.trace.facts);
        if let Some((_, text)) = &mut model.trace.text {
            if let Some(text) = text.value_mut() {
                *text = SpanText {
                    input: self.some(),
                    output: self.some(),
                };
            }
            self.remote(text);
        }
    }

    /// What a person has pasted, in every line that takes text.
    fn typed(&mut self, model: &mut Model) {
        let filters = [
            &mut model.jobs.filter,
            &mut model.pending.filter,
            &mut model.dead.filter,
            &mut model.streams.filter,
            &mut model.activity.filter,
            &mut model.workers.filter,
            &mut model.trace.filter,
        ];
        for filter in filters.into_iter().filter(|filter| !filter.is_empty()) {
            *filter = Filter::new(self.text().raw());
        }
        if let Some(page) = model.jobs.page.value_mut() {
            page.filter = model.jobs.filter.clone();
        }
        if let Some(typing) = &mut model.typing {
            typing.text = self.text().raw().to_owned();
        }
        match &mut model.overlay {
            Some(Overlay::Dialog(dialog)) => {
                dialog.title = self.text();
                for line in &mut dialog.lines {
                    *line = self.text();
                }
                dialog.facts = vec![(self.text(), self.text()), (self.text(), self.text())];
                let wants = [
                    Want::Reason,
                    Want::Name(self.text().raw().to_owned()),
                    Want::Count(3),
                ];
                dialog.fields = wants.map(|want| self.field(want)).into();
            }
            Some(Overlay::Palette(palette)) => palette.text = self.text().raw().to_owned(),
            _ => {}
        }
    }

    fn field(&mut self, want: Want) -> Field {
        Field {
            text: self.text().raw().to_owned(),
            ..Field::new(self.text().raw(), want)
        }
    }

    fn remote<T>(&mut self, remote: &mut Remote<T>) {
        if let Remote::Stale { why, .. } | Remote::Failed { why, .. } = remote {
            *why = self.text();
        }
    }

    fn need(&mut self, need: &mut Need) {
        need.what = self.text();
        need.detail = self.text();
    }

    fn happening(&mut self, told: &Happening) -> Happening {
        Happening {
            subject: self.text(),
            what: self.text(),
            note: self.some(),
            worker: Some(self.worker()),
            ..told.clone()
        }
    }

    fn job_line(&mut self, row: &mut JobLine) {
        row.input = self.text();
        row.verdict = self.some();
        row.phase = self.some();
        row.worker = Some(self.worker());
        row.class = self.some();
        row.error = self.some();
    }

    fn worker_line(&mut self, row: &mut WorkerLine) {
        row.name = self.worker();
        row.host = self.some();
        row.version = self.some();
        row.ended = row.ended.is_some().then(|| self.text());
        for job in &mut row.jobs {
            job.input = self.text();
            job.phase = self.some();
        }
    }

    fn pending_line(&mut self, row: &mut PendingLine) {
        row.input = self.some();
        row.worker = Some(self.worker());
        self.payload(&mut row.payload);
    }

    fn payload(&mut self, payload: &mut Payload) {
        if let Payload::There { fields, .. } = payload {
            for (name, value) in fields {
                (*name, *value) = (self.text(), self.text());
            }
        }
    }

    fn action_line(&mut self, row: &mut ActionLine) {
        row.who = self.text();
        row.verb = self.text();
        row.to = self.text();
        row.result = self.text();
        for (name, value) in &mut row.facts {
            (*name, *value) = (self.text(), self.text());
        }
    }

    fn stream_line(&mut self, row: &mut StreamLine) {
        row.stream = self.text();
        row.group = row.group.is_some().then(|| self.text());
    }

    fn detail(&mut self, detail: &mut Detail) {
        match detail {
            Detail::Pending(rows) => rows.iter_mut().for_each(
                |HeldLine {
                     consumer, payload, ..
                 }| {
                    *consumer = self.text();
                    self.payload(payload);
                },
            ),
            Detail::Consumers(told) => {
                let rows = told.iter_mut().flat_map(|told| &mut told.rows);
                rows.for_each(|ConsumerLine { name, .. }| *name = self.text());
            }
            Detail::Entries(rows) => rows.iter_mut().for_each(|(_, payload)| self.payload(payload)),
        }
    }

    fn attempt(&mut self, row: &mut AttemptLine) {
        row.worker = self.worker();
        row.class = self.some();
        row.error = self.some();
        for step in &mut row.steps {
            step.agent = self.text();
        }
    }

    fn job_facts(&mut self, facts: &mut JobFacts) {
        self.job_line(&mut facts.line);
        facts.reason = self.some();
        for finding in &mut facts.findings {
            finding.agent = self.text();
            finding.location = self.text();
            finding.note = self.text();
        }
        for attempt in &mut facts.attempts {
            self.attempt(attempt);
        }
        for event in &mut facts.events {
            event.text = self.text();
        }
    }

    fn trace_facts(&mut self, facts: &mut TraceFacts) {
        self.job_line(&mut facts.line);
        for attempt in &mut facts.attempts {
            self.attempt(attempt);
        }
        for SpanLine {
            name, error, model, ..
        } in &mut facts.spans
        {
            (*name, *error, *model) = (self.text(), self.some(), self.some());
        }
    }
}

/// Fields that nobody outside can write: words of ours. What a command is about is asked for and never drawn; marks on
/// the axis cannot be taken away, so hostile ones stand beside them.
const OURS: [&str; 28] = [
    ".access",
    ".sort",
    ".kind",
    ".outcome",
    ".state",
    ".severity",
    ".pane",
    ".colours",
    ".theme",
    ".confirm",
    ".focus",
    ".command",
    ".harm",
    ".path",
    ".list.cursor",
    ".list.order",
    ".place",
    ".hold",
    ".lane",
    ".payload",
    ".server",
    ".lag",
    ".status",
    ".tone",
    ".marks.label",
    ".intent.KillWorker",
    ".target.Worker",
    ".target.Jobs",
];

/// The paths of texts in a poisoned model that are not hostile. What is ours, an id or a time is none.
pub fn spared(model: &Model) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(&serde_json::to_value(model).expect("plain data"), "", &mut found);
    found
}

fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                walk(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, path, found)),
        Value::String(text) => {
            let is_time = text.len() > 19 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
            // A cause of letters has a fingerprint that the console makes itself.
            let digits = text.strip_prefix(LETTERS).unwrap_or(text);
            let is_id = digits
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
            // How an action ended is a word of ours; how a worker ended is a text.
            let is_action = path.starts_with(".activity") && path.ends_with(".ended");
            // Keys and their commands are names that are parsed, as a zone is.
            let is_parsed = path.starts_with(".keys") || path == ".zone";
            let is_ours = is_parsed || is_action || OURS.iter().any(|ours| path.ends_with(ours));
            if !(text.contains(MARK) || is_time || is_id || is_ours) {
                found.insert(format!("{path} = {text}"));
            }
        }
        _ => {}
    }
}
