//! A hosted model: Anthropic's or OpenAI's, one for each tier, with patience and a breaker.
//!
//! A turn is one request, sent again inside the step where [`Fault::rule`] says so. What a failed
//! try has used is paid, and so it is part of the turn's bill, whether the turn succeeds or not.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream::domain::Failure;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Client, redirect};
use secrecy::SecretString;
use tokio::time::Instant;
use tracing::{debug, warn};
use url::Url;

use super::breaker::{Breaker, Door};
use super::price::{self, Metered, Price};
use super::wire::{self, Broken, Fold, Growing, Reply};
use super::{
    Asks, Heard, Model, Schema, Tier, TurnAnswer, TurnFault, TurnRequest, Underway, anthropic, context,
    openai,
};
use crate::agent::trace;
use crate::fault::{Fault, Outcome, STEP_PAUSE, TRIES};
use crate::http;

/// The highest limit of an answer, as a multiple of the first: it doubles with each try that was cut.
const HIGHEST: u32 = 1 << (TRIES - 1);

/// Whose model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Provider {
    /// Anthropic's messages.
    Anthropic,
    /// OpenAI's chat completions, and whatever else speaks them.
    OpenAi,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anthropic => "Anthropic",
            Self::OpenAi => "OpenAI",
        })
    }
}

impl Provider {
    /// Its name in OpenTelemetry's conventions.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
        }
    }
}

/// How a provider is reached.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whose it is.
    pub provider: Provider,
    /// The API's address, as the provider's own clients spell it.
    pub base: Url,
    /// The key.
    pub key: SecretString,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the provider may say nothing, before its answer and in it.
    pub silence: Duration,
    /// The pause before the first repeat inside a step; it doubles.
    pub first_pause: Duration,
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum HostedError {
    /// The key holds what no header may hold.
    #[error("the key for {0} holds characters that cannot be sent")]
    Key(Provider),
    /// TLS or the client itself.
    #[error("set up the client for {0}: {1}")]
    Client(Provider, String),
}

/// What one try asks for beside the conversation.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The model.
    pub model: &'a str,
    /// The longest answer.
    pub max_tokens: u32,
    /// The shape of the answer.
    pub schema: Option<Schema>,
    /// The limit of the answer goes by another name than its family's.
    pub other_limit: bool,
}

/// A client for one provider.
pub struct Line {
    access: Access,
    client: Client,
    address: Url,
    breaker: Mutex<Breaker>,
    /// The server has said that it knows no schemas.
    schemaless: AtomicBool,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

impl Line {
    /// A client of these settings.
    ///
    /// # Errors
    /// When the key cannot be sent or TLS cannot be set up.
    pub fn new(access: Access) -> Result<Self, HostedError> {
        let provider = access.provider;
        let wrong = |why: String| HostedError::Client(provider, why);
        let (headers, address) = match provider {
            Provider::Anthropic => (anthropic::headers(&access.key), anthropic::address(&access.base)),
            Provider::OpenAi => (openai::headers(&access.key), openai::address(&access.base)),
        };
        let mut headers: HeaderMap = headers.ok_or(HostedError::Key(provider))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("millstream/", env!("CARGO_PKG_VERSION"))),
        );
        let mut builder = http::builder()
            .map_err(|error| wrong(error.to_string()))?
            .default_headers(headers)
            // A key goes where the settings say and nowhere else.
            .redirect(redirect::Policy::none())
            .connect_timeout(access.connect_timeout)
            .read_timeout(access.silence);
        if http::is_loopback(&access.base) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            access,
            client,
            address,
            breaker: Mutex::default(),
            schemaless: AtomicBool::new(false),
        })
    }

    const fn provider(&self) -> Provider {
        self.access.provider
    }

    fn breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        act(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits out a short limit of the rate and asks for the door.
    async fn admitted(&self) -> Result<Admitted<'_>, Broken> {
        let mut waited = Duration::ZERO;
        loop {
            match self.breaker(|breaker| breaker.ask(Instant::now())) {
                Door::Open => {
                    return Ok(Admitted {
                        line: self,
                        told: false,
                    });
                }
                Door::Limited(pause) if waited + pause <= STEP_PAUSE => {
                    tokio::time::sleep(pause).await;
                    // At least a little: a limit that is set anew each time must end this loop too.
                    waited += pause.max(Duration::from_millis(100));
                }
                Door::Limited(pause) => {
                    let message = format!("{} limits the rate", self.provider());
                    return Err(waits(Fault::RateLimitedLong, message, pause));
                }
                Door::Shut(pause) => {
                    let message = format!("{} is down: its circuit breaker is open", self.provider());
                    return Err(waits(Fault::Down, message, pause));
                }
            }
        }
    }

    /// One try.
    async fn once(
        &self,
        request: &TurnRequest,
        asked: Asked<'_>,
        heard: &Growing<'_>,
    ) -> Result<Reply, Broken> {
        let admitted = self.admitted().await?;
        let result = self.sent(request, asked, heard).await;
        admitted.tell(result.as_ref().err());
        result
    }

    async fn sent(
        &self,
        request: &TurnRequest,
        asked: Asked<'_>,
        heard: &Growing<'_>,
    ) -> Result<Reply, Broken> {
        let provider = self.provider();
        let written = match provider {
            Provider::Anthropic => anthropic::body(request, asked),
            Provider::OpenAi => openai::body(request, asked),
        };
        let mut body = written
            .map_err(|error| Broken::new(Fault::Rejected, format!("a request cannot be written: {error}")))?;
        // It is held until the answer is there, and grew by doubling: up to half of it is room that nothing fills.
        body.shrink_to_fit();
        let fold: Box<dyn Fold> = match provider {
            Provider::Anthropic => Box::new(anthropic::Answer::new()),
            Provider::OpenAi => Box::new(openai::Answer::new(body.len())),
        };
        let sent = self.client.post(self.address.clone()).body(body).send().await;
        let response = sent.map_err(|error| wire::unanswered(provider, &error))?;
        wire::read(provider, response, fold, heard).await
    }

    /// What a limit of the rate comes to that outlasts the tries of a step: jobs wait, and lose no attempt.
    fn held(&self, broken: Broken) -> Broken {
        let pause = self.breaker(|breaker| breaker.held(Instant::now()));
        Broken {
            fault: Fault::RateLimitedLong,
            pause: Some(pause),
            ..broken
        }
    }

    /// Whether the request is worth a repeat now, and after which pause; what is asked for may change.
    fn again(&self, broken: &mut Broken, tried: u32, asked: &mut Asked<'_>) -> Option<Duration> {
        if broken.fault.rule().outcome != Outcome::Step || tried >= TRIES {
            return None;
        }
        match broken.fault {
            Fault::NoSchema if asked.schema.is_none() => {
                broken.fault = Fault::Rejected;
                return None;
            }
            Fault::NoSchema => {
                self.schemaless.store(true, Ordering::Relaxed);
                asked.schema = None;
                return Some(Duration::ZERO);
            }
            Fault::OtherLimit if asked.other_limit => {
                broken.fault = Fault::Rejected;
                return None;
            }
            Fault::OtherLimit => {
                asked.other_limit = true;
                return Some(Duration::ZERO);
            }
            Fault::Cut => {
                asked.max_tokens = asked.max_tokens.saturating_mul(2);
                return Some(Duration::ZERO);
            }
            _ => {}
        }
        let usual = self.access.first_pause.saturating_mul(1 << (tried - 1).min(8));
        Some(
            broken
                .pause
                .unwrap_or(usual.mul_f64(0.5 + rand::random::<f64>() / 2.0)),
        )
    }
}

fn waits(fault: Fault, message: String, pause: Duration) -> Broken {
    Broken {
        pause: Some(pause),
        ..Broken::new(fault, message)
    }
}

/// A request that the breaker has let through; it hears how it ended, also when it is given up.
struct Admitted<'a> {
    line: &'a Line,
    told: bool,
}

impl Admitted<'_> {
    fn tell(mut self, broken: Option<&Broken>) {
        self.told = true;
        let now = Instant::now();
        self.line.breaker(|breaker| match broken {
            None => breaker.well(),
            Some(broken) if broken.fault.is_outage() => breaker.outage(now),
            Some(broken) if matches!(broken.fault, Fault::RateLimited | Fault::RateLimitedLong) => {
                breaker.limit(now + broken.pause.unwrap_or(Duration::from_secs(1)));
            }
            // It answers, and it answered no: that is not being down.
            Some(_) => breaker.well(),
        });
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.line.breaker(Breaker::unclear);
        }
    }
}

/// The model of one tier.
#[derive(Debug, Clone)]
pub struct Route {
    line: Arc<Line>,
    model: String,
    price: Price,
    /// The server has said that it takes the limit of an answer by the other name.
    other_limit: Arc<AtomicBool>,
}

impl Route {
    /// This model on this line.
    #[must_use]
    pub fn new(line: Arc<Line>, model: String) -> Self {
        let (price, known) = price::of(line.provider(), &model);
        if !known {
            let (input, output) = (price.input, price.output);
            warn!(
                "no price is known for {model}: it is counted at {input} USD for a million tokens read, {output} written"
            );
        }
        Self {
            line,
            model,
            price,
            other_limit: Arc::default(),
        }
    }

    fn holds_schema(&self) -> bool {
        let able = match self.line.provider() {
            Provider::Anthropic => anthropic::holds_schema(&self.model),
            Provider::OpenAi => openai::holds_schema(&self.model),
        };
        able && !self.line.schemaless.load(Ordering::Relaxed)
    }

    async fn turn(&self, request: &TurnRequest, heard: &Heard<'_>) -> Result<TurnAnswer, TurnFault> {
        let mut asked = Asked {
            model: &self.model,
            max_tokens: request.max_tokens,
            schema: request.schema.filter(|_| self.holds_schema()),
            other_limit: self.other_limit.load(Ordering::Relaxed),
        };
        let mut spent = Metered::default();
        for tried in 1.. {
            let before = spent;
            let growing = |chars, now| {
                let mut spent = before;
                spent += now;
                heard(self.underway(chars, spent));
            };
            let mut broken = match self.line.once(request, asked, &growing).await {
                Ok(reply) => {
                    spent += reply.metered;
                    return Ok(self.answer(reply, spent));
                }
                Err(broken) => broken,
            };
            spent += broken.metered;
            heard(self.underway(0, spent));
            let Some(pause) = self.line.again(&mut broken, tried, &mut asked) else {
                if broken.fault == Fault::Cut
                    && asked.max_tokens >= request.max_tokens.saturating_mul(HIGHEST)
                {
                    broken.fault = Fault::StillCut;
                }
                if broken.fault == Fault::RateLimited {
                    broken = self.line.held(broken);
                }
                return Err(self.fault(broken, spent, tried));
            };
            if broken.fault == Fault::OtherLimit {
                self.other_limit.store(asked.other_limit, Ordering::Relaxed);
            }
            debug!(
                agent = request.agent,
                "{} ({tried} of {TRIES} tries)", broken.message
            );
            tokio::time::sleep(pause).await;
        }
        // `again` ends the loop long before the numbers do.
        Err(self.fault(Broken::new(Fault::Empty, "no answer"), spent, TRIES))
    }

    fn underway(&self, chars: usize, spent: Metered) -> Underway {
        Underway {
            chars,
            usage: wire::usage(spent),
            cost_usd: self.price.cost(spent),
        }
    }

    fn answer(&self, reply: Reply, spent: Metered) -> TurnAnswer {
        let model = if reply.model.is_empty() {
            self.model.clone()
        } else {
            trace::excerpt(&reply.model, 100)
        };
        TurnAnswer {
            blocks: reply.blocks,
            stop: reply.stop,
            usage: wire::usage(spent),
            cost_usd: self.price.cost(spent),
            cached_tokens: spent.cached,
            model,
        }
    }

    fn fault(&self, broken: Broken, spent: Metered, tried: u32) -> TurnFault {
        let message = if tried > 1 {
            format!("{} (tried {tried} times)", broken.message)
        } else {
            broken.message
        };
        let pause = broken.pause.map(|pause| pause.max(Duration::from_secs(1)));
        let failure: Failure = broken.fault.failure(message, pause);
        TurnFault {
            fault: Some(broken.fault),
            failure,
            usage: wire::usage(spent),
            cost_usd: self.price.cost(spent),
            model: Some(self.model.clone()),
        }
    }
}

/// The hosted models of a worker.
#[derive(Debug, Clone)]
pub struct Hosted {
    name: String,
    medium: Route,
    large: Route,
}

impl Hosted {
    /// These models for the reviewers and for the judge.
    #[must_use]
    pub fn new(medium: Route, large: Route) -> Self {
        let name = if medium.model == large.model {
            medium.model.clone()
        } else {
            format!("{} and {}", medium.model, large.model)
        };
        Self { name, medium, large }
    }

    const fn route(&self, tier: Tier) -> &Route {
        match tier {
            Tier::Medium => &self.medium,
            Tier::Large => &self.large,
        }
    }
}

impl Model for Hosted {
    fn turn<'a>(
        &'a self,
        request: &'a TurnRequest,
        heard: &'a Heard<'a>,
    ) -> BoxFuture<'a, Result<TurnAnswer, TurnFault>> {
        Box::pin(self.route(request.tier).turn(request, heard))
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn asks(&self, tier: Tier) -> Asks<'_> {
        let route = self.route(tier);
        Asks {
            provider: route.line.provider().word(),
            model: &route.model,
        }
    }

    fn prompt_chars(&self) -> usize {
        context::prompt_chars(self.medium.line.provider(), &self.medium.model)
    }
}

#[cfg(test)]
mod tests;
