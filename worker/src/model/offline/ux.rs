//! The offline UX reviewer: contrast measured by the real tool, and markup that shuts people out.

use std::sync::LazyLock;

use millstream::domain::Severity;
use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::{Remark, counted, extension, is_test};
use crate::diff::{FileDiff, Hunk, Line, LineKind};
use crate::model::ToolResult;

/// Colour pairs that are measured; a style sheet with more is told how many were not.
const MEASURED: usize = 20;

/// Lines over which a tag is followed to its end.
const TAG_LINES: usize = 12;

/// A text colour on a background, set in one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    foreground: String,
    background: String,
    file: String,
    line: u32,
}

/// The arguments with which the contrast of each pair is asked for.
pub(super) fn calls(files: &[FileDiff]) -> Vec<Value> {
    distinct(&pairs(files))
        .into_iter()
        .take(MEASURED)
        .map(|(foreground, background)| json!({ "foreground": foreground, "background": background }))
        .collect()
}

/// Every finding of the review.
pub(super) fn review(files: &[FileDiff], results: &[&ToolResult]) -> Vec<Remark> {
    let pairs = pairs(files);
    let measured = distinct(&pairs);
    let mut remarks: Vec<Remark> = pairs
        .iter()
        .filter_map(|pair| {
            let colours = (pair.foreground.clone(), pair.background.clone());
            let place = measured.iter().position(|other| *other == colours)?;
            contrast(
                pair,
                results
                    .iter()
                    .find(|result| result.id == format!("call-{place}"))?,
            )
        })
        .collect();
    let more = measured.len().saturating_sub(MEASURED);
    if more > 0 {
        remarks.push(Remark::overall(
            Severity::Info,
            format!("{} not measured.", counted(more, "colour pair")),
        ));
    }
    for file in files.iter().filter(|file| !is_test(&file.path)) {
        for hunk in &file.hunks {
            remarks.extend(in_hunk(file, hunk));
        }
    }
    remarks
}

fn contrast(pair: &Pair, result: &ToolResult) -> Option<Remark> {
    let answer: Value = serde_json::from_str(&result.content).ok()?;
    let ratio = answer["ratio"].as_f64()?;
    if answer["aaNormal"].as_bool()? {
        return None;
    }
    let large = if answer["aaLarge"].as_bool()? {
        "enough for large text only"
    } else {
        "too little even for large text"
    };
    let note = format!(
        "Text in {} on {} has a contrast of {ratio}:1, {large}; WCAG AA asks for 4.5:1.",
        pair.foreground, pair.background
    );
    Some(Remark::at(Severity::Warn, &pair.file, pair.line, note))
}

/// The colours of the pairs, each once, in order.
fn distinct(pairs: &[Pair]) -> Vec<(String, String)> {
    let mut seen: Vec<(String, String)> = Vec::new();
    for pair in pairs {
        let colours = (pair.foreground.clone(), pair.background.clone());
        if !seen.contains(&colours) {
            seen.push(colours);
        }
    }
    seen
}

/// The pairs of all files that a browser shows.
fn pairs(files: &[FileDiff]) -> Vec<Pair> {
    const STYLED: [&str; 11] = [
        "css", "scss", "sass", "less", "html", "htm", "vue", "svelte", "astro", "jsx", "tsx",
    ];
    let mut pairs = Vec::new();
    for file in files
        .iter()
        .filter(|file| STYLED.contains(&extension(&file.path).as_str()) && !is_test(&file.path))
    {
        for hunk in &file.hunks {
            hunk_pairs(file, hunk, &mut pairs);
        }
    }
    pairs
}

/// A colour that a rule sets.
#[derive(Debug, Clone)]
struct Set {
    colour: String,
    line: u32,
    added: bool,
}

/// What the rule being read has set so far.
#[derive(Debug, Default)]
struct Rule {
    foreground: Option<Set>,
    background: Option<Set>,
}

impl Rule {
    /// The pair of a rule that has ended, if both colours are known and one of them is new.
    fn pair(self, file: &str) -> Option<Pair> {
        let (foreground, background) = (self.foreground?, self.background?);
        let line = [&foreground, &background].into_iter().find(|set| set.added)?.line;
        Some(Pair {
            foreground: foreground.colour,
            background: background.colour,
            file: file.to_owned(),
            line,
        })
    }
}

static PROPERTY: LazyLock<Regex> =
    LazyLock::new(|| form(r#"(?i)(?:^|[\s;,{"'])(color|background(?:-?color)?)["']?\s*:\s*(.+)$"#));
static HEX: LazyLock<Regex> = LazyLock::new(|| form(r"#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b"));
static RGB: LazyLock<Regex> =
    LazyLock::new(|| form(r"(?i)\brgb\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*\)"));

fn form(text: &str) -> Regex {
    Regex::new(text).expect("the forms compile: a test runs them")
}

/// Reads the rules of a hunk's new side: braces open and close them, and so does a `style` attribute.
fn hunk_pairs(file: &FileDiff, hunk: &Hunk, pairs: &mut Vec<Pair>) {
    let mut open = vec![Rule::default()];
    for line in file
        .lines(hunk)
        .filter(|line| line.kind != LineKind::Removed && line.text.len() < 5_000)
    {
        let inline = line.text.contains("style=");
        if inline {
            open.push(Rule::default());
        }
        let mut rest = line.text;
        while !rest.is_empty() {
            let end = rest.find(['{', '}', ';']).unwrap_or(rest.len());
            for declaration in split_members(&rest[..end]) {
                if let Some(rule) = open.last_mut() {
                    set(rule, declaration, &line);
                }
            }
            match rest.as_bytes().get(end) {
                Some(b'{') => open.push(Rule::default()),
                Some(b'}') => pairs.extend(open.pop().and_then(|rule| rule.pair(&file.path))),
                _ => {}
            }
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        if inline {
            pairs.extend(open.pop().and_then(|rule| rule.pair(&file.path)));
        }
        if open.is_empty() {
            open.push(Rule::default());
        }
    }
    pairs.extend(open.into_iter().filter_map(|rule| rule.pair(&file.path)));
}

/// The members of an object literal stand between commas, which `rgb(1, 2, 3)` has too.
fn split_members(text: &str) -> Vec<&str> {
    if text.contains('(') {
        vec![text]
    } else {
        text.split(',').collect()
    }
}

fn set(rule: &mut Rule, declaration: &str, line: &Line<'_>) {
    let Some(groups) = PROPERTY.captures(declaration) else {
        return;
    };
    let (Some(name), Some(value)) = (groups.get(1), groups.get(2)) else {
        return;
    };
    let colour = colour(value.as_str()).map(|colour| Set {
        colour,
        line: line.number,
        added: line.kind == LineKind::Added,
    });
    // A value that cannot be read hides one that was set before it.
    if name.as_str().eq_ignore_ascii_case("color") {
        rule.foreground = colour;
    } else {
        rule.background = colour;
    }
}

/// The colour of a value in hexadecimal digits, where it is one colour and opaque.
fn colour(value: &str) -> Option<String> {
    if value.contains("gradient") || value.contains("rgba") || value.contains("url(") {
        return None;
    }
    if let Some(hex) = HEX.find(value) {
        return Some(hex.as_str().to_lowercase());
    }
    if let Some(parts) = RGB.captures(value) {
        let part = |group| {
            parts
                .get(group)
                .and_then(|digits| digits.as_str().parse::<u8>().ok())
        };
        return Some(format!("#{:02x}{:02x}{:02x}", part(1)?, part(2)?, part(3)?));
    }
    let word = value
        .trim_matches(|c: char| !c.is_ascii_alphabetic())
        .to_lowercase();
    let hex = match word.as_str() {
        "white" => "#ffffff",
        "black" => "#000000",
        "gray" | "grey" => "#808080",
        "silver" | "lightgray" | "lightgrey" => "#c0c0c0",
        "red" => "#ff0000",
        "yellow" => "#ffff00",
        "blue" => "#0000ff",
        "green" => "#008000",
        "orange" => "#ffa500",
        _ => return None,
    };
    Some(hex.to_owned())
}

static IMAGE: LazyLock<Regex> = LazyLock::new(|| form(r"<img\b"));
static ALT: LazyLock<Regex> = LazyLock::new(|| form(r"\balt\b|\{\s*\.\.\.|v-bind="));
static DEAD_TAG: LazyLock<Regex> = LazyLock::new(|| form(r"<(?:div|span|li|p|td|tr|section|img)\b"));
static CLICK: LazyLock<Regex> =
    LazyLock::new(|| form(r"(?i)(?:\bonclick|@click(?:\.\w+)*|\bon:click|v-on:click)\s*="));
static ROLE: LazyLock<Regex> = LazyLock::new(|| form(r"\brole\s*="));
static OUTLINE: LazyLock<Regex> =
    LazyLock::new(|| form(r#"(?i)\boutline(?:-?style|-?width)?\s*:\s*["']?(?:none|0)\b"#));
static FOCUS: LazyLock<Regex> =
    LazyLock::new(|| form(r"(?i)box-?shadow|border(?:-?color)?\s*:|text-decoration"));
static NO_ZOOM: LazyLock<Regex> =
    LazyLock::new(|| form(r"(?i)user-scalable\s*=\s*(?:no|0)|maximum-scale\s*=\s*1(?:\.0)?\b"));

static FIELD: LazyLock<Regex> = LazyLock::new(|| form(r"<(?:input|textarea|select)(?:[\s/>]|$)"));
static BUTTON: LazyLock<Regex> = LazyLock::new(|| form(r"<button(?:[\s>]|$)"));
/// A name of its own, or attributes that cannot be seen from here.
static NAMED: LazyLock<Regex> =
    LazyLock::new(|| form(r"\b(?:aria-label(?:ledby)?|title)\s*=|\{\s*\.\.\.|v-bind="));
/// The label of a field with an id may stand anywhere in the file. The kinds named here have none, or are their own.
static NEEDS_NO_LABEL: LazyLock<Regex> =
    LazyLock::new(|| form(r#"(?i)\bid\s*=|\btype\s*=\s*[{"']*(?:hidden|submit|reset|button|image)\b"#));
static LABEL_EDGE: LazyLock<Regex> = LazyLock::new(|| form(r"(?i)<(/?)label\b"));
static LABEL_GIVEN: LazyLock<Regex> = LazyLock::new(|| form(r"(?i)\blabel\s*="));
static ANY_TAG: LazyLock<Regex> = LazyLock::new(|| form(r"<[^<>]*>"));
static ICON: LazyLock<Regex> =
    LazyLock::new(|| form(r#"<(?:svg|img|i)[\s/>]|<\w*Icon\b|(?i:class(?:name)?\s*=\s*["'][^"']*\bicon)"#));
/// What names an icon from within: its own attributes, or words for screen readers only.
static ICON_NAMED: LazyLock<Regex> = LazyLock::new(|| {
    form(r"(?i)label|\btitle\b|\balt\b|sr-only|visually-?hidden|\{\s*\.\.\.|v-bind|v-html|v-text")
});

/// What the markup and the rules of a hunk show.
fn in_hunk(file: &FileDiff, hunk: &Hunk) -> Vec<Remark> {
    let lines: Vec<Line<'_>> = file
        .lines(hunk)
        .filter(|line| line.kind != LineKind::Removed)
        .collect();
    let markup = !["css", "scss", "sass", "less"].contains(&extension(&file.path).as_str());
    let seen = markup
        && ["html", "htm", "vue", "svelte", "astro", "jsx", "tsx"].contains(&extension(&file.path).as_str());
    let mut remarks = Vec::new();
    for (place, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.kind == LineKind::Added && line.text.len() < 5_000)
    {
        let mut warn = |note: &str| remarks.push(Remark::at(Severity::Warn, &file.path, line.number, note));
        if seen
            && IMAGE
                .find_iter(line.text)
                .any(|tag| !ALT.is_match(&tag_at(&lines[place..], tag.start())))
        {
            warn(
                "This image has no `alt`: who cannot see it learns nothing of it. Describe it, or give an empty one if it only decorates.",
            );
        }
        if seen
            && DEAD_TAG
                .find_iter(line.text)
                .any(|tag| is_mouse_only(&tag_at(&lines[place..], tag.start())))
        {
            warn(
                "This can only be clicked with a mouse; a `button` is reached by keyboard and screen reader too.",
            );
        }
        if seen
            && FIELD
                .find_iter(line.text)
                .any(|tag| !is_labelled(&lines, place, tag.start()))
        {
            warn(
                "This field has no label: a screen reader cannot say what to enter. Give it a `label`; a placeholder is none.",
            );
        }
        if seen
            && BUTTON
                .find_iter(line.text)
                .any(|tag| is_only_an_icon(&lines[place..], tag.start()))
        {
            warn(
                "This button shows an icon and has no name: a screen reader cannot say what it does. Give it an `aria-label`.",
            );
        }
        if seen && NO_ZOOM.is_match(line.text) {
            warn("Zooming is switched off here; people who need it cannot read the page.");
        }
        if (seen || !markup) && OUTLINE.is_match(line.text) && !has_other_focus(&lines, place) {
            warn(
                "The focus outline is taken away and nothing takes its place: keyboard users no longer see where they are.",
            );
        }
    }
    remarks
}

fn is_mouse_only(tag: &str) -> bool {
    CLICK.is_match(tag) && !ROLE.is_match(tag)
}

/// Whether a field has a label, or may have one that the hunk does not show.
fn is_labelled(lines: &[Line<'_>], place: usize, start: usize) -> bool {
    let tag = tag_at(&lines[place..], start);
    if NAMED.is_match(&tag) || NEEDS_NO_LABEL.is_match(&tag) {
        return true;
    }
    // A component around it takes its label as an attribute.
    let around = &lines[place.saturating_sub(2)..place];
    let before = lines[place].text.get(..start).unwrap_or_default();
    if LABEL_GIVEN.is_match(before) || around.iter().any(|line| LABEL_GIVEN.is_match(line.text)) {
        return true;
    }
    let last_edge = std::iter::once(before)
        .chain(lines[..place].iter().rev().map(|line| line.text))
        .find_map(|text| LABEL_EDGE.captures_iter(text).last());
    if let Some(edge) = last_edge {
        return opens(&edge);
    }
    // No label begins or ends above: if one ends below, it began before the hunk.
    let after = lines[place].text.get(start..).unwrap_or_default();
    std::iter::once(after)
        .chain(lines[place + 1..].iter().map(|line| line.text))
        .find_map(|text| LABEL_EDGE.captures(text))
        .is_some_and(|edge| !opens(&edge))
}

fn opens(edge: &Captures<'_>) -> bool {
    edge.get(1).is_none_or(|slash| slash.is_empty())
}

/// Whether a button holds an icon and nothing that names it.
fn is_only_an_icon(lines: &[Line<'_>], start: usize) -> bool {
    let tag = tag_at(lines, start);
    if NAMED.is_match(&tag) || tag.ends_with('/') {
        return false;
    }
    let mut text = lines[0].text.get(start..).unwrap_or_default().to_owned();
    for line in lines
        .iter()
        .skip(1)
        .take(TAG_LINES)
        .take_while(|line| line.text.len() < 5_000)
    {
        text.push(' ');
        text.push_str(line.text);
    }
    let Some(content) = text
        .get(tag.len() + 1..)
        .and_then(|rest| rest.split_once("</button"))
        .map(|(content, _)| content)
    else {
        return false;
    };
    // Whatever stands in braces may be words.
    ICON.is_match(content)
        && !ICON_NAMED.is_match(content)
        && ANY_TAG.replace_all(content, "").trim().is_empty()
}

/// Whether the lines around a removed outline show the focus in another way.
fn has_other_focus(lines: &[Line<'_>], place: usize) -> bool {
    let from = lines[..place]
        .iter()
        .rposition(|line| line.text.contains('{'))
        .unwrap_or(0);
    let until = lines[place..]
        .iter()
        .position(|line| line.text.contains('}'))
        .map_or(lines.len(), |end| place + end + 1);
    lines[from..until].iter().any(|line| FOCUS.is_match(line.text))
        || lines[from..until]
            .iter()
            .any(|line| line.text.contains(":not(:focus-visible)"))
}

/// The text of a tag from where it begins to its end, over several lines if need be.
fn tag_at(lines: &[Line<'_>], start: usize) -> String {
    let mut tag = String::new();
    for (number, line) in lines.iter().take(TAG_LINES).enumerate() {
        let text = if number == 0 {
            line.text.get(start..).unwrap_or_default()
        } else {
            line.text
        };
        // `=>` is an arrow, not the end of the tag.
        let end = text
            .match_indices('>')
            .map(|(at, _)| at)
            .find(|at| !text[..*at].ends_with('='));
        if let Some(end) = end {
            tag.push_str(&text[..end]);
            return tag;
        }
        tag.push_str(text);
        tag.push(' ');
    }
    tag
}
