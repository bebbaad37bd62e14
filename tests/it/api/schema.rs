//! Holds what is asked and answered against the description, as far as the description goes: JSON Schema, the part of it
//! that is used there, and nothing that is unknown is passed over.

use std::sync::LazyLock;

use http::HeaderMap;
use serde_json::Value;

static DESCRIPTION: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../src/realtime/api/openapi.json")).expect("JSON"));

/// Checks an answer against what the description says of its operation and status.
pub fn check_answer(method: &str, path: &str, status: u16, headers: &HeaderMap, json: &Value) {
    let Some(operation) = operation(method, path.split('?').next().unwrap_or_default()) else {
        assert!(
            matches!(status, 404 | 405 | 401 | 403 | 400),
            "{method} {path} is answered {status}, and not described"
        );
        return check("#/components/schemas/Problem", json);
    };
    let response = &operation["responses"][status.to_string()];
    assert!(!response.is_null(), "{method} {path} is answered {status}, which is not described: {json}");
    let response = resolve(response);
    let kind = headers["content-type"].to_str().expect("text");
    let schema = &response["content"][kind]["schema"];
    assert!(!schema.is_null(), "{method} {path} {status} is {kind}, which is not described");
    let mut faults = Vec::new();
    validate(schema, json, "", &mut faults);
    assert!(faults.is_empty(), "{method} {path} {status}: {faults:#?} in {json:#}");
}

/// What is wrong with the body of a request, by the description.
pub fn faults_of_request(path: &str, body: &Value) -> Vec<String> {
    let operation = operation("POST", path).expect("it is described");
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let mut faults = Vec::new();
    validate(schema, body, "", &mut faults);
    faults
}

fn check(pointer: &str, json: &Value) {
    let mut faults = Vec::new();
    validate(&serde_json::json!({ "$ref": pointer }), json, "", &mut faults);
    assert!(faults.is_empty(), "{faults:#?} in {json:#}");
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DESCRIPTION["paths"].as_object()?;
    let fits = |template: &str| {
        let (wanted, found) = (template.split('/').collect::<Vec<_>>(), path.split('/').collect::<Vec<_>>());
        wanted.len() == found.len()
            && wanted.iter().zip(found).all(|(wanted, found)| wanted == &found || wanted.starts_with('{'))
    };
    let (_, operations) = paths.iter().find(|(template, _)| fits(template))?;
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    operations.get(&method)
}

fn resolve(value: &'static Value) -> &'static Value {
    let Some(pointer) = value["$ref"].as_str() else { return value };
    let found = DESCRIPTION.pointer(pointer.trim_start_matches('#'));
    resolve(found.unwrap_or_else(|| panic!("{pointer} is not there")))
}

fn validate(schema: &Value, json: &Value, at: &str, faults: &mut Vec<String>) {
    let mut fault = |what: String| faults.push(format!("{at}: {what}"));
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        match keyword.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().expect("a pointer").trim_start_matches('#');
                let target = DESCRIPTION.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not there"));
                let mut inner = Vec::new();
                validate(target, json, at, &mut inner);
                inner.into_iter().for_each(&mut fault);
            }
            "type" => {
                let kinds = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
                let is_kind = |kind: &Value| match kind.as_str().expect("a type") {
                    "object" => json.is_object(),
                    "array" => json.is_array(),
                    "string" => json.is_string(),
                    "integer" => json.is_i64() || json.is_u64(),
                    "boolean" => json.is_boolean(),
                    "null" => json.is_null(),
                    kind => panic!("what is a {kind}?"),
                };
                if !kinds.iter().any(is_kind) {
                    fault(format!("is no {wanted}"));
                }
            }
            "properties" => {
                for (name, schema) in wanted.as_object().expect("properties") {
                    if let Some(value) = json.get(name) {
                        let mut inner = Vec::new();
                        validate(schema, value, &format!("{at}/{name}"), &mut inner);
                        inner.into_iter().for_each(&mut fault);
                    }
                }
            }
            "additionalProperties" => {
                assert_eq!(*wanted, Value::Bool(false));
                let known = schema["properties"].as_object().expect("properties");
                let fields = json.as_object().into_iter().flatten();
                for (name, _) in fields.filter(|(name, _)| !known.contains_key(*name)) {
                    fault(format!("{name} is not described"));
                }
            }
            "required" => {
                for name in wanted.as_array().expect("names").iter().filter_map(Value::as_str) {
                    if json.get(name).is_none() {
                        fault(format!("{name} is missing"));
                    }
                }
            }
            "items" => {
                for (place, item) in json.as_array().into_iter().flatten().enumerate() {
                    let mut inner = Vec::new();
                    validate(wanted, item, &format!("{at}/{place}"), &mut inner);
                    inner.into_iter().for_each(&mut fault);
                }
            }
            "allOf" | "anyOf" | "oneOf" => {
                let schemas = wanted.as_array().expect("schemas");
                let fitting = schemas.iter().filter(|schema| {
                    let mut inner = Vec::new();
                    validate(schema, json, at, &mut inner);
                    inner.is_empty()
                });
                let count = fitting.count();
                let fits = match keyword.as_str() {
                    "oneOf" => count == 1,
                    "anyOf" => count > 0,
                    _ => count == schemas.len(),
                };
                if !fits {
                    fault(format!("fits {count} of {wanted}"));
                }
            }
            "const" if json != wanted => fault(format!("is not {wanted}")),
            "enum" if !wanted.as_array().expect("values").contains(json) => fault(format!("is not among {wanted}")),
            "minimum" if json.as_f64() < wanted.as_f64() => fault(format!("is less than {wanted}")),
            "maximum" if json.as_f64() > wanted.as_f64() => fault(format!("is more than {wanted}")),
            "minLength" if json.as_str().is_some_and(|text| text.chars().count() < size(wanted)) => {
                fault("is too short".into())
            }
            "maxLength" if json.as_str().is_some_and(|text| text.chars().count() > size(wanted)) => {
                fault("is too long".into())
            }
            "minItems" if json.as_array().is_some_and(|items| items.len() < size(wanted)) => {
                fault("has too few".into())
            }
            "maxItems" if json.as_array().is_some_and(|items| items.len() > size(wanted)) => {
                fault("has too many".into())
            }
            "pattern" => {
                let pattern = fancy_regex::Regex::new(wanted.as_str().expect("a pattern")).expect("a pattern");
                if json.as_str().is_some_and(|text| !pattern.is_match(text).expect("it ends")) {
                    fault(format!("does not match {wanted}"));
                }
            }
            "const" | "enum" | "minimum" | "maximum" | "minLength" | "maxLength" | "minItems" | "maxItems" => {}
            "description" | "default" | "contentEncoding" => {}
            keyword => panic!("{keyword} is not checked here"),
        }
    }
}

fn size(number: &Value) -> usize {
    number.as_u64().and_then(|number| usize::try_from(number).ok()).expect("a number")
}
