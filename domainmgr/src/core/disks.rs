//! Preparation of disks, and removal of copies.
//!
//! A copy that is not preserved lives as long as one life of the guest, as the wish has it. A guest that restarts finds
//! what it has written. A guest that is stopped and started anew, or has ended and is built again, starts from the
//! image.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::facts::{Backoff, Facts, Rest};
use super::{Ctx, Op, Time, boot_failed};
use crate::disks::Copies;
use crate::disks::name;
use crate::disks::register::Use;
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
        .filter(|c| c.preserve || f.copies == Copies::Keep)
        .collect();
    // The copies are expected by the names that they have on the disk.
    let expected = f.whole.iter();
    let expected = expected
        .filter(|whole| kept.iter().any(|c| name::same(whole, &c.name)))
        .cloned()
        .collect();
    // Copies that are begun here belong to the key, even if the operation fails.
    f.made.extend(copies_of(&spec).map(|c| c.name.clone()));
    Op::Disks(spec, f.copies, expected)
}

/// Handles the result of [`Op::Disks`].
pub(super) fn prepared(
    cx: &mut Ctx,
    f: &mut Facts,
    spec: Arc<Spec>,
    result: Result<Arc<Spec>, Error>,
) {
    f.untidy = true;
    match result {
        Ok(ready) => {
            f.copies = Copies::Keep;
            let digest = f.desired.as_ref().map(|d| d.digest.clone());
            // The cloud-init data may be secret, and is not shown.
            let shown = ready.disks.iter().map(|d| Disk {
                seed: None,
                ..d.clone()
            });
            f.disks = Some((digest.unwrap_or_default(), shown.collect()));
            f.whole = copies_of(&ready).map(|c| c.name.clone()).collect();
            f.made.extend(f.whole.iter().cloned());
            f.ready = Some((spec, ready));
        }
        // Aborted for a newer wish, which counts its tries from the start.
        Err(e) if e.kind == ErrorKind::Aborted => {
            cx.info("copying was given up: the wish changed");
            f.rest = Rest::Ready;
        }
        Err(e) => boot_failed(cx, f, &e),
    }
}

/// Returns the spec to build from, if the disks of `spec` have just been made ready.
pub(super) fn ready(f: &mut Facts, spec: &Arc<Spec>) -> Option<Arc<Spec>> {
    let (of, ready) = f.ready.take()?;
    // Specs are compared by value: with changes made by hand, the spec is put together anew each time.
    (of == *spec).then_some(ready)
}

impl Facts {
    /// Returns the copies that must not be removed as long as these facts hold.
    #[must_use]
    pub fn copies_needed(&self) -> Use {
        // The spec of the next build is unknown: it may use any of the copies.
        let Some(Ok(wished)) = self.desired.as_ref().map(|d| &d.spec) else {
            return Use::All;
        };
        if self.doubtful {
            return Use::All;
        }
        let built = self.domain.as_ref().and_then(|d| d.spec.as_ref());
        let specs = [Some(wished), built, self.rebuild.as_ref()];
        let copies = specs.into_iter().flatten().flat_map(|spec| copies_of(spec));
        let wanted = copies.map(|c| c.name.clone());
        // A domain whose spec is not known has the disks that were ready for it.
        let shown = self.disks.iter().filter(|_| self.domain.is_some());
        let paths = shown.flat_map(|(_, disks)| disks.iter().map(|d| &d.path));
        let theirs = paths.filter_map(|path| Some(path.rsplit_once('/')?.1.to_owned()));
        Use::Only(wanted.chain(theirs).collect())
    }

    /// Returns every copy that was made for the key. The key may remove no other file.
    #[must_use]
    pub fn copies_made(&self) -> BTreeSet<String> {
        self.made.clone()
    }
}

/// Returns the operation that removes copies of a domain that is not to run, if there are any.
pub(super) fn tidy(f: &mut Facts, now: Time) -> Option<Op> {
    f.ready = None;
    f.copies = Copies::Fresh;
    if f.discarding.waiting(now).is_some() || !std::mem::take(&mut f.untidy) {
        return None;
    }
    let spec = f.desired.as_ref()?.spec.as_ref().ok()?;
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
            f.untidy = false;
            f.discarding = Backoff::default();
        }
        Err(e) => {
            f.untidy = true;
            let pause = f.discarding.fail(cx.now.mono).as_secs();
            cx.warn(format!(
                "a copy that is not needed cannot be removed, next try in {pause} s: {e}"
            ));
        }
    }
}
