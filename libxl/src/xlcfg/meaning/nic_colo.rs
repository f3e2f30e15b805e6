//! Parameters of a NIC for COLO, the replication of a running domain.

use crate::config::Nic;

/// Sets a parameter for COLO. Returns false if no parameter has this name.
pub(super) fn set(nic: &mut Nic, name: &str, value: &str) -> bool {
    let field = match name {
        "forwarddev" => &mut nic.coloft_forwarddev,
        _ => match field(nic, name) {
            Some(field) => field,
            None => return false,
        },
    };
    *field = Some(value.to_owned());
    true
}

macro_rules! fields {
    ($($field:ident)*) => {
        /// Returns the field that a parameter is named after.
        fn field<'a>(nic: &'a mut Nic, name: &str) -> Option<&'a mut Option<String>> {
            match name {
                $(stringify!($field) => Some(&mut nic.$field),)*
                _ => None,
            }
        }
    };
}

fields! {
    colo_sock_mirror_id
    colo_sock_mirror_ip
    colo_sock_mirror_port
    colo_sock_compare_pri_in_id
    colo_sock_compare_pri_in_ip
    colo_sock_compare_pri_in_port
    colo_sock_compare_sec_in_id
    colo_sock_compare_sec_in_ip
    colo_sock_compare_sec_in_port
    colo_sock_compare_notify_id
    colo_sock_compare_notify_ip
    colo_sock_compare_notify_port
    colo_sock_redirector0_id
    colo_sock_redirector0_ip
    colo_sock_redirector0_port
    colo_sock_redirector1_id
    colo_sock_redirector1_ip
    colo_sock_redirector1_port
    colo_sock_redirector2_id
    colo_sock_redirector2_ip
    colo_sock_redirector2_port
    colo_filter_mirror_queue
    colo_filter_mirror_outdev
    colo_filter_redirector0_queue
    colo_filter_redirector0_indev
    colo_filter_redirector0_outdev
    colo_filter_redirector1_queue
    colo_filter_redirector1_indev
    colo_filter_redirector1_outdev
    colo_compare_pri_in
    colo_compare_sec_in
    colo_compare_out
    colo_compare_notify_dev
    colo_sock_sec_redirector0_id
    colo_sock_sec_redirector0_ip
    colo_sock_sec_redirector0_port
    colo_sock_sec_redirector1_id
    colo_sock_sec_redirector1_ip
    colo_sock_sec_redirector1_port
    colo_filter_sec_redirector0_queue
    colo_filter_sec_redirector0_indev
    colo_filter_sec_redirector0_outdev
    colo_filter_sec_redirector1_queue
    colo_filter_sec_redirector1_indev
    colo_filter_sec_redirector1_outdev
    colo_filter_sec_rewriter0_queue
    colo_checkpoint_host
    colo_checkpoint_port
}
