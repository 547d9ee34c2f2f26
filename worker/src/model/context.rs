//! How much a model reads at once, by its family.
//!
//! The sizes are the vendors'; a model that is not in the table is taken for a small one, since a request that is longer
//! than a model reads is refused, and one that is shorter only means more parts.

use super::hosted::Provider;
use super::price::is_of_family;

/// Tokens by family; the longest name that fits counts.
const TABLE: &[(Provider, &str, usize)] = &[
    (Provider::Anthropic, "claude", 200_000),
    (Provider::OpenAi, "gpt-5", 400_000),
    (Provider::OpenAi, "gpt-5-chat", 128_000),
    (Provider::OpenAi, "gpt-5.1-chat", 128_000),
    (Provider::OpenAi, "gpt-5.2-chat", 128_000),
    (Provider::OpenAi, "gpt-5.1", 400_000),
    (Provider::OpenAi, "gpt-5.2", 400_000),
    (Provider::OpenAi, "gpt-5.4", 400_000),
    (Provider::OpenAi, "gpt-4.1", 1_000_000),
    (Provider::OpenAi, "gpt-4o", 128_000),
    (Provider::OpenAi, "chatgpt-4o", 128_000),
    (Provider::OpenAi, "gpt-4.5", 128_000),
    (Provider::OpenAi, "gpt-4-turbo", 128_000),
    (Provider::OpenAi, "gpt-4", 8_192),
    (Provider::OpenAi, "gpt-4-32k", 32_768),
    (Provider::OpenAi, "gpt-3.5", 16_385),
    (Provider::OpenAi, "o1", 200_000),
    (Provider::OpenAi, "o1-mini", 128_000),
    (Provider::OpenAi, "o1-preview", 128_000),
    (Provider::OpenAi, "o3", 200_000),
    (Provider::OpenAi, "o4-mini", 200_000),
];

/// Tokens of a model that nobody knows.
const UNKNOWN: usize = 32_000;

/// Tokens that are not for the conversation: instructions, schemas of tools, and the answer.
const ASIDE: usize = 8_000;

/// Characters of a token, at a guess.
const CHARS_PER_TOKEN: usize = 4;

/// Characters of a diff at most, however much a model reads: what it overlooks grows with what it is shown.
const MOST: usize = 400_000;

/// Characters of a diff at least: less is no change to be read.
const LEAST: usize = 4_000;

/// How many characters of a diff a conversation with this model may hold: half of what it reads, since the other half is
/// for what its tools answer, and for tokens of fewer characters.
#[must_use]
pub fn prompt_chars(provider: Provider, model: &str) -> usize {
    let known = TABLE
        .iter()
        .filter(|(of, family, _)| *of == provider && is_of_family(model, family))
        .max_by_key(|(_, family, _)| family.len());
    let tokens = known.map_or(UNKNOWN, |(.., tokens)| *tokens);
    (tokens.saturating_sub(ASIDE) / 2 * CHARS_PER_TOKEN).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_reads_as_much_as_its_vendor_says() {
        for (provider, model, chars) in [
            (Provider::Anthropic, "claude-sonnet-4-6", 384_000),
            (Provider::Anthropic, "mythos", 48_000),
            (Provider::OpenAi, "gpt-4.1", 400_000),
            (Provider::OpenAi, "gpt-4.1-mini-2025-04-14", 400_000),
            (Provider::OpenAi, "gpt-4o", 240_000),
            (Provider::OpenAi, "gpt-4o-mini", 240_000),
            (Provider::OpenAi, "gpt-4-turbo-2024-04-09", 240_000),
            (Provider::OpenAi, "gpt-4", 4_000),
            (Provider::OpenAi, "gpt-4-0613", 4_000),
            (Provider::OpenAi, "o1-mini", 240_000),
            (Provider::OpenAi, "gpt-5.9", 48_000),
            (Provider::OpenAi, "llama-4:70b", 48_000),
        ] {
            assert_eq!(prompt_chars(provider, model), chars, "{model}");
        }
    }
}
