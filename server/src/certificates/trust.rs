//! Whom servers and nodes believe, as the registry keeps it: a list of authorities, of which one signs. Empty until
//! somebody changes it: then everybody goes by the file that it was set up with. Pure.

use std::collections::BTreeSet;

use boss_base::pki::{self, Authority};
use boss_proto::{
    limits::AUTHORITIES_MAX,
    v1::{ControlPlaneSpec, SetTrustRequest, TrustResponse, TrustedAuthority},
};

use crate::api::Error;

/// The list as others get it.
pub(crate) fn told(spec: &ControlPlaneSpec, known: bool) -> TrustResponse {
    let authorities_pem = pki::bundle_pem(spec.authorities.iter().map(|authority| authority.certificate.as_ref()));
    TrustResponse { authorities_pem, issuing_authority: spec.issuing_authority.clone(), known }
}

/// Replaces the list. `before` is what stands there, or what servers were set up with; `in_use` are the ids of the
/// authorities of certificates that are shown now.
pub(crate) fn set(
    spec: &mut ControlPlaneSpec,
    request: &SetTrustRequest,
    before: &[Authority],
    in_use: &BTreeSet<String>,
) -> Result<(), Error> {
    let wanted = read(request)?;
    let ids: Vec<&str> = wanted.iter().map(|authority| &*authority.id).collect();
    let seen: BTreeSet<&str> = request.seen.iter().map(String::as_str).collect();
    if before.iter().map(|authority| &*authority.id).collect::<BTreeSet<_>>() != seen {
        return Err(Error::Aborted("the authorities have changed since they were looked at".to_owned()));
    }
    if !ids.contains(&&*request.issuing_authority) {
        let problem = format!("is {:?}, which is none of the list", request.issuing_authority);
        return Err(Error::invalid("issuingAuthority", problem, "name one that is believed"));
    }
    let is_new = |id: &str| before.iter().all(|known| known.id != id);
    if is_new(&request.issuing_authority) && !request.force {
        return Err(Error::Precondition(
            "an authority must be believed by all before it signs: add it first, and let it sign in a second step"
                .to_owned(),
        ));
    }
    if let Some(used) = in_use.iter().find(|used| !ids.contains(&&***used) && !request.force) {
        return Err(Error::Precondition(format!(
            "certificates of authority {used} are in use: wait until they are renewed (bossctl certs status), or force it"
        )));
    }
    spec.authorities = wanted
        .iter()
        .map(|authority| TrustedAuthority { id: authority.id.clone(), certificate: authority.der.clone().into() })
        .collect();
    request.issuing_authority.clone_into(&mut spec.issuing_authority);
    Ok(())
}

fn read(request: &SetTrustRequest) -> Result<Vec<Authority>, Error> {
    if request.authorities.is_empty() || request.authorities.len() > AUTHORITIES_MAX {
        let problem =
            format!("has {} authorities, from 1 to {AUTHORITIES_MAX} are possible", request.authorities.len());
        return Err(Error::invalid("authorities", problem, ""));
    }
    let mut wanted: Vec<Authority> = Vec::new();
    for (index, der) in request.authorities.iter().enumerate() {
        let field = || format!("authorities[{index}]");
        let authority = Authority::read(der).map_err(|error| Error::invalid(field(), error.to_string(), ""))?;
        if wanted.iter().any(|other| other.id == authority.id) {
            return Err(Error::invalid(field(), "is there twice", ""));
        }
        wanted.push(authority);
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use boss_base::pki::CertificateAuthority;

    use super::*;

    struct Bench {
        old: Authority,
        new: Authority,
        spec: ControlPlaneSpec,
    }

    impl Bench {
        fn new() -> Self {
            let make = |name: &str| CertificateAuthority::generate(name).unwrap().authority().unwrap();
            Self { old: make("old"), new: make("new"), spec: ControlPlaneSpec::default() }
        }

        fn set(&mut self, list: &[&Authority], issuing: &Authority, used: &[&Authority]) -> Result<(), String> {
            let before = match self.spec.authorities.is_empty() {
                true => vec![self.old.clone()],
                false => pki::read_bundle(&told(&self.spec, true).authorities_pem).unwrap(),
            };
            let request = SetTrustRequest {
                authorities: list.iter().map(|authority| authority.der.clone().into()).collect(),
                issuing_authority: issuing.id.clone(),
                seen: before.iter().map(|authority| authority.id.clone()).collect(),
                force: false,
            };
            let used = used.iter().map(|authority| authority.id.clone()).collect();
            set(&mut self.spec, &request, &before, &used).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn an_authority_is_replaced_in_three_steps_and_none_can_be_left_out() {
        let mut bench = Bench::new();
        let (old, new) = (bench.old.clone(), bench.new.clone());
        let at_once = bench.set(&[&new], &new, &[&old]).unwrap_err();
        assert!(at_once.contains("must be believed by all before it signs"), "{at_once}");
        bench.set(&[&old, &new], &old, &[&old]).unwrap();
        let early = bench.set(&[&new], &new, &[&old]).unwrap_err();
        assert!(early.contains(&format!("certificates of authority {} are in use", old.id)), "{early}");
        bench.set(&[&old, &new], &new, &[&old]).unwrap();
        assert!(bench.set(&[&new], &new, &[&old, &new]).unwrap_err().contains("are in use"));
        bench.set(&[&new], &new, &[&new]).unwrap();
        assert_eq!(pki::read_bundle(&told(&bench.spec, true).authorities_pem).unwrap(), [new]);
    }

    #[test]
    fn the_list_is_bounded_names_its_signer_and_is_changed_by_one_at_a_time() {
        let mut bench = Bench::new();
        let (old, new) = (bench.old.clone(), bench.new.clone());
        assert!(bench.set(&[&old], &new, &[]).unwrap_err().contains("none of the list"));
        assert!(bench.set(&[&old, &old], &old, &[]).unwrap_err().contains("is there twice"));
        let many: Vec<Authority> = (0..=AUTHORITIES_MAX)
            .map(|number| CertificateAuthority::generate(&number.to_string()).unwrap().authority().unwrap())
            .collect();
        let refused = bench.set(&many.iter().collect::<Vec<_>>(), &many[0], &[]).unwrap_err();
        assert!(refused.contains("has 5 authorities, from 1 to 4"), "{refused}");
        let stale = SetTrustRequest {
            authorities: vec![old.der.clone().into()],
            issuing_authority: old.id.clone(),
            seen: vec![new.id.clone()],
            force: false,
        };
        let before = [old.clone()];
        let refused = set(&mut bench.spec, &stale, &before, &BTreeSet::new()).unwrap_err();
        assert!(matches!(refused, Error::Aborted(_)), "{refused:?}");
    }
}
