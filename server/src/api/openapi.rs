//! `/openapi.json`: the table of routes as an OpenAPI 3.1 document.

use rmail_proto::http::{Method, Status};
use serde_json::{Map, Value, json};

use super::{
    error::Family,
    routes::{Gives, Param, Part, Pattern, ROUTES, Route, Scope, Takes, expand},
    schema::Schema,
};

/// The document. `version` is the server's.
pub fn document(version: &str) -> Value {
    let mut paths = Map::new();
    for route in &ROUTES {
        for (index, pattern) in expand(route.template).iter().enumerate() {
            let path = pattern.write(|param| format!("{{{}}}", param.as_str()));
            let operations = paths.entry(path).or_insert_with(|| json!({}));
            operations[method(route.method)] = operation(route, pattern, index);
        }
    }
    let schemas = Schema::ALL.map(|schema| (schema.name().to_owned(), schema.definition()));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rmail",
            "version": version,
            "description": "The HTTP API of rmail: its own, Graph-compatible mail, and the set-up \
                            of mail clients.",
        },
        "paths": paths,
        "components": {
            "schemas": Map::from_iter(schemas),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    })
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Head => "head",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete => "delete",
        Method::Options => "options",
        Method::Trace => "trace",
        Method::Query => "query",
    }
}

/// `index`: which of the template's patterns it is; names are different for each.
fn operation(route: &Route, pattern: &Pattern, index: usize) -> Value {
    let name = format!("{:?}", route.name);
    let operation_id = match index {
        0 => name,
        index => format!("{name}_{}", index + 1),
    };
    let mut operation = json!({
        "operationId": operation_id,
        "tags": [tag(route.family)],
        "responses": responses(route),
    });
    let parameters: Vec<Value> = pattern.parts().iter().filter_map(parameter).collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(content) = request_content(route.takes) {
        operation["requestBody"] = json!({"content": content});
    }
    operation["security"] = match route.scope {
        Scope::Open => json!([]),
        Scope::Mail => json!([{"token": ["mail"]}]),
        Scope::Admin => json!([{"token": ["admin"]}]),
    };
    operation
}

fn tag(family: Family) -> &'static str {
    match family {
        Family::Native => "native",
        Family::Graph => "graph",
        Family::Discovery => "discovery",
    }
}

fn parameter(part: &Part) -> Option<Value> {
    match part {
        Part::Literal(_) => None,
        Part::Param(param) => Some(json!({
            "name": param.as_str(),
            "in": "path",
            "required": true,
            "description": description(*param),
            "schema": {"type": "string"},
        })),
    }
}

fn description(param: Param) -> &'static str {
    match param {
        Param::User => "The user's id or address",
        Param::Folder => "The folder's id, or a well-known name",
        Param::ChildFolder => "The id of a folder below it",
        Param::Message => "The message's id",
        Param::Attachment => "The attachment's id",
        Param::Subscription => "The subscription's id",
        Param::Category => "The category's id",
        Param::Upload => "The key of the upload session",
        Param::Address => "An address",
    }
}

fn request_content(takes: Takes) -> Option<Value> {
    let json_of = |schema: Schema| json!({"schema": schema.reference()});
    let text = || json!({"schema": {"type": "string", "contentEncoding": "base64"}});
    match takes {
        Takes::Nothing => None,
        Takes::Login(schema @ Schema::TokenGrant) => {
            Some(json!({"application/x-www-form-urlencoded": json_of(schema)}))
        }
        Takes::Json(schema)
        | Takes::Login(schema)
        | Takes::Message(schema)
        | Takes::Raw(schema)
        | Takes::Batch(schema) => Some(json!({"application/json": json_of(schema)})),
        Takes::MessageOrMime(schema) => {
            Some(json!({"application/json": json_of(schema), "text/plain": text()}))
        }
        Takes::Range => Some(json!({"application/octet-stream": {}})),
        Takes::Xml => Some(json!({"text/xml": {}})),
    }
}

fn responses(route: &Route) -> Value {
    let (status, content) = match route.gives {
        Gives::Nothing(status) => (status, None),
        Gives::Json(status, schema) => (
            status,
            Some(json!({"application/json": {"schema": schema.reference()}})),
        ),
        Gives::Collection(schema) => (Status::OK, Some(collection(schema))),
        Gives::Content(kind) => (Status::OK, Some(json!({kind: {}}))),
    };
    let mut success = json!({"description": status.reason()});
    if let Some(content) = content {
        success["content"] = content;
    }
    let error = match route.family {
        Family::Graph => Schema::GraphError,
        Family::Native | Family::Discovery => Schema::NativeError,
    };
    let failure = |schema: Value| {
        json!({
            "description": "An error",
            "content": {"application/json": {"schema": schema}},
        })
    };
    let error = error.reference();
    let mut responses = json!({
        status.code().to_string(): success,
        "default": failure(error.clone()),
    });
    if let Gives::Json(_, Schema::AutodiscoverJson) = route.gives {
        // The second is told of what is no request at all.
        let either = json!({"anyOf": [Schema::AutodiscoverError.reference(), error]});
        for status in [Status::BAD_REQUEST, Status::NOT_FOUND] {
            responses[status.code().to_string()] = failure(either.clone());
        }
    }
    responses
}

fn collection(schema: Schema) -> Value {
    json!({"application/json": {"schema": {
        "type": "object",
        "properties": {
            "@odata.context": {"type": "string"},
            "@odata.count": {"type": "integer"},
            "@odata.nextLink": {"type": "string"},
            "@odata.deltaLink": {"type": "string"},
            "value": {"type": "array", "items": schema.reference()},
        },
        "required": ["value"],
    }}})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn for_each_object(value: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                look(object);
                object
                    .values()
                    .for_each(|value| for_each_object(value, look));
            }
            Value::Array(values) => values.iter().for_each(|value| for_each_object(value, look)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_to_a_definition_and_every_definition_is_used() {
        let document = document("1");
        let mut used = BTreeSet::new();
        for_each_object(&document, &mut |object| {
            if let Some(Value::String(reference)) = object.get("$ref") {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                used.insert(name.to_owned());
            }
        });
        let defined = document["components"]["schemas"].as_object().unwrap();
        let defined: BTreeSet<String> = defined.keys().cloned().collect();
        assert_eq!(used, defined);
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let document = document("1");
        let mut names = Vec::new();
        for_each_object(&document["paths"], &mut |object| {
            if let Some(Value::String(name)) = object.get("operationId") {
                names.push(name.clone());
            }
        });
        let different: BTreeSet<&String> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert!(names.len() > ROUTES.len());
    }

    #[test]
    fn parameters_in_braces_are_described() {
        let document = document("1");
        for (path, operations) in document["paths"].as_object().unwrap() {
            let braced: Vec<&str> = path
                .split('{')
                .skip(1)
                .map(|rest| rest.split('}').next().unwrap())
                .collect();
            for operation in operations.as_object().unwrap().values() {
                let parameters = operation["parameters"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let named: Vec<&str> = parameters
                    .iter()
                    .map(|p| p["name"].as_str().unwrap())
                    .collect();
                assert_eq!(named, braced, "{path}");
            }
        }
    }

    #[test]
    fn login_is_open_and_users_are_the_administrators() {
        let document = document("1");
        let login = &document["paths"]["/auth/login"]["post"];
        assert_eq!(login["security"], json!([]));
        let reference = "/requestBody/content/application~1json/schema/$ref";
        let schema = login.pointer(reference).unwrap();
        assert_eq!(schema, "#/components/schemas/Login");
        let users = &document["paths"]["/users"]["get"];
        assert_eq!(users["security"], json!([{"token": ["admin"]}]));
        let sent = &document["paths"]["/v1.0/me/sendMail"]["post"]["responses"]["202"];
        assert!(sent.is_object() && sent.get("content").is_none());
    }
}
