//! What a provider's answers mean: its discovery document, the code that a person has to confirm, and how the waiting
//! goes on. Sends nothing and waits for nothing.

use std::time::Duration;

use serde::{Deserialize, de::DeserializeOwned};

use super::{WAIT_MAX, web::Answer};

/// What the waiting asks for.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// When the provider does not say how often it may be asked.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(5);
/// What a provider may ask for.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// What "slow down" adds.
const SLOWER: Duration = Duration::from_secs(5);

/// A provider's answer that ends the login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not what was asked for.
    #[error("the provider does not answer for {what}: status {status}")]
    Status {
        /// What was asked for.
        what: &'static str,
        /// The status of its answer.
        status: u16,
    },
    /// No JSON, or not with the fields that must be there.
    #[error("the provider's answer for {what} cannot be read: {problem}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// It speaks for somebody else.
    #[error("the provider calls itself {found:?}")]
    OtherIssuer {
        /// Its name.
        found: String,
    },
    /// It cannot log in who sits at a terminal.
    #[error("the provider names no {0}")]
    NoEndpoint(&'static str),
    /// The person said no.
    #[error("the login was refused at the provider")]
    Denied,
    /// Nobody confirmed the code.
    #[error("nobody confirmed the code in time")]
    TooLate,
    /// It refuses for a reason of its own.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// It logged somebody in and did not say whom.
    #[error("the provider gave no ID token: is the scope openid among those that are asked for?")]
    NoIdToken,
}

/// Where a provider can be asked what (OpenID Connect Discovery).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Discovery {
    issuer: String,
    #[serde(default)]
    device_authorization_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint: Option<String>,
    #[serde(default)]
    jwks_uri: Option<String>,
}

impl Discovery {
    /// Reads the document of the provider that was asked.
    pub fn read(issuer: &str, answer: &Answer) -> Result<Self, Problem> {
        check_found(answer.status, "what it offers")?;
        let document: Self = parsed(&answer.body, "what it offers")?;
        // Else one provider could speak for another.
        if document.issuer == issuer { Ok(document) } else { Err(Problem::OtherIssuer { found: document.issuer }) }
    }

    /// Where a code is asked for.
    pub fn device_authorization_endpoint(&self) -> Result<&str, Problem> {
        self.device_authorization_endpoint.as_deref().ok_or(Problem::NoEndpoint("device_authorization_endpoint"))
    }

    /// Where tokens are asked for.
    pub fn token_endpoint(&self) -> Result<&str, Problem> {
        self.token_endpoint.as_deref().ok_or(Problem::NoEndpoint("token_endpoint"))
    }

    /// Where its public keys are.
    pub fn jwks_uri(&self) -> Result<&str, Problem> {
        self.jwks_uri.as_deref().ok_or(Problem::NoEndpoint("jwks_uri"))
    }
}

/// A code that a person has to confirm, and the secret with which its answer is asked for.
#[derive(Clone, Deserialize)]
pub struct Grant {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

impl Grant {
    /// Reads what the provider answers to who asks for a code.
    pub fn read(answer: &Answer) -> Result<Self, Problem> {
        match answer.status {
            200 => parsed(&answer.body, "a code"),
            status => Err(refusal(status, &answer.body, "a code")),
        }
    }

    /// What the person types in.
    #[must_use]
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Where.
    #[must_use]
    pub fn verification_uri(&self) -> &str {
        &self.verification_uri
    }

    /// The same with the code in it.
    #[must_use]
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.verification_uri_complete.as_deref()
    }

    /// The secret of this login.
    #[must_use]
    pub(super) fn device_code(&self) -> &str {
        &self.device_code
    }

    /// How long the code is good.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        Duration::from_secs(self.expires_in).min(WAIT_MAX)
    }

    /// How often the provider may be asked.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval.map_or(INTERVAL_DEFAULT, Duration::from_secs).clamp(INTERVAL_MIN, INTERVAL_MAX)
    }
}

/// How the waiting stands.
#[derive(Clone, PartialEq, Eq)]
pub enum Polled {
    /// He has confirmed it: his ID token.
    Done(String),
    /// Not yet.
    Pending,
    /// Not yet, and it was asked too often.
    SlowDown,
    /// The provider could not be asked.
    Unreachable,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
}

impl Polled {
    /// Reads what the provider answers to who waits.
    pub fn read(answer: &Answer) -> Result<Self, Problem> {
        if answer.status == 200 {
            let Tokens { id_token } = parsed(&answer.body, "a token")?;
            return id_token.filter(|token| !token.is_empty()).map(Self::Done).ok_or(Problem::NoIdToken);
        }
        // What stands before a provider has words of its own for "not now".
        if matches!(answer.status, 429 | 502..=504) {
            return Ok(Self::SlowDown);
        }
        match serde_json::from_slice::<Refusal>(&answer.body).as_ref().map(|refusal| &*refusal.error) {
            Ok("authorization_pending") => Ok(Self::Pending),
            Ok("slow_down") => Ok(Self::SlowDown),
            Ok("access_denied") => Err(Problem::Denied),
            Ok("expired_token") => Err(Problem::TooLate),
            Ok(_) | Err(_) => Err(refusal(answer.status, &answer.body, "a token")),
        }
    }
}

/// How long to wait before the provider is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(Duration);

impl Patience {
    /// As the provider asked for.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self(interval)
    }

    /// Until the next question.
    #[must_use]
    pub fn pause(self) -> Duration {
        self.0
    }

    /// After an answer that asks for more of it, for this and all later questions.
    pub fn grow(&mut self, polled: &Polled) {
        let longer = match polled {
            Polled::Unreachable => self.0 * 2,
            Polled::SlowDown => self.0 + SLOWER,
            Polled::Done(_) | Polled::Pending => self.0,
        };
        self.0 = longer.min(INTERVAL_MAX);
    }
}

/// Whether what was asked for is there.
pub(super) fn check_found(status: u16, what: &'static str) -> Result<(), Problem> {
    if status == 200 { Ok(()) } else { Err(Problem::Status { what, status }) }
}

fn refusal(status: u16, body: &[u8], what: &'static str) -> Problem {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error, error_description: Some(description) }) => {
            Problem::Refused(format!("{error}: {description}"))
        }
        Ok(Refusal { error, error_description: None }) => Problem::Refused(error),
        Err(_) => Problem::Status { what, status },
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8], what: &'static str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        // Where it stumbled, never what it read: the body may hold a token.
        let problem = format!("line {}, column {}", error.line(), error.column());
        Problem::Unreadable { what, problem }
    })
}

#[cfg(test)]
mod tests;
