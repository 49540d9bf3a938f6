//! From the text of a policy to something that can be asked; every wrong text is named with field and position.

use std::fmt;

use cel::{IdedExpr, common::ast::SourceInfo};

use super::{bounds, budget, matching::Matching};
use crate::{
    limits::{POLICY_EXPRESSION_BYTES_MAX, POLICY_EXPRESSIONS_MAX, POLICY_MESSAGE_BYTES_MAX},
    v1::{AdmissionPolicy, AdmissionPolicySpec},
};

/// Some 8 KiB for each byte of the longest expression, in the slowest build. Only what is used becomes memory.
const PARSER_STACK_BYTES: usize = 8 * 1024 * POLICY_EXPRESSION_BYTES_MAX;

/// Something wrong in a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Problem {
    /// Path of the field: `spec.validations[0].expression`.
    pub field: String,
    /// What is wrong, and at which line and column of it.
    pub problem: String,
}

/// What follows when a validation does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The write is refused.
    Deny,
    /// The caller is told.
    Warn,
    /// The audit keeps it.
    Audit,
}

/// What follows when an expression cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The write is refused.
    Fail,
    /// As if the policy did not match.
    Ignore,
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    WithParams,
    WithoutParams,
}

/// The config map that is known as `params`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Empty: the one of the object.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An expression, ready to be evaluated.
pub(super) struct Expression {
    pub(super) source: String,
    pub(super) metered: IdedExpr,
}

/// One validation.
pub(super) struct Validation {
    pub(super) expression: Expression,
    pub(super) message: String,
    pub(super) message_expression: Option<Expression>,
}

/// A policy, ready to be asked.
pub struct Policy {
    pub(super) name: String,
    pub(super) matching: Matching,
    pub(super) params: Option<Params>,
    pub(super) mutations: Vec<Expression>,
    pub(super) validations: Vec<Validation>,
    pub(super) action: Action,
    pub(super) on_failure: OnFailure,
    /// Why it cannot be evaluated, of a policy that was stored all the same: it refuses what it matches.
    pub(super) broken: Option<String>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Policy {
    /// Compiles it, or names all that is wrong.
    pub fn compile(policy: &AdmissionPolicy) -> Result<Self, Vec<Problem>> {
        let (compiled, problems) = Self::read_with_room(policy)?;
        if problems.is_empty() { Ok(compiled) } else { Err(problems) }
    }

    /// The same for one that is stored already. What cannot be compiled here (another version may have stored it)
    /// fails closed: it refuses everything that it matches.
    #[must_use]
    pub fn stored(policy: &AdmissionPolicy) -> Self {
        let (mut compiled, problems) = Self::read_with_room(policy).unwrap_or_else(|problems| {
            // Without a stack to read it on: what it matches is not known, so it matches all.
            (Self::read(&AdmissionPolicy { spec: None, ..policy.clone() }, &mut Vec::new()), problems)
        });
        compiled.broken = problems.into_iter().next().map(|problem| problem.to_string());
        compiled
    }

    /// The parser descends once for each bracket and each operator of a chain: it gets a stack that is large enough for
    /// the longest expression of nothing else.
    fn read_with_room(policy: &AdmissionPolicy) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let read = || {
            let mut problems = Vec::new();
            (Self::read(policy, &mut problems), problems)
        };
        let read = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("policy".to_owned()).stack_size(PARSER_STACK_BYTES);
            thread.spawn_scoped(scope, read).map(|thread| thread.join())
        });
        let failed = |problem: String| vec![Problem { field: "spec".to_owned(), problem }];
        match read {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(_panic)) => Err(failed("cannot be read by the parser of expressions".to_owned())),
            Err(error) => Err(failed(format!("cannot be read now: {error}"))),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn read(policy: &AdmissionPolicy, problems: &mut Vec<Problem>) -> Self {
        let spec = policy.spec.clone().unwrap_or_default();
        let count = spec.mutations.len() + spec.validations.len();
        if count == 0 || count > POLICY_EXPRESSIONS_MAX {
            note(problems, "spec", format!("has {count} mutations and validations, use 1 to {POLICY_EXPRESSIONS_MAX}"));
        }
        let params = read_params(&spec, problems);
        let place = if params.is_some() { Place::WithParams } else { Place::WithoutParams };
        let mutations =
            spec.mutations.iter().take(POLICY_EXPRESSIONS_MAX).enumerate().filter_map(|(index, mutation)| {
                expression(&format!("spec.mutations[{index}].expression"), &mutation.expression, place, problems)
            });
        let mutations = mutations.collect();
        let validations = read_validations(&spec, place, problems);
        Self {
            name: policy.metadata.as_ref().map_or_else(String::new, |metadata| metadata.name.clone()),
            matching: Matching::read(&spec.r#match.clone().unwrap_or_default(), problems),
            params,
            mutations,
            validations,
            action: read_action(&spec.action, problems),
            on_failure: read_on_failure(&spec.failure_policy, problems),
            broken: None,
        }
    }
}

fn note(problems: &mut Vec<Problem>, field: impl Into<String>, problem: impl Into<String>) {
    problems.push(Problem { field: field.into(), problem: problem.into() });
}

fn read_params(spec: &AdmissionPolicySpec, problems: &mut Vec<Problem>) -> Option<Params> {
    let params = spec.params.as_ref()?;
    if params.name.is_empty() {
        note(problems, "spec.params.name", "is empty: name a config map");
    }
    Some(Params { namespace: params.namespace.clone(), name: params.name.clone() })
}

fn read_validations(spec: &AdmissionPolicySpec, place: Place, problems: &mut Vec<Problem>) -> Vec<Validation> {
    let mut validations = Vec::new();
    for (index, validation) in spec.validations.iter().take(POLICY_EXPRESSIONS_MAX).enumerate() {
        let field = |name: &str| format!("spec.validations[{index}].{name}");
        if validation.message.len() > POLICY_MESSAGE_BYTES_MAX {
            note(problems, field("message"), format!("has more than {POLICY_MESSAGE_BYTES_MAX} bytes"));
        }
        let message_expression = (!validation.message_expression.is_empty())
            .then(|| expression(&field("messageExpression"), &validation.message_expression, place, problems));
        let expression = expression(&field("expression"), &validation.expression, place, problems);
        if let Some(expression) = expression {
            let message = validation.message.clone();
            validations.push(Validation { expression, message, message_expression: message_expression.flatten() });
        }
    }
    validations
}

fn read_action(text: &str, problems: &mut Vec<Problem>) -> Action {
    match text {
        "" | "deny" => Action::Deny,
        "warn" => Action::Warn,
        "audit" => Action::Audit,
        other => {
            note(problems, "spec.action", format!("is {other:?}: use deny, warn or audit"));
            Action::Deny
        }
    }
}

fn read_on_failure(text: &str, problems: &mut Vec<Problem>) -> OnFailure {
    match text {
        "" | "fail" => OnFailure::Fail,
        "ignore" => OnFailure::Ignore,
        other => {
            note(problems, "spec.failurePolicy", format!("is {other:?}: use fail or ignore"));
            OnFailure::Fail
        }
    }
}

fn expression(field: &str, source: &str, place: Place, problems: &mut Vec<Problem>) -> Option<Expression> {
    if source.len() > POLICY_EXPRESSION_BYTES_MAX {
        let problem = format!("has {} bytes, the limit is {POLICY_EXPRESSION_BYTES_MAX}", source.len());
        note(problems, field, problem);
        return None;
    }
    let program = match budget::ENVIRONMENT.compile(source) {
        Ok(program) => program,
        Err(errors) => {
            for error in errors.errors {
                note(problems, field, format!("line {}, column {}: {}", error.pos.0, error.pos.1, error.msg));
            }
            return None;
        }
    };
    if let Err(refused) = bounds::check(program.expression(), place) {
        note(problems, field, format!("{}{}", position(program.source_info(), source, refused.id), refused.problem));
        return None;
    }
    let mut metered = program.expression().clone();
    budget::meter(&mut metered);
    Some(Expression { source: source.to_owned(), metered })
}

/// `line 1, column 7: `, as the parser counts: both from 1.
fn position(info: &SourceInfo, source: &str, id: u64) -> String {
    let Some((start, _)) = info.offset_for(id) else { return String::new() };
    let before: String = source.chars().take(start as usize).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|character| *character != '\n').count() + 1;
    format!("line {line}, column {column}: ")
}
