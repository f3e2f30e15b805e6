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
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number among the domain's channels. Default: the next free number.
        pub devid: Option<i32>,
        /// The name by which the guest finds the channel.
        pub name: Option<String>;
        +
        /// End of the channel in the backend domain.
        pub connection: ChannelConnection,
    }
}

impl Channel {
    /// Creates a channel that ends in a pseudo terminal.
    pub fn pty(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            connection: ChannelConnection::Pty {},
            ..Self::default()
        }
    }

    /// Creates a channel that ends in a listening Unix socket.
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

/// The end of a channel in the backend domain (`libxl_channel_connection` and its union).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChannelConnection {
    /// Not specified. libxl refuses to create such a channel.
    #[serde(rename = "connection.unknown")]
    Unknown {},
    /// A pseudo terminal.
    #[serde(rename = "connection.pty")]
    Pty {},
    /// A listening Unix socket.
    #[serde(rename = "connection.socket")]
    Socket {
        /// Path of the socket.
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
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// The name by which the guest mounts the directory.
        pub tag: Option<String>,
        /// Path of the directory.
        pub path: Option<String>,
        /// Mapping of file owners. `none` is the only value, and must be set.
        pub security_model: Option<String>,
        /// Device number among the domain's file systems. Default: the next free number.
        pub devid: Option<i32>,
        /// Kind of backend. Default: [`P9Type::Qemu`]. Since Xen 4.19.
        pub r#type: Option<P9Type>,
        /// Maximum space used, in MiB. Default: no limit. Not with QEMU. Since Xen 4.19.
        pub max_space: Option<u32>,
        /// Maximum number of files. Default: no limit. Not with QEMU. Since Xen 4.19.
        pub max_files: Option<u32>,
        /// Maximum number of files open at a time. Default: 5. Not with QEMU. Since Xen 4.19.
        pub max_open_files: Option<u32>,
        /// Delete the oldest file that is not open when a limit is reached. Not with QEMU. Since Xen 4.19.
        pub auto_delete: bool,
    }
}

impl P9 {
    /// Creates a shared directory: the guest mounts `path` by the name `tag`.
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
        /// Domid of the backend domain.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number among the domain's TPMs. Default: the next free number.
        pub devid: Option<i32>,
        /// UUID of the TPM. Default: random.
        #[serde(with = "uuid_form")]
        pub uuid: Option<Uuid>,
    }
}

config_struct! {
    /// An interface to the sockets of another domain (`libxl_device_pvcallsif`).
    pub struct Pvcallsif {
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number. Default: the next free number.
        pub devid: Option<i32>,
    }
}

config_struct! {
    /// A virtio device that a program outside libxl serves (`libxl_device_virtio`). Arm. Since Xen 4.18.
    pub struct Virtio {
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Kind of device, as in a device tree: `virtio,device1a`.
        pub r#type: Option<String>,
        /// Transport of the device.
        pub transport: Option<VirtioTransport>,
        /// The backend accesses the guest's memory by grants. Default: yes if the backend domain is not dom0.
        #[serde(with = "defbool")]
        pub grant_usage: Option<bool>,
        /// Device number among the domain's virtio devices. Default: the next free number.
        pub devid: Option<i32>,
        /// Interrupt of the device, chosen by libxl.
        pub irq: Option<u32>,
        /// Address of the device's registers, chosen by libxl.
        pub base: Option<u64>,
    }
}
