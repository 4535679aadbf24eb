//! How commands look in JSON.

use bellwire_model::{Answer, Command};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::base64;
use crate::rfc3339::Rfc3339;
use crate::views::Text;

/// A payload: JSON as it came, text, or bytes.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl<'a> Payload<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let none = Self { payload: None, payload_text: None, payload_base64: None };
        match std::str::from_utf8(bytes) {
            Ok(text) => match serde_json::from_str(text) {
                Ok(json) => Self { payload: Some(json), ..none },
                Err(_) => Self { payload_text: Some(text), ..none },
            },
            Err(_) => Self { payload_base64: Some(base64::encode(bytes)), ..none },
        }
    }
}

#[derive(Serialize)]
struct AnswerView<'a> {
    at: Rfc3339,
    #[serde(flatten)]
    payload: Payload<'a>,
}

/// A command; the field names are stable.
#[derive(Serialize)]
pub(super) struct CommandView<'a> {
    id: Text<bellwire_model::CommandId>,
    device: &'a str,
    state: &'static str,
    #[serde(flatten)]
    payload: Payload<'a>,
    content_type: Option<&'a str>,
    reply: &'static str,
    author: Option<&'a str>,
    created_at: Rfc3339,
    expires_at: Rfc3339,
    sent_at: Option<Rfc3339>,
    acknowledged_at: Option<Rfc3339>,
    answered_at: Option<Rfc3339>,
    ended_at: Option<Rfc3339>,
    /// How often it was sent: once, as a rule.
    sendings: u32,
    answer: Option<AnswerView<'a>>,
}

impl<'a> CommandView<'a> {
    pub(super) fn of(command: &'a Command) -> Self {
        let answer = command.answer.as_ref();
        Self {
            id: Text(command.id),
            device: command.device.as_str(),
            state: command.state.label(),
            payload: Payload::of(&command.payload),
            content_type: command.content_type.as_deref(),
            reply: command.reply.label(),
            author: command.author.as_deref(),
            created_at: Rfc3339(command.created_at),
            expires_at: Rfc3339(command.expires_at),
            sent_at: command.sent_at.map(Rfc3339),
            acknowledged_at: command.acknowledged_at.map(Rfc3339),
            answered_at: answer.map(|answer| Rfc3339(answer.at)),
            ended_at: command.ended_at.map(Rfc3339),
            sendings: command.n_sent,
            answer: answer.map(|Answer { at, payload }| AnswerView {
                at: Rfc3339(*at),
                payload: Payload::of(payload),
            }),
        }
    }
}
