//! What an expression may be, decided before it is ever evaluated: its size, how deep it goes, how its loops nest, and
//! that it names only what there is. Knows no object.

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, operators};

use super::compile::Place;
use crate::limits::{POLICY_EXPRESSION_DEPTH_MAX, POLICY_EXPRESSION_NODES_MAX, POLICY_LOOPS_NESTED_MAX};

/// What every expression can name.
const VARIABLES: [&str; 5] = ["object", "oldObject", "request", "namespaceObject", "params"];
/// Names of types, for conversions and for `type(x) == int`.
const TYPES: [&str; 11] =
    ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "optional_type"];
/// Functions and methods of the standard library.
const FUNCTIONS: [&str; 21] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "type",
    "dyn",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "of",
    "none",
    "ofNonZeroValue",
    "orValue",
    "hasValue",
    "value",
];
/// Methods beside them.
const METHODS: [&str; 1] = ["or"];
const OPERATORS: [&str; 20] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::OPT_INDEX,
    operators::OPT_SELECT,
    operators::IN,
];

/// Why an expression is refused, and the node that is to blame.
pub(super) struct Refused {
    pub(super) id: u64,
    pub(super) problem: String,
}

/// Looks at everything that can be known before evaluation.
pub(super) fn check(expression: &IdedExpr, place: Place) -> Result<(), Refused> {
    let count = nodes(expression);
    if count > POLICY_EXPRESSION_NODES_MAX {
        let problem = format!("has {count} parts, the limit is {POLICY_EXPRESSION_NODES_MAX}");
        return Err(Refused { id: expression.id, problem });
    }
    Walk { bound: Vec::new(), loops: 0, depth: 0, place }.visit(expression)
}

/// Parts of the expression, those of loops as they are evaluated.
pub(super) fn nodes(expression: &IdedExpr) -> usize {
    let mut count = 1;
    children(expression, &mut |child| count += nodes(child));
    count
}

fn children<'e>(expression: &'e IdedExpr, visit: &mut dyn FnMut(&'e IdedExpr)) {
    match &expression.expr {
        Expr::Call(call) => {
            call.target.iter().for_each(|target| visit(target));
            call.args.iter().for_each(visit);
        }
        Expr::Comprehension(inner) => {
            [&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]
                .into_iter()
                .for_each(visit);
        }
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_children(&entry.expr, visit)),
        Expr::Struct(structure) => structure.entries.iter().for_each(|entry| entry_children(&entry.expr, visit)),
        Expr::Select(select) => visit(&select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_children<'e>(entry: &'e EntryExpr, visit: &mut dyn FnMut(&'e IdedExpr)) {
    match entry {
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key);
            visit(&entry.value);
        }
        EntryExpr::StructField(field) => visit(&field.value),
    }
}

struct Walk<'e> {
    /// Names that loops around have bound.
    bound: Vec<&'e str>,
    /// Loops around, over lists whose length nobody knows.
    loops: usize,
    depth: usize,
    place: Place,
}

impl<'e> Walk<'e> {
    fn visit(&mut self, expression: &'e IdedExpr) -> Result<(), Refused> {
        self.depth += 1;
        if self.depth > POLICY_EXPRESSION_DEPTH_MAX {
            let problem = format!("goes deeper than {POLICY_EXPRESSION_DEPTH_MAX} levels");
            return Err(Refused { id: expression.id, problem });
        }
        let result = match &expression.expr {
            Expr::Comprehension(inner) => self.visit_loop(expression.id, inner),
            _ => self.check_names(expression).and_then(|()| self.visit_children(expression)),
        };
        self.depth -= 1;
        result
    }

    fn visit_children(&mut self, expression: &'e IdedExpr) -> Result<(), Refused> {
        let mut result = Ok(());
        children(expression, &mut |child| {
            if result.is_ok() {
                result = self.visit(child);
            }
        });
        result
    }

    fn visit_loop(&mut self, id: u64, inner: &'e ComprehensionExpr) -> Result<(), Refused> {
        self.visit(&inner.iter_range)?;
        self.visit(&inner.accu_init)?;
        // The length of a list that is written out is bounded with the expression.
        let counts = usize::from(!matches!(inner.iter_range.expr, Expr::List(_) | Expr::Map(_)));
        self.loops += counts;
        if self.loops > POLICY_LOOPS_NESTED_MAX {
            let problem = format!("has more than {POLICY_LOOPS_NESTED_MAX} loops inside each other");
            return Err(Refused { id, problem });
        }
        let names = self.bound.len();
        self.bound.extend([inner.iter_var.as_str(), inner.accu_var.as_str()]);
        self.bound.extend(inner.iter_var2.as_deref());
        self.visit(&inner.loop_cond)?;
        self.visit(&inner.loop_step)?;
        self.visit(&inner.result)?;
        self.bound.truncate(names);
        self.loops -= counts;
        Ok(())
    }

    fn check_names(&self, expression: &IdedExpr) -> Result<(), Refused> {
        let refuse = |problem| Err(Refused { id: expression.id, problem });
        match &expression.expr {
            Expr::Ident(name) if !self.knows(name) => {
                refuse(format!("names {name:?}, which is nothing that policies know: use {}", VARIABLES.join(", ")))
            }
            Expr::Ident(name) if name == "params" && self.place == Place::WithoutParams => {
                refuse("uses params, but the policy names none".to_owned())
            }
            Expr::Call(call) if !is_function(&call.func_name, call.target.is_some()) => {
                refuse(format!("calls {:?}, which is no function that policies know", call.func_name))
            }
            Expr::Struct(structure) => {
                refuse(format!("makes a message {:?}, which policies cannot", structure.type_name))
            }
            Expr::Unspecified => refuse("is empty".to_owned()),
            _ => Ok(()),
        }
    }

    fn knows(&self, name: &str) -> bool {
        VARIABLES.contains(&name) || TYPES.contains(&name) || name == "optional" || self.bound.contains(&name)
    }
}

fn is_function(name: &str, is_method: bool) -> bool {
    FUNCTIONS.contains(&name)
        || (is_method && METHODS.contains(&name))
        || OPERATORS.contains(&name)
        || name == operators::NOT_STRICTLY_FALSE
}
