//! What tokens cost: a table of list prices, for an estimate.
//!
//! A model that is not in the table is priced at a ceiling, so that a budget in money errs towards stopping early.

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

/// By family; the longest name that fits counts, so dated names find theirs.
const TABLE: &[(Provider, &str, Price)] = &[
    (Provider::Anthropic, "claude-opus-4", anthropic(15.0, 75.0)),
    (Provider::Anthropic, "claude-opus-4-5", anthropic(5.0, 25.0)),
    (Provider::Anthropic, "claude-opus-4-6", anthropic(5.0, 25.0)),
    (Provider::Anthropic, "claude-sonnet-4", anthropic(3.0, 15.0)),
    (Provider::Anthropic, "claude-haiku-4-5", anthropic(1.0, 5.0)),
    (Provider::Anthropic, "claude-3-7-sonnet", anthropic(3.0, 15.0)),
    (Provider::Anthropic, "claude-3-5-sonnet", anthropic(3.0, 15.0)),
    (Provider::Anthropic, "claude-3-5-haiku", anthropic(0.8, 4.0)),
    (Provider::Anthropic, "claude-3-opus", anthropic(15.0, 75.0)),
    (Provider::OpenAi, "gpt-5", openai(1.25, 0.125, 10.0)),
    (Provider::OpenAi, "gpt-5-mini", openai(0.25, 0.025, 2.0)),
    (Provider::OpenAi, "gpt-5-nano", openai(0.05, 0.005, 0.4)),
    (Provider::OpenAi, "gpt-5-pro", openai(15.0, 15.0, 120.0)),
    (Provider::OpenAi, "gpt-5.1", openai(1.25, 0.125, 10.0)),
    (Provider::OpenAi, "gpt-5.2", openai(1.75, 0.175, 14.0)),
    (Provider::OpenAi, "gpt-5.2-pro", openai(21.0, 21.0, 168.0)),
    (Provider::OpenAi, "gpt-5.4", openai(2.5, 0.25, 15.0)),
    (Provider::OpenAi, "gpt-5.4-pro", openai(30.0, 30.0, 180.0)),
    (Provider::OpenAi, "gpt-4.1", openai(2.0, 0.5, 8.0)),
    (Provider::OpenAi, "gpt-4.1-mini", openai(0.4, 0.1, 1.6)),
    (Provider::OpenAi, "gpt-4.1-nano", openai(0.1, 0.025, 0.4)),
    (Provider::OpenAi, "gpt-4o", openai(2.5, 1.25, 10.0)),
    (Provider::OpenAi, "gpt-4o-2024-05-13", openai(5.0, 5.0, 15.0)),
    (Provider::OpenAi, "gpt-4o-mini", openai(0.15, 0.075, 0.6)),
    (Provider::OpenAi, "chatgpt-4o", openai(5.0, 5.0, 15.0)),
    (Provider::OpenAi, "gpt-4.5", openai(75.0, 37.5, 150.0)),
    (Provider::OpenAi, "gpt-4", openai(30.0, 30.0, 60.0)),
    (Provider::OpenAi, "gpt-4-32k", openai(60.0, 60.0, 120.0)),
    (Provider::OpenAi, "gpt-4-turbo", openai(10.0, 10.0, 30.0)),
    (Provider::OpenAi, "gpt-4-0125", openai(10.0, 10.0, 30.0)),
    (Provider::OpenAi, "gpt-4-1106", openai(10.0, 10.0, 30.0)),
    (Provider::OpenAi, "gpt-3.5-turbo", openai(1.5, 1.5, 2.0)),
    (Provider::OpenAi, "o1", openai(15.0, 7.5, 60.0)),
    (Provider::OpenAi, "o1-mini", openai(3.0, 1.5, 12.0)),
    (Provider::OpenAi, "o1-pro", openai(150.0, 150.0, 600.0)),
    (Provider::OpenAi, "o3", openai(2.0, 0.5, 8.0)),
    (Provider::OpenAi, "o3-mini", openai(1.1, 0.55, 4.4)),
    (Provider::OpenAi, "o3-pro", openai(20.0, 20.0, 80.0)),
    (Provider::OpenAi, "o3-deep-research", openai(10.0, 2.5, 40.0)),
    (Provider::OpenAi, "o4-mini", openai(1.1, 0.275, 4.4)),
];

/// Whether a model is of this family: the family's name, or that with a date or a size behind it. `gpt-5.9` is none of
/// `gpt-5`.
#[must_use]
pub fn is_of_family(model: &str, family: &str) -> bool {
    let rest = model.strip_prefix(family);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The price of a model, and whether it is known.
#[must_use]
pub fn of(provider: Provider, model: &str) -> (Price, bool) {
    let known = TABLE
        .iter()
        .filter(|(of, family, _)| *of == provider && is_of_family(model, family))
        .max_by_key(|(_, family, _)| family.len());
    match known {
        Some((.., price)) => (*price, true),
        None => (ceiling(provider, model), false),
    }
}

/// What a model without a price costs at most: as much as the dearest of its vendor. Other vendors' models, behind a
/// server of the same format, are held to the dearest that Anthropic asks, since nobody asks `o1-pro`'s price for them.
fn ceiling(provider: Provider, model: &str) -> Price {
    let vendor = match provider {
        Provider::OpenAi if super::choice::owner(model) != Some(Provider::OpenAi) => Provider::Anthropic,
        own => own,
    };
    let prices = TABLE.iter().filter(|(of, ..)| *of == vendor);
    prices.fold(openai(0.0, 0.0, 0.0), |most, (.., price)| Price {
        input: most.input.max(price.input),
        cached: most.cached.max(price.cached),
        cache_write: most.cache_write.max(price.cache_write),
        output: most.output.max(price.output),
    })
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
            (Provider::OpenAi, "gpt-5-2025-08-07", 10.0),
            (Provider::OpenAi, "gpt-5.2", 14.0),
            (Provider::OpenAi, "gpt-5.2-2025-12-11", 14.0),
            (Provider::OpenAi, "gpt-5.2-pro", 168.0),
            (Provider::OpenAi, "gpt-5.4", 15.0),
            (Provider::OpenAi, "o1", 60.0),
            (Provider::OpenAi, "o1-2024-12-17", 60.0),
            (Provider::OpenAi, "gpt-4", 60.0),
            (Provider::OpenAi, "gpt-4-0613", 60.0),
            (Provider::OpenAi, "gpt-4-turbo-2024-04-09", 30.0),
        ] {
            let (price, known) = of(provider, model);
            assert_eq!((price.output, known), (output, true), "{model}");
        }
    }

    #[test]
    fn an_unknown_model_is_priced_above_every_one_of_its_vendor() {
        for (provider, model) in [
            (Provider::Anthropic, "claude-next"),
            (Provider::Anthropic, "claude-opus-40"),
            (Provider::OpenAi, "gpt-5.9"),
            (Provider::OpenAi, "gpt-40"),
            (Provider::OpenAi, "o9"),
        ] {
            let (price, known) = of(provider, model);
            assert!(!known, "{model}");
            for (_, name, row) in TABLE.iter().filter(|(of, ..)| *of == provider) {
                let dearer =
                    row.input > price.input || row.cached > price.cached || row.output > price.output;
                assert!(
                    !dearer && row.cache_write <= price.cache_write,
                    "{model} and {name}"
                );
            }
        }
        assert_eq!(
            of(Provider::OpenAi, "llama-4:70b"),
            (anthropic(15.0, 75.0), false)
        );
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
