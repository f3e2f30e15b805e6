//! Devices: hotplug into and out of a running domain, and queries.
//!
//! A paravirtual device has two ends that meet in xenstore: a *frontend* in the guest, and a
//! *backend* in the domain that serves it, usually dom0. The [`DomainConfig`](crate::DomainConfig)
//! lists the devices present at the start; the methods of [`Domain`] named here add and remove
//! devices later. libxl keeps the domain's configuration up to date, so an added device survives a
//! save or a migration.
//!
//! All kinds work alike:
//!
//! * `…_add` adds a device to the domain, and returns the device with the fields that libxl has
//!   filled in: its number, an Ethernet address, the names of its ends.
//! * `…_remove` asks the guest to release the device and waits for that. After ten seconds the
//!   device is removed by force.
//! * `…_destroy` removes the device without asking the guest.
//! * `…_list` returns the devices of the domain, `…_info` the connection state of a device.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use libxl::{Context, config::Nic, device::XenbusState};
//!
//! let ctx = Context::open()?;
//! let domain = ctx.domain_by_domid(ctx.name_to_domid("web")?)?;
//! let nic = domain.nic_add(&Nic::bridge("xenbr0"))?.wait()?;
//! println!("{:?} has the address {:?}", nic.devid, nic.mac);
//! if domain.nic_info(&nic)?.state == XenbusState::CONNECTED {
//!     println!("and the guest uses it");
//! }
//! domain.nic_remove(&nic)?.deadline(Duration::from_secs(20)).wait()?;
//! # Ok::<(), libxl::Error>(())
//! ```
//!
//! PCI devices have no paravirtual ends of this kind; they have methods of their own.

use std::{ffi::c_int, fmt};

use libxl_sys as sys;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    Context, DomId, Domain, Error, ErrorKind, Operation, Result,
    config::Invalid,
    json::{FromJson, ToJson},
    operation::Call,
    raw::{Owned, Structure},
};

mod disk;
mod eject;
mod nic;
mod others;
mod usb;
mod vsnd;

pub use disk::DiskInfo;
pub use eject::DiskEjects;
pub use nic::NicInfo;
pub use others::{ConnectorInfo, VdisplInfo, VkbInfo, VtpmInfo};
pub use usb::UsbctrlInfo;
pub use vsnd::{PcmInfo, StreamInfo, VsndInfo};

/// Connection state of one end of a device.
///
/// The ends negotiate through xenstore, where a guest can write any number: hence not an
/// enumeration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct XenbusState(pub i32);

impl XenbusState {
    /// The state is not given.
    pub const UNKNOWN: Self = Self(0);
    /// The end is starting.
    pub const INITIALISING: Self = Self(1);
    /// The end waits for the other end's details.
    pub const INIT_WAIT: Self = Self(2);
    /// The end has published its details to the other end.
    pub const INITIALISED: Self = Self(3);
    /// The device works.
    pub const CONNECTED: Self = Self(4);
    /// The end is closing.
    pub const CLOSING: Self = Self(5);
    /// The end is closed.
    pub const CLOSED: Self = Self(6);
    /// The device changes while it is in use.
    pub const RECONFIGURING: Self = Self(7);
    /// The change is complete.
    pub const RECONFIGURED: Self = Self(8);
}

impl fmt::Display for XenbusState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::UNKNOWN => "unknown",
            Self::INITIALISING => "initialising",
            Self::INIT_WAIT => "waiting",
            Self::INITIALISED => "initialised",
            Self::CONNECTED => "connected",
            Self::CLOSING => "closing",
            Self::CLOSED => "closed",
            Self::RECONFIGURING => "reconfiguring",
            Self::RECONFIGURED => "reconfigured",
            Self(other) => return write!(f, "state {other}"),
        })
    }
}

/// A kind of device that libxl knows.
pub(crate) trait Device: Serialize + DeserializeOwned + 'static {
    /// C structure of the device.
    type Raw: FromJson;

    /// Refuses values that must not reach libxl.
    fn checked(&self) -> Checked;

    /// As [`checked`](Self::checked), for calls in which libxl only has to identify the device.
    fn checked_name(&self) -> Checked {
        self.checked()
    }
}

type Checked = std::result::Result<(), Invalid>;

/// Signature of the libxl functions that act on a device.
pub(crate) type Start<R> =
    unsafe extern "C" fn(*mut sys::libxl_ctx, u32, *mut R, *const sys::libxl_asyncop_how) -> c_int;

/// Signature of the libxl functions that list devices.
type ListOf<R> = unsafe extern "C" fn(*mut sys::libxl_ctx, u32, *mut c_int) -> *mut R;

/// Signature of the libxl functions that query a device.
type InfoOf<R, I> = unsafe extern "C" fn(*mut sys::libxl_ctx, u32, *const R, *mut I) -> c_int;

/// An operation on a device.
pub(crate) struct OnDevice<R: Structure, T> {
    pub(crate) function: &'static str,
    pub(crate) domid: DomId,
    /// Read by libxl, which also fills in the fields left to it.
    pub(crate) raw: Owned<R>,
    pub(crate) start: Start<R>,
    pub(crate) result: fn(&Context, &Owned<R>) -> Result<T>,
}

impl<R: Structure, T: 'static> Call for OnDevice<R, T> {
    type Output = T;

    fn function(&self) -> &'static str {
        self.function
    }

    fn domain(&self) -> Option<DomId> {
        Some(self.domid)
    }

    unsafe fn start(
        &mut self,
        ctx: *mut sys::libxl_ctx,
        how: *const sys::libxl_asyncop_how,
    ) -> c_int {
        // SAFETY: context and `how` are the caller's promise; the structure lives as long as
        // `self`, which is until the operation is over.
        unsafe { (self.start)(ctx, self.domid.0, self.raw.as_ptr(), how) }
    }

    fn succeed(self: Box<Self>, ctx: &Context) -> Result<T> {
        (self.result)(ctx, &self.raw)
    }
}

impl Domain {
    /// Checks a device, and converts it to libxl's structure.
    fn device<D: Device>(
        &self,
        function: &'static str,
        device: &D,
        check: fn(&D) -> Checked,
    ) -> Result<Owned<D::Raw>> {
        check(device).map_err(|e| {
            Error::new(ErrorKind::Invalid, function)
                .with_domain(Some(self.domid()))
                .with_message(e.to_string())
        })?;
        self.context().make_c(device)
    }

    fn on_device<D: Device, T: 'static>(
        &self,
        function: &'static str,
        raw: Owned<D::Raw>,
        start: Start<D::Raw>,
        result: fn(&Context, &Owned<D::Raw>) -> Result<T>,
    ) -> Operation<T> {
        let call = OnDevice {
            function,
            domid: self.domid(),
            raw,
            start,
            result,
        };
        let domain = self.clone();
        Operation::new(self.context(), call).after(move || domain.check(function))
    }

    /// Makes an operation that adds or changes a device, and returns the device as libxl has
    /// completed it.
    pub(crate) fn device_add<D: Device>(
        &self,
        function: &'static str,
        device: &D,
        start: Start<D::Raw>,
    ) -> Result<Operation<D>> {
        let raw = self.device(function, device, D::checked)?;
        Ok(self.on_device::<D, _>(function, raw, start, |ctx, raw| ctx.read_c(raw.as_ptr())))
    }

    /// Makes an operation that removes a device.
    pub(crate) fn device_remove<D: Device>(
        &self,
        function: &'static str,
        device: &D,
        start: Start<D::Raw>,
    ) -> Result<Operation<()>> {
        let raw = self.device(function, device, D::checked_name)?;
        Ok(self.on_device::<D, _>(function, raw, start, |_, _| Ok(())))
    }

    /// Lists the domain's devices of a kind.
    pub(crate) fn device_list<D: Device>(
        &self,
        function: &'static str,
        list: ListOf<D::Raw>,
        free: fn(*mut D::Raw, c_int),
    ) -> Result<Vec<D>> {
        self.check(function)?;
        let domid = self.domid();
        let list = self.context().list(
            function,
            Some(domid),
            // SAFETY: a live context and a place for the length.
            |ctx, count| unsafe { list(ctx, domid.0, count) },
            free,
        )?;
        let devices = list.iter().flat_map(|list| list.as_slice());
        devices
            .map(|raw| self.context().read_c((&raw const *raw).cast_mut()))
            .collect()
    }

    /// Queries the state of a device.
    pub(crate) fn device_info<D: Device, I: ToJson, T: DeserializeOwned>(
        &self,
        function: &'static str,
        device: &D,
        ask: InfoOf<D::Raw, I>,
    ) -> Result<T> {
        let raw = self.device(function, device, D::checked_name)?;
        let info = Owned::<I>::new();
        let asked = self.call(function, |ctx, domid| {
            // SAFETY: a live context and two initialised structures.
            unsafe { ask(ctx, domid, raw.as_ptr(), info.as_ptr()) }
        });
        if let Err(error) = asked {
            // libxl may have freed what the structure points to (`libxl_device_disk_getinfo`), or
            // have filled in fewer entries than it reports (`libxl_device_vsnd_getinfo`; 4.14 to
            // 4.22). Freeing it would corrupt memory.
            info.abandon();
            return Err(error);
        }
        self.context().read_c(info.as_ptr())
    }

    /// Looks up a device with a function of libxl.
    pub(crate) fn device_find<D: Device>(
        &self,
        function: &'static str,
        find: impl FnOnce(*mut sys::libxl_ctx, u32, *mut D::Raw) -> c_int,
    ) -> Result<D> {
        let raw = Owned::<D::Raw>::new();
        self.check(function)?;
        let found = crate::logger::expecting_failure(|| {
            find(self.context().enter().ptr(), self.domid().0, raw.as_ptr())
        });
        if found != 0 {
            // The code for "no such device" depends on the kind of device.
            return Err(Error::from_code(function, found)
                .with_kind(ErrorKind::NotFound)
                .with_domain(Some(self.domid()))
                .with_message("the domain has no such device"));
        }
        self.context().read_c(raw.as_ptr())
    }
}

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
        impl $crate::device::Device for $device {
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
use device_methods;

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
            pub state: $crate::device::XenbusState,
            $( $(#[$fmeta])* pub $field: $ty, )*
        }
    };
}
use device_info;

#[cfg(test)]
mod tests {
    use super::XenbusState;

    #[test]
    fn a_state_has_a_name_or_is_a_number() {
        assert_eq!(XenbusState::CONNECTED.to_string(), "connected");
        assert_eq!(XenbusState(77).to_string(), "state 77");
    }
}
