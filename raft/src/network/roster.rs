//! Who the peers are by now, and which data folder each of them has. A server that comes back with another folder has
//! forgotten what it acknowledged, and one that was removed must not disturb those who stayed: both are told so, and
//! end. Knows no message.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use boss_proto::{ids::ServerId, key::Key, v1::object::Body};
use tokio::sync::watch;
use tonic::{Status, metadata::AsciiMetadataValue};

use super::metadata;
use crate::{state::View, types::Address};

/// Clones share what is known.
#[derive(Clone)]
pub(crate) struct Roster(Arc<Inner>);

struct Inner {
    this: ServerId,
    storage_id: String,
    members: RwLock<BTreeMap<ServerId, Address>>,
    /// Why this server has no place in the cluster any more.
    expelled: watch::Sender<Option<String>>,
    /// The last certificate of this server of which another one says that it was revoked.
    revoked: watch::Sender<Option<Revoked>>,
}

/// A certificate that this server showed was revoked, as another server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Of the certificate.
    pub serial: String,
    /// Who says so.
    pub by: ServerId,
}

impl Roster {
    /// Of a server with this data folder.
    pub(crate) fn new(this: ServerId, storage_id: String) -> Self {
        let (members, expelled, revoked) = (RwLock::default(), watch::Sender::default(), watch::Sender::default());
        Self(Arc::new(Inner { this, storage_id, members, expelled, revoked }))
    }

    /// What tells this server's data folder from all others.
    pub(crate) fn storage_id(&self) -> &str {
        &self.0.storage_id
    }

    /// The members as the core knows them now. A server that was among those that everybody agreed on, and is no
    /// more, has been removed.
    pub(crate) fn set_members(&self, members: BTreeMap<ServerId, Address>, agreed: bool) {
        let mut known = self.0.members.write().unwrap_or_else(PoisonError::into_inner);
        let this = &self.0.this;
        let removed = agreed && known.contains_key(this) && !members.is_empty() && !members.contains_key(this);
        if removed {
            drop(known);
            return self.expel(format!("server {this} has been removed from the cluster"));
        }
        *known = members;
    }

    /// The folder that the member is known by; `None` when it is not known yet.
    pub(super) fn folder_of(&self, server: ServerId) -> Option<String> {
        let members = self.0.members.read().unwrap_or_else(PoisonError::into_inner);
        members.get(&server).map(|member| member.storage_id.clone()).filter(|id| !id.is_empty())
    }

    /// Whether the server has the folder that the members know it by. One that does not say is of an older version.
    pub(super) fn knows_folder(&self, server: ServerId, storage_id: Option<&str>) -> bool {
        match (self.folder_of(server), storage_id) {
            (Some(known), Some(said)) => known == said,
            _ => true,
        }
    }

    /// This server must end: it has no place in the cluster. The first reason counts.
    pub(crate) fn expel(&self, reason: String) {
        self.0.expelled.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::error!(reason, "this server has no place in the cluster");
                *known = Some(reason);
            }
            first
        });
    }

    /// Told once this server has no place in the cluster.
    pub(crate) fn expelled(&self) -> watch::Receiver<Option<String>> {
        self.0.expelled.subscribe()
    }

    /// Told when another server refuses this one because of its certificate.
    pub(crate) fn revoked(&self) -> watch::Receiver<Option<Revoked>> {
        self.0.revoked.subscribe()
    }

    /// What was said of a certificate holds no more.
    pub(crate) fn forget_revoked(&self) {
        self.0.revoked.send_if_modified(|known| known.take().is_some());
    }

    /// Looks whether a peer's refusal means that this server must end, or needs another certificate. The peer was
    /// verified when it was dialled.
    pub(super) fn heed(&self, peer: ServerId, status: &Status) {
        if status.metadata().get(metadata::EXPELLED).is_some() {
            self.expel(format!("{}; server {peer} says so", status.message()));
        }
        if let Some(serial) = status.metadata().get(metadata::REVOKED).and_then(|serial| serial.to_str().ok()) {
            let told = Revoked { serial: serial.to_owned(), by: peer };
            self.0.revoked.send_if_modified(|known| {
                // Everybody says so again and again; the first to say it of a certificate is enough.
                let news = known.as_ref().is_none_or(|known| known.serial != told.serial);
                if news {
                    *known = Some(told);
                }
                news
            });
        }
    }
}

/// Marks a refusal as one after which the caller must end.
pub(super) fn mark_expelled(mut status: Status) -> Status {
    status.metadata_mut().insert(metadata::EXPELLED, AsciiMetadataValue::from_static("1"));
    status
}

/// Whether the replicated state says that the server was removed.
pub(crate) fn is_removed(view: &View, server: ServerId) -> bool {
    let Some(record) = view.get(&Key::control_plane()) else { return false };
    match &record.object.body {
        Some(Body::ControlPlane(plane)) => {
            plane.spec.as_ref().is_some_and(|spec| spec.removed_server_ids.contains(&server.0))
        }
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test plays the peer")]
mod tests {
    use super::*;

    fn members(ids: &[u64]) -> BTreeMap<ServerId, Address> {
        let address = |id| Address { storage_id: format!("folder-{id}"), ..Address::default() };
        ids.iter().map(|id| (ServerId(*id), address(*id))).collect()
    }

    fn roster() -> Roster {
        Roster::new(ServerId(1), "folder-1".to_owned())
    }

    #[test]
    fn a_server_that_was_a_member_and_is_none_any_more_is_expelled() {
        let roster = roster();
        roster.set_members(members(&[1, 2]), true);
        roster.set_members(members(&[2]), false);
        assert_eq!(*roster.expelled().borrow(), None, "not before everybody agrees");
        roster.set_members(members(&[1, 2]), true);
        roster.set_members(members(&[2]), true);
        let reason = roster.expelled().borrow().clone().unwrap_or_default();
        assert!(reason.contains("server 1 has been removed"), "{reason}");
    }

    #[test]
    fn a_joining_server_that_replays_members_before_its_time_is_not_expelled() {
        let roster = roster();
        roster.set_members(members(&[2, 3]), true);
        roster.set_members(members(&[1, 2, 3]), true);
        assert_eq!(*roster.expelled().borrow(), None);
    }

    #[test]
    fn a_member_with_another_folder_is_known_for_a_stranger() {
        let roster = roster();
        assert!(roster.knows_folder(ServerId(2), Some("anything")), "not known yet");
        roster.set_members(members(&[1, 2]), true);
        assert!(roster.knows_folder(ServerId(2), Some("folder-2")));
        assert!(!roster.knows_folder(ServerId(2), Some("fresh")));
        assert!(roster.knows_folder(ServerId(2), None));
        assert!(roster.knows_folder(ServerId(9), Some("new")));
    }

    #[test]
    fn a_refusal_that_names_a_revoked_certificate_is_heard_once() {
        let roster = roster();
        let mut told = roster.revoked();
        let refused = |serial: &'static str| {
            let mut status = Status::unauthenticated("the certificate was revoked");
            status.metadata_mut().insert(metadata::REVOKED, AsciiMetadataValue::from_static(serial));
            status
        };
        roster.heed(ServerId(2), &Status::unauthenticated("no"));
        assert!(!told.has_changed().unwrap());
        roster.heed(ServerId(2), &refused("0a"));
        assert_eq!(told.borrow_and_update().clone(), Some(Revoked { serial: "0a".to_owned(), by: ServerId(2) }));
        roster.heed(ServerId(3), &refused("0a"));
        assert!(!told.has_changed().unwrap());
        roster.heed(ServerId(3), &refused("0b"));
        assert_eq!(told.borrow_and_update().clone(), Some(Revoked { serial: "0b".to_owned(), by: ServerId(3) }));
        roster.forget_revoked();
        assert_eq!(told.borrow_and_update().clone(), None);
        roster.heed(ServerId(2), &refused("0b"));
        assert!(told.has_changed().unwrap(), "it is said again");
        assert_eq!(*roster.expelled().borrow(), None, "a new certificate is all it needs");
    }

    #[test]
    fn only_a_marked_refusal_expels() {
        let roster = roster();
        roster.heed(ServerId(2), &Status::permission_denied("no"));
        assert_eq!(*roster.expelled().borrow(), None);
        roster.heed(ServerId(2), &mark_expelled(Status::permission_denied("server 1 has been removed")));
        assert!(roster.expelled().borrow().is_some());
    }
}
