//! What a range of limits may say.

use boss_proto::{
    quantity::Amounts,
    v1::{LimitRange, LimitRangeItem, ResourceList},
};

use super::Report;

/// More items say nothing that these cannot.
const ITEMS_MAX: usize = 16;

pub(super) fn check(range: &LimitRange, report: &mut Report) {
    let items = range.spec.as_ref().map_or(&[][..], |spec| &spec.limits);
    if items.is_empty() || items.len() > ITEMS_MAX {
        report.add("spec.limits", format!("has {} items", items.len()), format!("use 1 to {ITEMS_MAX}"));
    }
    for (index, item) in items.iter().enumerate() {
        check_item(&format!("spec.limits[{index}]"), item, report);
    }
}

fn check_item(field: &str, item: &LimitRangeItem, report: &mut Report) {
    let is_container = item.r#type == "Container";
    if !is_container && item.r#type != "Pod" {
        report.add(format!("{field}.type"), format!("is {:?}", item.r#type), "use Container or Pod");
    }
    let mut parse = |name: &str, list: Option<&ResourceList>| {
        let list = list?;
        if !is_container && name.starts_with("default") {
            report.add(format!("{field}.{name}"), "is for containers only", "");
        }
        let parsed = Amounts::try_from(list);
        if let Err(bad) = &parsed {
            report.add(format!("{field}.{name}.{}", bad.field), &bad.source, "write it like 500m, 2, 64Mi or 1G");
        }
        parsed.ok()
    };
    let steps = [
        ("min", parse("min", item.min.as_ref())),
        ("defaultRequest", parse("defaultRequest", item.default_request.as_ref())),
        ("defaultLimit", parse("defaultLimit", item.default_limit.as_ref())),
        ("max", parse("max", item.max.as_ref())),
    ];
    let named: Vec<_> = steps.iter().filter_map(|(name, amounts)| Some((name, amounts.as_ref()?))).collect();
    for (index, (low_name, low)) in named.iter().enumerate() {
        for (high_name, high) in &named[index + 1..] {
            for ((resource, low), (_, high)) in low.fields().into_iter().zip(high.fields()) {
                if high != 0 && low > high {
                    report.add(format!("{field}.{low_name}.{resource}"), format!("is more than {high_name}"), "");
                }
            }
        }
    }
}
