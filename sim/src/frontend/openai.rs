//! The part of OpenAI's API that the frontend speaks: the fields of requests, and the form of answers.

use super::generation::Piece;
use super::message::Message;
use crate::engine::real_time::OUTPUT_TOKENS_MAX;
use crate::json::FromObject;
use serde::Deserialize;
use serde_json::{Value, json};

/// Tokens that a request gets when it does not say how many, or what is left of the context if that is less.
const MAX_TOKENS_DEFAULT: u64 = 128;
/// Prompts of one request: each one is a whole generation.
const PROMPTS_MAX: usize = 128;

/// A request that was read and checked.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) model: String,
    pub(crate) input: Input,
    /// Tokens of the answer; `None` when the client does not say how many.
    pub(crate) max_tokens: Option<u64>,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
}

/// Prompts, one or more.
#[derive(Debug)]
pub(crate) enum Input {
    Texts(Vec<String>),
    Tokens(Vec<Vec<u32>>),
}

#[derive(Debug, Deserialize)]
struct Common {
    model: String,
    stream: Option<bool>,
    n: Option<u64>,
    stream_options: Option<FromObject<StreamOptions>>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Chat {
    #[serde(flatten)]
    common: Common,
    messages: Vec<FromObject<Message>>,
}

#[derive(Debug, Deserialize)]
struct Completion {
    #[serde(flatten)]
    common: Common,
    prompt: RawPrompt,
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "prompt must be a string, a list of strings, a list of token numbers, or a list of such lists"
)]
enum RawPrompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

/// Reads a chat request. The error says what to change.
pub(crate) fn chat(body: &[u8]) -> Result<Asked, String> {
    let FromObject(chat): FromObject<Chat> =
        serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if chat.messages.is_empty() {
        return Err("messages must not be empty".into());
    }
    let messages: Vec<Message> =
        chat.messages.into_iter().map(|FromObject(message)| message).collect();
    chat.common.checked(Input::Texts(vec![super::tokenize::conversation(&messages)]))
}

/// Reads a completion request. The error says what to change.
pub(crate) fn completion(body: &[u8]) -> Result<Asked, String> {
    let FromObject(completion): FromObject<Completion> =
        serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let input = match completion.prompt {
        RawPrompt::Text(text) => Input::Texts(vec![text]),
        RawPrompt::Texts(texts) => Input::Texts(texts),
        RawPrompt::Tokens(tokens) => Input::Tokens(vec![tokens]),
        RawPrompt::ManyTokens(prompts) => Input::Tokens(prompts),
    };
    completion.common.checked(input)
}

impl Common {
    fn checked(self, input: Input) -> Result<Asked, String> {
        let prompts = match &input {
            Input::Texts(texts) => texts.len(),
            Input::Tokens(prompts) => prompts.len(),
        };
        if prompts == 0 || prompts > PROMPTS_MAX {
            return Err(format!("a request has 1 to {PROMPTS_MAX} prompts, not {prompts}"));
        }
        for (name, value, max) in
            [("temperature", self.temperature, 2.0), ("top_p", self.top_p, 1.0)]
        {
            if value.is_some_and(|value| !(0.0..=max).contains(&value)) {
                return Err(format!("{name} must be from 0 to {max}"));
            }
        }
        if self.n.is_some_and(|n| n != 1) {
            return Err(
                "n must be 1: there is one answer to a prompt; send the prompt several times"
                    .into(),
            );
        }
        let asked = self.max_completion_tokens.or(self.max_tokens);
        let max_tokens = match asked.map(u64::try_from) {
            None => None,
            Some(Ok(tokens)) if tokens > 0 => Some(tokens),
            Some(_) => return Err("max_tokens must be at least 1".into()),
        };
        Ok(Asked {
            model: self.model,
            input,
            max_tokens,
            stream: self.stream.unwrap_or(false),
            include_usage: self
                .stream_options
                .is_some_and(|FromObject(options)| options.include_usage == Some(true)),
        })
    }
}

impl Asked {
    /// Returns how many tokens the answer may have, in a context of so many tokens, of which the longest prompt takes some.
    ///
    /// # Errors
    /// The prompt fills the context, or prompt and answer together exceed it.
    pub(crate) fn answer_tokens(
        &self,
        input_tokens: u64,
        context_length: u64,
    ) -> Result<u64, ContextExceeded> {
        let left = context_length.saturating_sub(input_tokens);
        let exceeded = ContextExceeded { context_length, input_tokens, asked: self.max_tokens };
        match self.max_tokens {
            _ if left == 0 => Err(exceeded),
            None => Ok(MAX_TOKENS_DEFAULT.min(left)),
            Some(asked) if asked > left => Err(exceeded),
            Some(asked) => Ok(asked.min(OUTPUT_TOKENS_MAX)),
        }
    }
}

/// A request that does not fit into the model's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContextExceeded {
    context_length: u64,
    input_tokens: u64,
    asked: Option<u64>,
}

impl ContextExceeded {
    /// Returns the error in OpenAI's form; `param` is the field that holds the prompt.
    pub(crate) fn error(self, param: &str) -> Value {
        let Self { context_length, input_tokens, asked } = self;
        let requested = match asked {
            Some(asked) => format!(
                "you requested {} tokens ({input_tokens} in the {param}, {asked} in the completion)",
                input_tokens.saturating_add(asked)
            ),
            None => format!("your {param} resulted in {input_tokens} tokens"),
        };
        let message = format!(
            "This model's maximum context length is {context_length} tokens. However, {requested}. \
             Please reduce the length of the {param} or of the completion."
        );
        json!({"error": {"message": message, "type": "invalid_request_error", "param": param,
                         "code": "context_length_exceeded"}})
    }
}

/// The API and the names that all parts of one answer carry.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) chat: bool,
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) created: u64,
}

/// The tokens that a request consumed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cached_tokens: u64,
}

impl Answer {
    /// One event of a stream.
    ///
    /// `first` says whether it is the first of its choice, which has the role; `with_usage` whether the client asked for usage,
    /// which is then null in every chunk but the last.
    pub(crate) fn chunk(&self, piece: &Piece, first: bool, with_usage: bool) -> Value {
        let finish = piece.last.then_some("length");
        let choice = if self.chat {
            let mut delta = json!({"content": piece.text});
            if first {
                delta["role"] = json!("assistant");
            }
            json!({"index": piece.choice, "delta": delta, "logprobs": null, "finish_reason": finish})
        } else {
            json!({"index": piece.choice, "text": piece.text, "logprobs": null, "finish_reason": finish})
        };
        let mut chunk = self.envelope(true, vec![choice], None);
        if with_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    /// The stream's last event, when the client asked for it.
    pub(crate) fn usage_chunk(&self, usage: Usage) -> Value {
        self.envelope(true, Vec::new(), Some(usage))
    }

    /// A whole answer.
    pub(crate) fn whole(&self, texts: &[String], usage: Usage) -> Value {
        let choices = texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                if self.chat {
                    json!({"index": index, "message": {"role": "assistant", "content": text, "refusal": null},
                           "logprobs": null, "finish_reason": "length"})
                } else {
                    json!({"index": index, "text": text, "finish_reason": "length", "logprobs": null})
                }
            })
            .collect();
        self.envelope(false, choices, Some(usage))
    }

    fn envelope(&self, stream: bool, choices: Vec<Value>, usage: Option<Usage>) -> Value {
        let object = match (self.chat, stream) {
            (true, true) => "chat.completion.chunk",
            (true, false) => "chat.completion",
            (false, _) => "text_completion",
        };
        let mut value = json!({"id": self.id, "object": object, "created": self.created,
                               "model": self.model, "choices": choices});
        if let Some(usage) = usage {
            value["usage"] = json!({
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
                "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            });
        }
        value
    }
}

/// An error in OpenAI's form.
pub(crate) fn error(kind: &str, code: u16, message: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documents_request_is_understood() {
        let body = br#"{ "model": "Qwen/Qwen3-0.6B", "max_completion_tokens": 100,
            "messages": [{"role": "user", "content": "Hello"}] }"#;
        let asked = chat(body).unwrap();
        assert_eq!(
            (asked.model.as_str(), asked.max_tokens, asked.stream),
            ("Qwen/Qwen3-0.6B", Some(100), false)
        );
    }

    #[test]
    fn prompts_come_as_text_tokens_or_lists_of_either() {
        let prompts = |prompt: &str| {
            let body = format!(r#"{{"model":"m","prompt":{prompt}}}"#);
            match completion(body.as_bytes()).unwrap().input {
                Input::Texts(texts) => texts.len(),
                Input::Tokens(prompts) => prompts.len() * 10,
            }
        };
        assert_eq!(prompts(r#""a""#), 1);
        assert_eq!(prompts(r#"["a","b"]"#), 2);
        assert_eq!(prompts("[1,2,3]"), 10);
        assert_eq!(prompts("[[1,2],[3]]"), 20);
    }

    #[test]
    fn null_is_the_same_as_nothing() {
        let body = r#"{"model": "m", "prompt": "a", "stream": null, "n": null, "max_tokens": null,
            "temperature": null, "stream_options": {"include_usage": null}}"#;
        let asked = completion(body.as_bytes()).unwrap();
        assert!(!asked.stream && !asked.include_usage);
        assert_eq!(asked.max_tokens, None);
    }

    #[test]
    fn prompt_and_answer_fit_into_the_context_or_are_refused() {
        let asked = |max: &str| {
            let body = format!(r#"{{"model":"m","prompt":"a","n":1,"max_tokens":{max}}}"#);
            completion(body.as_bytes()).unwrap()
        };
        assert_eq!(asked("50").answer_tokens(50, 100), Ok(50));
        assert_eq!(asked("null").answer_tokens(90, 100), Ok(10));
        assert_eq!(asked("null").answer_tokens(1, 100_000), Ok(MAX_TOKENS_DEFAULT));
        let huge = u64::MAX;
        assert_eq!(asked("9223372036854775807").answer_tokens(1, huge), Ok(OUTPUT_TOKENS_MAX));
        for (max, input, context) in
            [("51", 50, 100), ("null", 100, 100), ("1", 500, 100), ("9223372036854775807", 5, 100)]
        {
            let error = asked(max).answer_tokens(input, context).unwrap_err().error("prompt");
            assert_eq!(error["error"]["code"], "context_length_exceeded", "{max}");
            assert_eq!(error["error"]["param"], "prompt");
            assert!(error["error"]["message"].as_str().unwrap().contains("length is 100 tokens"));
        }
    }

    #[test]
    fn the_role_comes_once_and_usage_is_null_until_the_end() {
        let answer = Answer { chat: true, id: "x".into(), model: "m".into(), created: 1 };
        let piece = Piece { choice: 0, text: "a".into(), last: false };
        let first = answer.chunk(&piece, true, true);
        assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
        assert!(first.as_object().unwrap().contains_key("usage") && first["usage"].is_null());
        let later = answer.chunk(&piece, false, false);
        assert_eq!(later["choices"][0]["delta"], json!({"content": "a"}));
        assert!(!later.as_object().unwrap().contains_key("usage"));
    }

    #[test]
    fn errors_name_the_field_and_the_remedy() {
        let wrong = |body: &str| completion(body.as_bytes()).unwrap_err();
        assert!(wrong("{").contains("EOF"));
        assert!(wrong(r#"{"prompt":"a"}"#).contains("model"));
        assert!(wrong(r#"{"model":"m","prompt":"a","max_tokens":0}"#).contains("max_tokens"));
        assert!(wrong(r#"{"model":"m","prompt":"a","temperature":3}"#).contains("temperature"));
        assert!(wrong(r#"{"model":"m","prompt":[]}"#).contains("prompts"));
        assert!(wrong(r#"{"model":"m","prompt":"a","n":2}"#).starts_with("n must be 1"));
        assert!(chat(br#"{"model":"m","messages":[]}"#).unwrap_err().contains("messages"));
    }

    #[test]
    fn errors_have_no_names_of_the_program() {
        for message in [
            chat(b"null").unwrap_err(),
            completion(b"5").unwrap_err(),
            completion(br#"{"model":"m","prompt":[1,"a"]}"#).unwrap_err(),
            completion(br#"{"model":"m","prompt":-1}"#).unwrap_err(),
            completion(br#"{"model":"m","prompt":[-1]}"#).unwrap_err(),
            completion(br#"{"model":"m","prompt":"a","max_tokens":"5"}"#).unwrap_err(),
        ] {
            for name in ["Chat", "Completion", "RawPrompt", "struct", "enum"] {
                assert!(!message.contains(name), "{message}");
            }
        }
    }

    #[test]
    fn arrays_are_not_read_as_objects_by_the_order_of_their_fields() {
        let expected = "invalid type: sequence, expected an object";
        let message = chat(br#"{"model":"m","messages":[["user","hi"]]}"#).unwrap_err();
        assert!(message.starts_with(expected), "{message}");
        let options = completion(br#"{"model":"m","prompt":"a","stream_options":[true]}"#);
        assert!(options.unwrap_err().starts_with(expected));
        assert!(completion(br#"["m","a"]"#).unwrap_err().starts_with("invalid type: sequence"));
    }
}
