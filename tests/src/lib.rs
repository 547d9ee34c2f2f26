//! Nothing lives here: the suite is one test binary, `tests/main.rs`.
