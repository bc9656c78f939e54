//! The table of what the API answers: routes and document are made of it, and so are one.

use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::api::refusal::Refusal;
use crate::http::access::cookie_name;
use crate::http::app::{App, Settings};
use crate::http::bounds::PUBLIC;

/// What an answer holds.
enum Answer {
    Nothing,
    Json(Value),
    Text(&'static str),
}

/// A request that is answered.
pub(crate) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) route: MethodRouter<App>,
    summary: &'static str,
    status: u16,
    public: bool,
    query: Option<Value>,
    body: Option<Value>,
    answer: Answer,
}

/// Begins an entry of the table.
pub(crate) fn operation<H, T>(method: Method, path: &'static str, handler: H) -> Operation
where
    H: Handler<T, App>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("the table has methods that HTTP has");
    let route = on(filter, handler);
    let (summary, answer) = ("", Answer::Nothing);
    Operation { method, path, route, summary, status: 204, public: false, query: None, body: None, answer }
}

impl Operation {
    /// What it does.
    pub(crate) fn says(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// Nobody has to be logged in.
    pub(crate) fn public(self) -> Self {
        // Who sends it is not known before it is read.
        let route = self.route.layer(DefaultBodyLimit::max(PUBLIC));
        Self { public: true, route, ..self }
    }

    /// What may stand behind the question mark.
    pub(crate) fn query<T: JsonSchema>(self) -> Self {
        Self { query: Some(schema::<T>()), ..self }
    }

    /// What the request holds.
    pub(crate) fn body<T: JsonSchema>(self) -> Self {
        Self { body: Some(schema::<T>()), ..self }
    }

    /// What the answer holds.
    pub(crate) fn answers<T: JsonSchema>(self) -> Self {
        Self { status: 200, answer: Answer::Json(schema::<T>()), ..self }
    }

    /// What the answer holds, if it makes something new.
    pub(crate) fn creates<T: JsonSchema>(self) -> Self {
        Self { status: 201, answer: Answer::Json(schema::<T>()), ..self }
    }

    /// The answer is of another type.
    pub(crate) fn text(self, media: &'static str) -> Self {
        Self { status: 200, answer: Answer::Text(media), ..self }
    }
}

/// A schema of its own, without references to others.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

/// The OpenAPI document of a table.
pub(super) fn document<'a>(settings: &Settings, operations: impl IntoIterator<Item = &'a Operation>) -> Value {
    let mut paths = Map::new();
    for operation in operations {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "PALM registry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Instants are microseconds since 1970, in UTC. Requests that change something and are known by a session's \
                            cookie carry the header `X-CSRF-Token`, with `csrf` of `/api/v1/me`.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": cookie_name(settings) },
            },
            "responses": { "Problem": {
                "description": "It cannot be granted: why, and what to do.",
                "content": { "application/json": { "schema": schema::<Refusal>() } },
            } },
        },
    })
}

fn described(operation: &Operation) -> Value {
    let content = match &operation.answer {
        Answer::Nothing => None,
        Answer::Json(schema) => Some(json!({ "application/json": { "schema": schema } })),
        Answer::Text(media) => Some(json!({ *media: { "schema": { "type": "string" } } })),
    };
    let mut answer = json!({ "description": if content.is_some() { "What was asked for." } else { "It is done." } });
    if let Some(content) = content {
        answer["content"] = content;
    }
    let mut described = json!({
        "summary": operation.summary,
        "operationId": name(operation),
        "parameters": parameters(operation),
        "responses": {
            operation.status.to_string(): answer,
            "default": { "$ref": "#/components/responses/Problem" },
        },
    });
    if let Some(schema) = &operation.body {
        described["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if operation.public {
        described["security"] = json!([]);
    }
    described
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let names = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(|name| {
        let schema = match name {
            "number" => json!({ "type": "integer", "format": "int64", "minimum": 1 }),
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let fields = operation.query.as_ref().and_then(|query| query["properties"].as_object());
    let in_query = fields.into_iter().flatten().map(|(name, schema)| {
        let required = operation.query.as_ref().and_then(|query| query["required"].as_array());
        let required = required.is_some_and(|required| required.iter().any(|found| found == name));
        json!({ "name": name, "in": "query", "required": required, "schema": schema })
    });
    in_path.chain(in_query).collect()
}

/// `GET /api/v1/clusters/{id}/versions` is `get-clusters-id-versions`.
fn name(operation: &Operation) -> String {
    let path = operation.path.trim_start_matches("/api/v1/").replace(['{', '}'], "").replace('/', "-");
    format!("{}-{path}", operation.method.as_str().to_ascii_lowercase())
}
