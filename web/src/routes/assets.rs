//! The files of the page: its style, its script, its icon. They are part of the program.

use std::sync::LazyLock;

use axum::extract::{Path, rejection::PathRejection};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// A file.
struct Asset {
    kind: &'static str,
    text: &'static str,
    /// Its address, which changes with its content.
    address: String,
}

impl Asset {
    fn new(stem: &str, ending: &str, kind: &'static str, text: &'static str) -> Self {
        let hash = Sha256::digest(text.as_bytes());
        let address = format!(
            "/assets/{stem}-{:02x}{:02x}{:02x}{:02x}.{ending}",
            hash[0], hash[1], hash[2], hash[3]
        );
        Self { kind, text, address }
    }
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../../../assets/web/page.css");
    Asset::new("page", "css", "text/css; charset=utf-8", text)
});
static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../../../assets/web/page.js");
    Asset::new("page", "js", "text/javascript; charset=utf-8", text)
});
static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("../../../assets/web/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", text)
});

/// Where the style is.
pub fn style() -> &'static str {
    &STYLE.address
}

/// Where the script is.
pub fn script() -> &'static str {
    &SCRIPT.address
}

/// Where the icon is.
pub fn icon() -> &'static str {
    &ICON.address
}

/// `GET /assets/{name}`: a file may be kept for ever, since its address changes with its content.
pub async fn asset(path: Result<Path<String>, PathRejection>) -> Result<Response, Problem> {
    let missing = || Problem::not_found("there is no such file");
    let Path(name) = path.map_err(|_| missing())?;
    let address = format!("/assets/{name}");
    let found = [&*STYLE, &*SCRIPT, &*ICON]
        .into_iter()
        .find(|asset| asset.address == address);
    let asset = found.ok_or_else(missing)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=31536000, immutable"),
        ),
    ];
    Ok((headers, asset.text).into_response())
}
