//! Channels, shared file systems, vTPMs, sockets and virtio devices.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::enums::{P9Type, VirtioTransport};
use super::json::{defbool, uuid as uuid_form};

config_struct! {
    /// A channel: a console with a name, for an agent in the guest (`libxl_device_channel`).
    ///
    /// ```
    /// use libxl::config::Channel;
    ///
    /// let channel = Channel::socket("org.example.agent.1", "/run/agents/web.sock");
    /// # assert_eq!(channel.name.as_deref(), Some("org.example.agent.1"));
    /// ```
    pub struct Channel {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// Its number among the domain's channels. Default: the next free one.
        pub devid: Option<i32>,
        /// The name by which the guest finds it.
        pub name: Option<String>;
        +
        /// Its end in the domain that serves it.
        pub connection: ChannelConnection,
    }
}

impl Channel {
    /// A channel that ends in a pseudo terminal.
    pub fn pty(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            connection: ChannelConnection::Pty {},
            ..Self::default()
        }
    }

    /// A channel that ends in a listening Unix socket.
    pub fn socket(name: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            connection: ChannelConnection::Socket {
                path: Some(path.into()),
            },
            ..Self::default()
        }
    }
}

/// The end of a channel (`libxl_channel_connection` and its union).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChannelConnection {
    /// Not said; libxl refuses to create this.
    #[serde(rename = "connection.unknown")]
    Unknown {},
    /// A pseudo terminal.
    #[serde(rename = "connection.pty")]
    Pty {},
    /// A Unix socket that is listened on.
    #[serde(rename = "connection.socket")]
    Socket {
        /// The socket's path.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
}

impl Default for ChannelConnection {
    fn default() -> Self {
        Self::Unknown {}
    }
}

config_struct! {
    /// A directory of the host that the guest can mount (`libxl_device_p9`).
    pub struct P9 {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// The name by which the guest mounts it.
        pub tag: Option<String>,
        /// The directory.
        pub path: Option<String>,
        /// How owners are mapped; `none` is all there is, and must be said.
        pub security_model: Option<String>,
        /// Its number among the domain's file systems. Default: the next free one.
        pub devid: Option<i32>,
        /// What serves it. Default: [`P9Type::Qemu`]. Since Xen 4.19.
        pub r#type: Option<P9Type>,
        /// Most space used, in MiB. Default: no limit. Not with QEMU. Since Xen 4.19.
        pub max_space: Option<u32>,
        /// Most files. Default: no limit. Not with QEMU. Since Xen 4.19.
        pub max_files: Option<u32>,
        /// Most files open at a time. Default: 5. Not with QEMU. Since Xen 4.19.
        pub max_open_files: Option<u32>,
        /// At a limit, delete the oldest file that is not open. Not with QEMU. Since Xen 4.19.
        pub auto_delete: bool,
    }
}

impl P9 {
    /// A directory under a name.
    pub fn new(tag: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            tag: Some(tag.into()),
            path: Some(path.into()),
            security_model: Some("none".to_owned()),
            ..Self::default()
        }
    }
}

config_struct! {
    /// A virtual TPM (`libxl_device_vtpm`).
    pub struct Vtpm {
        /// The domain that serves it.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// Its number among the domain's TPMs. Default: the next free one.
        pub devid: Option<i32>,
        /// Its UUID. Default: random.
        #[serde(with = "uuid_form")]
        pub uuid: Option<Uuid>,
    }
}

config_struct! {
    /// Sockets of another domain (`libxl_device_pvcallsif`).
    pub struct Pvcallsif {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// Its number. Default: the next free one.
        pub devid: Option<i32>,
    }
}

config_struct! {
    /// A virtio device that a program outside libxl serves (`libxl_device_virtio`). Arm. Since Xen 4.18.
    pub struct Virtio {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// What it is, as in a device tree: `virtio,device1a`.
        pub r#type: Option<String>,
        /// How it is reached.
        pub transport: Option<VirtioTransport>,
        /// It reaches the guest's memory by grants. Default: if it is not served by dom0.
        #[serde(with = "defbool")]
        pub grant_usage: Option<bool>,
        /// Its number among the domain's virtio devices. Default: the next free one.
        pub devid: Option<i32>,
        /// Its interrupt, chosen by libxl.
        pub irq: Option<u32>,
        /// The address of its registers, chosen by libxl.
        pub base: Option<u64>,
    }
}
