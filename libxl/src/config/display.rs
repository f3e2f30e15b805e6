//! Screens, keyboards and how people reach them.

use super::enums::{VgaInterfaceType, VkbBackend};
use super::json::defbool;
use super::secret::Secret;

config_struct! {
    /// The emulated graphics card (`libxl_vga_interface_info`).
    pub struct VgaInterfaceInfo {
        /// Its kind. Default: [`VgaInterfaceType::Cirrus`].
        pub kind: Option<VgaInterfaceType>,
    }
}

config_struct! {
    /// A VNC server (`libxl_vnc_info`).
    pub struct VncInfo {
        /// There is one. Default: yes.
        #[serde(with = "defbool")]
        pub enable: Option<bool>,
        /// The address it listens on, also with `:` and the display number. Default: `127.0.0.1`.
        pub listen: Option<String>,
        /// The password. Default and if empty: nobody is asked for one.
        pub passwd: Option<Secret>,
        /// The display number, which is the TCP port less 5900. Default: 0.
        pub display: Option<u32>,
        /// If the port is taken, use the next free one. Default: yes.
        #[serde(with = "defbool")]
        pub findunused: Option<bool>,
    }
}

config_struct! {
    /// A SPICE server (`libxl_spice_info`). HVM.
    pub struct SpiceInfo {
        /// There is one. Default: no.
        #[serde(with = "defbool")]
        pub enable: Option<bool>,
        /// The TCP port. One of `port` and `tls_port` must be there.
        pub port: Option<u32>,
        /// The TCP port for encrypted connections.
        pub tls_port: Option<u32>,
        /// The address it listens on. Default: all.
        pub host: Option<String>,
        /// Ask nobody for a password. Default: no.
        #[serde(with = "defbool")]
        pub disable_ticketing: Option<bool>,
        /// The password; must be there unless `disable_ticketing`.
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
        /// How many USB devices of the client the guest may use, 0 to 4. Default: 0.
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
        /// There is one. Default: no.
        #[serde(with = "defbool")]
        pub enable: Option<bool>,
        /// Draw it with OpenGL. Default: no.
        #[serde(with = "defbool")]
        pub opengl: Option<bool>,
        /// The X display. Default: `DISPLAY` of the environment.
        pub display: Option<String>,
        /// The X authority file.
        pub xauthority: Option<String>,
    }
}

config_struct! {
    /// A paravirtual screen (`libxl_device_vfb`), served by QEMU. It takes a [`Vkb`] for the keyboard.
    pub struct Vfb {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// Its number among the domain's screens. Default: the next free one.
        pub devid: Option<i32>,
        /// Its VNC server.
        pub vnc: VncInfo,
        /// Its window on the host.
        pub sdl: SdlInfo,
        /// The keyboard's layout. Default: `en-us`.
        pub keymap: Option<String>,
    }
}

config_struct! {
    /// A paravirtual keyboard, pointer or touch screen (`libxl_device_vkb`).
    pub struct Vkb {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// Its number among the domain's keyboards. Default: the next free one.
        pub devid: Option<i32>,
        /// What serves it. Default: [`VkbBackend::Qemu`].
        pub backend_type: Option<VkbBackend>,
        /// How the program that serves it tells it from others.
        pub unique_id: Option<String>,
        /// It has no keyboard.
        pub feature_disable_keyboard: bool,
        /// It has no pointer.
        pub feature_disable_pointer: bool,
        /// The pointer has absolute coordinates.
        pub feature_abs_pointer: bool,
        /// The pointer's absolute coordinates are not scaled to the screen.
        pub feature_raw_pointer: bool,
        /// It has a touch screen.
        pub feature_multi_touch: bool,
        /// Width of the pointer's range, in pixels.
        pub width: Option<u32>,
        /// Height of the pointer's range, in pixels.
        pub height: Option<u32>,
        /// Width of the touch screen, in pixels.
        pub multi_touch_width: Option<u32>,
        /// Height of the touch screen, in pixels.
        pub multi_touch_height: Option<u32>,
        /// How many fingers the touch screen tells apart.
        pub multi_touch_num_contacts: Option<u32>,
    }
}

config_struct! {
    /// A paravirtual display with several connectors (`libxl_device_vdispl`).
    pub struct Vdispl {
        /// The domain that serves it. Default: dom0.
        pub backend_domid: Option<u32>,
        /// The domain that serves it, by name; libxl looks up the number.
        pub backend_domname: Option<String>,
        /// Its number among the domain's displays. Default: the next free one.
        pub devid: Option<i32>,
        /// The domain that serves it provides the buffers.
        pub be_alloc: bool,
        /// Its connectors.
        pub connectors: Vec<ConnectorParam>,
    }
}

config_struct! {
    /// A connector of a [`Vdispl`] (`libxl_connector_param`).
    pub struct ConnectorParam {
        /// How the program that serves it tells it from others.
        pub unique_id: Option<String>,
        /// Width, in pixels.
        pub width: u32,
        /// Height, in pixels.
        pub height: u32,
    }
}
