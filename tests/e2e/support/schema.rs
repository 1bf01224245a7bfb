//! The published schemas in docs/schema, and whether a value is what they say.
//!
//! Stricter than JSON Schema in one thing: every key has to be described, so that nothing is
//! printed that is not documented. A keyword that is not known here is an error too.

use std::path::Path;

use serde_json::{Map, Value};

/// Holds a value against a schema by its name, such as `ci`.
#[track_caller]
pub fn assert_valid(value: &Value, schema: &str) {
    let problems = problems(value, &read(schema), schema);
    assert!(problems.is_empty(), "{}\n{value:#}", problems.join("\n"));
}

pub fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("failed to read `{}`: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("`{name}` is no JSON: {error}"))
}

fn problems(value: &Value, schema: &Value, at: &str) -> Vec<String> {
    let schema = schema.as_object().unwrap_or_else(|| panic!("the schema of {at} is no object"));
    schema.iter().flat_map(|(keyword, rule)| check(value, keyword, rule, schema, at)).collect()
}

fn check(
    value: &Value,
    keyword: &str,
    rule: &Value,
    schema: &Map<String, Value>,
    at: &str,
) -> Vec<String> {
    let fails = |is_wrong: bool, what: &str| {
        if is_wrong { vec![format!("{at}: {what}: {value}")] } else { Vec::new() }
    };
    match keyword {
        "$schema" | "title" | "description" => Vec::new(),
        "$ref" => problems(value, &follow(rule.as_str().unwrap()), at),
        "const" => fails(value != rule, &format!("is not {rule}")),
        "enum" => fails(!rule.as_array().unwrap().contains(value), "is none of its values"),
        "minimum" => {
            let is_less = value.as_f64().is_some_and(|number| number < rule.as_f64().unwrap());
            fails(is_less, "is too small")
        }
        "type" => {
            let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
            fails(!types.iter().any(|one| is_type(value, one.as_str().unwrap())), "is of no type")
        }
        "required" => rule
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| value.is_object() && value.get(key.as_str().unwrap()).is_none())
            .map(|key| format!("{at}: lacks {key}"))
            .collect(),
        // Both at once, for a key may be described by either.
        "properties" | "additionalProperties" => {
            let is_second = keyword == "additionalProperties" && schema.contains_key("properties");
            if is_second { Vec::new() } else { check_keys(value, schema, at) }
        }
        "items" => value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .flat_map(|(number, item)| problems(item, rule, &format!("{at}[{number}]")))
            .collect(),
        "oneOf" => {
            let fitting =
                rule.as_array().unwrap().iter().filter(|one| problems(value, one, at).is_empty());
            fails(fitting.count() != 1, "is not exactly one of its kinds")
        }
        other => panic!("{at}: the keyword `{other}` is not known to this test"),
    }
}

fn check_keys(value: &Value, schema: &Map<String, Value>, at: &str) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let described = |key: &str| {
        let by_name = schema.get("properties").and_then(|properties| properties.get(key));
        by_name.or_else(|| schema.get("additionalProperties"))
    };
    let check = |(key, value): (&String, &Value)| match described(key) {
        Some(rule) => problems(value, rule, &format!("{at}.{key}")),
        None => vec![format!("{at}.{key} is not described")],
    };
    object.iter().flat_map(check).collect()
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("`{other}` is no type"),
    }
}

/// `error.json#/properties/error` and the like.
fn follow(reference: &str) -> Value {
    let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
    let schema = read(file.trim_end_matches(".json"));
    schema.pointer(pointer).unwrap_or_else(|| panic!("`{reference}` leads nowhere")).clone()
}
