//! Signing in by an OpenID provider, which is a small one of this test's own, and what it might say wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bellwire_model::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::http;
use crate::support::people::{PASSWORD, add_user};
use crate::support::service::{PATIENCE, Service, Settings, poll, spawn};

const CALLBACK: &str = "/api/v1/session/oidc/callback";

/// What the provider would say next.
#[derive(Debug)]
struct Says {
    /// Over the claims that are right.
    claims: Value,
    /// With which key it signs, by its id.
    kid: String,
    how: How,
}

/// How it signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Well,
    /// With `alg` `none` and no signature.
    Not,
    /// With `HS256`, and its public key for a secret.
    ByItsPublicKey,
    /// With another key than it names.
    ByAnotherKey,
}

/// A provider.
#[derive(Debug)]
struct Provider {
    url: String,
    keys: Mutex<BTreeMap<String, Arc<KeyPair>>>,
    says: Mutex<Says>,
    /// What the browser was sent with.
    asked: Mutex<BTreeMap<String, String>>,
}

fn base64url(bytes: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let letter = |n: usize| char::from(letters[(bits >> (18 - 6 * n) & 63) as usize]);
        text.extend((0..=chunk.len()).map(letter));
    }
    text
}

fn fields(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Provider {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let says = Says { claims: json!({}), kid: "one".to_owned(), how: How::Well };
        let provider = Arc::new(Self {
            url: format!("http://{}/realm", listener.local_addr().unwrap()),
            keys: Mutex::default(),
            says: Mutex::new(says),
            asked: Mutex::default(),
        });
        provider.add_key("one");
        let serving = Arc::clone(&provider);
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = Arc::clone(&serving);
                spawn(async move { provider.answer(stream).await });
            }
        });
        provider
    }

    fn add_key(&self, id: &str) {
        let key = Arc::new(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap());
        self.keys.lock().unwrap().insert(id.to_owned(), key);
    }

    fn says(&self, claims: Value, how: How) {
        let mut says = self.says.lock().unwrap();
        (says.claims, says.how) = (claims, how);
    }

    async fn answer(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut buffer = [0; 4_096];
        let (head, body) = loop {
            let n = stream.read(&mut buffer).await.unwrap_or(0);
            if n == 0 {
                return;
            }
            request.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|it| it.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |it| it.parse().unwrap()) {
                break (head.to_owned(), body.to_owned());
            }
        };
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let (status, body) = match path.as_str() {
            "/realm/.well-known/openid-configuration" => (200, self.discovery()),
            "/realm/keys" => (200, self.key_set()),
            "/realm/token" => self.token(&head, &body),
            _ => (404, json!({})),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all((head + &body).as_bytes()).await;
    }

    fn discovery(&self) -> Value {
        let at = |part: &str| format!("{}/{part}", self.url);
        json!({
            "issuer": self.url, "authorization_endpoint": at("auth"), "token_endpoint": at("token"),
            "jwks_uri": at("keys"), "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    fn key_set(&self) -> Value {
        let keys = self.keys.lock().unwrap();
        let key = |(id, key): (&String, &Arc<KeyPair>)| {
            let point = key.der_bytes();
            assert_eq!((point.len(), point[0]), (65, 4), "an uncompressed point");
            json!({
                "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
                "x": base64url(&point[1..33]), "y": base64url(&point[33..]),
            })
        };
        // One that is not known here is passed over.
        let mut all = vec![json!({"kty": "LATTICE", "kid": "new", "l": "AA"})];
        all.extend(keys.iter().filter(|(id, _)| *id != "hidden").map(key));
        json!({"keys": all})
    }

    /// Gives what it was told to say, to whom it knows.
    fn token(&self, head: &str, body: &str) -> (u16, Value) {
        use sha2::{Digest, Sha256};
        let (asked, given) = (self.asked.lock().unwrap().clone(), fields(body));
        let is_known = head.to_ascii_lowercase().contains("authorization: basic ")
            && head.contains("YmVsbDpodXNo") // bell:hush
            && given["grant_type"] == "authorization_code"
            && given["redirect_uri"] == asked["redirect_uri"]
            && base64url(&Sha256::digest(&given["code_verifier"])) == asked["code_challenge"]
            && given["code"] == "the-code";
        if !is_known {
            return (400, json!({"error": "invalid_grant"}));
        }
        (200, json!({"token_type": "Bearer", "access_token": "-", "id_token": self.id_token()}))
    }

    fn id_token(&self) -> String {
        let says = self.says.lock().unwrap();
        let now = crate::journey::WallClock.now().as_micros() / 1_000_000;
        let nonce = self.asked.lock().unwrap()["nonce"].clone();
        let mut claims = json!({
            "iss": self.url, "aud": "bell", "sub": "subject-7", "nonce": nonce, "iat": now,
            "exp": now + 3_600, "preferred_username": "Olga", "realm_access": {"roles": ["ops"]},
        });
        for (name, value) in says.claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let keys = self.keys.lock().unwrap();
        let key = |id: &str| EncodingKey::from_ec_der(keys[id].serialized_der());
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(says.kid.clone());
        match says.how {
            How::Well => encode(&header, &claims, &key(&says.kid)).unwrap(),
            How::ByAnotherKey => encode(&header, &claims, &key("hidden")).unwrap(),
            How::ByItsPublicKey => {
                header.alg = Algorithm::HS256;
                let secret = EncodingKey::from_secret(keys[&says.kid].der_bytes());
                encode(&header, &claims, &secret).unwrap()
            }
            How::Not => {
                let head =
                    base64url(json!({"alg": "none", "kid": says.kid}).to_string().as_bytes());
                format!("{head}.{}.", base64url(claims.to_string().as_bytes()))
            }
        }
    }
}

fn line<'a>(head: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let prefix = format!("{name}: ");
    head.lines().filter_map(move |line| line.strip_prefix(&*prefix))
}

async fn get(service: &Service, path: &str, cookie: &str) -> (u16, String, Value) {
    let headers = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let (status, head, body) = http::get_whole_as(&service.http(), path, &headers).await.unwrap();
    (status, head, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// A browser that was sent to the provider: its cookie.
async fn leave(service: &Service, provider: &Provider) -> String {
    let (status, head, body) = get(service, "/api/v1/session/oidc", "").await;
    assert_eq!(status, 303, "{body}");
    let (to, query) = line(&head, "location").next().unwrap().split_once('?').unwrap();
    assert_eq!(to, format!("{}/auth", provider.url));
    let asked = fields(query);
    assert_eq!((&*asked["response_type"], &*asked["client_id"]), ("code", "bell"));
    assert_eq!((&*asked["scope"], &*asked["code_challenge_method"]), ("openid profile", "S256"));
    assert_eq!(asked["redirect_uri"], redirect_url());
    *provider.asked.lock().unwrap() = asked;
    let cookie = line(&head, "set-cookie").next().unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

fn redirect_url() -> String {
    format!("https://bell.example{CALLBACK}")
}

/// It comes back.
async fn come_back(service: &Service, provider: &Provider, cookie: &str) -> (u16, String, Value) {
    let state = provider.asked.lock().unwrap()["state"].clone();
    get(service, &format!("{CALLBACK}?code=the-code&state={state}&session_state=x"), cookie).await
}

/// Signs in; the status and code.
async fn sign_in(service: &Service, provider: &Provider) -> (u16, String) {
    let cookie = leave(service, provider).await;
    let (status, _, body) = come_back(service, provider, &cookie).await;
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

async fn start(provider: &Provider) -> Service {
    let mut service = Service::prepare(Settings::guarded());
    let secret = service.dir().join("secret");
    std::fs::write(&secret, "hush\n").unwrap();
    let config = service.dir().join("bellwire.toml");
    let text = format!(
        "[http.oidc]\nissuer = '{}'\nclient_id = 'bell'\nclient_secret_file = '{}'\n\
         redirect_url = '{}'\nrole_claim = 'realm_access.roles'\n\
         roles = {{ ops = 'operator', boss = 'admin' }}\n",
        provider.url,
        secret.display(),
        redirect_url()
    );
    std::fs::write(&config, text).unwrap();
    service.set("BELLWIRE_CONFIG", config.display());
    add_user(&service, "root", "admin").await;
    service.launch().await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn who_the_provider_signs_in_is_in_with_the_role_that_it_says() {
    let provider = Provider::start().await;
    let mut service = start(&provider).await;
    let (_, _, ways) = get(&service, "/api/v1/session/ways", "").await;
    assert_eq!(ways["oidc"], json!(true));
    let cookie = leave(&service, &provider).await;
    let (status, head, body) = come_back(&service, &provider, &cookie).await;
    assert_eq!((status, line(&head, "location").next()), (303, Some("/")), "{body}");
    let session = line(&head, "set-cookie").find(|it| it.starts_with("bellwire=")).unwrap();
    let session = session.split(';').next().unwrap().to_owned();
    let (_, _, me) = get(&service, "/api/v1/session", &session).await;
    assert_eq!((&me["name"], &me["role"]), (&json!("olga"), &json!("operator")), "{me}");

    // It is over: the same again is nobody's sign-in.
    let (status, _, body) = come_back(&service, &provider, &cookie).await;
    assert_eq!((status, &body["code"]), (400, &json!("sign_in_not_begun")));

    // The role is the provider's to say, also of who is signed in already.
    provider.says(json!({"realm_access": {"roles": ["ops", "boss"]}}), How::Well);
    assert_eq!(sign_in(&service, &provider).await, (303, String::new()));
    let (_, _, me) = get(&service, "/api/v1/session", &session).await;
    assert_eq!(me["role"], json!("admin"));
    let body = json!({"name": "olga", "password": PASSWORD}).to_string();
    let answer = http::post(&service.http(), "/api/v1/session", &body).await.unwrap();
    assert_eq!(answer.0, 401, "she has no password");

    // Another key is found when something is signed with it.
    provider.add_key("two");
    provider.says.lock().unwrap().kid = "two".to_owned();
    let rotated = async {
        let mut poll = poll();
        while sign_in(&service, &provider).await.0 != 303 {
            poll.tick().await;
        }
    };
    timeout(PATIENCE, rotated).await.expect("the new key is taken");
    assert!(service.stop().await.success());
    service.assert_quiet(&["is not to be believed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_says_wrong_lets_nobody_in() {
    let provider = Provider::start().await;
    provider.add_key("hidden");
    let mut service = start(&provider).await;
    for (claims, how) in [
        (json!({"nonce": "another"}), How::Well),
        (json!({"nonce": null}), How::Well),
        (json!({"aud": "another"}), How::Well),
        (json!({"aud": ["bell", "another"]}), How::Well),
        (json!({"iss": "http://evil.example"}), How::Well),
        (json!({"exp": 1_000}), How::Well),
        (json!({"iat": 9_000_000_000_u64}), How::Well),
        (json!({"sub": ""}), How::Well),
        (json!({}), How::Not),
        (json!({}), How::ByItsPublicKey),
        (json!({}), How::ByAnotherKey),
    ] {
        provider.says(claims.clone(), how);
        let got = sign_in(&service, &provider).await;
        assert_eq!(got, (401, "provider_not_believed".to_owned()), "{claims} {how:?}");
    }
    provider.says.lock().unwrap().kid = "hidden".to_owned();
    provider.says(json!({}), How::Well);
    let got = sign_in(&service, &provider).await;
    assert_eq!(got, (401, "provider_not_believed".to_owned()), "a key that it does not show");
    provider.says.lock().unwrap().kid = "one".to_owned();
    for (claims, status, code) in [
        (json!({"realm_access": {"roles": ["admin"]}}), 403, "no_role"),
        (json!({"preferred_username": "root"}), 409, "foreign_user"),
        (json!({"preferred_username": "a/b"}), 422, "invalid_user_name"),
    ] {
        provider.says(claims.clone(), How::Well);
        assert_eq!(sign_in(&service, &provider).await, (status, code.to_owned()), "{claims}");
    }

    // Who did not go cannot come back, and nobody comes back as somebody else.
    provider.says(json!({}), How::Well);
    leave(&service, &provider).await;
    let (status, _, body) = come_back(&service, &provider, "").await;
    assert_eq!((status, &body["code"]), (400, &json!("sign_in_not_begun")));
    let mine = leave(&service, &provider).await;
    leave(&service, &provider).await;
    let (status, _, body) = come_back(&service, &provider, &mine).await;
    assert_eq!((status, &body["code"]), (400, &json!("sign_in_not_begun")), "another's state");
    let (status, _, body) =
        get(&service, &format!("{CALLBACK}?error=access_denied&state=x"), &mine).await;
    assert_eq!((status, &body["code"]), (400, &json!("sign_in_not_begun")));
    assert!(service.stop().await.success());
    service.assert_quiet(&["is not to be believed"]);
}
