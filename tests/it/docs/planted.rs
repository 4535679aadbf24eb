//! What is wrong in a page is said, with its place: tried on pages that are made for it.

use super::page::{Page, parse};
use super::story;

#[track_caller]
fn page(text: &str) -> Page {
    let (page, faults) = parse("planted.md", text);
    assert_eq!(faults, [], "{text}");
    page
}

/// The page is run, and this is said of it.
async fn says(text: &str, words: &[&str]) {
    let said = story::run(&page(text)).await.expect_err(text);
    for word in words {
        assert!(said.contains(word), "{word:?} is not said: {said}");
    }
}

#[tokio::test]
async fn a_page_that_is_right_passes() {
    let text = "<!-- service: none -->\n<!-- before: WHO=me -->\n<!-- file: a/rules.toml -->\n```toml\n\
                [[rule]]\nname = \"hot\"\nwhen = \"t > 1\"\n```\n\n<!-- shows: 1 rule in -->\n<!-- shows: me -->\n\
                ```sh\necho $WHO $BELLWIRE_RULES\nbellwire rules check \\\n    a/rules.toml\n```\n\n\
                <!-- exit: 78 -->\n```sh\nHERE=$WHO\ntarget/release/bellwire rules check \\\n    deploy/compose.yaml\n```\n\n\
                ```sh\ntest $HERE = me && test -z \"$BELLWIRE_RULES\"\ntest -d /etc/bellwire\n```\n";
    story::run(&page(text)).await.unwrap();
}

#[tokio::test]
async fn a_page_begins_and_ends_its_service() {
    let text = "<!-- service: none -->\n```sh\nbellwire serve --insecure\n\
                curl http://127.0.0.1:8080/readyz\n\
                mosquitto_pub -q 1 -t devices/a/telemetry -m '{\"t\": 1}'\n```\n\
                <!-- before: eventually curl http://localhost:8080/api/v1/devices/a -->\n\
                <!-- shows: (1 row) -->\n```sql\nSELECT * FROM readings;\n```\n\
                ```sh\nbellwire serve --insecure\nmosquitto_sub -t nothing &\n```\n\
                ```sh\ncurl http://127.0.0.1:8080/api/v1/devices/b\n```\n";
    says(text, &["planted.md:17: ", "/devices/b` ended with 22", "device_not_found"]).await;
}

#[tokio::test]
async fn what_succeeds_eventually_is_tried_again() {
    let text = "<!-- service: none -->\n\
                <!-- before: (until test -s $STORY/eventually; do :; done; printf '' >late.toml) &\n\
                eventually bellwire rules check late.toml -->\n\
                <!-- shows: late -->\n```sh\nls\n```\n";
    story::run(&page(text)).await.unwrap();
}

#[tokio::test]
async fn what_does_not_work_is_said_with_its_place() {
    let on = |commands: &str| format!("<!-- service: none -->\n\n```sh\n{commands}\n```\n");
    says(
        &on("true\nbellwire rules chek a"),
        &["planted.md:5: `bellwire rules chek a` ended with 2"],
    )
    .await;
    says(&on("bellwire config \\\n  show --all"), &["planted.md:4: ", "'--all'"]).await;
    says(&on("bellwire config show --all | grep a"), &["planted.md:4: ", "'--all'"]).await;
    says(&on("A=$(bellwire config show --all)"), &["planted.md:4: ", "'--all'"]).await;
    says(&on("nowhere --at all"), &["planted.md:4: ", "ended with 127"]).await;
    says(&on("pip install requests"), &["planted.md:4: ", "requests is not in"]).await;
    says(&on("npm install left-pad"), &["planted.md:4: ", "left-pad is not in"]).await;
    let file = "<!-- service: none -->\n<!-- file: a.sh -->\n```sh\nexit $1\n```\n\n```sh\nsh a.sh 0\nsh a.sh 4\n```\n";
    says(file, &["planted.md:9: `sh a.sh 4` ended with 4"]).await;
    let shown = "<!-- service: none -->\n<!-- shows: yes -->\n```sh\necho no\n```\n";
    says(shown, &["planted.md:4: does not show `yes`", "no"]).await;
    let code = "<!-- service: none -->\n<!-- exit: 3 -->\n```sh\ntrue\nfalse\n```\n";
    says(code, &["planted.md:5: `false` ended with 1"]).await;
    let first = "<!-- service: none -->\n<!-- exit: 1 -->\n```sh\nfalse\nfalse\n```\n";
    says(first, &["planted.md:4: `false` ended with 1"]).await;
    says(&on("true\ntrue && false && true"), &["planted.md:5: ", "ended with 1"]).await;
    let before = "<!-- service: none -->\n\n<!-- before: true\nfalse -->\n";
    says(before, &["planted.md:4: ", "ended with 1"]).await;
}
