//! What tokens cost: a table of list prices, for an estimate.
//!
//! A model that is not in the table is priced as the dearest of its provider, so that a budget in
//! money errs towards stopping early.

use super::hosted::Provider;

/// US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Read.
    pub input: f64,
    /// Read from the provider's cache.
    pub cached: f64,
    /// Written to the provider's cache while they are read.
    pub cache_write: f64,
    /// Written.
    pub output: f64,
}

/// What one request used, by its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Metered {
    /// Read anew.
    pub input: u64,
    /// Read from the cache.
    pub cached: u64,
    /// Written to the cache.
    pub cache_write: u64,
    /// Written, hidden reasoning included.
    pub output: u64,
}

impl Metered {
    /// Everything that was read.
    #[must_use]
    pub const fn read(self) -> u64 {
        self.input
            .saturating_add(self.cached)
            .saturating_add(self.cache_write)
    }
}

impl std::ops::AddAssign for Metered {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached = self.cached.saturating_add(other.cached);
        self.cache_write = self.cache_write.saturating_add(other.cache_write);
        self.output = self.output.saturating_add(other.output);
    }
}

/// Anthropic reads its cache for a tenth and writes it for a quarter more.
const fn anthropic(input: f64, output: f64) -> Price {
    Price {
        input,
        cached: input * 0.1,
        cache_write: input * 1.25,
        output,
    }
}

/// OpenAI writes its cache for nothing; what reading saves differs by family.
const fn openai(input: f64, cached: f64, output: f64) -> Price {
    Price {
        input,
        cached,
        cache_write: input,
        output,
    }
}

/// By the beginning of a model's name; the longest that fits counts, so dated names find their family.
const TABLE: &[(Provider, &str, Price)] = &[
    (Provider::Anthropic, "claude-opus-4", anthropic(15.0, 75.0)),
    (Provider::Anthropic, "claude-opus-4-5", anthropic(5.0, 25.0)),
    (Provider::Anthropic, "claude-opus-4-6", anthropic(5.0, 25.0)),
    (Provider::Anthropic, "claude-sonnet-4", anthropic(3.0, 15.0)),
    (Provider::Anthropic, "claude-haiku-4-5", anthropic(1.0, 5.0)),
    (Provider::Anthropic, "claude-3-5-haiku", anthropic(0.8, 4.0)),
    (Provider::OpenAi, "gpt-5", openai(1.25, 0.125, 10.0)),
    (Provider::OpenAi, "gpt-5-mini", openai(0.25, 0.025, 2.0)),
    (Provider::OpenAi, "gpt-5-nano", openai(0.05, 0.005, 0.4)),
    (Provider::OpenAi, "gpt-4.1", openai(2.0, 0.5, 8.0)),
    (Provider::OpenAi, "gpt-4.1-mini", openai(0.4, 0.1, 1.6)),
    (Provider::OpenAi, "gpt-4.1-nano", openai(0.1, 0.025, 0.4)),
    (Provider::OpenAi, "gpt-4o", openai(2.5, 1.25, 10.0)),
    (Provider::OpenAi, "gpt-4o-mini", openai(0.15, 0.075, 0.6)),
    (Provider::OpenAi, "o3", openai(2.0, 0.5, 8.0)),
    (Provider::OpenAi, "o4-mini", openai(1.1, 0.275, 4.4)),
];

/// The price of a model, and whether it is known.
#[must_use]
pub fn of(provider: Provider, model: &str) -> (Price, bool) {
    let rows = || TABLE.iter().filter(move |(of, ..)| *of == provider);
    let known = rows()
        .filter(|(_, name, _)| model.starts_with(name))
        .max_by_key(|(_, name, _)| name.len());
    if let Some((.., price)) = known {
        return (*price, true);
    }
    let dearest = rows().max_by(|(.., one), (.., other)| one.output.total_cmp(&other.output));
    (dearest.map_or(anthropic(15.0, 75.0), |(.., price)| *price), false)
}

impl Price {
    /// What so many tokens cost, in US dollars.
    #[must_use]
    pub fn cost(&self, used: Metered) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no request has 2^53 tokens")]
        let part = |tokens: u64, price: f64| tokens as f64 / 1e6 * price;
        part(used.input, self.input)
            + part(used.cached, self.cached)
            + part(used.cache_write, self.cache_write)
            + part(used.output, self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_that_fits_sets_the_price() {
        for (provider, model, output) in [
            (Provider::Anthropic, "claude-sonnet-4-6", 15.0),
            (Provider::Anthropic, "claude-opus-4-1-20250805", 75.0),
            (Provider::Anthropic, "claude-opus-4-6", 25.0),
            (Provider::OpenAi, "gpt-4o-mini-2024-07-18", 0.6),
            (Provider::OpenAi, "gpt-4o", 10.0),
        ] {
            let (price, known) = of(provider, model);
            assert_eq!((price.output, known), (output, true), "{model}");
        }
    }

    #[test]
    fn an_unknown_model_is_priced_as_the_dearest() {
        assert_eq!(of(Provider::Anthropic, "claude-next").0.output, 75.0);
        assert_eq!(of(Provider::OpenAi, "llama-4"), (openai(2.5, 1.25, 10.0), false));
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let used = Metered {
            input: 1_000_000,
            cached: 1_000_000,
            cache_write: 1_000_000,
            output: 1_000_000,
        };
        let (price, _) = of(Provider::Anthropic, "claude-sonnet-4-6");
        assert!((price.cost(used) - (3.0 + 0.3 + 3.75 + 15.0)).abs() < 1e-9);
        assert_eq!(used.read(), 3_000_000);
    }
}
