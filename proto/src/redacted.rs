//! Messages that hold secrets, as logs and panics may show them: names and sizes, never values.

use std::fmt;

use crate::{
    peer::v1::{Credential, credential::Proof},
    v1::{ApplyRequest, CreateTokenResponse, PatchRequest, Secret},
};

/// A value that is not shown.
struct Bytes(usize);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = |key: &String, len: usize| (key.clone(), Bytes(len));
        let data: Vec<_> = self.data.iter().map(|(key, value)| sizes(key, value.len())).collect();
        let texts: Vec<_> = self.string_data.iter().map(|(key, value)| sizes(key, value.len())).collect();
        f.debug_struct("Secret")
            .field("metadata", &self.metadata)
            .field("type", &self.r#type)
            .field("data", &data)
            .field("string_data", &texts)
            .field("sealed", &self.sealed.as_ref().map(|sealed| &sealed.key_id))
            .finish()
    }
}

impl fmt::Debug for CreateTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateTokenResponse")
            .field("token", &Bytes(self.token.len()))
            .field("token_id", &self.token_id)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

// Patches and manifests may be of secrets.

impl fmt::Debug for PatchRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatchRequest")
            .field("key", &self.key)
            .field("request_id", &self.request_id)
            .field("merge_patch", &Bytes(self.merge_patch.len()))
            .field("status", &self.status)
            .field("preconditions", &self.preconditions)
            .field("dry_run", &self.dry_run)
            .field("field_manager", &self.field_manager)
            .finish()
    }
}

impl fmt::Debug for ApplyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApplyRequest")
            .field("manifest", &Bytes(self.manifest.len()))
            .field("request_id", &self.request_id)
            .field("field_manager", &self.field_manager)
            .field("force", &self.force)
            .field("dry_run", &self.dry_run)
            .finish()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proof = match &self.proof {
            None => "none",
            Some(Proof::Token(_)) => "a token",
            Some(Proof::Certificate(_)) => "a certificate",
        };
        f.debug_struct("Credential").field("proof", &proof).finish()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::v1::Object;

    const CANARY: &str = "hunter2-canary";

    #[test]
    fn debug_shows_no_value_of_a_secret() {
        let data = [("password".to_owned(), Bytes::from(CANARY))].into();
        let string_data = [("user".to_owned(), CANARY.to_owned())].into();
        let object = Object::from(Secret { data, string_data, ..Secret::default() });
        let shown = format!("{object:?} {object:#?}");
        assert!(shown.contains("password") && shown.contains("[14 bytes]"), "{shown}");
        assert!(!shown.contains(CANARY), "{shown}");
    }

    #[test]
    fn debug_shows_no_token_and_no_manifest() {
        let credential = Credential { proof: Some(Proof::Token(CANARY.to_owned())) };
        let patch = PatchRequest { merge_patch: CANARY.into(), ..PatchRequest::default() };
        let apply = ApplyRequest { manifest: CANARY.into(), ..ApplyRequest::default() };
        let created = CreateTokenResponse { token: CANARY.to_owned(), ..CreateTokenResponse::default() };
        let shown = format!("{credential:?} {patch:?} {apply:?} {created:?}");
        assert!(!shown.contains(CANARY) && !shown.contains("104, 117"), "{shown}");
    }
}
