//! One list of all domains for everybody who asks for one at the same time.
//!
//! A list takes libxl 0.2 ms per domain in the lab. When a thousand workers each had their own, as after a start of the agent,
//! the lists alone took minutes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::toolstack::error::Result;

/// Makes lists, one at a time. Nobody gets a list that was begun before he asked, so a shared list is as fresh as one's own.
#[derive(Debug)]
pub(super) struct SharedList<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// Number of lists that have been begun.
    begun: u64,
    /// A list is being made.
    under_way: bool,
    /// Threads that wait for a list.
    waiting: usize,
    /// The newest list and its number, while threads wait for it.
    newest: Option<(u64, Result<Arc<T>>)>,
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                begun: 0,
                under_way: false,
                waiting: 0,
                newest: None,
            }),
            ready: Condvar::new(),
        }
    }
}

/// A list that is being made. However it ends, the next one can begin.
struct UnderWay<'a, T>(&'a SharedList<T>);

impl<T> Drop for UnderWay<'_, T> {
    fn drop(&mut self) {
        self.0.state().under_way = false;
        self.0.ready.notify_all();
    }
}

impl<T> SharedList<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the first list that begins from now on. `make` makes it, unless another thread does so at that time.
    ///
    /// # Errors
    /// Those of the `make` that was called.
    pub(super) fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut state = self.state();
        let wanted = state.begun + 1;
        state.waiting += 1;
        loop {
            let newest = state.newest.as_ref();
            let found = newest.filter(|(number, _)| *number >= wanted);
            if let Some(list) = found.map(|(_, list)| list.clone()) {
                state.waiting -= 1;
                if state.waiting == 0 {
                    state.newest = None;
                }
                return list;
            }
            if !state.under_way {
                break;
            }
            let woken = self.ready.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        state.under_way = true;
        state.begun += 1;
        let number = state.begun;
        drop(state);
        let under_way = UnderWay(self);
        let list = make().map(Arc::new);
        let mut state = self.state();
        state.newest = (state.waiting > 0).then(|| (number, list.clone()));
        drop(state);
        drop(under_way);
        list
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::toolstack::error::{Error, ErrorKind};

    #[test]
    fn one_who_asks_again_gets_a_new_list() {
        let lists = SharedList::default();
        let made = AtomicUsize::new(0);
        let ask = || {
            *lists
                .get(|| Ok(made.fetch_add(1, Ordering::SeqCst)))
                .unwrap()
        };
        assert_eq!([ask(), ask(), ask()], [0, 1, 2]);
        assert!(lists.state().newest.is_none());
    }

    struct Got {
        first: thread::Result<Result<Arc<usize>>>,
        others: Vec<Result<Arc<usize>>>,
        /// Number of lists that the others have made.
        made: usize,
    }

    /// Begins a list, and lets three more threads ask before it ends.
    fn together(
        first: impl FnOnce() -> Result<usize> + Send,
        others: impl Fn() -> Result<usize> + Sync,
    ) -> Got {
        let lists = SharedList::default();
        let made = AtomicUsize::new(0);
        let (go, gate) = bounded::<()>(0);
        let (begin, begun) = bounded::<()>(0);
        let ask = || {
            lists.get(|| {
                made.fetch_add(1, Ordering::SeqCst);
                others()
            })
        };
        let (first, found) = thread::scope(|scope| {
            let slow = scope.spawn(|| {
                lists.get(|| {
                    begin.send(()).unwrap();
                    gate.recv().unwrap();
                    first()
                })
            });
            begun.recv().unwrap();
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
            while lists.state().waiting < threads.len() {
                thread::sleep(Duration::from_millis(1));
            }
            go.send(()).unwrap();
            let first = slow.join();
            let found = threads.into_iter().map(|t| t.join().unwrap());
            (first, found.collect())
        });
        assert!(lists.state().newest.is_none());
        Got {
            first,
            others: found,
            made: made.load(Ordering::SeqCst),
        }
    }

    #[test]
    fn those_who_come_during_a_list_share_the_next_one() {
        let got = together(|| Ok(1), || Ok(2));
        assert_eq!(*got.first.unwrap().unwrap(), 1);
        assert!(got.others.iter().all(|list| **list.as_ref().unwrap() == 2));
        assert_eq!(got.made, 1);
    }

    #[test]
    fn an_error_is_shared_and_does_not_last() {
        let fail = || Err(Error::new(ErrorKind::Other, "no list"));
        let got = together(|| Ok(1), fail);
        assert!(got.first.unwrap().is_ok());
        assert!(got.others.iter().all(Result::is_err));
        assert_eq!(got.made, 1);
    }

    #[test]
    fn a_panic_in_one_list_leaves_the_next_to_the_others() {
        let got = together(|| panic!("in a list"), || Ok(2));
        assert!(got.first.is_err());
        assert!(got.others.iter().all(|list| **list.as_ref().unwrap() == 2));
        assert_eq!(got.made, 1);
    }
}
