//! The preprocessor: prompts become tokens and block hashes, and it is measured how long that takes.

pub(crate) use crate::engine::prompt::Prompt;

use super::message::Message;
use super::openai::Input;
use dynamo_metrics::PreprocessorMetrics;
use std::collections::VecDeque;
use std::time::Instant;

/// Turns the prompts of one request into tokens, in blocks of the model's size.
pub(crate) fn prompts(
    input: &Input,
    block_size: u64,
    metrics: &PreprocessorMetrics,
) -> VecDeque<Prompt> {
    let started = Instant::now();
    let (prompts, bytes): (VecDeque<Prompt>, Vec<usize>) = match input {
        Input::Texts(texts) => {
            texts.iter().map(|text| (Prompt::of_text(text, block_size), text.len())).unzip()
        }
        Input::Tokens(prompts) => prompts
            .iter()
            .map(|tokens| {
                (Prompt::of_tokens(tokens.iter().copied(), block_size), size_of_val(&tokens[..]))
            })
            .unzip(),
    };
    metrics.tokenized(bytes.iter().sum::<usize>() as u64, started.elapsed());
    prompts
}

/// A conversation as one text, each turn with its role.
pub(crate) fn conversation(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        text.push_str("<|");
        text.push_str(&message.role);
        text.push_str("|>");
        text.push_str(&message.text);
        text.push('\n');
    }
    text
}
