//! Every answer that a provider may give.

use super::*;

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, body: body.as_bytes().to_vec() }
}

#[test]
fn a_provider_that_speaks_for_another_or_offers_too_little_is_refused() {
    let document = r#"{"issuer":"https://a","token_endpoint":"https://a/t","more":[1]}"#;
    let discovery = Discovery::read("https://a", &answer(200, document)).unwrap();
    assert_eq!(discovery.token_endpoint(), Ok("https://a/t"));
    let missing = Problem::NoEndpoint("device_authorization_endpoint");
    assert_eq!(discovery.device_authorization_endpoint(), Err(missing));
    let other = Discovery::read("https://b", &answer(200, document));
    assert_eq!(other, Err(Problem::OtherIssuer { found: "https://a".into() }));
    assert!(matches!(Discovery::read("https://a", &answer(404, document)), Err(Problem::Status { status: 404, .. })));
    assert!(matches!(Discovery::read("https://a", &answer(200, "<html>")), Err(Problem::Unreadable { .. })));
}

#[test]
fn a_code_has_bounds_whatever_the_provider_says() {
    let grant = |more: &str| {
        let body = format!(r#"{{"device_code":"d","user_code":"U","verification_uri":"https://a/d"{more}}}"#);
        Grant::read(&answer(200, &body))
    };
    let usual = grant(r#","expires_in":600"#).ok().unwrap();
    assert_eq!((usual.interval(), usual.expires_in()), (Duration::from_secs(5), Duration::from_secs(600)));
    let hasty = grant(r#","expires_in":999999999,"interval":0"#).ok().unwrap();
    assert_eq!((hasty.interval(), hasty.expires_in()), (INTERVAL_MIN, WAIT_MAX));
    assert_eq!(grant(r#","expires_in":600,"interval":86400"#).ok().unwrap().interval(), INTERVAL_MAX);
    assert!(matches!(grant("").err(), Some(Problem::Unreadable { .. })));
    let refused = Grant::read(&answer(400, r#"{"error":"invalid_client","error_description":"who?"}"#)).err();
    assert_eq!(refused, Some(Problem::Refused("invalid_client: who?".into())));
}

#[test]
fn waiting_goes_on_or_ends_as_the_provider_says() {
    let polled = |status, body: &str| Polled::read(&answer(status, body));
    assert!(
        matches!(polled(200, r#"{"id_token":"a.b.c","access_token":"x"}"#), Ok(Polled::Done(token)) if token == "a.b.c")
    );
    assert!(matches!(polled(200, r#"{"access_token":"x"}"#), Err(Problem::NoIdToken)));
    assert!(matches!(polled(400, r#"{"error":"authorization_pending"}"#), Ok(Polled::Pending)));
    assert!(matches!(polled(400, r#"{"error":"slow_down"}"#), Ok(Polled::SlowDown)));
    assert!(matches!(polled(503, "<html>"), Ok(Polled::SlowDown)));
    assert!(matches!(polled(400, r#"{"error":"access_denied"}"#), Err(Problem::Denied)));
    assert!(matches!(polled(400, r#"{"error":"expired_token"}"#), Err(Problem::TooLate)));
    assert!(matches!(polled(401, r#"{"error":"invalid_client"}"#), Err(Problem::Refused(_))));
    assert!(matches!(polled(404, ""), Err(Problem::Status { status: 404, .. })));
}

#[test]
fn slowing_down_lasts_and_has_an_end() {
    let mut patience = Patience::new(Duration::from_secs(5));
    patience.grow(&Polled::SlowDown);
    assert_eq!(patience.pause(), Duration::from_secs(10));
    patience.grow(&Polled::Pending);
    assert_eq!(patience.pause(), Duration::from_secs(10));
    patience.grow(&Polled::Unreachable);
    assert_eq!(patience.pause(), Duration::from_secs(20));
    (0..10).for_each(|_| patience.grow(&Polled::Unreachable));
    assert_eq!(patience.pause(), INTERVAL_MAX);
}

#[test]
fn what_cannot_be_read_is_not_repeated() {
    let secret = polled_error(r#"{"id_token":"secret-token""#);
    assert!(!secret.contains("secret"), "{secret}");
    let secret = polled_error(r#"{"id_token":["secret-token"]}"#);
    assert!(!secret.contains("secret"), "{secret}");
}

fn polled_error(body: &str) -> String {
    Polled::read(&answer(200, body)).err().unwrap().to_string()
}
