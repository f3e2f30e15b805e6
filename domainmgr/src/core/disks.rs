//! Preparation of disks, and removal of copies.
//!
//! A copy that is not preserved lives as long as one life of the guest, as the wish has it. A guest that restarts finds
//! what it has written. A guest that is stopped by its config and started anew, or has ended and is built again, starts from
//! the image. A stop or a restart by an operator's order keeps the copies (`orders.rs`).
//!
//! Two other places remove copies: `agent/worker/leaving.rs` those of a key that is forgotten, and `agent/unused_copies.rs` those
//! that no domain has used for long.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::boot;
use super::context::Ctx;
use super::op::Op;
use super::state::backoff::Backoff;
use super::state::boot::Rest;
use super::state::facts::Facts;
use super::state::wish::File;
use crate::base::time::Time;
use crate::host::disks::Copies;
use crate::host::disks::name;
use crate::host::disks::register::Use;
use crate::spec::{Copied, Disk, Spec};
use crate::toolstack::{Error, ErrorKind};

/// Returns the copies that a domain built from `spec` uses.
fn copies_of(spec: &Spec) -> impl Iterator<Item = &Copied> {
    spec.disks
        .iter()
        .filter_map(|d| d.image.as_ref()?.copy.as_ref())
}

/// Returns the operation that makes the disks of `spec` ready.
///
/// Copies that were whole before and are to be kept have to be there: an image directory that is not mounted must not
/// look like a domain that has no disks yet.
pub(super) fn make_ready(f: &mut Facts, spec: Arc<Spec>) -> Op {
    let kept: Vec<&Copied> = copies_of(&spec)
        .filter(|c| c.preserve || f.disks.copies == Copies::Keep)
        .collect();
    // The copies are expected by the names that they have on the disk.
    let expected = f.disks.whole.iter();
    let expected = expected
        .filter(|whole| kept.iter().any(|c| name::same(whole, &c.name)))
        .cloned()
        .collect();
    // Copies that are begun here belong to the key, even if the operation fails.
    f.disks
        .made
        .extend(copies_of(&spec).map(|c| c.name.clone()));
    Op::Disks(spec, f.disks.copies, expected)
}

/// Handles the result of [`Op::Disks`].
pub(super) fn prepared(
    cx: &mut Ctx,
    f: &mut Facts,
    spec: Arc<Spec>,
    result: Result<Arc<Spec>, Error>,
) {
    f.disks.untidy = true;
    match result {
        Ok(ready) => {
            f.disks.copies = Copies::Keep;
            let digest = f.wish.desired.as_ref().map(|d| d.digest.clone());
            // The cloud-init data may be secret, and is not shown.
            let shown = ready.disks.iter().map(|d| Disk {
                seed: None,
                ..d.clone()
            });
            f.disks.shown = Some((digest.unwrap_or_default(), shown.collect()));
            f.disks.whole = copies_of(&ready).map(|c| c.name.clone()).collect();
            f.disks.made.extend(f.disks.whole.iter().cloned());
            f.disks.ready = Some((spec, ready));
        }
        // Aborted for a newer wish, which counts its tries from the start.
        Err(e) if e.kind == ErrorKind::Aborted => {
            cx.info("copying was given up: the wish changed");
            if let Some(boot) = f.phase.boot_mut() {
                boot.rest = Rest::Ready;
            }
        }
        Err(e) => boot::failed(cx, f, &e),
    }
}

/// Returns the spec to build from, if the disks of `spec` have just been made ready.
pub(super) fn ready(f: &mut Facts, spec: &Arc<Spec>) -> Option<Arc<Spec>> {
    let (of, ready) = f.disks.ready.take()?;
    // Specs are compared by value: with changes made by hand, the spec is put together anew each time.
    (of == *spec).then_some(ready)
}

impl Facts {
    /// Returns the copies that must not be removed as long as these facts hold.
    #[must_use]
    pub fn copies_needed(&self) -> Use {
        // The spec of the next build is unknown: it may use any of the copies.
        let Some(Ok(wished)) = self.wish.desired.as_ref().map(|d| &d.spec) else {
            return Use::All;
        };
        if self.wish.file == File::Doubtful {
            return Use::All;
        }
        let built = self.phase.domain().and_then(|d| d.spec.as_ref());
        let before = self.phase.boot().and_then(|boot| boot.rebuild.as_ref());
        let specs = [Some(wished), built, before];
        let copies = specs.into_iter().flatten().flat_map(|spec| copies_of(spec));
        let wanted = copies.map(|c| c.name.clone());
        // A domain whose spec is not known has the disks that were ready for it.
        let shown = self.disks.shown.iter().filter(|_| self.phase.has_domain());
        let paths = shown.flat_map(|(_, disks)| disks.iter().map(|d| &d.path));
        let theirs = paths.filter_map(|path| Some(path.rsplit_once('/')?.1.to_owned()));
        Use::Only(wanted.chain(theirs).collect())
    }

    /// Returns every copy that was made for the key. The key may remove no other file.
    #[must_use]
    pub fn copies_made(&self) -> BTreeSet<String> {
        self.disks.made.clone()
    }
}

/// Returns the operation that removes copies of a domain that is not to run, if there are any.
pub(super) fn tidy(f: &mut Facts, now: Time) -> Option<Op> {
    f.disks.ready = None;
    f.disks.copies = Copies::Fresh;
    if f.disks.discarding.waiting(now).is_some() || !std::mem::take(&mut f.disks.untidy) {
        return None;
    }
    let spec = f.wish.desired.as_ref()?.spec.as_ref().ok()?;
    let names: Vec<String> = copies_of(spec)
        .filter(|c| !c.preserve)
        .map(|c| c.name.clone())
        .collect();
    (!names.is_empty()).then_some(Op::Discard(names))
}

/// Handles the result of [`Op::Discard`].
///
/// A failed removal is tried again, unless the copies are needed, and replaced, before.
pub(super) fn discarded(cx: &mut Ctx, f: &mut Facts, result: Result<(), Error>) {
    match result {
        Ok(()) => {
            f.disks.untidy = false;
            f.disks.discarding = Backoff::default();
        }
        Err(e) => {
            f.disks.untidy = true;
            let pause = f.disks.discarding.fail(cx.now.mono).as_secs();
            cx.warn(format!(
                "a copy that is not needed cannot be removed, next try in {pause} s: {e}"
            ));
        }
    }
}
