//! The document of what the producer understands: OpenAPI, made from the code of the routes and served.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};

/// Where it is served.
pub const PATH: &str = "/openapi.json";
/// The name of the one way to show a token.
const TOKEN: &str = "token";

/// The document without its routes.
#[must_use]
pub fn document() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "MILLSTREAM_TOKEN, or a token of `millstream token create`. Without MILLSTREAM_TOKEN a producer answers only its own machine, and asks for none.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(TOKEN, SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Millstream")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Submits changes for review, and tells what became of them."))
                .build(),
        )
        .components(Some(components))
        // A token, or none where none is asked for.
        .security(Some([
            SecurityRequirement::new::<_, [&str; 0], _>(TOKEN, []),
            SecurityRequirement::default(),
        ]))
        .build()
}

/// The route that answers the document: a text that was made once.
pub fn serve(document: &OpenApi) -> Router {
    let text = document.to_json().expect("the document is plain data");
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Router::new().route(
        PATH,
        get(async move || ([json.clone()], text.clone()).into_response()),
    )
}
