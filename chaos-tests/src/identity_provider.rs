//! A small provider of identities (OpenID Connect) of its own: real HTTP on loopback, real signatures, and people who
//! confirm or refuse codes when a test says so. Knows nothing of Boss.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use boss_base::{
    clock::{Clock, SystemClock},
    jwt::testing::{ProviderKey, key_set},
    tasks::{OnExit, Tasks},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Requests of logins are a tenth of this.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Runs until it is dropped.
pub struct IdentityProvider {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    issuer: String,
    key: ProviderKey,
    logins: Mutex<HashMap<String, Login>>,
}

/// A login by its code.
struct Login {
    client_id: String,
    nonce: Option<String>,
    /// It is asked to slow down once.
    hurried: bool,
    answer: Option<Answer>,
}

/// How a login ends.
#[derive(Debug, Clone)]
pub enum Answer {
    /// He confirmed the code; the ID token says these claims beside the usual ones.
    Confirmed(Value),
    /// He refused.
    Denied,
    /// He did nothing for too long.
    Expired,
}

impl IdentityProvider {
    /// Starts it on a port of its own.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let logins = Mutex::default();
        let shared = Arc::new(Shared { issuer, key: ProviderKey::generate("idp-1"), logins });
        let tasks = Tasks::new();
        let (serving, token) = (shared.clone(), tasks.token());
        tasks.spawn("identity-provider", OnExit::Log, async move {
            let serve = async {
                while let Ok((stream, _)) = listener.accept().await {
                    // One after the other is enough for tests; a broken connection is its caller's trouble.
                    drop(answer(&serving, stream).await);
                }
            };
            token.run_until_cancelled(serve).await;
        });
        Ok(Self { shared, tasks })
    }

    /// Its address, as its tokens name it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Ends the login with this code.
    pub fn end(&self, user_code: &str, answer: Answer) {
        let mut logins = self.shared.logins();
        logins.get_mut(user_code).unwrap_or_else(|| panic!("nobody asked for {user_code}")).answer = Some(answer);
    }

    /// An ID token without any login, for a client of that name.
    #[must_use]
    pub fn id_token(&self, client_id: &str, more: &Value) -> String {
        self.shared.id_token(client_id, None, more)
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

impl Shared {
    fn logins(&self) -> MutexGuard<'_, HashMap<String, Login>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn id_token(&self, client_id: &str, nonce: Option<&str>, more: &Value) -> String {
        let now = SystemClock.unix_seconds();
        let mut claims = json!({ "iss": self.issuer, "aud": client_id, "iat": now, "exp": now + 300 });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        self.key.sign(&claims)
    }

    fn reply(&self, method: &str, path: &str, form: &HashMap<String, String>) -> (u16, Value) {
        let issuer = &self.issuer;
        match (method, path) {
            ("GET", "/.well-known/openid-configuration") => (
                200,
                json!({
                    "issuer": issuer,
                    "device_authorization_endpoint": format!("{issuer}/device"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/keys"),
                }),
            ),
            ("GET", "/keys") => (200, key_set([&self.key])),
            ("POST", "/device") => self.begin(form),
            ("POST", "/token") => self.poll(form),
            _ => (404, json!({})),
        }
    }

    fn begin(&self, form: &HashMap<String, String>) -> (u16, Value) {
        let Some(client_id) = form.get("client_id").cloned() else { return refusal("invalid_client") };
        if !form.get("scope").is_some_and(|scope| scope.split(' ').any(|word| word == "openid")) {
            return refusal("invalid_scope");
        }
        let mut logins = self.logins();
        let user_code = format!("CODE-{}", logins.len() + 1);
        let nonce = form.get("nonce").cloned();
        logins.insert(user_code.clone(), Login { client_id, nonce, hurried: false, answer: None });
        let uri = format!("{}/confirm", self.issuer);
        let answer = json!({
            "device_code": format!("device-secret-{user_code}"), "user_code": user_code,
            "verification_uri": uri, "expires_in": 600, "interval": 1,
        });
        (200, answer)
    }

    fn poll(&self, form: &HashMap<String, String>) -> (u16, Value) {
        if form.get("grant_type").map(String::as_str) != Some("urn:ietf:params:oauth:grant-type:device_code") {
            return refusal("unsupported_grant_type");
        }
        let mut logins = self.logins();
        let code = form.get("device_code").and_then(|code| code.strip_prefix("device-secret-"));
        let login = code.and_then(|code| logins.get_mut(code));
        let Some(login) = login.filter(|login| form.get("client_id") == Some(&login.client_id)) else {
            return refusal("invalid_grant");
        };
        match &login.answer {
            None if login.hurried => refusal("authorization_pending"),
            None => {
                login.hurried = true;
                refusal("slow_down")
            }
            Some(Answer::Denied) => refusal("access_denied"),
            Some(Answer::Expired) => refusal("expired_token"),
            Some(Answer::Confirmed(more)) => {
                let id_token = self.id_token(&login.client_id, login.nonce.as_deref(), more);
                (200, json!({ "access_token": "opaque", "token_type": "Bearer", "id_token": id_token }))
            }
        }
    }
}

fn refusal(error: &str) -> (u16, Value) {
    (400, json!({ "error": error }))
}

async fn answer(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let (head, body_from) = loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break (String::from_utf8_lossy(&request[..end]).into_owned(), end + 4);
        }
        if request.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    };
    let header = |name: &str| {
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
    while request.len() < body_from + length.min(REQUEST_BYTES_MAX) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let form = decode_form(&String::from_utf8_lossy(&request[body_from..]));
    let (status, body) = shared.reply(method, path, &form);
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} It is so\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

fn decode_form(body: &str) -> HashMap<String, String> {
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
