//! The OpenAPI 3.1 document, made from the table of endpoints and the doc comments of the bodies.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::answers::{
    EndedSessions, HoldBody, Me, StartBody, TenantWorkspace, TenantWorkspaceList, Workspace, WorkspaceList,
};
use super::{BASE, ENDPOINTS, Endpoint};
use crate::portal::problem::ProblemDocument;

/// The OpenAPI document of the API; `docs/openapi.json` is this, and a test keeps it so.
#[must_use]
pub fn openapi_document() -> Value {
    let mut paths = Map::new();
    for endpoint in &ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.to_owned(), operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Usher",
            "version": "1",
            "description": "What the portal's pages do, for scripts. Every call needs the session's cookie and, in \
                X-Usher-Token, the token that only the pages hold; or a bearer token of a configured issuer.",
        },
        "servers": [{ "url": BASE }],
        "security": [{ "session": [], "token": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "session": { "type": "apiKey", "in": "cookie", "name": crate::session::COOKIE_NAME },
                "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "token": { "type": "apiKey", "in": "header", "name": "X-Usher-Token" },
            },
            "schemas": schemas(),
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "responses": responses(endpoint),
    });
    let parameters: Vec<Value> = parameters(endpoint.path).collect();
    if !parameters.is_empty() {
        operation["parameters"] = Value::from(parameters);
    }
    if let Some(body) = endpoint.takes {
        let required = body != "StartBody";
        operation["requestBody"] = json!({ "required": required, "content": content("application/json", body) });
    }
    operation
}

fn responses(endpoint: &Endpoint) -> Value {
    let good = match endpoint.gives {
        Some(schema) => content("application/json", schema),
        None => json!({ "application/json": { "schema": { "type": "object" } } }),
    };
    let mut responses = Map::from_iter([("200".to_owned(), json!({ "description": "Done.", "content": good }))]);
    for status in [401, 403].iter().chain(endpoint.refuses) {
        let problem = content("application/problem+json", "ProblemDocument");
        responses.insert(status.to_string(), json!({ "description": meaning(*status), "content": problem }));
    }
    Value::Object(responses)
}

const fn meaning(status: u16) -> &'static str {
    match status {
        400 => "The body cannot be read.",
        401 => "Nobody is signed in.",
        403 => "The token is missing or wrong, the caller may not do this, or has to prove again who they are first.",
        404 => "There is no such workspace for the caller.",
        409 => "Not in its present state, or as many as allowed run already.",
        _ => "The gateway is shutting down.",
    }
}

fn content(media_type: &str, schema: &str) -> Value {
    json!({ media_type: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

fn parameters(path: &'static str) -> impl Iterator<Item = Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
}

fn schemas() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let (mut answers, mut bodies) = (settings.clone().for_serialize().into_generator(), settings.into_generator());
    add::<Me>(&mut answers);
    add::<EndedSessions>(&mut answers);
    add::<WorkspaceList>(&mut answers);
    add::<Workspace>(&mut answers);
    add::<TenantWorkspaceList>(&mut answers);
    add::<TenantWorkspace>(&mut answers);
    add::<ProblemDocument>(&mut answers);
    add::<StartBody>(&mut bodies);
    add::<HoldBody>(&mut bodies);
    let mut all = answers.take_definitions(true);
    all.extend(bodies.take_definitions(true));
    Value::Object(all)
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    let _ = generator.subschema_for::<T>();
}
