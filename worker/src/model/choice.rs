//! Which model answers: what the settings wish for, and what the keys allow.
//!
//! `AGENT_MODEL` is a provider, a model or `offline`; unset, the keys decide. A wish whose provider
//! has no key goes to the other provider's own models, and that is said; with no key at all it is a
//! fault, since an operator who names a model does not want the offline reviewer's verdicts.

use std::sync::Arc;
use std::time::Duration;

use millstream::settings::Reader;
use secrecy::SecretString;

use super::hosted::{Access, Hosted, HostedError, Line, Provider, Route};
use super::{anthropic, openai};
use crate::settings::address;

/// What `AGENT_MODEL` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Whatever there is a key for.
    Any,
    /// No hosted model.
    Offline,
    /// A provider's own models.
    Of(Provider),
    /// One model for all agents.
    Named(Provider, String),
}

/// A model of a tier.
type Named = (Provider, String);

/// What the settings say about models.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// `AGENT_MODEL`.
    pub wish: Wish,
    /// `MODEL_MEDIUM`.
    pub medium: Option<Named>,
    /// `MODEL_LARGE`.
    pub large: Option<Named>,
    /// `ANTHROPIC_API_KEY` and `ANTHROPIC_BASE_URL`.
    pub anthropic: Option<Access>,
    /// `OPENAI_API_KEY` and `OPENAI_BASE_URL`.
    pub openai: Option<Access>,
}

/// The models of a provider where nothing else is asked for: for the reviewers, for the judge.
const fn usual(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::Anthropic => ("claude-sonnet-4-6", "claude-opus-4-6"),
        Provider::OpenAi => ("gpt-4.1", "gpt-4.1"),
    }
}

impl ModelSettings {
    /// Reads the part.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let silence = reader.duration(
            "MODEL_TIMEOUT",
            Duration::from_secs(60),
            Duration::from_secs(1)..=Duration::from_secs(600),
        );
        let mut access = |provider, key: &'static str, base: &'static str, home| {
            let base = address(reader, base, home);
            reader.text(key).map(|key| Access {
                provider,
                base,
                key: SecretString::from(key),
                connect_timeout: Duration::from_secs(5),
                silence,
                first_pause: Duration::from_millis(500),
            })
        };
        let anthropic = access(
            Provider::Anthropic,
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            anthropic::HOME,
        );
        let openai = access(
            Provider::OpenAi,
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            openai::HOME,
        );
        let settings = Self {
            wish: wish(reader),
            medium: named(reader, "MODEL_MEDIUM"),
            large: named(reader, "MODEL_LARGE"),
            anthropic,
            openai,
        };
        let has_key = settings.anthropic.is_some() || settings.openai.is_some();
        let wishes = [
            (
                "AGENT_MODEL",
                matches!(settings.wish, Wish::Of(_) | Wish::Named(..)),
            ),
            ("MODEL_MEDIUM", settings.medium.is_some()),
            ("MODEL_LARGE", settings.large.is_some()),
        ];
        for (name, _) in wishes.into_iter().filter(|(_, is_wished)| *is_wished) {
            if !has_key && settings.wish != Wish::Offline {
                reader.fault(
                    name,
                    "a hosted model needs ANTHROPIC_API_KEY or OPENAI_API_KEY; without one, offline is there",
                );
            }
        }
        settings
    }

    fn access(&self, provider: Provider) -> Option<&Access> {
        match provider {
            Provider::Anthropic => self.anthropic.as_ref(),
            Provider::OpenAi => self.openai.as_ref(),
        }
    }

    /// The provider with a key, the wished one first.
    fn provider(&self, wished: Provider) -> Option<Provider> {
        let other = match wished {
            Provider::Anthropic => Provider::OpenAi,
            Provider::OpenAi => Provider::Anthropic,
        };
        [wished, other]
            .into_iter()
            .find(|one| self.access(*one).is_some())
    }

    /// The models for the reviewers and for the judge, and what has to be said about them; none when
    /// the offline reviewer answers.
    fn chosen(&self) -> Option<(Named, Named, Vec<String>)> {
        let (wished, all) = match &self.wish {
            Wish::Offline => return None,
            Wish::Any => (Provider::Anthropic, None),
            Wish::Of(provider) => (*provider, None),
            Wish::Named(provider, model) => (*provider, Some(model)),
        };
        let home = self.provider(wished)?;
        let mut said = Vec::new();
        let mut tier = |own: &Option<Named>, usual: fn(Provider) -> &'static str| {
            let wish = own
                .clone()
                .or_else(|| all.map(|model| (wished, model.clone())))
                .unwrap_or_else(|| (home, usual(home).to_owned()));
            if self.access(wish.0).is_some() {
                return wish;
            }
            let instead = (home, usual(home).to_owned());
            let line = format!(
                "there is no key for {}: {} answers instead of {}",
                wish.0, instead.1, wish.1
            );
            if !said.contains(&line) {
                said.push(line);
            }
            instead
        };
        let medium = tier(&self.medium, |provider| usual(provider).0);
        let large = tier(&self.large, |provider| usual(provider).1);
        Some((medium, large, said))
    }

    /// The hosted models, and what has to be said about the choice; none when the offline reviewer
    /// answers.
    ///
    /// # Errors
    /// When a client cannot be made.
    pub fn open(&self) -> Result<Option<(Hosted, Vec<String>)>, HostedError> {
        let Some((medium, large, said)) = self.chosen() else {
            return Ok(None);
        };
        let mut lines: Vec<(Provider, Arc<Line>)> = Vec::new();
        let mut route = |(provider, model): Named| {
            let known = lines.iter().find(|(of, _)| *of == provider);
            let line = match (known, self.access(provider)) {
                (Some((_, line)), _) => Arc::clone(line),
                (None, Some(access)) => {
                    let line = Arc::new(Line::new(access.clone())?);
                    lines.push((provider, Arc::clone(&line)));
                    line
                }
                (None, None) => return Err(HostedError::Key(provider)),
            };
            Ok(Route::new(line, model))
        };
        Ok(Some((Hosted::new(route(medium)?, route(large)?), said)))
    }
}

fn wish(reader: &mut Reader<'_>) -> Wish {
    match reader.text("AGENT_MODEL").as_deref() {
        None => Wish::Any,
        Some("offline" | "mock") => Wish::Offline,
        Some("anthropic") => Wish::Of(Provider::Anthropic),
        Some("openai") => Wish::Of(Provider::OpenAi),
        Some(_) => {
            named(reader, "AGENT_MODEL").map_or(Wish::Any, |(provider, model)| Wish::Named(provider, model))
        }
    }
}

/// A model by its name; whose it is, is told by the name or by a word before it.
fn named(reader: &mut Reader<'_>, variable: &'static str) -> Option<Named> {
    let text = reader.text(variable)?;
    let found = match text.split_once('/') {
        Some(("anthropic", model)) => Some((Provider::Anthropic, model)),
        Some(("openai", model)) => Some((Provider::OpenAi, model)),
        _ => owner(&text).map(|provider| (provider, text.as_str())),
    };
    let found = found.filter(|(_, model)| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
        !model.is_empty() && model.len() <= 100 && model.chars().all(fits)
    });
    if found.is_none() {
        reader.fault(
            variable,
            "it does not say whose model that is: offline, anthropic, openai, a name like claude-... or \
             gpt-..., or any other name as openai/NAME or anthropic/NAME",
        );
    }
    found.map(|(provider, model)| (provider, model.to_owned()))
}

/// Whose model a name is.
pub(super) fn owner(model: &str) -> Option<Provider> {
    let reasoning = model
        .strip_prefix('o')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if model.starts_with("claude-") {
        Some(Provider::Anthropic)
    } else if reasoning || model.starts_with("gpt-") || model.starts_with("chatgpt-") {
        Some(Provider::OpenAi)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<Option<(Named, Named, Vec<String>)>, Vec<&'static str>>;

    fn read(pairs: &[(&str, &str)]) -> Read {
        let vars = |name: &str| {
            pairs
                .iter()
                .find(|(other, _)| *other == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let mut reader = Reader::new(&vars);
        let settings = ModelSettings::read(&mut reader);
        reader
            .finish(settings.chosen())
            .map_err(|faults| faults.0.iter().map(|fault| fault.name).collect())
    }

    fn models(pairs: &[(&str, &str)]) -> Option<(String, String)> {
        read(pairs)
            .expect("right")
            .map(|(medium, large, _)| (medium.1, large.1))
    }

    const ANTHROPIC: (&str, &str) = ("ANTHROPIC_API_KEY", "a");
    const OPENAI: (&str, &str) = ("OPENAI_API_KEY", "o");

    #[test]
    fn the_keys_decide_where_nothing_is_wished_for() {
        let both = |medium: &str, large: &str| Some((medium.to_owned(), large.to_owned()));
        assert_eq!(models(&[]), None);
        assert_eq!(
            models(&[ANTHROPIC, OPENAI]),
            both("claude-sonnet-4-6", "claude-opus-4-6")
        );
        assert_eq!(models(&[OPENAI]), both("gpt-4.1", "gpt-4.1"));
        for word in ["offline", "mock"] {
            assert_eq!(models(&[ANTHROPIC, ("AGENT_MODEL", word)]), None);
            assert_eq!(models(&[("MODEL_LARGE", "gpt-4o"), ("AGENT_MODEL", word)]), None);
        }
        assert_eq!(
            models(&[ANTHROPIC, OPENAI, ("AGENT_MODEL", "openai")]),
            both("gpt-4.1", "gpt-4.1")
        );
        assert_eq!(
            models(&[
                ANTHROPIC,
                OPENAI,
                ("AGENT_MODEL", "gpt-4o"),
                ("MODEL_LARGE", "claude-opus-4-5")
            ]),
            both("gpt-4o", "claude-opus-4-5")
        );
        assert_eq!(
            models(&[OPENAI, ("AGENT_MODEL", "openai/llama-4:70b")]),
            both("llama-4:70b", "llama-4:70b")
        );
    }

    #[test]
    fn without_its_key_a_wish_goes_to_the_other_provider_and_that_is_said() {
        let (medium, large, said) = read(&[ANTHROPIC, ("AGENT_MODEL", "gpt-4o")])
            .expect("right")
            .expect("hosted");
        assert_eq!(
            (medium.1.as_str(), large.1.as_str()),
            ("claude-sonnet-4-6", "claude-opus-4-6")
        );
        assert_eq!(
            said,
            [
                "there is no key for OpenAI: claude-sonnet-4-6 answers instead of gpt-4o",
                "there is no key for OpenAI: claude-opus-4-6 answers instead of gpt-4o"
            ]
        );
    }

    #[test]
    fn what_cannot_be_had_is_a_fault() {
        for (pairs, name) in [
            (&[("AGENT_MODEL", "claude-opus-4-6")][..], "AGENT_MODEL"),
            (&[("AGENT_MODEL", "openai")][..], "AGENT_MODEL"),
            (&[("MODEL_MEDIUM", "gpt-4o")][..], "MODEL_MEDIUM"),
            (&[("MODEL_LARGE", "claude-opus-4-6")][..], "MODEL_LARGE"),
            (&[OPENAI, ("AGENT_MODEL", "llama-4")][..], "AGENT_MODEL"),
            (&[OPENAI, ("MODEL_MEDIUM", "openai/")][..], "MODEL_MEDIUM"),
            (&[OPENAI, ("MODEL_LARGE", "gpt-4 o")][..], "MODEL_LARGE"),
            (
                &[OPENAI, ("OPENAI_BASE_URL", "api.openai.com")][..],
                "OPENAI_BASE_URL",
            ),
        ] {
            assert_eq!(read(pairs).expect_err("wrong"), [name], "{pairs:?}");
        }
    }
}
