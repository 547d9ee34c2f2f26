//! `millstream token create`, `list` and `revoke`: who may come in over HTTP.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use millstream::clock;
use millstream::domain::{Scope, Scopes};
use millstream::ops::tokens::{LONGEST_NAME, WantedToken};
use millstream::store::tokens::TokenRow;
use millstream::untrusted::visible;
use serde::Serialize;

use super::names::operator;
use crate::cli::{JsonArgs, duration};
use crate::failure::Failure;
use crate::output;
use crate::reach::{Needs, Reach};

/// What is done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token and print it, this once
    Create(CreateArgs),
    /// List the tokens that were ever made
    List(JsonArgs),
    /// End a token; producers notice within seconds
    Revoke(RevokeArgs),
}

/// What the token is for.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What it is called; also who the book says it was
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// What it allows: read, submit, operate
    #[arg(long, value_name = "SCOPE,..", value_delimiter = ',', required = true)]
    scope: Vec<Scope>,
    /// When it ends by itself; without this it does not
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
    /// Print JSON on one line
    #[arg(long)]
    json: bool,
}

/// Which token.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// What it is called
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
}

/// A name is said in logs and in the book, so it is a plain word.
fn name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "1 to {LONGEST_NAME} letters, digits and - _ . @ are wanted"
        ))
    }
}

/// A token as scripts read it, this once.
#[derive(Serialize)]
struct Made<'a> {
    id: String,
    name: &'a str,
    scopes: Vec<&'static str>,
    expires_at: Option<DateTime<Utc>>,
    token: &'a str,
}

/// Runs one of them.
///
/// # Errors
/// When Postgres is away, the name is taken, or there is no such token.
pub async fn run(verb: &TokenVerb) -> Result<u8, Failure> {
    let reach = Reach::find(Needs::Postgres).await?;
    match verb {
        TokenVerb::Create(args) => create(&reach, args).await?,
        TokenVerb::List(args) => {
            let tokens = reach.store.tokens().await?;
            output::answer(args.json, &tokens, |tokens| in_columns(tokens))?;
        }
        TokenVerb::Revoke(args) => {
            if !operator(&reach).revoke_token(&args.name).await? {
                return Err(Failure::Refused(format!("no token called {} counts", args.name)));
            }
            eprintln!("millstream: {} counts no longer", args.name);
        }
    }
    Ok(0)
}

async fn create(reach: &Reach, args: &CreateArgs) -> Result<(), Failure> {
    let wanted = WantedToken {
        name: args.name.clone(),
        scopes: Scopes::of(&args.scope),
        expires_at: args
            .expires
            .and_then(|time| Some(clock::now() + TimeDelta::from_std(time).ok()?)),
    };
    let (scopes, expires_at) = (wanted.scopes.words(), wanted.expires_at);
    let Some(made) = operator(reach).create_token(wanted).await? else {
        let text = format!(
            "a token called {} counts already: revoke it first, or take another name",
            args.name
        );
        return Err(Failure::Refused(text));
    };
    let shown = Made {
        id: made.id.to_string(),
        name: &args.name,
        scopes,
        expires_at,
        token: &made.text,
    };
    output::answer(args.json, &shown, |shown| vec![shown.token.to_owned()])?;
    if !args.json {
        eprintln!("millstream: this is the only time that the token is shown");
    }
    Ok(())
}

fn in_columns(tokens: &[TokenRow]) -> Vec<String> {
    let headings = ["NAME", "SCOPES", "MADE", "BY", "LAST USED", "ENDS"];
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    output::table(&headings, &rows)
}

fn row(token: &TokenRow) -> Vec<String> {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let or_dash = |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), time);
    vec![
        visible(&token.name),
        token.scopes.join(","),
        time(token.created_at),
        visible(&token.created_by),
        or_dash(token.last_used_at),
        match token.revoked_at {
            Some(at) => format!("revoked {}", time(at)),
            None => or_dash(token.expires_at),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_plain_word() {
        assert!(name("ci@acme.example").is_ok());
        for wrong in ["", "two words", "a/b", "é", "\u{1b}[31m", &"x".repeat(61)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
