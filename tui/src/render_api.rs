//! Workers on Render: the instances of one service, counted and set by Render's API.

use std::time::Duration;

use futures_util::future::BoxFuture;
use millstream::ops::{Fleet, FleetError};
use millstream::settings::Reader;
use millstream::untrusted::one_line;
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::failure::Failure;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// What of an answer that says no is shown.
const SHOWN: usize = 200;

/// A service whose instances are workers.
#[derive(Debug)]
pub struct RenderFleet {
    client: reqwest::Client,
    base: Url,
    key: SecretString,
    service: String,
}

/// What of a service is read.
#[derive(Deserialize)]
struct Service {
    #[serde(rename = "serviceDetails")]
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    #[serde(rename = "numInstances")]
    instances: Option<u32>,
    autoscaling: Option<Autoscaling>,
}

#[derive(Deserialize)]
struct Autoscaling {
    enabled: bool,
}

impl RenderFleet {
    /// The service that the settings name; nothing if they name none.
    ///
    /// # Errors
    /// When a setting is missing or makes no sense.
    pub fn read(vars: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Failure> {
        let reader = Reader::new(vars);
        let (key, service) = (
            reader.text("RENDER_API_KEY"),
            reader.text("RENDER_WORKER_SERVICE_ID"),
        );
        let base = reader.text("RENDER_API_URL");
        let base = base.unwrap_or_else(|| "https://api.render.com/v1".to_owned());
        reader.finish(())?;
        let (key, service) = match (key, service) {
            (None, None) => return Ok(None),
            (Some(key), Some(service)) => (key, service),
            _ => {
                let text = "RENDER_API_KEY and RENDER_WORKER_SERVICE_ID are set together".to_owned();
                return Err(Failure::Usage(text));
            }
        };
        let right = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !service.chars().all(right) {
            let text = "RENDER_WORKER_SERVICE_ID is like srv-ct1a2b3c".to_owned();
            return Err(Failure::Usage(text));
        }
        let http = |url: &Url| matches!(url.scheme(), "http" | "https");
        let base = Url::parse(&base)
            .ok()
            .filter(http)
            .ok_or_else(|| Failure::Usage("RENDER_API_URL must be an http or https address".to_owned()))?;
        let failed = |error: &dyn std::fmt::Display| Failure::Demo(format!("make an HTTP client: {error}"));
        let builder = millstream_worker::http::builder().map_err(|error| failed(&error))?;
        let client = builder
            .timeout(ANSWER_WITHIN)
            .build()
            .map_err(|error| failed(&error))?;
        Ok(Some(Self {
            client,
            base,
            key: key.into(),
            service,
        }))
    }

    async fn ask(&self, method: Method, behind: &str, body: Option<Value>) -> Result<Response, FleetError> {
        let address = format!(
            "{}/services/{}{behind}",
            self.base.as_str().trim_end_matches('/'),
            self.service
        );
        let mut request = self
            .client
            .request(method, address)
            .bearer_auth(self.key.expose_secret());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await;
        // The address holds no secret, and the error may hold the address.
        let answer = answer.map_err(|error| FleetError::Unreachable(one_line(&error.to_string(), SHOWN)))?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(FleetError::Refused(
                "Render does not know RENDER_API_KEY".to_owned(),
            )),
            StatusCode::NOT_FOUND => Err(FleetError::Nobody(format!(
                "Render knows no service {}",
                self.service
            ))),
            StatusCode::TOO_MANY_REQUESTS => {
                let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(ToOwned::to_owned);
                let reset = header("ratelimit-reset").or_else(|| header("retry-after"));
                let when = reset.map_or_else(String::new, |reset| format!(" ({} s)", one_line(&reset, 20)));
                Err(FleetError::Unreachable(format!(
                    "Render asks to come back later{when}"
                )))
            }
            status => {
                let text = answer.text().await.unwrap_or_default();
                Err(FleetError::Refused(format!(
                    "Render says {status}: {}",
                    one_line(&text, SHOWN)
                )))
            }
        }
    }

    async fn details(&self) -> Result<Details, FleetError> {
        let answer = self.ask(Method::GET, "", None).await?;
        let service: Service = answer
            .json()
            .await
            .map_err(|error| FleetError::Refused(format!("Render's answer: {error}")))?;
        Ok(service.details)
    }
}

impl Fleet for RenderFleet {
    fn size(&self) -> BoxFuture<'_, Result<u32, FleetError>> {
        Box::pin(async {
            let details = self.details().await?;
            // Render takes the order to scale such a service, and does nothing.
            if details.autoscaling.is_some_and(|auto| auto.enabled) {
                let text = "autoscaling is on: Render sets the number of instances itself".to_owned();
                return Err(FleetError::Refused(text));
            }
            let unknown = || FleetError::Refused("the service has no number of instances".to_owned());
            details.instances.ok_or_else(unknown)
        })
    }

    fn resize<'a>(&'a self, to: u32, _by: &'a str) -> BoxFuture<'a, Result<(), FleetError>> {
        Box::pin(async move {
            if to == 0 {
                let text = "Render keeps at least one instance; suspend the service instead".to_owned();
                return Err(FleetError::Refused(text));
            }
            let body = json!({ "numInstances": to });
            self.ask(Method::POST, "/scale", Some(body)).await.map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Option<RenderFleet>, String> {
        let look = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        RenderFleet::read(&look).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_service_is_named_whole_or_not_at_all() {
        assert!(read(&[]).expect("nothing is wrong").is_none());
        let (key, service) = (("RENDER_API_KEY", "rnd_x"), ("RENDER_WORKER_SERVICE_ID", "srv-1"));
        assert!(read(&[key, service]).expect("nothing is wrong").is_some());
        for wrong in [
            &[key][..],
            &[service],
            &[key, ("RENDER_WORKER_SERVICE_ID", "srv-1/../x")],
            &[key, service, ("RENDER_API_URL", "file:///x")],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        let fleet = read(&[key, service])
            .expect("nothing is wrong")
            .expect("a service");
        assert!(!format!("{fleet:?}").contains("rnd_x"), "a key is not shown");
    }
}
