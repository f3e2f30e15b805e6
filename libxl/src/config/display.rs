//! Screens, keyboards, and the ways in which users access them.

use super::enums::{VgaInterfaceType, VkbBackend};
use super::json::defbool;
use super::secret::Secret;

config_struct! {
    /// The emulated graphics card (`libxl_vga_interface_info`).
    pub struct VgaInterfaceInfo {
        /// Kind of card. Default: [`VgaInterfaceType::Cirrus`].
        pub kind: Option<VgaInterfaceType>,
    }
}

config_struct! {
    /// A VNC server (`libxl_vnc_info`).
    pub struct VncInfo {
        /// Run the server. Default: yes.
        #[serde(with = "defbool")]
        pub enable: Option<bool>,
        /// Address to listen on, also with `:` and the display number. Default: `127.0.0.1`.
        pub listen: Option<String>,
        /// The password. If not set or empty, clients need no password.
        pub passwd: Option<Secret>,
        /// Display number, which is the TCP port minus 5900. Default: 0.
        pub display: Option<u32>,
        /// If the port is taken, use the next free port. Default: yes.
        #[serde(with = "defbool")]
        pub findunused: Option<bool>,
    }
}

config_struct! {
    /// A SPICE server (`libxl_spice_info`). HVM.
    pub struct SpiceInfo {
        /// Run the server. Default: no.
        #[serde(with = "defbool")]
        pub enable: Option<bool>,
        /// The TCP port. One of `port` and `tls_port` must be set.
        pub port: Option<u32>,
        /// The TCP port for encrypted connections.
        pub tls_port: Option<u32>,
        /// Address to listen on. Default: all addresses.
        pub host: Option<String>,
        /// Let clients connect without a password. Default: no.
        #[serde(with = "defbool")]
        pub disable_ticketing: Option<bool>,
        /// The password; must be set unless `disable_ticketing` is yes.
        pub passwd: Option<Secret>,
        /// The agent in the guest handles the mouse. Default: yes.
        #[serde(with = "defbool")]
        pub agent_mouse: Option<bool>,
        /// Offer the agent's channel to the guest. Default: no.
        #[serde(with = "defbool")]
        pub vdagent: Option<bool>,
        /// Share the clipboard; needs `vdagent`. Default: no.
        #[serde(with = "defbool")]
        pub clipboard_sharing: Option<bool>,
        /// Number of the client's USB devices that the guest may use, 0 to 4. Default: 0.
        pub usbredirection: Option<u32>,
        /// Compression of images: `auto_glz`, `auto_lz`, `quic`, `glz`, `lz` or `off`. Default: QEMU's.
        pub image_compression: Option<String>,
        /// Detection of video streams: `filter`, `all` or `off`. Default: QEMU's.
        pub streaming_video: Option<String>,
    }
}

config_struct! {
    /// A window on an X display of the host (`libxl_sdl_info`).
    pub struct SdlInfo {
        /// Open the window. Default: no.
        #[serde(with = "defbool")]
        pub enable: Option<bool>,
        /// Draw the window with OpenGL. Default: no.
        #[serde(with = "defbool")]
        pub opengl: Option<bool>,
        /// The X display. Default: `DISPLAY` of the environment.
        pub display: Option<String>,
        /// The X authority file.
        pub xauthority: Option<String>,
    }
}

config_struct! {
    /// A paravirtual screen (`libxl_device_vfb`), served by QEMU. The keyboard is a separate [`Vkb`].
    pub struct Vfb {
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number among the domain's screens. Default: the next free number.
        pub devid: Option<i32>,
        /// VNC server of the screen.
        pub vnc: VncInfo,
        /// Window of the screen on the host.
        pub sdl: SdlInfo,
        /// The keyboard's layout. Default: `en-us`.
        pub keymap: Option<String>,
    }
}

config_struct! {
    /// A paravirtual keyboard, pointer or touch screen (`libxl_device_vkb`).
    pub struct Vkb {
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number among the domain's keyboards. Default: the next free number.
        pub devid: Option<i32>,
        /// Kind of backend. Default: [`VkbBackend::Qemu`].
        pub backend_type: Option<VkbBackend>,
        /// Identifier by which the backend program distinguishes the device from others.
        pub unique_id: Option<String>,
        /// The device has no keyboard.
        pub feature_disable_keyboard: bool,
        /// The device has no pointer.
        pub feature_disable_pointer: bool,
        /// The pointer has absolute coordinates.
        pub feature_abs_pointer: bool,
        /// The pointer's absolute coordinates are not scaled to the screen.
        pub feature_raw_pointer: bool,
        /// The device has a touch screen.
        pub feature_multi_touch: bool,
        /// Width of the pointer's range, in pixels.
        pub width: Option<u32>,
        /// Height of the pointer's range, in pixels.
        pub height: Option<u32>,
        /// Width of the touch screen, in pixels.
        pub multi_touch_width: Option<u32>,
        /// Height of the touch screen, in pixels.
        pub multi_touch_height: Option<u32>,
        /// Number of fingers that the touch screen distinguishes.
        pub multi_touch_num_contacts: Option<u32>,
    }
}

config_struct! {
    /// A paravirtual display with several connectors (`libxl_device_vdispl`).
    pub struct Vdispl {
        /// Domid of the backend domain. Default: dom0.
        pub backend_domid: Option<u32>,
        /// Name of the backend domain; libxl looks up the domid.
        pub backend_domname: Option<String>,
        /// Device number among the domain's displays. Default: the next free number.
        pub devid: Option<i32>,
        /// The backend domain provides the buffers.
        pub be_alloc: bool,
        /// Connectors of the display.
        pub connectors: Vec<ConnectorParam>,
    }
}

config_struct! {
    /// A connector of a [`Vdispl`] (`libxl_connector_param`).
    pub struct ConnectorParam {
        /// Identifier by which the backend program distinguishes the connector from others.
        pub unique_id: Option<String>,
        /// Width, in pixels.
        pub width: u32,
        /// Height, in pixels.
        pub height: u32,
    }
}
