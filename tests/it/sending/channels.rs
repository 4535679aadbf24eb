//! The channels, as operators see and try them.

use serde_json::{Value, json};

use super::{FAILING, RULES, channel, heat, hook, sending, test_channel};
use crate::backup::{fail, succeed};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{Settings, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_tried_and_what_was_sent_is_listed() {
    let receiver = Receiver::start().await;
    let slack = Receiver::start().await;
    let mut service = sending(Settings::with_rules(RULES), "");
    let (url, template) = (service.dir().join("slack-url"), service.dir().join("ops.j2"));
    std::fs::write(&url, slack.url()).unwrap();
    std::fs::write(&template, "{\"text\": {{ title | tojson }}}").unwrap();
    let more = format!("template_file = '{}'", template.display());
    let config = format!(
        "public_url = 'https://bell.example/'\n[[channel]]\nname = 'chat'\ntype = 'slack'\nurl_file = '{}'\n{}",
        url.display(),
        hook(&receiver, &more)
    );
    super::configure(&service, &config);
    succeed(&service, &["check-config"]).await;
    service.launch().await;
    assert_eq!(channel(&service, "ops").await["status"], "idle");

    let (status, answer) = test_channel(&service, "ops").await;
    assert_eq!((status, &answer["delivered"]), (200, &json!(true)), "{answer}");
    assert_eq!(receiver.taken()[0].json(), json!({"text": "[FIRING:1] BellwireTest (site=test)"}));
    assert_eq!(test_channel(&service, "nobody").await.0, 404);
    let said = succeed(&service, &["channel", "test", "chat"]).await;
    assert!(said.starts_with("delivered after "), "{said}");
    let text = slack.taken()[0].json()["attachments"][0]["blocks"][0]["text"]["text"].clone();
    assert!(text.as_str().unwrap().contains("<https://bell.example/?alert="), "{text}");

    receiver.set_mood(|_| Reply::Status(403));
    let (_, answer) = test_channel(&service, "ops").await;
    let said = &answer["answers"][0];
    assert_eq!(
        (&said["result"], &said["detail"]),
        (&json!("rejected"), &json!("403 Forbidden: {\"said\": \"so\"}"))
    );
    fail(&service, &["channel", "test", "ops"], 1, "").await;
    let list = succeed(&service, &["channel", "list"]).await;
    assert!(list.contains("rejecting") && list.contains("403 Forbidden"), "{list}");
    let checked = service.wait_for("/readyz", |body| body["status"] == "degraded").await;
    let check = checks(&checked);
    assert!(check["detail"].as_str().unwrap().contains("`ops` does not take messages"), "{check}");
    receiver.set_mood(|_| Reply::Take);

    heat(&service, "oven-1", 95).await;
    wait_until("it is told", || receiver.taken().len() == 2).await;
    service.wait_for("/readyz", |body| checks(body)["status"] == "ok").await;
    let path = "/api/v1/deliveries?channel=ops";
    let first = |body: &Value| body["deliveries"][0]["test"] == false;
    let page = service.wait_for(path, first).await;
    let delivery = &page["deliveries"][0];
    assert_eq!((&delivery["result"], &delivery["firing"]), (&json!("delivered"), &json!(1)));
    let alert = delivery["alerts"][0].as_str().unwrap().to_owned();
    let (_, of_alert) = service.get(&format!("/api/v1/deliveries?alert={alert}&limit=1")).await;
    assert_eq!(of_alert["deliveries"].as_array().unwrap().len(), 1);
    assert!(of_alert["next"].is_string());
    assert_eq!(service.get("/api/v1/deliveries?alert=x").await.0, 400);
    let listed = succeed(&service, &["deliveries", "--alert", &alert]).await;
    assert!(listed.contains("delivered  1 alerts, 1 firing"), "{listed}");

    service.kill().await;
    service.launch().await;
    assert_eq!(channel(&service, "ops").await["status"], "ok", "it is remembered");
    assert!(service.stop().await.success());
    service.assert_quiet(&FAILING);
    assert!(!service.log().contains(&slack.url()), "the URL is a secret");
}

fn checks(readiness: &Value) -> &Value {
    let checks = readiness["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == "channels").expect("there are channels")
}
