//! A message for Microsoft Teams: an Adaptive Card for the webhook of a workflow ("Post to a channel when
//! a webhook request is received").

use bellwire_model::Severity;
use serde_json::{Value, json};

use super::Setting;
use super::chat::{Line, lines, title, worst};
use crate::dispatch::Notice;

/// A paragraph in which nothing is markup: text blocks would read Markdown in a device's name.
fn plain(line: &Line) -> Value {
    json!({
        "type": "RichTextBlock",
        "inlines": [
            {"type": "TextRun", "text": format!("{} ", line.word), "weight": "Bolder"},
            {"type": "TextRun", "text": line.text},
            {"type": "TextRun", "text": format!("\n{}", line.detail), "isSubtle": true},
        ],
    })
}

pub(super) fn body(notice: &Notice, setting: &Setting) -> Vec<u8> {
    let color = match worst(notice) {
        Some(Severity::Critical) => "Attention",
        Some(Severity::Warning) => "Warning",
        Some(Severity::Info) => "Accent",
        None => "Good",
    };
    let heading = json!({
        "type": "RichTextBlock",
        "inlines": [{
            "type": "TextRun", "text": title(notice), "weight": "Bolder", "size": "Medium", "color": color,
        }],
    });
    let (lines, more) = lines(notice, setting);
    let mut card = vec![heading];
    card.extend(lines.iter().map(plain));
    card.extend(more.map(|more| json!({"type": "TextBlock", "text": more, "isSubtle": true})));
    let url = setting.link("/");
    let actions = if url.is_empty() {
        json!([])
    } else {
        json!([{"type": "Action.OpenUrl", "title": "Open Bellwire", "url": url}])
    };
    let body = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": card,
                "actions": actions,
            },
        }],
    });
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::testing::{notice, setting};

    #[test]
    fn it_is_a_card_with_a_line_for_each_alert() {
        let body: Value = serde_json::from_slice(&body(&notice(), &setting())).unwrap();
        let card = &body["attachments"][0]["content"];
        assert_eq!(card["type"], "AdaptiveCard");
        let heading = &card["body"][0]["inlines"][0];
        assert_eq!(heading["text"], "[FIRING:1] hot (site=berlin)");
        assert_eq!(heading["color"], "Attention");
        assert_eq!(card["body"][1]["inlines"][1]["text"], "oven-1 is at 95.5 °C <&>\"*_");
        assert_eq!(card["actions"][0]["url"], "https://bell.example/");
    }
}
