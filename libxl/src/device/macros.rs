//! The two macros that define the methods and the information of a kind of device.

/// Defines the methods that all kinds of devices have.
macro_rules! device_methods {
    (@one $device:ident, $what:literal, $(#[$alias:meta])* add $method:ident = $function:ident) => {
        #[doc = concat!("Gives the domain ", $what, ". libxl waits for its backend, not for the guest.")]
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) and
        /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) name the field that this libxl
        /// does not accept; [`ErrorKind::DeviceExists`](crate::ErrorKind::DeviceExists);
        /// [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) when the backend does not start,
        /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound). The log has the cause
        /// of any other error.
        $(#[$alias])*
        pub fn $method(&self, device: &$device) -> $crate::Result<$crate::Operation<$device>> {
            self.device_add(stringify!($function), device, libxl_sys::$function)
        }
    };
    (@one $device:ident, $what:literal, $(#[$alias:meta])* remove $method:ident = $function:ident) => {
        #[doc = concat!("Takes away ", $what, ": asks the guest to let go of it, and does it by force if it has not after ten seconds.")]
        ///
        /// # Errors
        ///
        /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
        $(#[$alias])*
        pub fn $method(&self, device: &$device) -> $crate::Result<$crate::Operation<()>> {
            self.device_remove(stringify!($function), device, libxl_sys::$function)
        }
    };
    (@one $device:ident, $what:literal, $(#[$alias:meta])* destroy $method:ident = $function:ident) => {
        #[doc = concat!("Takes away ", $what, ", whether the guest agrees or not.")]
        ///
        /// # Errors
        ///
        /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
        $(#[$alias])*
        pub fn $method(&self, device: &$device) -> $crate::Result<$crate::Operation<()>> {
            self.device_remove(stringify!($function), device, libxl_sys::$function)
        }
    };
    (@one $device:ident, $what:literal, $(#[$alias:meta])* list $method:ident = $function:ident, $free:ident) => {
        #[doc = concat!("Those of the domain's devices that are ", $what, ".")]
        ///
        /// # Errors
        ///
        /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound);
        /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) when xenstore holds an invalid device.
        $(#[$alias])*
        pub fn $method(&self) -> $crate::Result<Vec<$device>> {
            // SAFETY: the array and its length as libxl gave them, once.
            self.device_list(stringify!($function), libxl_sys::$function, |list, count| unsafe {
                libxl_sys::$free(list, count)
            })
        }
    };
    (@one $device:ident, $what:literal, $(#[$alias:meta])* info $method:ident = $function:ident, $raw:ident => $info:ident) => {
        #[doc = concat!("How far ", $what, " is.")]
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Failed`](crate::ErrorKind::Failed) when the domain has no such device,
        /// [`ErrorKind::DomainNotFound`](crate::ErrorKind::DomainNotFound).
        $(#[$alias])*
        pub fn $method(&self, device: &$device) -> $crate::Result<$info> {
            self.device_info::<_, libxl_sys::$raw, _>(
                stringify!($function),
                device,
                libxl_sys::$function,
            )
        }
    };
    (@named) => {};
    (@named $check:ident) => {
        fn checked_name(&self) -> std::result::Result<(), $crate::config::Invalid> {
            self.$check()
        }
    };
    (
        $device:ident as $raw:ident, $what:literal $(, named by $check:ident)?:
        $( $(#[$alias:meta])* $kind:ident $method:ident = $function:ident $(, $second:ident $(=> $info:ident)?)?; )*
    ) => {
        impl $crate::device::calls::Device for $device {
            type Raw = libxl_sys::$raw;

            fn checked(&self) -> std::result::Result<(), $crate::config::Invalid> {
                self.validate()
            }

            device_methods!(@named $($check)?);
        }

        impl $crate::Domain {
            $(
                device_methods!(@one $device, $what, $(#[$alias])* $kind $method = $function $(, $second $(=> $info)?)?);
            )*
        }
    };
}
pub(super) use device_methods;

/// Defines the structure with libxl's information about a device.
macro_rules! device_info {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fmeta:meta])* pub $field:ident : $ty:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        #[non_exhaustive]
        pub struct $name {
            /// The backend's directory in xenstore.
            pub backend: Option<String>,
            /// Domid of the backend.
            pub backend_id: u32,
            /// The frontend's directory in xenstore.
            pub frontend: Option<String>,
            /// Domid of the frontend: the domain that has the device.
            pub frontend_id: u32,
            /// Number of the device among the domain's devices of its kind.
            pub devid: Option<i32>,
            /// State of the frontend.
            pub state: $crate::device::xenbus::XenbusState,
            $( $(#[$fmeta])* pub $field: $ty, )*
        }
    };
}
pub(super) use device_info;
