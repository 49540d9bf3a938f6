//! The words of a sandbox's intent and state, parsed once into enums. Knows no defaults but those of the words.

use std::{fmt, str::FromStr};

use crate::v1;

/// The text is none of the words that the field knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: use one of {}", .words.join(", "))]
pub struct UnknownWord {
    /// What was expected.
    pub what: &'static str,
    /// What was found.
    pub text: String,
    /// What is possible.
    pub words: &'static [&'static str],
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every word, in order.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word as users write it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok($name::$variant),)*
                    _ => Err(UnknownWord { what: $what, text: text.to_owned(), words: Self::WORDS }),
                }
            }
        }
    };
}

words! {
    /// What kind of sandbox runs the pod.
    SandboxClass, "sandbox class" {
        /// A supervised process of the host.
        Process = "process",
        /// An OCI container.
        Container = "container",
        /// A WebAssembly module.
        Wasm = "wasm",
        /// A small virtual machine.
        Microvm = "microvm",
        /// A full virtual machine.
        Vm = "vm",
        /// Somewhere else.
        Remote = "remote",
    }
}

impl SandboxClass {
    /// The class that a word or one of its aliases means; case does not matter.
    pub fn from_user(text: &str) -> Result<Self, UnknownWord> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "baremetal" | "bare-metal" | "metal" => Ok(Self::Process),
            "containerd" | "runc" => Ok(Self::Container),
            "wasmtime" => Ok(Self::Wasm),
            "firecracker" | "cloud-hypervisor" => Ok(Self::Microvm),
            "qemu" | "libvirt" => Ok(Self::Vm),
            _ => lower.parse().map_err(|_: UnknownWord| UnknownWord {
                what: "sandbox class",
                text: text.to_owned(),
                words: Self::WORDS,
            }),
        }
    }

    /// The class of a pod: `sandboxClass`, else `runtimeClass`, else process.
    pub fn resolve(spec: &v1::PodSpec) -> Result<Self, ClassProblem> {
        let parse = |field: &'static str, text: &str| match text {
            "" => Ok(None),
            _ => Self::from_user(text).map(Some).map_err(|source| ClassProblem::Unsupported { field, source }),
        };
        match (parse("spec.sandboxClass", &spec.sandbox_class)?, parse("spec.runtimeClass", &spec.runtime_class)?) {
            (Some(sandbox), Some(runtime)) if sandbox != runtime => Err(ClassProblem::Disagree { sandbox, runtime }),
            (Some(class), _) | (None, Some(class)) => Ok(class),
            (None, None) => Ok(Self::Process),
        }
    }
}

/// Why a pod has no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClassProblem {
    /// `UnsupportedClass`.
    #[error("{field}: {source}")]
    Unsupported {
        /// Path of the field.
        field: &'static str,
        /// The word.
        source: UnknownWord,
    },
    /// `InvalidSpec`.
    #[error("spec.sandboxClass says {sandbox}, spec.runtimeClass says {runtime}: set one of them, or the same in both")]
    Disagree {
        /// From `sandboxClass`.
        sandbox: SandboxClass,
        /// From `runtimeClass`.
        runtime: SandboxClass,
    },
}

words! {
    /// How far a sandbox is kept from its host, weakest first. A pod names the least it accepts.
    Isolation, "isolation level" {
        /// Shares everything with the host.
        SharedHost = "sharedHost",
        /// Has namespaces of its own.
        Namespaced = "namespaced",
        /// Runs inside a sandboxing runtime.
        RuntimeSandboxed = "runtimeSandboxed",
        /// Has a kernel of its own in software.
        KernelIsolated = "kernelIsolated",
        /// Has a virtual machine of its own.
        HardwareVirtualized = "hardwareVirtualized",
    }
}

words! {
    /// What a sandbox is made from.
    ArtifactType, "artifact type" {
        /// A program on the node.
        Executable = "Executable",
        /// An OCI image.
        ContainerImage = "ContainerImage",
        /// A WebAssembly module or component.
        WasmModule = "WasmModule",
        /// A root file system.
        RootFsImage = "RootFsImage",
        /// A disk image.
        DiskImage = "DiskImage",
        /// A kernel.
        KernelImage = "KernelImage",
        /// A template of a remote service.
        RemoteTemplate = "RemoteTemplate",
    }
}

words! {
    /// How a sandbox reaches the network.
    NetworkMode, "network mode" {
        /// The host's own network.
        Host = "host",
        /// No network.
        None = "none",
        /// Outbound through address translation.
        Nat = "nat",
        /// A bridge of the host.
        Bridge = "bridge",
        /// A tap device.
        Tap = "tap",
        /// An overlay between nodes.
        Overlay = "overlay",
    }
}

words! {
    /// What happens when a sandbox ends by itself.
    RestartPolicy, "restart policy" {
        /// It is started again.
        Always = "Always",
        /// It is started again unless it exited with 0.
        OnFailure = "OnFailure",
        /// It stays ended.
        Never = "Never",
    }
}

words! {
    /// The pod's stage in five words.
    PodPhase, "pod phase" {
        /// Not running yet.
        Pending = "Pending",
        /// Its sandbox runs, or is being restarted.
        Running = "Running",
        /// Ended with 0 and stays ended.
        Succeeded = "Succeeded",
        /// Ended otherwise, or never started, and stays so.
        Failed = "Failed",
        /// Its node does not answer.
        Unknown = "Unknown",
    }
}

impl PodPhase {
    /// The phase of a pod; an empty status is Pending.
    #[must_use]
    pub fn of(pod: &v1::Pod) -> Self {
        pod.status.as_ref().and_then(|status| status.phase.parse().ok()).unwrap_or(Self::Pending)
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

words! {
    /// The sandbox's stage on its node.
    SandboxState, "sandbox state" {
        /// Known, nothing done.
        Pending = "Pending",
        /// Artifacts are being made ready.
        Preparing = "Preparing",
        /// All is ready to start.
        Created = "Created",
        /// The start was ordered.
        Starting = "Starting",
        /// It runs.
        Running = "Running",
        /// The stop was ordered.
        Stopping = "Stopping",
        /// It ended.
        Exited = "Exited",
        /// Nothing is left of it.
        Removed = "Removed",
        /// It could not be made to run.
        Failed = "Failed",
        /// Nobody can tell.
        Unknown = "Unknown",
    }
}

impl SandboxState {
    /// The phase that a state without an exit status means.
    #[must_use]
    pub fn phase(self) -> PodPhase {
        match self {
            Self::Pending | Self::Preparing | Self::Created | Self::Starting => PodPhase::Pending,
            Self::Running | Self::Stopping => PodPhase::Running,
            Self::Exited | Self::Removed => PodPhase::Succeeded,
            Self::Failed => PodPhase::Failed,
            Self::Unknown => PodPhase::Unknown,
        }
    }
}

words! {
    /// Why a pod is not as wanted; programs may rely on these words.
    Reason, "reason" {
        /// No such sandbox class.
        UnsupportedClass = "UnsupportedClass",
        /// The class cannot run this artifact.
        UnsupportedArtifact = "UnsupportedArtifact",
        /// Nothing isolates as far as asked.
        IsolationMismatch = "IsolationMismatch",
        /// The provider is not healthy.
        ProviderUnavailable = "ProviderUnavailable",
        /// The artifact could not be had.
        ArtifactFetchFailed = "ArtifactFetchFailed",
        /// The spec contradicts itself.
        InvalidSpec = "InvalidSpec",
        /// Not enough of something.
        InsufficientResources = "InsufficientResources",
        /// The host forbids it.
        PermissionDenied = "PermissionDenied",
        /// The sandbox could not be made.
        CreateFailed = "CreateFailed",
        /// The sandbox could not be started.
        StartFailed = "StartFailed",
        /// The sandbox could not be stopped.
        StopFailed = "StopFailed",
        /// What was left of it could not be removed.
        RemoveFailed = "RemoveFailed",
        /// Its state could not be read.
        StatusUnknown = "StatusUnknown",
        /// A Secret or ConfigMap that a container names is not there, lacks the key, or cannot be used.
        ConfigMissing = "ConfigMissing",
        /// It fits no node.
        Unschedulable = "Unschedulable",
    }
}

words! {
    /// What a taint does.
    TaintEffect, "taint effect" {
        /// New pods stay away.
        NoSchedule = "NoSchedule",
        /// New pods go elsewhere if they can.
        PreferNoSchedule = "PreferNoSchedule",
        /// Running pods leave too.
        NoExecute = "NoExecute",
    }
}
