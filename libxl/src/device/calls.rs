//! The calls of libxl that all kinds of devices have in common.

use std::ffi::c_int;

use libxl_sys as sys;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Context, DomId, Domain, Error, ErrorKind, Operation, Result,
    config::Invalid,
    json::{FromJson, ToJson},
    operation::Call,
    raw::{Owned, Structure},
};

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
