//! Asks the policies about one write: who matches, what changes, what is refused. The object is converted once, and
//! only when a policy matches. Pure: the same policies and write give the same answer.

use cel::{Context, Value as Cel};
use serde::Serialize;
use serde_json::Value;

use super::{
    budget::{self, Budget},
    compile::{Action, Expression, OnFailure, Params, Policy, Validation},
    matching::Write,
};
use crate::{
    limits::POLICY_MESSAGE_BYTES_MAX,
    manifest,
    v1::{ConfigMap, Object, ObjectMeta},
};

/// What one policy had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub policy: String,
    /// What follows.
    pub result: Outcome,
    /// In words; empty of a mutation.
    pub message: String,
}

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The write is refused.
    Denied,
    /// The caller is told.
    Warned,
    /// The audit keeps it.
    Audited,
    /// The object was changed.
    Mutated,
    /// It could not be evaluated, and is not to matter then.
    Ignored,
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Warned => "warned",
            Self::Audited => "audited",
            Self::Mutated => "mutated",
            Self::Ignored => "ignored",
        }
    }
}

/// What all policies had to say about one write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Review {
    /// In the order of the policies.
    pub findings: Vec<Finding>,
    /// The object after the mutations, if there were any.
    pub mutated: Option<Object>,
    /// Policies that matched.
    pub matched: usize,
    /// How often an object was converted for expressions.
    pub conversions: usize,
}

impl Review {
    /// Why the write is refused; nothing when it is not.
    pub fn denials(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.result == Outcome::Denied)
    }

    fn find(&mut self, policy: &Policy, result: Outcome, message: String) {
        self.findings.push(Finding { policy: policy.name.clone(), result, message: shortened(message) });
    }

    fn fail(&mut self, policy: &Policy, problem: String) {
        let result = if policy.on_failure == OnFailure::Fail { Outcome::Denied } else { Outcome::Ignored };
        self.find(policy, result, problem);
    }
}

/// Where config maps for `params` are found.
pub type FindParams<'a> = dyn Fn(&Params) -> Option<&'a ConfigMap> + 'a;

/// Asks those policies that change objects. What they make is for the caller to validate like anything else.
#[must_use]
pub fn mutate<'p>(policies: impl Iterator<Item = &'p Policy>, write: &Write<'_>, params: &FindParams<'_>) -> Review {
    let mut review = Review::default();
    let mut current: Option<Object> = None;
    for policy in policies.filter(|policy| !policy.mutations.is_empty()) {
        let now = Write { object: current.as_ref().or(write.object), ..*write };
        if now.object.is_none() || !policy.matching.matches(&now) {
            continue;
        }
        review.matched += 1;
        match mutate_by(policy, &now, params, &mut review.conversions) {
            Ok(None) => {}
            Ok(Some(object)) => {
                current = Some(object);
                review.find(policy, Outcome::Mutated, String::new());
            }
            Err(problem) => review.fail(policy, problem),
        }
    }
    review.mutated = current;
    review
}

/// Asks those policies that judge objects.
#[must_use]
pub fn validate<'p>(policies: impl Iterator<Item = &'p Policy>, write: &Write<'_>, params: &FindParams<'_>) -> Review {
    let mut review = Review::default();
    // Of all policies that match.
    let mut context: Option<Context<'static, 'static>> = None;
    for policy in policies.filter(|policy| !policy.validations.is_empty() || policy.broken.is_some()) {
        if !policy.matching.matches(write) {
            continue;
        }
        review.matched += 1;
        if let Some(broken) = &policy.broken {
            review.fail(policy, format!("the policy cannot be compiled: {broken}"));
            continue;
        }
        if context.is_none() {
            review.conversions += 1;
        }
        let context = context.get_or_insert_with(|| root(write));
        if let Err(problem) = validate_by(policy, write, params, context, &mut review) {
            review.fail(policy, problem);
        }
    }
    review
}

fn mutate_by(
    policy: &Policy,
    write: &Write<'_>,
    params: &FindParams<'_>,
    conversions: &mut usize,
) -> Result<Option<Object>, String> {
    if let Some(broken) = &policy.broken {
        return Err(format!("the policy cannot be compiled: {broken}"));
    }
    let mut current: Option<Object> = None;
    for (index, mutation) in policy.mutations.iter().enumerate() {
        let now = Write { object: current.as_ref().or(write.object), ..*write };
        *conversions += 1;
        let root = root(&now);
        let patch = evaluate(mutation, &inner(policy, &now, params, &root)?)?;
        let patch = patch.json().map_err(|error| format!("mutation {index} gives no JSON: {error}"))?;
        let Some(object) = now.object.filter(|_| !patch.is_null()) else { continue };
        if !patch.is_object() {
            return Err(format!("mutation {index} gives neither a map nor null"));
        }
        current = Some(patched(object, &patch).map_err(|problem| format!("mutation {index}: {problem}"))?);
    }
    Ok(current.filter(|object| Some(object) != write.object))
}

/// The object with the patch in it. What makes it this object, and what only servers write, stays.
fn patched(object: &Object, patch: &Value) -> Result<Object, String> {
    let merged = manifest::merge_patch(manifest::to_value(object), patch);
    let merged = manifest::from_value(merged).map_err(|problem| problem.to_string())?;
    let identity = |object: &Object| {
        let ObjectMeta { name, namespace, uid, resource_version, generation, .. } = object.metadata()?.clone();
        Some((object.kind(), name, namespace, uid, resource_version, generation))
    };
    let guarded = |object: &Object| {
        let ObjectMeta { managed_fields, owner_references, creation_timestamp, deletion_timestamp, .. } =
            object.metadata()?.clone();
        Some((managed_fields, owner_references, creation_timestamp, deletion_timestamp))
    };
    if identity(object) != identity(&merged) || guarded(object) != guarded(&merged) {
        return Err("the patch changes which object it is, or what only the registry writes".to_owned());
    }
    if manifest::to_value(object).get("status") != manifest::to_value(&merged).get("status") {
        return Err("the patch changes the status".to_owned());
    }
    Ok(merged)
}

fn validate_by(
    policy: &Policy,
    write: &Write<'_>,
    params: &FindParams<'_>,
    root: &Context<'static, 'static>,
    review: &mut Review,
) -> Result<(), String> {
    let context = inner(policy, write, params, root)?;
    for validation in &policy.validations {
        match evaluate(&validation.expression, &context)? {
            Cel::Bool(true) => {}
            Cel::Bool(false) => {
                let result = match policy.action {
                    Action::Deny => Outcome::Denied,
                    Action::Warn => Outcome::Warned,
                    Action::Audit => Outcome::Audited,
                };
                review.find(policy, result, message(validation, &context));
            }
            other => {
                return Err(format!("{} gives {}, not true or false", quoted(&validation.expression), other.type_of()));
            }
        }
    }
    Ok(())
}

fn message(validation: &Validation, context: &Context<'_, '_>) -> String {
    let computed = validation.message_expression.as_ref().and_then(|expression| match evaluate(expression, context) {
        Ok(Cel::String(text)) if !text.trim().is_empty() => Some((*text).clone()),
        _ => None,
    });
    computed.unwrap_or_else(|| match validation.message.as_str() {
        "" => format!("{} does not hold", quoted(&validation.expression)),
        message => message.to_owned(),
    })
}

fn quoted(expression: &Expression) -> String {
    format!("`{}`", shortened(expression.source.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// Messages go to callers, into headers and into the audit.
fn shortened(mut text: String) -> String {
    if text.len() > POLICY_MESSAGE_BYTES_MAX {
        let end = (0..=POLICY_MESSAGE_BYTES_MAX - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// What all expressions see.
fn root(write: &Write<'_>) -> Context<'static, 'static> {
    let mut context = Context::with_env(budget::ENVIRONMENT.clone());
    let object = |object: Option<&Object>| object.map_or(Cel::Null, |object| converted(&Bare(object)));
    context.add_variable_from_value("object", object(write.object));
    context.add_variable_from_value("oldObject", object(write.old));
    context.add_variable_from_value("namespaceObject", write.namespace_object.map_or(Cel::Null, converted));
    context.add_variable_from_value("request", converted(&Request::of(write)));
    context
}

/// What the expressions of one policy see beside that.
fn inner<'p>(
    policy: &Policy,
    write: &Write<'_>,
    params: &FindParams<'_>,
    root: &'p Context<'static, 'static>,
) -> Result<Context<'p, 'static>, String> {
    let mut context = root.new_inner_scope();
    context.add_variable_as_val(budget::VARIABLE, Box::new(Budget::new()));
    if let Some(wanted) = &policy.params {
        let namespace = if wanted.namespace.is_empty() { write.namespace } else { &wanted.namespace };
        let wanted = Params { namespace: namespace.to_owned(), name: wanted.name.clone() };
        let map = params(&wanted).ok_or_else(|| {
            format!("the config map {}/{} with its parameters does not exist", wanted.namespace, wanted.name)
        })?;
        context.add_variable_from_value("params", converted(&map.data));
    }
    Ok(context)
}

fn evaluate(expression: &Expression, context: &Context<'_, '_>) -> Result<Cel, String> {
    let value = Cel::resolve(&expression.metered, context);
    // What was too dear may look like an answer: an error beside a true is a true.
    if context
        .get_variable(budget::VARIABLE)
        .is_some_and(|budget| budget.downcast_ref::<Budget>().is_none_or(Budget::is_spent))
    {
        return Err(format!("the loops of {} take too many steps", quoted(expression)));
    }
    value.map_err(|error| format!("{} cannot be evaluated: {error}", quoted(expression)))
}

fn converted<T: Serialize + ?Sized>(value: &T) -> Cel {
    // Everything here is made of texts, numbers, lists and maps with texts as keys.
    cel::to_value(value).unwrap_or(Cel::Null)
}

/// The kind's own message, without the envelope.
struct Bare<'a>(&'a Object);

impl Serialize for Bare<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        manifest::serialize_body(self.0, serializer)
    }
}

/// The variable `request`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    user: &'a str,
    groups: &'a [String],
    operation: &'static str,
    kind: &'static str,
    namespace: &'a str,
    name: &'a str,
    dry_run: bool,
}

impl<'a> Request<'a> {
    fn of(write: &Write<'a>) -> Self {
        Self {
            user: write.caller.username,
            groups: write.caller.groups,
            operation: write.operation.as_str(),
            kind: write.kind.as_str(),
            namespace: write.namespace,
            name: write.name,
            dry_run: write.dry_run,
        }
    }
}
