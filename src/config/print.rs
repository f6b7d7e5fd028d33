//! The settings table turned outward: the defaults, what is in effect, the schema, one key explained.

use serde_json::{Map, Value, json};
use toml::de::{DeString, DeValue};

use super::Settings;
use super::read::bracketed;
use super::shape::{Setting, Shape};
use super::table::{CLIENT_CLASS, REPEATED, Repeated, SECTIONS};
use crate::admission::ClientClass;
use crate::resolve::{Upstream, UpstreamKind};
use crate::text::nearest;

/// Columns of comments.
const WIDTH: usize = 100;

/// Every setting with its default and what it means; itself a configuration file.
pub fn defaults() -> String {
    let mut out = String::from(
        "# maeslant: every setting with its default. What is not written in your file is as it stands here.\n\
         # `maeslant check FILE` finds mistakes; `maeslant check --explain KEY` says more of one setting.\n",
    );
    let mut settings = Settings::default();
    for section in &SECTIONS {
        out.push_str(&format!("\n# {}\n[{}]\n", section.doc, section.name));
        for setting in section.settings {
            comment(&mut out, setting.doc);
            match setting.default_text(&mut settings) {
                Some(text) => out.push_str(&format!("{} = {text}\n", setting.key)),
                None => out.push_str(&format!("# {} = {}    # not set\n", setting.key, setting.example)),
            }
        }
    }
    example(&mut out, &CLIENT_CLASS);
    for repeated in &REPEATED {
        example(&mut out, repeated);
    }
    out
}

fn example<S>(out: &mut String, repeated: &Repeated<S>) {
    out.push_str(&format!("\n# {}\n# [[{}]]\n", repeated.doc, repeated.name));
    for setting in repeated.settings {
        comment(out, setting.doc);
        out.push_str(&format!("# {} = {}\n", setting.key, setting.example));
    }
}

/// What is in effect: `settings` as a configuration file, differences from the defaults marked.
pub fn effective(settings: &Settings) -> String {
    let mut out = String::from("# maeslant: the settings in effect.\n");
    let mut settings = settings.clone();
    let mut defaults = Settings::default();
    for section in &SECTIONS {
        out.push_str(&format!("\n[{}]\n", section.name));
        for setting in section.settings {
            let default = setting.default_text(&mut defaults);
            match setting.shape.write(&mut settings) {
                Some(text) => {
                    let mark = match default {
                        _ if Some(&text) == setting.shape.write(&mut defaults).as_ref() => String::new(),
                        Some(default) if !default.contains('\n') => format!("    # default: {default}"),
                        Some(_) => "    # not the default".to_owned(),
                        None => "    # not set by default".to_owned(),
                    };
                    out.push_str(&format!("{} = {text}{mark}\n", setting.key));
                }
                None => out.push_str(&format!("# {} is not set\n", setting.key)),
            }
        }
    }
    for class in &mut settings.engine.access.classes {
        out.push_str(&format!("\n[[{}]]\n", CLIENT_CLASS.name));
        for setting in CLIENT_CLASS.settings {
            if let Some(text) = setting.shape.write(class) {
                out.push_str(&format!("{} = {text}\n", setting.key));
            }
        }
    }
    for upstream in &mut settings.engine.resolve.upstreams {
        let name = match upstream.kind {
            UpstreamKind::Forward => "forward",
            UpstreamKind::Stub => "stub",
        };
        out.push_str(&format!("\n[[{name}]]\n"));
        for setting in REPEATED.iter().filter(|repeated| repeated.name == name).flat_map(|repeated| repeated.settings) {
            if let Some(text) = setting.shape.write(upstream) {
                out.push_str(&format!("{} = {text}\n", setting.key));
            }
        }
    }
    out
}

/// The JSON schema (draft 2020-12) of the configuration file, for editors.
pub fn schema() -> Value {
    let mut tables = Map::new();
    let mut example = Map::new();
    for section in &SECTIONS {
        let (object, sample) = object(section.settings, section.doc, &mut Settings::default());
        let Some((group, name)) = section.name.split_once('.') else {
            tables.insert(section.name.into(), object);
            example.insert(section.name.into(), sample);
            continue;
        };
        let whole = tables.entry(group).or_insert_with(|| json!({"type": "object", "additionalProperties": false}));
        whole["properties"][name] = object;
        example.entry(group).or_insert_with(|| json!({}))[name] = sample;
    }
    for repeated in &REPEATED {
        let (object, mut sample) = object(repeated.settings, repeated.doc, &mut blank_upstream());
        tables.insert(repeated.name.into(), json!({"description": repeated.doc, "type": "array", "items": object}));
        // Two tables for one zone contradict each other, so that each example has a zone of its own.
        sample["zone"] = json!(format!("{}.example.", repeated.name));
        example.insert(repeated.name.into(), json!([sample]));
    }
    let (object, sample) = object(CLIENT_CLASS.settings, CLIENT_CLASS.doc, &mut ClientClass::default());
    tables.insert(CLIENT_CLASS.name.into(), json!({"description": CLIENT_CLASS.doc, "type": "array", "items": object}));
    example.insert(CLIENT_CLASS.name.into(), json!([sample]));
    // The files named in an example need not exist where the schema is read.
    for (table, key) in [
        ("resolver", "root_hints"),
        ("access", "cookie_secrets"),
        ("dnssec", "trust_anchors"),
        ("limits", "public_suffixes"),
    ] {
        if let Some(table) = example.get_mut(table).and_then(Value::as_object_mut) {
            table.remove(key);
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "maeslant configuration",
        "description": "The configuration file of maeslant, a caching, recursive DNS resolver.",
        "type": "object",
        "additionalProperties": false,
        "properties": tables,
        "examples": [example],
    })
}

fn object<S>(settings: &[Setting<S>], doc: &str, defaults: &mut S) -> (Value, Value) {
    let (mut properties, mut example, mut required) = (Map::new(), Map::new(), Vec::new());
    for setting in settings {
        let mut schema = setting.shape.schema();
        schema["description"] = json!(format!("{} Allowed: {}.", setting.doc, setting.shape.range()));
        if let Some(default) = setting.default_text(defaults).and_then(|text| to_json(&text)) {
            schema["default"] = default;
        }
        if let Some(value) = to_json(setting.example) {
            schema["examples"] = json!([value]);
            example.insert(setting.key.into(), value);
        }
        properties.insert(setting.key.into(), schema);
        if setting.required {
            required.push(setting.key);
        }
    }
    let mut object = json!({
        "description": doc, "type": "object", "additionalProperties": false, "properties": properties,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    (object, Value::Object(example))
}

fn blank_upstream() -> Upstream {
    Upstream { zone: String::new(), servers: Vec::new(), kind: UpstreamKind::Forward, fallback: false }
}

/// A TOML value of the kinds that settings have, as JSON.
fn to_json(text: &str) -> Option<Value> {
    fn convert(value: &DeValue<'_>) -> Option<Value> {
        Some(match value {
            DeValue::String(text) => json!(text),
            DeValue::Boolean(flag) => json!(flag),
            DeValue::Integer(number) => json!(number.as_str().parse::<i64>().ok()?),
            DeValue::Array(items) => Value::Array(items.iter().filter_map(|item| convert(item.get_ref())).collect()),
            DeValue::Table(table) => {
                let entry = |(key, value): (&toml::Spanned<DeString<'_>>, &toml::Spanned<DeValue<'_>>)| {
                    Some((key.get_ref().to_string(), convert(value.get_ref())?))
                };
                Value::Object(table.iter().filter_map(entry).collect())
            }
            DeValue::Float(_) | DeValue::Datetime(_) => return None,
        })
    }
    convert(DeValue::parse(text).ok()?.get_ref())
}

/// All that is known of a key, such as `server.listen`, `listen` or the table `server`; or what was probably meant.
pub fn explain(key: &str) -> Result<String, String> {
    let wanted = key.trim().replace("[[", "").replace("]]", ".").replace('[', "").replace(']', ".").replace(' ', "");
    let wanted = wanted.replace("..", ".").trim_matches('.').to_ascii_lowercase();
    let mut found = Vec::new();
    let mut names = Vec::new();
    for section in &SECTIONS {
        if wanted == section.name {
            return Ok(about_table(section.name, section.doc, section.settings));
        }
        for setting in section.settings {
            let path = format!("{}.{}", section.name, setting.key);
            if path == wanted || setting.key == wanted {
                found.push(about(section.name, setting, &mut Settings::default()));
            }
            names.push(path);
        }
    }
    for repeated in &REPEATED {
        if wanted == repeated.name {
            return Ok(about_table(repeated.name, repeated.doc, repeated.settings));
        }
        for setting in repeated.settings {
            let path = format!("{}.{}", repeated.name, setting.key);
            if path == wanted || setting.key == wanted {
                found.push(about(repeated.name, setting, &mut blank_upstream()));
            }
            names.push(path);
        }
    }
    if wanted == CLIENT_CLASS.name {
        return Ok(about_table(CLIENT_CLASS.name, CLIENT_CLASS.doc, CLIENT_CLASS.settings));
    }
    for setting in CLIENT_CLASS.settings {
        let path = format!("{}.{}", CLIENT_CLASS.name, setting.key);
        if path == wanted || setting.key == wanted {
            found.push(about(CLIENT_CLASS.name, setting, &mut ClientClass::default()));
        }
        names.push(path);
    }
    if !found.is_empty() {
        return Ok(found.join("\n"));
    }
    let keys = names.iter().map(|path| path.rsplit_once('.').map_or(path.as_str(), |(_, key)| key));
    let near = nearest(&wanted, names.iter().map(String::as_str)).or_else(|| nearest(&wanted, keys));
    Err(match near {
        Some(near) => format!("there is no setting `{key}`; did you mean `{near}`?"),
        None => format!("there is no setting `{key}`; `maeslant check --print default` shows all of them"),
    })
}

fn about_table<S>(name: &str, doc: &str, settings: &[Setting<S>]) -> String {
    let mut out = format!("{}\n  {doc}\n\n", bracketed(name));
    for setting in settings {
        let first = setting.doc.split_inclusive(['.', ';', ':']).next().unwrap_or(setting.doc);
        out.push_str(&format!("  {:<28}{}\n", setting.key, first.trim_end_matches([';', ':'])));
    }
    out
}

fn about<S>(table: &str, setting: &Setting<S>, defaults: &mut S) -> String {
    let mut out = format!("{} {}\n\n", bracketed(table), setting.key);
    for line in wrap(setting.doc, WIDTH - 2) {
        out.push_str(&format!("  {line}\n"));
    }
    let default = match setting.default_text(defaults) {
        Some(text) => text.replace('\n', "\n           "),
        None if setting.required => "none: it has to be written".to_owned(),
        None => "not set".to_owned(),
    };
    out.push_str(&format!("\n  type     {}\n", setting.shape.kind()));
    if !matches!(setting.shape, Shape::Flag(_)) {
        out.push_str(&format!("  allowed  {}\n", setting.shape.range()));
    }
    out.push_str(&format!("  default  {default}\n"));
    for (index, line) in wrap(setting.reason, WIDTH - 11).iter().enumerate() {
        out.push_str(&format!("  {:<9}{line}\n", if index == 0 { "reason" } else { "" }));
    }
    out.push_str(&format!("  example  {} = {}\n", setting.key, setting.example));
    out
}

fn comment(out: &mut String, text: &str) {
    out.push('\n');
    for line in wrap(text, WIDTH - 2) {
        out.push_str(&format!("# {line}\n"));
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}
