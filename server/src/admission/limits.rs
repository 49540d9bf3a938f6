//! What pods of a namespace ask for when they do not say, and what they may ask for: the namespace's LimitRanges.
//! Pure; whoever changes a range moves the namespace's admission epoch, so that apply has the write admitted again.

use boss_proto::{
    key::Key,
    kind::Kind,
    quantity::Amounts,
    v1::{LimitRange, LimitRangeItem, Object, PodSpec, ResourceList, Resources, object::Body},
};
use boss_raft::state::View;

use super::checks::Report;

/// The ranges of one namespace.
pub(super) struct Limits<'a>(Vec<(&'a str, &'a LimitRangeItem)>);

impl<'a> Limits<'a> {
    /// Those that count for an object under `key`.
    pub(super) fn of(view: &'a View, key: &Key) -> Self {
        if key.kind != Kind::Pod {
            return Self(Vec::new());
        }
        let ranges = view.list(Kind::LimitRange, Some(&key.namespace)).filter_map(|record| range(&record.object));
        let items = ranges.flat_map(|range| {
            let name = range.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
            range.spec.iter().flat_map(|spec| &spec.limits).map(move |item| (name, item))
        });
        Self(items.collect())
    }

    /// Gives containers what they do not say; the first range that says it counts.
    pub(super) fn fill(&self, object: &mut Object) {
        let Some(spec) = spec_mut(object) else { return };
        // What the pod says as a whole is said for its containers, too.
        let said = spec.resources.clone().unwrap_or_default();
        for (_, item) in self.0.iter().filter(|(_, item)| item.r#type == "Container") {
            for container in &mut spec.containers {
                fill_container(&said, item, &mut container.resources);
            }
        }
    }

    /// The same for an object that stands already: a pod that is bound asks for what it was bound with, whatever the
    /// ranges say by now.
    pub(super) fn fill_changed(&self, stored: Option<&Object>, object: &mut Object) {
        match stored.and_then(spec).filter(|stored| !stored.node_name.is_empty()) {
            Some(stored) => keep_asked(stored, object),
            None => self.fill(object),
        }
    }

    /// Notes what is below or above the ranges.
    pub(super) fn check(&self, object: &Object, report: &mut Report) {
        let Some(spec) = spec(object) else { return };
        for (range, item) in &self.0 {
            if item.r#type == "Pod" {
                check_item(range, item, "spec.resources", &whole(spec), report);
                continue;
            }
            for (index, container) in spec.containers.iter().enumerate() {
                let field = format!("spec.containers[{index}].resources");
                check_item(range, item, &field, &asked([container.resources.as_ref()]), report);
            }
        }
    }
}

/// Whether the resources that a pod asks for have changed.
pub(super) fn asks_otherwise(stored: &Object, object: &Object) -> bool {
    let asked = |object| spec(object).map(whole);
    asked(stored) != asked(object)
}

fn range(object: &Object) -> Option<&LimitRange> {
    match &object.body {
        Some(Body::LimitRange(range)) => Some(range),
        _ => None,
    }
}

fn spec(object: &Object) -> Option<&PodSpec> {
    match &object.body {
        Some(Body::Pod(pod)) => pod.spec.as_ref(),
        _ => None,
    }
}

fn spec_mut(object: &mut Object) -> Option<&mut PodSpec> {
    match object.body.as_mut() {
        Some(Body::Pod(pod)) => pod.spec.as_mut(),
        _ => None,
    }
}

/// Containers that say nothing ask for what they asked for.
fn keep_asked(stored: &PodSpec, object: &mut Object) {
    let Some(spec) = spec_mut(object) else { return };
    for container in spec.containers.iter_mut().filter(|container| container.resources.is_none()) {
        let before = stored.containers.iter().find(|before| before.name == container.name);
        container.resources = before.and_then(|before| before.resources.clone());
    }
}

/// Each resource of a list, for reading and for writing.
fn fields(list: &ResourceList) -> [&String; 6] {
    [&list.cpu, &list.memory, &list.disk, &list.ephemeral_storage, &list.gpu, &list.network_bandwidth]
}

fn fields_mut(list: &mut ResourceList) -> [&mut String; 6] {
    [
        &mut list.cpu,
        &mut list.memory,
        &mut list.disk,
        &mut list.ephemeral_storage,
        &mut list.gpu,
        &mut list.network_bandwidth,
    ]
}

fn fill_container(of_pod: &Resources, item: &LimitRangeItem, resources: &mut Option<Resources>) {
    let list = |list: &Option<ResourceList>| list.clone().unwrap_or_default();
    let (pod_requests, pod_limits) = (list(&of_pod.requests), list(&of_pod.limits));
    let (default_request, default_limit) = (list(&item.default_request), list(&item.default_limit));
    let own = resources.clone().unwrap_or_default();
    let (mut requests, mut limits) = (list(&own.requests), list(&own.limits));
    for index in 0..fields(&requests).len() {
        let said_request = !fields(&requests)[index].is_empty() || !fields(&pod_requests)[index].is_empty();
        let said_limit = !fields(&limits)[index].is_empty() || !fields(&pod_limits)[index].is_empty();
        // A limit that was written stands in for the request.
        if !said_request && !said_limit {
            fields_mut(&mut requests)[index].clone_from(fields(&default_request)[index]);
        }
        // A request without a limit may be above the default one: then there is none.
        if !said_limit && fits(&requests, &default_limit, index) {
            fields_mut(&mut limits)[index].clone_from(fields(&default_limit)[index]);
        }
    }
    let given = |list: ResourceList| (list != ResourceList::default()).then_some(list);
    let filled = Resources { requests: given(requests), limits: given(limits) };
    if filled != Resources::default() {
        *resources = Some(filled);
    }
}

fn fits(requests: &ResourceList, limits: &ResourceList, index: usize) -> bool {
    let amounts = |list| Amounts::try_from(list).map(|amounts: Amounts| amounts.fields()[index].1);
    matches!((amounts(requests), amounts(limits)), (Ok(request), Ok(limit)) if request <= limit)
}

/// Requests and limits as amounts; a limit stands in for a missing request. What cannot be read is for validation.
#[derive(Default, PartialEq)]
struct Asked {
    requests: [u64; 6],
    limits: [u64; 6],
}

fn asked<'a>(resources: impl IntoIterator<Item = Option<&'a Resources>>) -> Asked {
    let mut sum = Asked::default();
    for resources in resources.into_iter().flatten() {
        let amounts = |list: &Option<ResourceList>| {
            let amounts = list.as_ref().and_then(|list| Amounts::try_from(list).ok()).unwrap_or_default();
            amounts.fields().map(|(_, amount)| amount)
        };
        let (requests, limits) = (amounts(&resources.requests), amounts(&resources.limits));
        for index in 0..requests.len() {
            let request = if requests[index] == 0 { limits[index] } else { requests[index] };
            sum.requests[index] = sum.requests[index].saturating_add(request);
            sum.limits[index] = sum.limits[index].saturating_add(limits[index]);
        }
    }
    sum
}

fn whole(spec: &PodSpec) -> Asked {
    let containers = spec.containers.iter().map(|container| container.resources.as_ref());
    asked(std::iter::once(spec.resources.as_ref()).chain(containers))
}

fn check_item(range: &str, item: &LimitRangeItem, field: &str, asked: &Asked, report: &mut Report) {
    let bounds = |list: &Option<ResourceList>| {
        let amounts = list.as_ref().and_then(|list| Amounts::try_from(list).ok());
        amounts.map(|amounts| amounts.fields())
    };
    let text = |list: &Option<ResourceList>, index: usize| {
        list.as_ref().map_or("", |list| fields(list)[index].as_str()).to_owned()
    };
    for (index, (name, min)) in bounds(&item.min).into_iter().flatten().enumerate() {
        if asked.requests[index] < min {
            let least = text(&item.min, index);
            let problem = format!("asks for less than {least}, the least by LimitRange {range:?}");
            report.add(format!("{field}.requests.{name}"), problem, format!("ask for {least} or more"));
        }
    }
    for (index, (name, max)) in bounds(&item.max).into_iter().flatten().enumerate() {
        if max == 0 {
            continue;
        }
        let most = text(&item.max, index);
        let mut refuse = |list: &str, problem: &str| {
            let problem = format!("{problem} {most}, the most by LimitRange {range:?}");
            report.add(format!("{field}.{list}.{name}"), problem, format!("use {most} or less"));
        };
        if asked.limits[index] > max {
            refuse("limits", "is more than");
        } else if asked.requests[index] > max {
            refuse("requests", "is more than");
        } else if asked.limits[index] == 0 {
            refuse("limits", "is missing, so there could be more than");
        }
    }
}

#[cfg(test)]
mod tests;
