//! Styles by meaning: a screen asks for `theme.dead`, never for red.
//!
//! A theme is a file of `assets/themes`, resolved for what the terminal can show: 24-bit colour, 256
//! colours, 16, or none. The files are compiled in; their contrast is recomputed by the tests below,
//! so a colour that people could not read does not get as far as a person.

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

use crate::model::look::{Colours, Look, ThemeName};

/// The palette of that word on the command line.
///
/// # Errors
///
/// When the word names none.
pub fn named(word: &str) -> Result<ThemeName, NotATheme> {
    let found = ThemeName::ALL.into_iter().find(|theme| theme.word() == word);
    found.ok_or_else(|| NotATheme(word.chars().take(32).collect()))
}

/// The word names no theme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such theme: `{0}`; there are dark, light, colour-blind, mono")]
pub struct NotATheme(pub String);

/// What the environment says about the terminal.
///
/// `NO_COLOR` wins over everything, and a terminal that says nothing of itself gets no colour either.
/// A locale that is not UTF-8 gets ASCII; one that says nothing is taken to be of this century.
#[must_use]
pub fn detect(theme: ThemeName, lookup: impl Fn(&str) -> Option<String>) -> Look {
    let said = |name: &str| lookup(name).unwrap_or_default();
    let (term, more) = (said("TERM"), said("COLORTERM"));
    let colourless = !said("NO_COLOR").is_empty() || term.is_empty() || term == "dumb";
    let colours = if matches!(more.as_str(), "truecolor" | "24bit") || term.ends_with("-direct") {
        Colours::True
    } else if term.contains("256") {
        Colours::Indexed
    } else {
        Colours::Sixteen
    };
    Look {
        theme: if colourless { ThemeName::Mono } else { theme },
        colours,
        ascii: is_plain_locale(&said),
        still: false,
    }
}

fn is_plain_locale(said: &impl Fn(&str) -> String) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .map(said)
        .into_iter()
        .find(|value| !value.is_empty());
    locale.is_some_and(|value| {
        let value = value.to_ascii_lowercase();
        !value.contains("utf-8") && !value.contains("utf8")
    })
}

/// What everything looks like, by what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Only ASCII characters are drawn.
    pub ascii: bool,
    /// Under everything, with the text colour on it.
    pub ground: Style,
    /// Laid over the row under the cursor: a tint and bold, or reversed where there is no tint.
    pub selected: Style,
    /// What is read.
    pub text: Style,
    /// What is there if one looks: labels, units, times.
    pub muted: Style,
    /// Lines, axes and grids.
    pub rule: Style,
    /// Keys, ids, the open tab: where one can go.
    pub accent: Style,
    /// Rows that a person has marked.
    pub marked: Style,
    /// Ended well.
    pub ok: Style,
    /// Runs now.
    pub busy: Style,
    /// Will run.
    pub waiting: Style,
    /// Failed and will be tried again.
    pub retrying: Style,
    /// Given up, or an error.
    pub dead: Style,
    /// Not heard of any more.
    pub lost: Style,
    /// Was true a while ago.
    pub stale: Style,
    /// A word that must not be overlooked: its own ground.
    pub danger: Style,
}

impl Theme {
    /// The theme as the terminal can show it.
    #[must_use]
    pub fn of(look: &Look) -> Self {
        let (roles, depth) = (Roles::of(look.theme), look.colours);
        let style = |role: &Shade| role.style(depth);
        let ground = style(&roles.ground);
        Self {
            ascii: look.ascii,
            ground: style(&roles.text).patch(Style {
                bg: ground.fg,
                fg: None,
                ..ground
            }),
            selected: roles.selected.tint(depth),
            text: style(&roles.text),
            muted: style(&roles.muted),
            rule: style(&roles.rule),
            accent: style(&roles.accent),
            marked: style(&roles.marked),
            ok: style(&roles.ok),
            busy: style(&roles.busy),
            waiting: style(&roles.waiting),
            retrying: style(&roles.retrying),
            dead: style(&roles.dead),
            lost: style(&roles.lost),
            stale: style(&roles.stale),
            danger: roles.danger.alarm(depth),
        }
    }

    /// The same theme for what was true a while ago: no state has a colour any more, rules stay.
    #[must_use]
    pub fn aged(&self) -> Self {
        let old = self.stale;
        Self {
            text: old,
            muted: old,
            accent: old,
            marked: old,
            ok: old,
            busy: old,
            waiting: old,
            retrying: old,
            dead: old,
            lost: old,
            ..self.clone()
        }
    }

    /// The heading of a section or a tile's figure: text with weight.
    #[must_use]
    pub fn strong(&self) -> Style {
        self.text.add_modifier(Modifier::BOLD)
    }

    /// A style as it is on the row under the cursor, where quiet words would be too quiet.
    #[must_use]
    pub fn on_selected(&self, style: Style) -> Style {
        let quiet = [self.muted, self.stale].into_iter().any(|quiet| {
            quiet.fg == style.fg && quiet.add_modifier == style.add_modifier.difference(Modifier::BOLD)
        });
        let base = if quiet && style.fg != self.text.fg {
            self.text
        } else {
            style
        };
        let base = if quiet {
            base.remove_modifier(Modifier::DIM | Modifier::ITALIC)
        } else {
            base
        };
        base.patch(self.selected)
    }
}

/// One role of a theme file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Shade {
    rgb: Option<String>,
    indexed: Option<u8>,
    ansi: Option<u8>,
    weight: Vec<Weight>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Weight {
    Bold,
    Dim,
    Italic,
    Reversed,
}

impl Shade {
    fn color(&self, depth: Colours) -> Option<Color> {
        match depth {
            Colours::True => self.rgb.as_deref().and_then(|hex| hex.parse().ok()),
            Colours::Indexed => self.indexed.map(Color::Indexed),
            Colours::Sixteen => self.ansi.map(sixteen),
        }
    }

    fn style(&self, depth: Colours) -> Style {
        let style = Style {
            fg: self.color(depth),
            ..Style::default()
        };
        self.weight.iter().fold(style, |style, weight| {
            style.add_modifier(match weight {
                Weight::Bold => Modifier::BOLD,
                Weight::Dim => Modifier::DIM,
                Weight::Italic => Modifier::ITALIC,
                Weight::Reversed => Modifier::REVERSED,
            })
        })
    }

    /// The tint under the row of the cursor. Without a tint the row is reversed.
    fn tint(&self, depth: Colours) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        self.color(depth)
            .map_or(bold.add_modifier(Modifier::REVERSED), |color| bold.bg(color))
    }

    /// White on the role's colour.
    fn alarm(&self, depth: Colours) -> Style {
        let white = match depth {
            Colours::True => Color::Rgb(255, 255, 255),
            Colours::Indexed => Color::Indexed(231),
            Colours::Sixteen => Color::White,
        };
        match self.color(depth) {
            Some(color) => Style::new().fg(white).bg(color).add_modifier(Modifier::BOLD),
            None => self.style(depth),
        }
    }
}

/// The sixteen by number, as ratatui names them.
const fn sixteen(number: u8) -> Color {
    const NAMES: [Color; 16] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
        Color::DarkGray,
        Color::LightRed,
        Color::LightGreen,
        Color::LightYellow,
        Color::LightBlue,
        Color::LightMagenta,
        Color::LightCyan,
        Color::White,
    ];
    NAMES[(number & 15) as usize]
}

/// A theme file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Roles {
    ground: Shade,
    selected: Shade,
    text: Shade,
    muted: Shade,
    rule: Shade,
    accent: Shade,
    marked: Shade,
    ok: Shade,
    busy: Shade,
    waiting: Shade,
    retrying: Shade,
    dead: Shade,
    lost: Shade,
    stale: Shade,
    danger: Shade,
}

impl Roles {
    fn of(theme: ThemeName) -> Self {
        let source = match theme {
            ThemeName::Dark => include_str!("../../assets/themes/dark.toml"),
            ThemeName::Light => include_str!("../../assets/themes/light.toml"),
            ThemeName::ColourBlind => include_str!("../../assets/themes/colour-blind.toml"),
            ThemeName::Mono => include_str!("../../assets/themes/mono.toml"),
        };
        toml::from_str(source).expect("the built-in themes parse: a test reads each of them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rgb = [f64; 3];

    const COLOURED: [ThemeName; 3] = [ThemeName::Dark, ThemeName::Light, ThemeName::ColourBlind];

    impl Roles {
        /// What is read.
        fn readable(&self) -> [&Shade; 11] {
            [
                &self.text,
                &self.muted,
                &self.accent,
                &self.marked,
                &self.ok,
                &self.busy,
                &self.waiting,
                &self.retrying,
                &self.dead,
                &self.lost,
                &self.stale,
            ]
        }
    }

    /// The colour of xterm's number, from the cube or the grey ramp.
    fn xterm(number: u8) -> Rgb {
        const LEVELS: [f64; 6] = [0.0, 95.0, 135.0, 175.0, 215.0, 255.0];
        if number >= 232 {
            return [8.0 + 10.0 * f64::from(number - 232); 3];
        }
        let cube = usize::from(number - 16);
        [LEVELS[cube / 36], LEVELS[cube / 6 % 6], LEVELS[cube % 6]]
    }

    fn rgb(shade: &Shade, depth: Colours) -> Rgb {
        match shade.color(depth).unwrap() {
            Color::Rgb(r, g, b) => [f64::from(r), f64::from(g), f64::from(b)],
            Color::Indexed(number) => xterm(number),
            other => unreachable!("{other} is the terminal's own"),
        }
    }

    fn linear(colour: Rgb) -> Rgb {
        colour.map(|level| {
            let level = level / 255.0;
            if level <= 0.03928 {
                level / 12.92
            } else {
                ((level + 0.055) / 1.055).powf(2.4)
            }
        })
    }

    fn luminance(colour: Rgb) -> f64 {
        let [r, g, b] = linear(colour);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// The contrast of WCAG 2, from 1 to 21.
    fn contrast(one: Rgb, other: Rgb) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn lowest(palette: ThemeName, depth: Colours, on_selected: bool) -> f64 {
        let roles = Roles::of(palette);
        let under = rgb(
            if on_selected {
                &roles.selected
            } else {
                &roles.ground
            },
            depth,
        );
        let contrasts = roles.readable().map(|shade| contrast(rgb(shade, depth), under));
        contrasts.into_iter().fold(f64::MAX, f64::min)
    }

    fn rounded(figure: f64) -> f64 {
        (figure * 10.0).round() / 10.0
    }

    #[test]
    fn the_contrast_of_every_theme_is_what_its_design_promises() {
        let of = |depth, selected| COLOURED.map(|palette| rounded(lowest(palette, depth, selected)));
        assert_eq!(of(Colours::True, false), [6.5, 6.1, 6.5], "24-bit, on the ground");
        assert_eq!(
            of(Colours::True, true),
            [4.7, 5.1, 4.7],
            "24-bit, on the selected row"
        );
        assert_eq!(of(Colours::Indexed, false), [5.9, 5.7, 5.9], "256 colours");
        for palette in COLOURED {
            let danger = contrast([255.0; 3], rgb(&Roles::of(palette).danger, Colours::True));
            assert_eq!(rounded(danger), 6.6, "danger of {palette:?}");
        }
    }

    fn look(theme: ThemeName, colours: Colours) -> Look {
        Look {
            theme,
            colours,
            ..Look::default()
        }
    }

    #[test]
    fn every_theme_reads_at_every_depth_and_no_role_is_forgotten() {
        for palette in ThemeName::ALL {
            assert_eq!(named(palette.word()), Ok(palette));
            for colours in [Colours::True, Colours::Indexed, Colours::Sixteen] {
                let theme = Theme::of(&look(palette, colours));
                assert_eq!(
                    theme.dead.fg.is_some(),
                    palette != ThemeName::Mono,
                    "{palette:?} at {colours:?}"
                );
                assert_ne!(theme.selected, Style::default());
                assert_ne!(theme.danger, theme.text);
            }
        }
        assert!(named("blue").is_err());
    }

    #[test]
    fn without_colour_no_style_names_one() {
        let theme = Theme::of(&look(ThemeName::Mono, Colours::True));
        let all = [
            theme.ground,
            theme.selected,
            theme.text,
            theme.dead,
            theme.danger,
            theme.stale,
        ];
        assert!(all.iter().all(|style| style.fg.is_none() && style.bg.is_none()));
    }

    #[test]
    fn quiet_words_speak_up_on_the_row_under_the_cursor() {
        let theme = Theme::of(&look(ThemeName::Dark, Colours::True));
        assert_eq!(theme.on_selected(theme.muted).fg, theme.text.fg);
        assert_eq!(theme.on_selected(theme.stale).fg, theme.text.fg);
        assert_eq!(theme.on_selected(theme.dead).fg, theme.dead.fg);
        let mono = Theme::of(&look(ThemeName::Mono, Colours::True));
        let loud = mono.on_selected(mono.muted);
        assert!(loud.add_modifier.contains(Modifier::REVERSED));
        assert!(loud.sub_modifier.contains(Modifier::DIM));
    }

    #[test]
    fn the_environment_says_what_the_terminal_can_show() {
        let seen = |vars: &'static [(&str, &str)]| {
            let look = detect(ThemeName::Light, move |name| {
                vars.iter()
                    .find(|(known, _)| *known == name)
                    .map(|(_, value)| (*value).to_owned())
            });
            (look.theme, look.colours, look.ascii)
        };
        let (light, mono) = (ThemeName::Light, ThemeName::Mono);
        let rich = [
            ("TERM", "xterm-256color"),
            ("COLORTERM", "truecolor"),
            ("LANG", "en_GB.utf8"),
        ]
        .as_slice();
        assert_eq!(seen(rich), (light, Colours::True, false));
        assert_eq!(
            seen(&[("TERM", "screen-256color")]),
            (light, Colours::Indexed, false)
        );
        assert_eq!(
            seen(&[("TERM", "linux"), ("LC_ALL", "C")]),
            (light, Colours::Sixteen, true)
        );
        assert_eq!(seen(&[("TERM", "dumb")]).0, mono);
        assert_eq!(seen(&[("TERM", "xterm"), ("NO_COLOR", "1")]).0, mono);
        assert_eq!(seen(&[]).0, mono);
    }

    /// How a colour looks without the red, or without the green, receptors (Machado 2009, full).
    fn simulated(colour: Rgb, matrix: [Rgb; 3]) -> Rgb {
        let seen = linear(colour);
        matrix.map(|row| {
            row.iter()
                .zip(seen)
                .map(|(part, level)| part * level)
                .sum::<f64>()
                .clamp(0.0, 1.0)
        })
    }

    /// CIE L*a*b* of a linear colour, D65.
    fn lab([r, g, b]: Rgb) -> Rgb {
        let curve = |t: f64| {
            if t > 0.008856 {
                t.cbrt()
            } else {
                7.787 * t + 16.0 / 116.0
            }
        };
        let x = curve((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047);
        let y = curve(0.2126 * r + 0.7152 * g + 0.0722 * b);
        let z = curve((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn nearest_states(palette: ThemeName) -> f64 {
        const PROTAN: [Rgb; 3] = [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ];
        const DEUTAN: [Rgb; 3] = [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ];
        let roles = Roles::of(palette);
        let states = [
            &roles.ok,
            &roles.busy,
            &roles.waiting,
            &roles.retrying,
            &roles.dead,
            &roles.lost,
        ];
        let mut nearest = f64::MAX;
        for matrix in [PROTAN, DEUTAN] {
            let seen = states.map(|shade| lab(simulated(rgb(shade, Colours::True), matrix)));
            for (at, one) in seen.iter().enumerate() {
                for other in &seen[at + 1..] {
                    let squares = one.iter().zip(other).map(|(a, b)| (a - b).powi(2));
                    nearest = nearest.min(squares.sum::<f64>().sqrt());
                }
            }
        }
        nearest
    }

    #[test]
    fn red_and_green_blindness_can_tell_the_states_apart() {
        let (safe, dark) = (
            nearest_states(ThemeName::ColourBlind),
            nearest_states(ThemeName::Dark),
        );
        assert!(safe >= 15.0, "the colour-blind theme: {safe}");
        assert!(dark < safe, "the dark theme needs its glyphs: {dark}");
    }
}
