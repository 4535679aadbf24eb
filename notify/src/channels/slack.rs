//! A message for Slack's incoming webhooks, and for what understands the same (Mattermost, Rocket.Chat).

use bellwire_model::Severity;
use serde_json::{Value, json};

use super::Setting;
use super::chat::{lines, title, worst};
use crate::dispatch::Notice;

/// What Slack would take for markup. <https://docs.slack.dev/messaging/formatting-message-text>
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(super) fn body(notice: &Notice, setting: &Setting) -> Vec<u8> {
    let color = match worst(notice) {
        Some(Severity::Critical) => "#c4271b",
        Some(Severity::Warning) => "#b86e00",
        Some(Severity::Info) => "#2563a8",
        None => "#2e7d4f",
    };
    let (lines, more) = lines(notice, setting);
    let line = |line: &super::chat::Line| {
        let word = if line.link.is_empty() {
            format!("*{}*", line.word)
        } else {
            format!("<{}|{}>", line.link, line.word)
        };
        format!("{word} {}\n{}", escaped(&line.text), escaped(&line.detail))
    };
    let mut texts: Vec<String> = lines.iter().map(line).collect();
    texts.extend(more);
    let blocks: Vec<Value> = texts
        .iter()
        .map(|text| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}))
        .collect();
    let body = json!({
        "text": escaped(&title(notice)),
        "attachments": [{"color": color, "fallback": title(notice), "blocks": blocks}],
    });
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::testing::{all_over, notice, setting};

    #[test]
    fn it_says_what_fires_and_what_does_not_any_more() {
        let body: Value = serde_json::from_slice(&body(&notice(), &setting())).unwrap();
        assert_eq!(body["text"], "[FIRING:1] hot (site=berlin)");
        let attachment = &body["attachments"][0];
        assert_eq!(attachment["color"], "#c4271b");
        let text = attachment["blocks"][0]["text"]["text"].as_str().unwrap();
        let begin = "<https://bell.example/?alert=0000000000000001|CRITICAL> oven-1 is at 95.5 °C &lt;&amp;&gt;";
        assert!(text.starts_with(begin), "{text}");
        assert!(attachment["blocks"][1]["text"]["text"].as_str().unwrap().contains("RESOLVED"));
    }

    #[test]
    fn what_is_over_is_green() {
        let body: Value = serde_json::from_slice(&body(&all_over(), &setting())).unwrap();
        assert_eq!(
            (body["text"].as_str(), &body["attachments"][0]["color"]),
            (Some("[RESOLVED] hot (site=berlin)"), &json!("#2e7d4f"))
        );
    }
}
