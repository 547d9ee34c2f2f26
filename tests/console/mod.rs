//! The console's pictures: every view in its states, at four sizes, in every theme, as text and as styles.
//!
//! A snapshot has the text and, below it, a map of the styles with what each letter stands for, so a
//! change of colour alone fails. After a change that is meant, `INSTA_UPDATE=always` writes them anew:
//! look at the difference before it is committed, and at the picture (`millstream frame --format svg`).

mod acting;
mod any_size;
mod bytes;
mod held_up;
mod hostile;
mod hostile_world;
mod leaving;
mod load;
mod looking;
mod options;
mod outages;
mod pictures;
mod poison;
mod replay;
mod scripts;
mod size;
mod stopping;
mod terminal;
