//! USB controllers of domains, and host devices plugged into them.
//!
//! libxl 4.14 to 4.20 assumes that a controller given by number exists: it reads the controller's
//! type from xenstore and compares the result without checking whether it found one, which ends the
//! process. Every call that leads there is therefore preceded by a look at the domain's
//! controllers. (If somebody else removes the controller between the look and the call, the process
//! still ends.)

use libxl_sys as sys;

use super::macros::{device_info, device_methods};
use crate::{
    Domain, Error, ErrorKind, Operation, Result,
    config::{Usbctrl, UsbctrlType, Usbdev},
};

device_info! {
    /// Connection state of a USB controller (`libxl_usbctrlinfo`).
    #[doc(alias = "libxl_usbctrlinfo")]
    pub struct UsbctrlInfo {
        /// Kind of the controller.
        pub r#type: Option<UsbctrlType>,
        /// USB version: 1 for USB 1.1, 2 for 2.0, 3 for 3.0.
        pub version: i32,
        /// Number of ports.
        pub ports: i32,
        /// The guest's event channel; -1 if it has none yet.
        pub evtch: i32,
        /// The grant of the ring for requests; -1 if there is none yet.
        pub ref_urb: i32,
        /// The grant of the ring for connections; -1 if there is none yet.
        pub ref_conn: i32,
    }
}

device_methods! {
    Usbctrl as libxl_device_usbctrl, "a USB controller":
    #[doc(alias = "libxl_device_usbctrl_add")]
    add usbctrl_add = libxl_device_usbctrl_add;
    #[doc(alias = "libxl_device_usbctrl_list")]
    #[doc(alias = "libxl_device_usbctrl_list_free")]
    list usbctrl_list = libxl_device_usbctrl_list, libxl_device_usbctrl_list_free;
    #[doc(alias = "libxl_device_usbctrl_getinfo")]
    info usbctrl_info = libxl_device_usbctrl_getinfo, libxl_usbctrlinfo => UsbctrlInfo;
}

device_methods! {
    Usbdev as libxl_device_usbdev, "a USB device of the host":
    #[doc(alias = "libxl_device_usbdev_list")]
    #[doc(alias = "libxl_device_usbdev_list_free")]
    list usbdev_list = libxl_device_usbdev_list, libxl_device_usbdev_list_free;
}

impl Domain {
    /// Removes a USB controller and the devices that are plugged into it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the domain has no controller of this number;
    /// [`ErrorKind::Invalid`] without a [`type`](Usbctrl::type), which
    /// [`usbctrl_list`](Self::usbctrl_list) reports; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_usbctrl_remove")]
    pub fn usbctrl_remove(&self, device: &Usbctrl) -> Result<Operation<()>> {
        const FUNCTION: &str = "libxl_device_usbctrl_remove";
        self.has_kind(FUNCTION, device)?;
        let remove = self.device_remove(FUNCTION, device, sys::libxl_device_usbctrl_remove)?;
        Ok(self.after_a_look(remove, FUNCTION, device.devid))
    }

    /// Removes a USB controller and its devices, whether the guest agrees or not.
    ///
    /// # Errors
    ///
    /// As [`usbctrl_remove`](Self::usbctrl_remove).
    #[doc(alias = "libxl_device_usbctrl_destroy")]
    pub fn usbctrl_destroy(&self, device: &Usbctrl) -> Result<Operation<()>> {
        const FUNCTION: &str = "libxl_device_usbctrl_destroy";
        self.has_kind(FUNCTION, device)?;
        let destroy = self.device_remove(FUNCTION, device, sys::libxl_device_usbctrl_destroy)?;
        Ok(self.after_a_look(destroy, FUNCTION, device.devid))
    }

    /// Plugs a USB device of the host into a controller of the domain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the domain has no controller of the number in `ctrl`;
    /// [`ErrorKind::Invalid`], [`ErrorKind::DomainNotFound`]. The log has the cause of any other
    /// error, such as a device that the host does not have.
    #[doc(alias = "libxl_device_usbdev_add")]
    pub fn usbdev_add(&self, device: &Usbdev) -> Result<Operation<Usbdev>> {
        const FUNCTION: &str = "libxl_device_usbdev_add";
        let add = self.device_add(FUNCTION, device, sys::libxl_device_usbdev_add)?;
        // Without a number libxl looks for a controller itself.
        Ok(match device.ctrl {
            Some(_) => self.after_a_look(add, FUNCTION, device.ctrl),
            None => add,
        })
    }

    /// Unplugs a USB device, which goes back to the host.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the domain has no controller of the number in `ctrl`, or `ctrl`
    /// is not set; [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_device_usbdev_remove")]
    pub fn usbdev_remove(&self, device: &Usbdev) -> Result<Operation<()>> {
        const FUNCTION: &str = "libxl_device_usbdev_remove";
        let remove = self.device_remove(FUNCTION, device, sys::libxl_device_usbdev_remove)?;
        Ok(self.after_a_look(remove, FUNCTION, device.ctrl))
    }

    /// Returns the USB controller with this number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_devid_to_device_usbctrl")]
    pub fn usbctrl_by_devid(&self, devid: i32) -> Result<Usbctrl> {
        const FUNCTION: &str = "libxl_devid_to_device_usbctrl";
        self.has_usbctrl(FUNCTION, Some(devid))?;
        self.device_find(FUNCTION, |ctx, domid, device| {
            // SAFETY: a live context, the number of a controller that is there, and an initialised
            // structure.
            unsafe { sys::libxl_devid_to_device_usbctrl(ctx, domid, devid, device) }
        })
    }

    /// Returns the USB device at a port of a controller; ports count from 1.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no such controller, or nothing at its port;
    /// [`ErrorKind::DomainNotFound`].
    #[doc(alias = "libxl_ctrlport_to_device_usbdev")]
    pub fn usbdev_by_port(&self, ctrl: i32, port: i32) -> Result<Usbdev> {
        const FUNCTION: &str = "libxl_ctrlport_to_device_usbdev";
        self.has_usbctrl(FUNCTION, Some(ctrl))?;
        self.device_find(FUNCTION, |ctx, domid, device| {
            // SAFETY: a live context, the number of a controller that is there, and an initialised
            // structure.
            unsafe { sys::libxl_ctrlport_to_device_usbdev(ctx, domid, ctrl, port, device) }
        })
    }

    /// Makes an operation on a controller check first that the controller exists.
    fn after_a_look<T: 'static>(
        &self,
        operation: Operation<T>,
        function: &'static str,
        devid: Option<i32>,
    ) -> Operation<T> {
        let domain = self.clone();
        operation.after(move || domain.has_usbctrl(function, devid))
    }

    /// Fails if the kind of the controller is not set. libxl fills it in only when it adds a
    /// controller, and ends the process elsewhere (4.14 to 4.22).
    fn has_kind(&self, function: &'static str, device: &Usbctrl) -> Result<()> {
        match device.r#type {
            None | Some(UsbctrlType::Auto) => Err(Error::new(ErrorKind::Invalid, function)
                .with_domain(Some(self.domid()))
                .with_message("type: is not set")),
            Some(_) => Ok(()),
        }
    }

    fn has_usbctrl(&self, function: &'static str, devid: Option<i32>) -> Result<()> {
        let known = self.usbctrl_list()?;
        if devid.is_some() && known.iter().any(|ctrl| ctrl.devid == devid) {
            return Ok(());
        }
        let why = devid.map_or_else(
            || "no USB controller was named".to_owned(),
            |devid| format!("the domain has no USB controller {devid}"),
        );
        Err(Error::new(ErrorKind::NotFound, function)
            .with_domain(Some(self.domid()))
            .with_message(why))
    }
}
