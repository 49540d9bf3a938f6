//! `bossctl policy test`: policies over manifests, by the same code that the servers ask. Asks no cluster.

use boss_proto::{
    key::Key,
    kind::Kind,
    manifest,
    policy::{self, Caller, Finding, Operation, Params, Policy, Review, profile},
    v1::{self, ConfigMap, Namespace, Object, object::Body},
};

use super::manifests;
use crate::{
    args,
    failure::{Exit, Failure},
    output::clean,
    session::NAMESPACE_DEFAULT,
    terminal,
};

/// What the files hold.
#[derive(Default)]
struct Files {
    policies: Vec<Policy>,
    objects: Vec<Object>,
}

pub(super) fn run(args: args::Policy) -> Result<Exit, Failure> {
    let args::Policy::Test(args) = args;
    let files = read(&args)?;
    if files.policies.is_empty() && args.profile.is_none() {
        return Err(Failure::bad_input("cannot test policies", "the files hold none").or_next("name one, or --profile"));
    }
    let mut exit = Exit::Ok;
    for object in files.objects.iter().filter(|object| !is_context(object)) {
        let review = ask(&args, &files, object);
        terminal::print(&told(&args, object, &review));
        if review.denials().next().is_some() {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

/// Every object of the files; the policies among them compiled, in the order of their names.
fn read(args: &args::TestPolicy) -> Result<Files, Failure> {
    let mut files = Files::default();
    for object in manifests::read(&args.files) {
        let mut object = object?;
        if let Some(Body::AdmissionPolicy(policy)) = &object.body {
            files.policies.push(compile(policy)?);
            continue;
        }
        let kind = object.kind();
        if let Some(metadata) = object.metadata_mut()
            && kind.is_some_and(Kind::is_namespaced)
            && metadata.namespace.is_empty()
        {
            NAMESPACE_DEFAULT.clone_into(&mut metadata.namespace);
        }
        files.objects.push(object);
    }
    files.policies.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(files)
}

fn compile(policy: &v1::AdmissionPolicy) -> Result<Policy, Failure> {
    let name = policy.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
    Policy::compile(policy).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::bad_input(format!("cannot use policy {}", clean(name)), clean(&lines.join("; ")))
    })
}

/// Objects that others are seen with; a namespace is not asked about by itself.
fn is_context(object: &Object) -> bool {
    matches!(object.body, Some(Body::Namespace(_)))
}

fn ask(args: &args::TestPolicy, files: &Files, object: &Object) -> Review {
    let Some(key) = object.key() else { return Review::default() };
    let params = |params: &Params| files.config_map(params);
    let mut write = files.write(args, &key, object);
    let changed = policy::mutate(files.policies.iter(), &write, &params);
    if write.operation != Operation::Delete {
        write.object = changed.mutated.as_ref().or(write.object);
    }
    let mut review = policy::validate(files.policies.iter(), &write, &params);
    review.findings.splice(0..0, changed.findings.clone());
    if let (Some(profile), Some(Body::Pod(pod))) = (args.profile, write.object.and_then(|object| object.body.as_ref()))
    {
        review.findings.extend(profile::check(profile, pod).into_iter().map(|violation| Finding {
            policy: format!("profile:{profile}"),
            result: policy::Outcome::Denied,
            message: violation.to_string(),
        }));
    }
    review.mutated = changed.mutated;
    review
}

impl Files {
    fn write<'a>(&'a self, args: &'a args::TestPolicy, key: &'a Key, object: &'a Object) -> policy::Write<'a> {
        let stands = matches!(args.operation, Operation::Update | Operation::Status | Operation::Delete);
        policy::Write {
            operation: args.operation,
            kind: key.kind,
            namespace: &key.namespace,
            name: &key.name,
            object: (args.operation != Operation::Delete).then_some(object),
            old: stands.then_some(object),
            namespace_object: self.namespace(&key.namespace),
            caller: Caller { username: &args.user, groups: &args.group, is_system: false },
            dry_run: false,
        }
    }

    fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.objects.iter().find_map(|object| match &object.body {
            Some(Body::Namespace(found)) if object.key()?.name == name => Some(&**found),
            _ => None,
        })
    }

    fn config_map(&self, params: &Params) -> Option<&ConfigMap> {
        let wanted = Key::new(Kind::ConfigMap, &*params.namespace, &*params.name);
        self.objects.iter().find_map(|object| match &object.body {
            Some(Body::ConfigMap(map)) if object.key()? == wanted => Some(&**map),
            _ => None,
        })
    }
}

fn told(args: &args::TestPolicy, object: &Object, review: &Review) -> String {
    let key = object.key().map_or_else(String::new, |key| format!("{}/{}", key.kind.plural(), clean(&key.name)));
    let mut text = String::new();
    for Finding { policy, result, message } in &review.findings {
        let message = if message.is_empty() { String::new() } else { format!(": {}", clean(message)) };
        text.push_str(&format!("{key} {} by {}{message}\n", result.as_str(), clean(policy)));
    }
    if review.denials().next().is_none() {
        text.push_str(&format!("{key} passes\n"));
    }
    if let Some(mutated) = review.mutated.as_ref().filter(|_| args.show) {
        text.push_str(&format!("{}---\n", manifest::to_yaml(mutated)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const FILES: &str = "apiVersion: boss.dev/v1
kind: AdmissionPolicy
metadata: {name: images}
spec:
  match: {kinds: [Pod], namespaceSelector: env=prod}
  params: {name: allowed}
  mutations: [{expression: \"{'metadata': {'labels': {'seen': 'yes'}}}\"}]
  validations:
  - {expression: 'object.spec.containers.all(c, c.image.startsWith(params.registry))', message: foreign image}
---
apiVersion: boss.dev/v1
kind: ConfigMap
metadata: {name: allowed, namespace: shop}
data: {registry: reg/}
---
apiVersion: boss.dev/v1
kind: Namespace
metadata: {name: shop, labels: {env: prod}}
---
apiVersion: boss.dev/v1
kind: Pod
metadata: {name: good, namespace: shop}
spec: {sandboxClass: container, containers: [{image: reg/a}]}
";

    fn test(text: &str, profile: Option<profile::Profile>) -> Result<(Exit, String), Failure> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("all.yaml");
        fs::write(&file, text).unwrap();
        let args = args::TestPolicy {
            files: vec![file],
            profile,
            operation: Operation::Create,
            user: "rita".to_owned(),
            group: Vec::new(),
            show: false,
        };
        let files = read(&args)?;
        let object = files.objects.last().unwrap();
        let review = ask(&args, &files, object);
        let exit = if review.denials().next().is_some() { Exit::Failed } else { Exit::Ok };
        Ok((exit, told(&args, object, &review)))
    }

    #[test]
    fn a_pod_is_judged_with_its_namespace_and_the_parameters_of_the_files() {
        let (exit, text) = test(FILES, None).unwrap();
        assert_eq!((exit, text.as_str()), (Exit::Ok, "pods/good mutated by images\npods/good passes\n"));
        let (exit, text) = test(&FILES.replace("reg/a", "other/a"), None).unwrap();
        assert_eq!(exit, Exit::Failed);
        assert_eq!(text, "pods/good mutated by images\npods/good denied by images: foreign image\n");
        let (exit, _) = test(&FILES.replace("{env: prod}", "{env: dev}").replace("reg/a", "other/a"), None).unwrap();
        assert_eq!(exit, Exit::Ok);
    }

    #[test]
    fn a_profile_can_be_held_against_pods() {
        let (exit, text) = test(FILES, Some(profile::Profile::Restricted)).unwrap();
        assert_eq!(exit, Exit::Failed);
        assert!(text.contains("denied by profile:restricted: spec.security.readonlyRootfs"), "{text}");
    }

    #[test]
    fn a_policy_that_does_not_compile_is_bad_input_with_its_field() {
        let failure = test(&FILES.replace("object.spec", "objct.spec"), None).unwrap_err();
        assert_eq!(failure.exit, Exit::BadInput);
        assert!(failure.why.contains("spec.validations[0].expression: line 1, column 1"), "{}", failure.why);
    }
}
