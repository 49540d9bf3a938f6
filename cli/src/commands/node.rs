//! `bossctl node join`: makes a node's folder on the machine that it will run on. The key is made here and never leaves.
//! Starts nothing.

use std::{collections::BTreeMap, path::Path};

use boss_proto::{
    labels,
    v1::{JoinNodeRequest, JoinNodeResponse, JoinTokenContents},
};

use super::joining::{WHAT, client, read_token, refused};
use crate::{
    args::{self, Global},
    failure::{Exit, Failure},
    output,
    provision::Joining,
    terminal,
};

pub(super) async fn run(args: args::Node, global: &Global) -> Result<Exit, Failure> {
    match args {
        args::Node::Join(args) => join(&args, global).await,
    }
}

async fn join(args: &args::JoinNode, global: &Global) -> Result<Exit, Failure> {
    let labels = read_labels(&args.label)?;
    let token = read_token(&args.token_file)?;
    if !token.for_nodes {
        let why = "the token lets a server in, not a node";
        return Err(Failure::bad_input(WHAT, why).or_next("bossctl cluster join, on the machine of the server"));
    }
    let name = name(args, &token)?;
    let client = client(&token, global)?;
    let joining = Joining::begin_node(&args.dir, &name)?;
    let request = JoinNodeRequest {
        token_id: token.token_id.clone(),
        secret: token.secret.clone(),
        certificate_request: joining.certificate_request().to_vec().into(),
        name,
        cluster_id: token.cluster_id.clone(),
    };
    let answer = match terminal::waiting("joining", client.join_node(request)).await {
        Ok(answer) => answer,
        Err(error) => return Err(refused(joining, &error)),
    };
    let config = joining.finish_node(&answer, &labels)?;
    terminal::print(&next_steps(&token, &answer, &config));
    Ok(Exit::Ok)
}

/// The name that was asked for, else the one that the token is for.
fn name(args: &args::JoinNode, token: &JoinTokenContents) -> Result<String, Failure> {
    let name = match (&args.name, &*token.node_name) {
        (Some(name), _) => name.clone(),
        (None, "") => {
            let why = "the token is not for one name, so the node's name must be given";
            return Err(Failure::bad_input(WHAT, why).or_next("bossctl node join NAME --token-file FILE --dir DIR"));
        }
        (None, name) => name.to_owned(),
    };
    match labels::check_name(&name) {
        Ok(()) => Ok(name),
        Err(problem) => Err(Failure::bad_input(WHAT, format!("the node's name {problem}"))),
    }
}

fn read_labels(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let bad = |text: &str, problem: String| Failure::bad_input(WHAT, format!("the label {text:?}: {problem}"));
    let mut found = BTreeMap::new();
    for text in texts {
        let (key, value) = text.split_once('=').ok_or_else(|| bad(text, "it is not KEY=VALUE".to_owned()))?;
        labels::check_key(key).map_err(|problem| bad(text, problem.to_string()))?;
        labels::check_value(value).map_err(|problem| bad(text, problem.to_string()))?;
        found.insert(key.to_owned(), value.to_owned());
    }
    Ok(found)
}

fn next_steps(token: &JoinTokenContents, answer: &JoinNodeResponse, config: &Path) -> String {
    format!(
        "node {} joins cluster {}\n\n\
         Start it here:   boss-node --config {}\n\
         Its certificate is short-lived; the agent renews it by itself for as long as it reaches the cluster.\n",
        output::clean(&answer.name),
        output::clean(&token.cluster_id),
        config.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_keys_and_values() {
        let read = |text: &str| read_labels(&[text.to_owned()]);
        assert_eq!(read("zone=a").unwrap()["zone"], "a");
        assert_eq!(read("zone=").unwrap()["zone"], "");
        for bad in ["zone", "=a", "zone=a b"] {
            assert_eq!(read(bad).unwrap_err().exit, Exit::BadInput, "{bad}");
        }
    }

    #[test]
    fn the_name_is_what_was_asked_for_or_what_the_token_says() {
        let named = |name: Option<&str>, token: &str| {
            let args = args::JoinNode { name: name.map(str::to_owned), ..args::JoinNode::default() };
            let token = JoinTokenContents { node_name: token.to_owned(), ..JoinTokenContents::default() };
            super::name(&args, &token).ok()
        };
        assert_eq!(named(Some("n1"), "").as_deref(), Some("n1"));
        assert_eq!(named(None, "n2").as_deref(), Some("n2"));
        assert_eq!(named(None, ""), None);
        assert_eq!(named(Some("N 1"), ""), None);
    }
}
