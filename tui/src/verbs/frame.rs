//! `millstream frame`: a picture of the console without a terminal, from the sample story.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::frame::scene::{self, Shown, State};
use crate::frame::{ansi, picture, svg, text};
use crate::model::look::{Colours, Look, ThemeName};
use crate::model::view::Size;
use crate::theme::{self, Theme};

/// What is drawn, how large, and how it is written.
#[derive(Debug, Args)]
pub struct FrameArgs {
    /// The view
    #[arg(long, value_enum, default_value_t = Shown::Overview)]
    view: Shown,
    /// Columns and rows
    #[arg(long, value_name = "WxH", value_parser = size, default_value = "120x36")]
    size: Size,
    /// How the system in the picture is
    #[arg(long, value_enum, default_value_t = State::Normal)]
    state: State,
    /// dark, light, colour-blind or mono
    #[arg(long, value_name = "THEME", value_parser = theme::named, default_value = "dark")]
    theme: ThemeName,
    /// How many colours the terminal has
    #[arg(long, value_enum, default_value_t = Palette::True)]
    colours: Palette,
    /// Only ASCII characters
    #[arg(long)]
    ascii: bool,
    /// How the picture is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Characters only
    Text,
    /// As a terminal is sent it
    Ansi,
    /// A picture for a page
    Svg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Palette {
    /// 24 bits
    True,
    /// The 256 of xterm
    Indexed,
    /// The sixteen of old
    Sixteen,
}

/// Prints the picture.
///
/// # Errors
/// When standard output fails otherwise than by being closed.
pub fn run(args: &FrameArgs) -> Result<u8, Failure> {
    let look = Look {
        theme: args.theme,
        colours: match args.colours {
            Palette::True => Colours::True,
            Palette::Indexed => Colours::Indexed,
            Palette::Sixteen => Colours::Sixteen,
        },
        ascii: args.ascii,
        still: true,
    };
    let model = scene::model(args.view, args.state, args.size);
    let buffer = picture(&model, &Theme::of(&look), (args.size.width, args.size.height));
    let written = match args.format {
        Format::Text => text::write(&buffer),
        Format::Ansi => ansi::write(&buffer),
        Format::Svg => svg::write(&buffer, &format!("Millstream's console: {:?}", args.view)),
    };
    match io::stdout().lock().write_all(written.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Demo(error.to_string())),
        _ => Ok(0),
    }
}

/// `120x36`. More than any screen has is refused: it would only fill the memory.
fn size(text: &str) -> Result<Size, String> {
    let parsed = text.split_once('x').and_then(|(width, height)| {
        Some(Size {
            width: width.parse().ok()?,
            height: height.parse().ok()?,
        })
    });
    parsed
        .filter(|size| size.width <= 500 && size.height <= 200)
        .ok_or_else(|| "columns and rows are wanted, like 120x36, up to 500x200".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_columns_and_rows() {
        let wanted = Size {
            width: 80,
            height: 24,
        };
        assert_eq!(size("80x24"), Ok(wanted));
        for wrong in ["80", "x", "-1x4", "80x999"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
