//! Every variable that any part reads: the source of `.env.example` and of the README's table.

/// One variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is unset.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        default,
        meaning,
    }
}

/// All of them, in the order in which they are shown.
pub const ALL: &[Variable] = &[
    variable(
        "VALKEY_URL",
        "redis://127.0.0.1:6379",
        "address of Valkey or Redis, 7.0 or newer",
    ),
    variable("REDIS_URL", "", "the same, used when VALKEY_URL is unset"),
    variable(
        "DATABASE_URL",
        "postgres://127.0.0.1:5432/millstream",
        "address of Postgres, 14 or newer",
    ),
    variable("PORT", "3000", "port of the web producer"),
    variable(
        "HOST",
        "127.0.0.1, or 0.0.0.0 on Render",
        "address that the web producer listens on",
    ),
    variable(
        "MILLSTREAM_TOKEN",
        "",
        "token that clients of the web producer send as `Authorization: Bearer ...`; without one it listens on loopback only",
    ),
    variable(
        "PUBLIC_SUBMIT",
        "0",
        "1 lets anybody submit and read without a token",
    ),
    variable(
        "PUBLIC_READ",
        "0",
        "1 lets anybody see which reviews there are and how they ended, but no diffs, findings or reasons",
    ),
    variable("QUEUE", "reviews:queue", "stream of the queue"),
    variable("QUEUE_GROUP", "reviewers", "consumer group of the queue"),
    variable(
        "QUEUE_LIMIT",
        "10000",
        "with this many jobs waiting or scheduled, submissions are refused with 429",
    ),
    variable(
        "SUBMIT_RATE",
        "20",
        "submissions a second that one client of the web producer may send; 0 for any number",
    ),
    variable("SUBMIT_BURST", "200", "how many of them may come at once"),
    variable(
        "STREAMS_EACH",
        "64",
        "streams and waiting answers that one client of the web producer may have open",
    ),
    variable(
        "PROXIES",
        "0, or 2 on Render",
        "proxies in front of the web producer: so many last entries of X-Forwarded-For are believed",
    ),
    variable(
        "MAX_PATCH",
        "8388608",
        "largest diff in bytes, submitted or fetched",
    ),
    variable("WORKER_CONCURRENCY", "4", "jobs that a worker runs at a time"),
    variable(
        "VISIBILITY_TIMEOUT",
        "15s",
        "how long a worker that fell silent keeps its jobs",
    ),
    variable("MAX_ATTEMPTS", "5", "failed attempts before a job is dead"),
    variable(
        "MAX_CRASHES",
        "5",
        "workers that may vanish with a job before it is dead",
    ),
    variable(
        "RETRY_BACKOFF",
        "1s",
        "most that the first retry waits; it doubles with each failure",
    ),
    variable("RETRY_BACKOFF_MAX", "5m", "most that any retry waits"),
    variable(
        "SHUTDOWN_GRACE",
        "25s",
        "time from SIGTERM to the exit of a worker",
    ),
    variable("JOB_DEADLINE", "15m", "how long one attempt may run"),
    variable(
        "WEBHOOK_SECRET",
        "",
        "secret that webhooks are signed with, whsec_ and base64; several with spaces between them while one takes the place of another; without one there are no callbacks",
    ),
    variable(
        "WEBHOOK_ALLOW_PRIVATE",
        "0",
        "1 lets callbacks lead to private addresses and by http, for development",
    ),
    variable(
        "WEBHOOK_TIMEOUT",
        "15s",
        "how long a receiver of a webhook may take",
    ),
    variable(
        "WEBHOOK_CONCURRENCY",
        "16",
        "webhooks that a worker delivers at a time",
    ),
    variable(
        "WEBHOOK_CONCURRENCY_EACH",
        "4",
        "of them to one receiver, so that one that hangs holds up no other",
    ),
    variable(
        "WEBHOOK_CA_FILE",
        "",
        "file of certificates in PEM that may vouch for a receiver beside Mozilla's roots",
    ),
    variable(
        "WEBHOOK_VISIBILITY_TIMEOUT",
        "15s",
        "how long a worker that fell silent keeps its webhooks",
    ),
    variable(
        "WEBHOOK_MAX_ATTEMPTS",
        "16",
        "failed deliveries before a webhook is dead",
    ),
    variable(
        "WEBHOOK_RETRY_BACKOFF",
        "10s",
        "most that the first retry of a webhook waits; it doubles with each failure",
    ),
    variable(
        "WEBHOOK_RETRY_BACKOFF_MAX",
        "12h",
        "most that any retry of a webhook waits",
    ),
    variable(
        "ALLOW_EVICTION",
        "0",
        "1 lets a worker run on a server that may evict keys",
    ),
    variable(
        "AGENT_MODEL",
        "whatever there is a key for, else offline",
        "who reviews: offline (or mock), anthropic, openai, or a model's name",
    ),
    variable("ANTHROPIC_API_KEY", "", "key for Anthropic's models"),
    variable("OPENAI_API_KEY", "", "key for OpenAI's models"),
    variable(
        "ANTHROPIC_BASE_URL",
        "https://api.anthropic.com",
        "address of Anthropic's API",
    ),
    variable(
        "OPENAI_BASE_URL",
        "https://api.openai.com/v1",
        "address of OpenAI's API, or of another server that speaks it",
    ),
    variable(
        "MODEL_MEDIUM",
        "AGENT_MODEL, or claude-sonnet-4-6, or gpt-4.1",
        "model of the reviewers",
    ),
    variable(
        "MODEL_LARGE",
        "AGENT_MODEL, or claude-opus-4-6, or gpt-4.1",
        "model of the judge",
    ),
    variable("MODEL_TIMEOUT", "1m", "how long a provider may say nothing"),
    variable("AGENT_MAX_TURNS", "12", "turns that an agent may take"),
    variable(
        "AGENT_MAX_TOKENS",
        "1000000",
        "tokens that an agent may read and write, over all attempts",
    ),
    variable(
        "AGENT_MAX_COST",
        "3",
        "US dollars that an agent may cost, over all attempts",
    ),
    variable(
        "AGENT_MAX_TIME",
        "5m",
        "how long an agent may take in one attempt",
    ),
    variable(
        "REVIEW_MAX_TOKENS",
        "3000000",
        "tokens that the reviewers of a review may read and write together",
    ),
    variable(
        "REVIEW_MAX_COST",
        "9",
        "US dollars that the reviewers of a review may cost together",
    ),
    variable(
        "OFFLINE_LATENCY",
        "500ms",
        "how long the offline model takes for a turn",
    ),
    variable(
        "OFFLINE_FAILURE_RATE",
        "0",
        "share of the offline model's turns that fail, from 0 to 1",
    ),
    variable(
        "GITHUB_TOKEN",
        "",
        "token for GitHub; without one only public pull requests can be read",
    ),
    variable(
        "RENDER_API_KEY",
        "",
        "key for Render's API, with which `millstream scale` sets the number of workers",
    ),
    variable(
        "RENDER_WORKER_SERVICE_ID",
        "",
        "the service whose instances `millstream scale` counts and sets, as srv-...",
    ),
    variable(
        "RENDER_API_URL",
        "https://api.render.com/v1",
        "address of Render's API",
    ),
    variable(
        "GITHUB_API_URL",
        "https://api.github.com",
        "address of GitHub's API",
    ),
    variable(
        "GITHUB_POST_REVIEW",
        "0",
        "1 posts each verdict as a review on its pull request",
    ),
    variable(
        "GITHUB_POST_VOTES",
        "none",
        "votes that these reviews cast: none, request-changes, or both",
    ),
    variable(
        "MCP_SERVERS",
        "",
        "MCP servers whose tools reviewers may call: {\"name\": {\"url\": ..} or {\"command\": ..}}",
    ),
    variable(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "address of a collector; with it, spans leave by OTLP too",
    ),
    variable(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        "headers for the collector: name=value,name=value, percent-encoded",
    ),
    variable(
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        "the one protocol that is spoken",
    ),
    variable(
        "OTEL_SERVICE_NAME",
        "millstream-worker",
        "what the collector calls the workers",
    ),
    variable("LOG", "info", "log level, or a filter as `millstream=debug,warn`"),
    variable("LOG_FORMAT", "text", "text or json"),
];
