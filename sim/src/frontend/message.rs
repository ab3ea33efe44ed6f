//! A message of a chat: a role, and a content that is a string or a list of parts.

use serde::Deserialize;
use serde_json::Value;

/// One turn of a conversation.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(crate) struct Message {
    pub(crate) role: String,
    pub(crate) text: String,
}

/// The fields as they stand.
#[derive(Deserialize)]
struct Fields {
    role: String,
    #[serde(default)]
    content: Value,
}

impl TryFrom<Fields> for Message {
    type Error = String;

    fn try_from(Fields { role, content }: Fields) -> Result<Self, String> {
        Ok(Message { role, text: text(&content)? })
    }
}

/// A content's text: a string, or the text parts of a list. Only a message of tool calls has none.
fn text(content: &Value) -> Result<String, String> {
    match content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts.iter().map(part_text).collect(),
        _ => Err("content of a message must be a string or a list of parts".into()),
    }
}

/// The text of a part; that of an image or a sound is empty.
fn part_text(part: &Value) -> Result<&str, String> {
    match (part["type"].as_str(), &part["text"]) {
        (Some(_), Value::String(text)) => Ok(text),
        (Some(kind), Value::Null) if kind != "text" => Ok(""),
        _ => Err("a part of content must be an object with a type, and a text if the type is text"
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &str) -> Result<String, String> {
        let message = format!(r#"{{"role":"user","content":{content}}}"#);
        let message = serde_json::from_str::<Message>(&message);
        message.map(|message| message.text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_content_is_a_string_or_a_list_of_parts() {
        let image = r#"{"type":"image_url","image_url":{"url":"data:,"}}"#;
        let parts =
            format!(r#"[{image},{{"type":"text","text":"h"}},{{"type":"text","text":"i"}}]"#);
        assert_eq!(text(&parts).as_deref(), Ok("hi"));
        assert_eq!(text(r#""hi""#).as_deref(), Ok("hi"));
        assert_eq!(text("[]").as_deref(), Ok(""));
        assert_eq!(text("null").as_deref(), Ok(""));
        for content in ["5", "true", r#"{"type":"text","text":"hi"}"#] {
            let message = text(content).unwrap_err();
            assert!(
                message.starts_with("content of a message must be a string or a list of parts")
            );
        }
        for part in [
            r#""hi""#,
            "null",
            "[]",
            r#"{"text":"hi"}"#,
            r#"{"type":"text"}"#,
            r#"{"type":"text","text":5}"#,
            r#"{"type":5,"text":"hi"}"#,
        ] {
            let message = text(&format!("[{part}]")).unwrap_err();
            assert!(
                message.starts_with("a part of content must be an object with a type"),
                "{part}"
            );
        }
    }
}
