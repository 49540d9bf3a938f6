//! What an evaluation may cost. The library itself has no bound, so every loop of an expression is made to pay before
//! it begins: `LIST.all(x, BODY)` is evaluated as if it were `@charge(@budget, LIST, steps of BODY).all(x, BODY)`.
//! Knows no policy.

use std::{
    any::Any,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
};

use cel::{
    Env, ExecutionError,
    common::{
        ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue},
        types::{CelInt, DYN_TYPE, Type},
        value::{CowVal, StaticVal, Val},
    },
};

use super::bounds;
use crate::limits::POLICY_STEPS_MAX;

/// Under which an expression finds its budget; nobody can write it.
pub(super) const VARIABLE: &str = "@budget";
const FUNCTION: &str = "@charge";

/// What expressions can use: the standard library, without regular expressions and times.
pub(super) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_overload(FUNCTION, "charge_for_loop", vec![DYN_TYPE, DYN_TYPE, DYN_TYPE], charge)
        .expect("nobody else can use this name");
    Arc::new(env)
});

/// Steps that are left.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicI64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(POLICY_STEPS_MAX)))
    }

    /// Whether something was too dear: what came of the evaluation then means nothing.
    pub(super) fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }
}

impl StaticVal for Budget {}

impl Val for Budget {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        &DYN_TYPE
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    fn equals(&self, _other: &dyn Val) -> bool {
        false
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
}

fn charge<'b, 'v>(mut arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let steps = arguments.pop();
    let (Some(list), Some(budget)) = (arguments.pop(), arguments.pop()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let steps = steps.and_then(|steps| steps.downcast_ref::<CelInt>().map(|steps| *steps.inner())).unwrap_or(i64::MAX);
    // What has no size fails as a loop's range anyway.
    let turns = list.as_sizer().map_or(1, |sizer| *sizer.size().inner());
    let Some(Budget(left)) = budget.downcast_ref::<Budget>() else {
        return Err(ExecutionError::undeclared_reference(VARIABLE));
    };
    let price = turns.saturating_mul(steps).clamp(0, POLICY_STEPS_MAX.saturating_add(1));
    if left.fetch_sub(price, Ordering::Relaxed) < price {
        // Others of the same evaluation must fail, too, and not wrap around.
        left.store(-1, Ordering::Relaxed);
        return Err(ExecutionError::function_error("policy", "the loops of the expression take too many steps"));
    }
    Ok(list)
}

/// Makes every loop of the expression pay.
pub(super) fn meter(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Comprehension(comprehension) => meter_loop(comprehension),
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| meter(target));
            call.args.iter_mut().for_each(meter);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(meter),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| meter_entry(&mut entry.expr)),
        Expr::Struct(structure) => structure.entries.iter_mut().for_each(|entry| meter_entry(&mut entry.expr)),
        Expr::Select(select) => meter(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn meter_entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::MapEntry(entry) => {
            meter(&mut entry.key);
            meter(&mut entry.value);
        }
        EntryExpr::StructField(field) => meter(&mut field.value),
    }
}

fn meter_loop(comprehension: &mut ComprehensionExpr) {
    let body = bounds::nodes(&comprehension.loop_step) + bounds::nodes(&comprehension.loop_cond);
    for part in [
        &mut comprehension.iter_range,
        &mut comprehension.accu_init,
        &mut comprehension.loop_cond,
        &mut comprehension.loop_step,
        &mut comprehension.result,
    ] {
        meter(part);
    }
    let id = comprehension.iter_range.id;
    let steps = i64::try_from(body).unwrap_or(i64::MAX);
    let argument = |expr| IdedExpr { id, expr };
    let range = std::mem::take(&mut comprehension.iter_range);
    let args = vec![
        argument(Expr::Ident(VARIABLE.to_owned())),
        range,
        argument(Expr::Literal(LiteralValue::Int(CelInt::from(steps)))),
    ];
    let call = CallExpr { func_name: FUNCTION.to_owned(), target: None, args };
    comprehension.iter_range = argument(Expr::Call(call));
}
