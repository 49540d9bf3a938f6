//! What a provider of identities answers to who logs in: no bytes make the reading panic, and whatever it says, waiting
//! has bounds. A subject for a fuzzer; the test here gives it a short run. Compiled for tests and fuzzers only.

use std::time::Duration;

use crate::login::{
    WAIT_MAX,
    device::{Discovery, Grant, Patience, Polled},
    web::{Answer, is_asked},
};

/// Discovery documents, codes, answers to who waits, and addresses.
pub fn login(input: &[u8]) {
    for status in [200, 400, 503] {
        let answer = Answer { status, body: input.to_vec() };
        if let Ok(discovery) = Discovery::read("https://id.example", &answer) {
            for endpoint in
                [discovery.device_authorization_endpoint(), discovery.token_endpoint(), discovery.jwks_uri()]
            {
                drop(endpoint.map(is_asked));
            }
        }
        if let Ok(grant) = Grant::read(&answer) {
            assert!(grant.expires_in() <= WAIT_MAX && grant.interval() >= Duration::from_secs(1));
        }
        if let Ok(polled) = Polled::read(&answer) {
            let mut patience = Patience::new(Duration::from_secs(5));
            patience.grow(&polled);
            assert!(patience.pause() <= Duration::from_secs(60));
        }
    }
    for address in String::from_utf8_lossy(input).lines() {
        drop(is_asked(address));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn no_answer_of_a_provider_makes_its_reading_panic() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus/login");
        boss_base::fuzz::run("login", &corpus, super::login);
    }
}
