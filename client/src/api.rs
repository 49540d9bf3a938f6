//! Calls with the type of one kind. Adds nothing else to the client.

use std::marker::PhantomData;

use boss_proto::{ids::Revision, key::Key, object::Resource};

use crate::{
    Client, DeleteOptions, Deleted, Error, Query, Watch,
    client::{Objects, incomplete},
};

/// Objects of one kind in one namespace; all namespaces, or none, when that is empty.
pub struct Api<K> {
    client: Client,
    namespace: String,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Api<K> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), namespace: self.namespace.clone(), kind: PhantomData }
    }
}

/// A list of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct List<K> {
    /// In key order.
    pub items: Vec<K>,
    /// The registry's revision at that moment.
    pub revision: Revision,
}

impl<K: Resource> Api<K> {
    pub(crate) fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace, kind: PhantomData }
    }

    /// The key of the object with this name.
    #[must_use]
    pub fn key(&self, name: &str) -> Key {
        Key::new(K::KIND, &*self.namespace, name)
    }

    /// All of them, for lists and watches.
    #[must_use]
    pub fn query(&self) -> Query {
        Query::all(K::KIND).in_namespace(&*self.namespace)
    }

    /// See [`Client::create`].
    pub async fn create(&self, object: K) -> Result<K, Error> {
        typed(self.client.create(object.into_object()).await?)
    }

    /// See [`Client::get`].
    pub async fn get(&self, name: &str) -> Result<K, Error> {
        typed(self.client.get(&self.key(name)).await?)
    }

    /// All of them.
    pub async fn list(&self) -> Result<List<K>, Error> {
        self.list_by(&self.query()).await
    }

    /// Those of a narrower query, made from [`Api::query`].
    pub async fn list_by(&self, query: &Query) -> Result<List<K>, Error> {
        let Objects { objects, revision } = self.client.list(query).await?;
        Ok(List { items: objects.into_iter().map(typed).collect::<Result<_, _>>()?, revision })
    }

    /// See [`Client::update`].
    pub async fn update(&self, object: K) -> Result<K, Error> {
        typed(self.client.update(object.into_object()).await?)
    }

    /// See [`Client::update_status`].
    pub async fn update_status(&self, object: K) -> Result<K, Error> {
        typed(self.client.update_status(object.into_object()).await?)
    }

    /// See [`Client::delete`].
    pub async fn delete(&self, name: &str, options: &DeleteOptions) -> Result<Deleted, Error> {
        self.client.delete(&self.key(name), options).await
    }

    /// See [`Client::watch`].
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.client.watch(self.query())
    }
}

fn typed<K: Resource>(object: boss_proto::v1::Object) -> Result<K, Error> {
    K::try_from_object(object).map_err(|_| incomplete("an object of another kind"))
}
