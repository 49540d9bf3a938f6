//! One object in full, with what happened to it lately.

use boss_proto::{
    manifest,
    v1::{self, object::Body},
};
use serde_json::Value;

use super::{age, clean, event, node, pod, rfc3339, table};

/// Where `bossctl apply` notes which fields the last manifest spoke of; their values are not kept.
pub const APPLIED_FIELDS: &str = "boss.dev/applied-fields";
/// Wide enough for the longest label here.
const LABEL_WIDTH: usize = 18;

/// The object and its events, oldest first. `now` in milliseconds since the Unix epoch.
#[must_use]
pub fn describe(object: &v1::Object, events: &[v1::Event], now: u64) -> String {
    let mut page = Page::default();
    if let Some(metadata) = object.metadata() {
        head(&mut page, object, metadata, now);
    }
    match &object.body {
        Some(Body::Pod(it)) => pod_lines(&mut page, it, now),
        Some(Body::Node(it)) => node_lines(&mut page, it),
        _ => {}
    }
    page.block("Contents", &contents(object));
    event_lines(&mut page, events, now);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    /// A line, unless there is nothing to say.
    fn line(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            let label = format!("{label}:");
            self.0.push_str(&format!("{label:LABEL_WIDTH$}{}\n", clean(text)));
        }
    }

    fn block(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            self.0.push_str(&format!("{label}:\n"));
            text.lines().for_each(|line| self.0.push_str(&format!("  {}\n", clean(line))));
        }
    }
}

fn head(page: &mut Page, object: &v1::Object, metadata: &v1::ObjectMeta, now: u64) {
    let when =
        |time: Option<i64>| time.map_or_else(String::new, |at| format!("{} ({} ago)", rfc3339(at), age(Some(at), now)));
    page.line("Name", &metadata.name);
    page.line("Namespace", &metadata.namespace);
    page.line("Kind", object.kind().map_or("", |kind| kind.as_str()));
    page.line("UID", &metadata.uid);
    page.line("Created", &when(metadata.creation_timestamp.as_ref().map(|time| time.seconds)));
    page.line("Deletion asked", &when(metadata.deletion_timestamp.as_ref().map(|time| time.seconds)));
    page.line("Finalizers", &metadata.finalizers.join(", "));
    page.line("Labels", &pairs(&metadata.labels));
    let annotations = metadata.annotations.iter().filter(|(key, _)| *key != APPLIED_FIELDS);
    page.line("Annotations", &pairs(annotations));
}

fn pairs<'a>(entries: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    entries.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

fn pod_lines(page: &mut Page, pod: &v1::Pod, now: u64) {
    let (spec, status) = (pod.spec.clone().unwrap_or_default(), pod.status.clone().unwrap_or_default());
    page.line("Status", &pod::state(pod));
    page.line("Reason", &status.reason);
    page.line("Message", &status.message);
    page.line("Class", &if status.class.is_empty() { pod::class(&spec) } else { status.class.clone() });
    page.line("Provider", &status.provider);
    page.line("Node", &spec.node_name);
    page.line("Sandbox", format!("{} {}", status.sandbox_id, status.sandbox_state).trim());
    page.line(
        "Started",
        &status.start_time.as_ref().map_or_else(String::new, |time| age(Some(time.seconds), now) + " ago"),
    );
    for container in &status.container_statuses {
        page.line(&format!("Container {}", container.name), &container_line(container));
        page.line("  before", &state_line(container.last_state.as_ref()));
    }
    page.block("Conditions", &conditions(&status.conditions));
}

fn container_line(container: &v1::ContainerStatus) -> String {
    let pid = if container.pid == 0 { String::new() } else { format!(", pid {}", container.pid) };
    let state = state_line(container.state.as_ref());
    let state = if state.is_empty() { "unknown" } else { &state };
    format!("{state}{pid}, {} restarts", container.restart_count)
}

fn state_line(state: Option<&v1::ContainerState>) -> String {
    let Some(state) = state else { return String::new() };
    let explain = |reason: &str, message: &str| {
        [reason, message].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ")
    };
    if let Some(ended) = &state.terminated {
        let how = if ended.signal == 0 {
            format!("exit code {}", ended.exit_code)
        } else {
            format!("signal {}", ended.signal)
        };
        let why = explain(&ended.reason, &ended.message);
        return if why.is_empty() {
            format!("terminated with {how}")
        } else {
            format!("terminated with {how} ({why})")
        };
    }
    if let Some(running) = &state.running {
        let since =
            running.started_at.as_ref().map_or_else(String::new, |time| format!(" since {}", rfc3339(time.seconds)));
        return format!("running{since}");
    }
    state.waiting.as_ref().map_or_else(String::new, |waiting| {
        let why = explain(&waiting.reason, &waiting.message);
        if why.is_empty() { "waiting".to_owned() } else { format!("waiting ({why})") }
    })
}

fn node_lines(page: &mut Page, node: &v1::Node) {
    let status = node.status.clone().unwrap_or_default();
    page.line("Status", &node::state(node));
    page.line("Addresses", &status.addresses.join(", "));
    page.block("Conditions", &conditions(&status.conditions));
    let provider = |provider: &v1::Provider| {
        let health = if provider.healthy { "healthy".to_owned() } else { format!("not healthy: {}", provider.reason) };
        vec![provider.name.clone(), provider.classes.join(","), provider.version.clone(), health]
    };
    let rows: Vec<_> = node::providers_of(&status).iter().map(provider).collect();
    if !rows.is_empty() {
        page.block("Providers", &table::plain(&["NAME", "CLASSES", "VERSION", "HEALTH"], &rows));
    }
}

fn conditions(conditions: &[v1::Condition]) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    let row = |it: &v1::Condition| vec![it.r#type.clone(), it.status.clone(), it.reason.clone(), it.message.clone()];
    table::plain(&["TYPE", "STATUS", "REASON", "MESSAGE"], &conditions.iter().map(row).collect::<Vec<_>>())
}

/// Everything but what stands above: spec, rules, subjects.
fn contents(object: &v1::Object) -> String {
    if let Some(Body::Secret(secret)) = &object.body {
        let sizes = super::credentials::sizes(secret).join("\n");
        return format!("type: {}\n{sizes}", secret.r#type);
    }
    let mut value = manifest::to_value(object);
    if let Value::Object(fields) = &mut value {
        for field in ["apiVersion", "kind", "metadata", "status"] {
            fields.remove(field);
        }
        if fields.is_empty() {
            return String::new();
        }
    }
    manifest::value_to_yaml(&value)
}

fn event_lines(page: &mut Page, events: &[v1::Event], now: u64) {
    if events.is_empty() {
        page.line("Events", "none");
        return;
    }
    let mut events: Vec<_> = events.iter().collect();
    events.sort_by_key(|it| event::last_seen(it));
    let row = |it: &&v1::Event| {
        let message = if it.count > 1 { format!("{} (x{})", it.message, it.count) } else { it.message.clone() };
        vec![age(event::last_seen(it), now), it.r#type.clone(), it.reason.clone(), it.source.clone(), message]
    };
    let rows: Vec<_> = events.iter().map(row).collect();
    page.block("Events", &table::plain(&["AGE", "TYPE", "REASON", "FROM", "MESSAGE"], &rows));
}
