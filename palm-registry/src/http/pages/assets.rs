//! Files of the pages: in the program, each at a path that changes with what it holds, so that browsers keep it.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::http::app::App;
use crate::http::problem::Problem;
use crate::store::secret;

struct Asset {
    name: &'static str,
    media: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 4] = [
    Asset { name: "palm.css", media: "text/css", text: include_str!("../../../assets/palm.css") },
    Asset { name: "palm.js", media: "text/javascript", text: include_str!("../../../assets/palm.js") },
    Asset { name: "logs.js", media: "text/javascript", text: include_str!("../../../assets/logs.js") },
    Asset { name: "icon.svg", media: "image/svg+xml", text: include_str!("../../../assets/icon.svg") },
];

/// Digits of a file's hash in its path.
const DIGITS: usize = 12;

static URLS: LazyLock<[String; ASSETS.len()]> = LazyLock::new(|| {
    ASSETS.map(|asset| {
        let hash = secret::hash(asset.text);
        format!("/assets/{}/{}", hash.get(..DIGITS).unwrap_or_default(), asset.name)
    })
});

pub(super) fn router() -> Router<App> {
    Router::new().route("/assets/{hash}/{name}", get(asset))
}

/// Where a file is.
pub(super) fn url(name: &str) -> &'static str {
    let index = ASSETS.iter().position(|asset| asset.name == name);
    index.and_then(|index| URLS.get(index)).map_or("", String::as_str)
}

async fn asset(Path((hash, name)): Path<(String, String)>) -> Response {
    let asked = format!("/assets/{hash}/{name}");
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name && url(asset.name) == asked) else {
        return Problem::not_found("file").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, format!("{}; charset=utf-8", asset.media)),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
    ];
    (StatusCode::OK, headers, asset.text).into_response()
}
