//! What is refused when a policy is written, with field and position.

use super::*;

#[track_caller]
fn check_problem(spec: &str, field: &str, words: &str) {
    let problems = match Policy::compile(&parsed(spec)) {
        Ok(_) => panic!("it was taken: {spec}"),
        Err(problems) => problems,
    };
    let found = problems.iter().any(|problem| problem.field == field && problem.problem.contains(words));
    assert!(found, "{problems:?}");
}

#[test]
fn a_wrong_expression_is_named_with_field_line_and_column() {
    let first = "spec.validations[0].expression";
    check_problem(&rule("object.("), first, "line 1, column");
    check_problem(&rule("object.metadata.name == 'a' &&\\n  objct.x"), first, "");
    check_problem("validations: [{expression: \"true &&\\n  objct.x\"}]", first, "line 2, column 3: names \"objct\"");
    check_problem("validations: [{expression: 'true'}, {expression: ''}]", "spec.validations[1].expression", "");
    check_problem(&rule("params.x == '1'"), first, "names none");
    check_problem(&rule("object.exec('rm')"), first, "calls \"exec\"");
    check_problem(&rule("object.metadata.name.matches('(a+)+')"), first, "calls \"matches\"");
    check_problem("mutations: [{expression: 'nonsense(1)'}]", "spec.mutations[0].expression", "calls \"nonsense\"");
    check_problem(
        "validations: [{expression: 'true', messageExpression: 'x'}]",
        "spec.validations[0].messageExpression",
        "names \"x\"",
    );
}

#[test]
fn what_could_cost_too_much_is_refused() {
    let first = "spec.validations[0].expression";
    let list = "object.spec.containers";
    let nested =
        |depth: usize| (0..depth).fold("true".to_owned(), |inner, level| format!("{list}.all(x{level}, {inner})"));
    assert!(Policy::compile(&parsed(&rule(&nested(2)))).is_ok());
    check_problem(&rule(&nested(3)), first, "more than 2 loops");
    assert!(Policy::compile(&parsed(&rule(&format!("[1, 2].all(i, {})", nested(2))))).is_ok());
    check_problem(&rule(&format!("{}true", "true && ".repeat(600))), first, "bytes");
    check_problem(&rule(&format!("[{}] == []", "1,".repeat(1_100))), first, "parts");
    check_problem(&rule(&format!("{}1{} == 1", "(1 + ".repeat(80), ")".repeat(80))), first, "");
    let many = "{expression: 'true'}, ".repeat(33);
    check_problem(&format!("validations: [{many}]"), "spec", "33 mutations and validations");
    check_problem("action: deny", "spec", "0 mutations and validations");
}

#[test]
fn an_expression_of_nothing_but_depth_is_refused_and_not_followed() {
    let first = "spec.validations[0].expression";
    for deep in [
        format!("{}1{} == 1", "(".repeat(2_000), ")".repeat(2_000)),
        format!("{}1", "1+".repeat(2_047)),
        format!("object{}", ".a".repeat(2_045)),
        format!("{}1{}", "[".repeat(2_000), "]".repeat(2_000)),
        "[".repeat(4_096),
        format!("{}true", "true ? true : ".repeat(290)),
        format!("a{}", "[a".repeat(2_000)),
    ] {
        check_problem(&rule(&deep), first, "");
    }
}

#[test]
fn words_that_policies_do_not_know_are_named() {
    check_problem(&format!("match: {{kinds: [Pood]}}\n{}", rule("true")), "spec.match.kinds[0]", "Pood");
    check_problem(&format!("match: {{kinds: [AdmissionPolicy]}}\n{}", rule("true")), "spec.match.kinds[0]", "lock");
    check_problem(&format!("match: {{operations: [patch]}}\n{}", rule("true")), "spec.match.operations[0]", "patch");
    check_problem(&format!("match: {{objectSelector: 'a in'}}\n{}", rule("true")), "spec.match.objectSelector", "");
    check_problem(&format!("action: shout\n{}", rule("true")), "spec.action", "shout");
    check_problem(&format!("failurePolicy: maybe\n{}", rule("true")), "spec.failurePolicy", "maybe");
    check_problem(&format!("params: {{namespace: a}}\n{}", rule("true")), "spec.params.name", "empty");
}
