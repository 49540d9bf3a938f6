//! Every bound of the API and the registry, with its reason. Knows no code that keeps them.

use std::time::Duration;

/// Encoded size of one object. sled never syncs blobs above about 128 KB, so values stay below that.
pub const OBJECT_BYTES_MAX: usize = 96 * 1024;
/// Names are DNS labels, so that they can become host names.
pub const NAME_LEN_MAX: usize = 63;
/// A label key: prefix of at most 253, a slash, a name of at most 63.
pub const LABEL_KEY_LEN_MAX: usize = 253 + 1 + 63;
/// A label value.
pub const LABEL_VALUE_LEN_MAX: usize = 63;
/// Labels of one object.
pub const LABELS_MAX: usize = 64;
/// All annotations of one object together.
pub const ANNOTATIONS_BYTES_MAX: usize = 64 * 1024;
/// A key of a config map: a file name.
pub const CONFIG_KEY_LEN_MAX: usize = 253;
/// Keys of a secret, in bytes of all values: what sealing adds, metadata and the object's own form must fit beside it.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;
/// What one sandbox is given of secrets and config maps in its environment, names and values together: Linux takes
/// 128 KiB in one variable.
pub const SANDBOX_VALUES_BYTES_MAX: usize = 96 * 1024;
/// Secrets and config maps that the containers of one pod name: its agent reads each when it starts one.
pub const ENV_SOURCES_MAX: usize = 64;
/// Type of a secret.
pub const SECRET_TYPE_LEN_MAX: usize = 128;
/// Revocations that are kept at once. Who would need more revokes all of a subject at once.
pub const REVOCATIONS_MAX: usize = 50_000;
/// Why something was revoked, in a sentence.
pub const REVOCATION_REASON_BYTES_MAX: usize = 512;
/// The id of a token.
pub const TOKEN_ID_LEN_MAX: usize = 128;
/// Of tokens that servers sign: a key that signs no more must be kept for so long.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(31 * 24 * 3_600);
/// Of tokens that servers sign when the caller does not say.
pub const TOKEN_LIFETIME_DEFAULT: Duration = Duration::from_secs(3_600);
/// Of tokens that are signed at the desk with the key of `cluster init`: as long as its certificates.
pub const BOOTSTRAP_TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Of the login that a token of this cluster is given for: it is something that has just happened.
pub const LOGIN_AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// A name or group of a user whom a provider of identities names: an address is shorter.
pub const USER_NAME_LEN_MAX: usize = 256;
/// Groups that a provider may say somebody is in: apply looks at each of them for every write.
pub const GROUPS_PER_USER_MAX: usize = 128;
/// Finalizers of one object.
pub const FINALIZERS_MAX: usize = 16;
/// Owners of one object.
pub const OWNERS_MAX: usize = 16;
/// Containers of one pod. More than one is refused until a provider can run it.
pub const CONTAINERS_MAX: usize = 1;
/// Items of one list page when the caller does not say.
pub const LIST_PAGE_DEFAULT: usize = 500;
/// Items of one list page; it ends before that at 4 MiB, which is what most large lists meet first. Every page is a
/// confirmed read of its own, so that small ones cost a long list more than they spare.
pub const LIST_PAGE_MAX: usize = 10_000;
/// Text of a selector.
pub const SELECTOR_LEN_MAX: usize = 4 * 1024;
/// Operations of one Raft entry.
pub const COMMAND_OPERATIONS_MAX: usize = 512;
/// Encoded size of one Raft entry.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;
/// Proposals that wait for their commit on the leader; above it callers get RESOURCE_EXHAUSTED.
pub const PROPOSALS_IN_FLIGHT_MAX: usize = 4_096;
/// Of those, kept for deletes and for the leader's own loops.
pub const PROPOSALS_RESERVED: usize = 256;
/// Writes of users and nodes that one server works on at once; the others wait for their turn, fairly. Few enough that
/// a newcomer is not behind a crowd in the log, many enough to fill its batches.
pub const WRITES_IN_FLIGHT_MAX: usize = 1_024;
/// Reads and other calls of users and nodes that one server works on at once.
pub const READS_IN_FLIGHT_MAX: usize = 4_096;
/// Turns kept for deletes beyond the others: a registry that is full can still be emptied.
pub const DELETES_RESERVED: usize = 128;
/// Calls of one subject that wait for their turn; the next one gets RESOURCE_EXHAUSTED.
pub const QUEUED_PER_SUBJECT_MAX: usize = 2_048;
/// Calls of all subjects that wait for their turn; above it the subject with the most of them loses its newest.
pub const QUEUED_MAX: usize = 8_192;
/// Longest wait for a turn, in milliseconds: clients give an attempt up after three seconds.
pub const QUEUE_WAIT_MAX_MS: u64 = 2_000;
/// Longest time that a refused caller is told to stay away, in milliseconds.
pub const RETRY_AFTER_MAX_MS: u32 = 5_000;
/// Watches of one server.
pub const WATCHES_MAX: usize = 20_000;
/// Watches of one subject on one server.
pub const WATCHES_PER_SUBJECT_MAX: usize = 4_096;
/// Operations and comparisons of one transaction, both lists together.
pub const TXN_OPERATIONS_MAX: usize = 128;
/// Objects that one call of DeleteCollection deletes: they fit into one Raft entry.
pub const DELETE_COLLECTION_MAX: usize = 500;
/// Writes of one stream that wait for their outcome; above it the server reads no more of the stream.
pub const STREAM_WRITES_IN_FLIGHT_MAX: usize = 4_096;
/// Managers whose fields one object remembers.
pub const FIELD_MANAGERS_MAX: usize = 32;
/// Name of a field manager.
pub const FIELD_MANAGER_LEN_MAX: usize = 128;
/// Events kept for watches that resume.
pub const WATCH_HISTORY_EVENTS_MAX: usize = 100_000;
/// Bytes of events kept for watches that resume.
pub const WATCH_HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Age of events kept for watches that resume, in milliseconds of the registry's own time.
pub const WATCH_HISTORY_AGE_MAX_MS: u64 = 60 * 60 * 1_000;
/// Remembered effects of request ids.
pub const REQUEST_IDS_MAX: usize = 500_000;
/// Age of remembered effects of request ids, in milliseconds of the registry's own time.
pub const REQUEST_ID_AGE_MAX_MS: u64 = 5 * 60 * 1_000;
/// A gRPC message. A list page can hold many objects.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A request of a client: far above an object, so that one that is a little too large gets its own clear error.
pub const REQUEST_BYTES_MAX: usize = 16 * OBJECT_BYTES_MAX;
/// Header list of one request, names and values and 32 bytes for each, as HTTP/2 counts them: a token is at most 8 KiB.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// Above it the connection refuses by itself, without a word of ours.
pub const HEADER_LIST_BYTES_HARD_MAX: u32 = 4 * HEADER_LIST_BYTES_MAX;
/// Streams of one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// Connections of one listener.
pub const CONNECTIONS_MAX: usize = 8_192;
/// Connections of one listener from one address: many clients may stand behind one.
pub const CONNECTIONS_PER_SOURCE_MAX: usize = 4_096;
/// Connections of the port for health and metrics: probes and collectors are few.
pub const HTTP_CONNECTIONS_MAX: usize = 256;
/// A token that continues a list.
pub const PAGE_TOKEN_BYTES_MAX: usize = 1_024;
/// A bearer token.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest grace period of a pod.
pub const GRACE_PERIOD_SECONDS_MAX: u32 = 3_600;
/// Grace period of a pod that names none.
pub const GRACE_PERIOD_SECONDS_DEFAULT: u32 = 30;
/// One manifest file.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// One line of a pod's log; longer ones are split and marked partial.
pub const LOG_LINE_BYTES_MAX: usize = 16 * 1024;
/// Content of one batch of log records between an agent and a server.
pub const LOG_BATCH_BYTES_MAX: usize = 64 * 1024;
/// Batches an agent may send ahead of a log's reader: 1 MiB in flight hides the round trip and bounds the buffer.
pub const LOG_WINDOW_BATCHES: u32 = 16;

/// Mutations and validations of one policy.
pub const POLICY_EXPRESSIONS_MAX: usize = 32;
/// Text of one expression of a policy.
pub const POLICY_EXPRESSION_BYTES_MAX: usize = 4 * 1024;
/// Parts of one expression, loops written out: each is evaluated once, or once for each turn of its loops.
pub const POLICY_EXPRESSION_NODES_MAX: usize = 1_000;
/// How deep one expression goes: evaluation uses the stack.
pub const POLICY_EXPRESSION_DEPTH_MAX: usize = 64;
/// Loops inside each other over lists of any length: a third one multiplies what two may cost.
pub const POLICY_LOOPS_NESTED_MAX: usize = 2;
/// Parts that the loops of one policy may evaluate for one write; each takes about 50 ns.
pub const POLICY_STEPS_MAX: i64 = 100_000;
/// What a policy tells, or why it could not be evaluated.
pub const POLICY_MESSAGE_BYTES_MAX: usize = 512;
/// Warnings that one write brings: they travel in headers.
pub const POLICY_WARNINGS_MAX: usize = 8;

/// A server that is not further behind than this counts as caught up: a second of heavy load.
pub const CATCH_UP_ENTRIES_MAX: u64 = 5_000;
/// Ended changes of the members that are remembered, for who asks what became of one.
pub const FINISHED_CHANGES_MAX: usize = 32;
/// Ids of removed servers that are refused by name. No id is ever given again, whether it is among them or not.
pub const REMOVED_SERVERS_MAX: usize = 1_024;
/// Join tokens that are kept at once, used ones included.
pub const JOIN_TOKENS_MAX: usize = 64;
/// A join token is for a machine that is being set up.
pub const JOIN_TOKEN_TTL_SECONDS_MAX: u32 = 7 * 24 * 3_600;
/// Nodes that one token may let in.
pub const JOIN_TOKEN_USES_MAX: u32 = 10_000;
/// Of certificates made at the desk that holds the authority's key: for servers, nodes and the administrator. Servers and
/// nodes replace theirs by shorter ones, if there is a server that can sign them.
pub const CERTIFICATE_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3_600);
/// Of certificates that nodes get from the servers. They renew at its half, so a control plane may be away for three days.
pub const NODE_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The same of servers, for whom being locked out is worse.
pub const SERVER_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Less leaves no time to renew.
pub const CERTIFICATE_LIFETIME_MIN: Duration = Duration::from_secs(10);
/// Good certificates of one node: it has two while it renews, and one more for each renewal whose answer was lost.
pub const ISSUED_CERTIFICATES_MAX: usize = 16;
/// Authorities that are believed at once: two while one takes the place of another.
pub const AUTHORITIES_MAX: usize = 4;
/// A certificate request of any usual key has a tenth of this.
pub const CERTIFICATE_REQUEST_BYTES_MAX: usize = 8 << 10;

const _: () = assert!(SECRET_BYTES_MAX < OBJECT_BYTES_MAX);
const _: () = assert!(SECRET_BYTES_MAX < SANDBOX_VALUES_BYTES_MAX);
const _: () = assert!(LOG_LINE_BYTES_MAX <= LOG_BATCH_BYTES_MAX);
const _: () = assert!(OBJECT_BYTES_MAX * 2 < COMMAND_BYTES_MAX);
const _: () = assert!(LIST_PAGE_DEFAULT <= LIST_PAGE_MAX);
// What is admitted must find a place in the log, and the reserve must be more than what may come for it.
const _: () = assert!(WRITES_IN_FLIGHT_MAX + DELETES_RESERVED < PROPOSALS_IN_FLIGHT_MAX - PROPOSALS_RESERVED);
const _: () = assert!(DELETES_RESERVED < PROPOSALS_RESERVED);
// One subject alone must not fill the queue of all.
const _: () = assert!(QUEUED_PER_SUBJECT_MAX * 2 <= QUEUED_MAX);
const _: () = assert!(QUEUE_WAIT_MAX_MS < RETRY_AFTER_MAX_MS as u64);
const _: () = assert!(WATCHES_PER_SUBJECT_MAX * 2 <= WATCHES_MAX);
const _: () = assert!(CONNECTIONS_PER_SOURCE_MAX * 2 <= CONNECTIONS_MAX);
const _: () = assert!(OBJECT_BYTES_MAX < REQUEST_BYTES_MAX && REQUEST_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX * 2 <= HEADER_LIST_BYTES_MAX as usize);
const _: () = assert!(POLICY_MESSAGE_BYTES_MAX * POLICY_WARNINGS_MAX * 2 <= HEADER_LIST_BYTES_MAX as usize);
const _: () = assert!(ANNOTATIONS_BYTES_MAX < OBJECT_BYTES_MAX);
const _: () = assert!(LABEL_KEY_LEN_MAX + LABEL_VALUE_LEN_MAX < SELECTOR_LEN_MAX);
const _: () = assert!(LABELS_MAX * (LABEL_KEY_LEN_MAX + LABEL_VALUE_LEN_MAX) < OBJECT_BYTES_MAX);
