#![allow(clippy::unwrap_used)] // A test may, in its helpers as well.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, TryRecvError},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Events, queue};

const NOW: Duration = Duration::ZERO;

#[test]
fn a_full_queue_loses_the_oldest_and_counts_them() {
    let (feed, events) = queue(3);
    for n in 0..5 {
        feed.queue().push(n);
    }
    assert_eq!(events.missed(), 2);
    assert_eq!(events.batch().unwrap(), [2, 3, 4]);
    assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(events.missed(), 2, "reading makes nothing undone");
}

/// Items that repeat the present are never missed, and do not fill the queue.
#[test]
fn a_full_queue_begins_anew_with_the_present() {
    let (feed, events) = queue(2);
    let push = |item: &'static str| {
        feed.queue().push_or_restate(item.to_owned(), |missed| {
            VecDeque::from([format!("missed {missed}"), "a".into(), "b".into()])
        });
    };
    push("1");
    push("2");
    push("3");
    assert_eq!(events.missed(), 3);
    push("4");
    push("5");
    assert_eq!(
        events.batch().unwrap(),
        ["missed 3", "a", "b", "4", "5"],
        "there is room for as many as before"
    );
    push("6");
    push("7");
    assert_eq!(events.recv().unwrap(), "6");
    push("8");
    push("9");
    assert_eq!(events.missed(), 3 + 3, "7, 8 and 9");
    push("10");
    push("11");
    push("12");
    assert_eq!(events.missed(), 6 + 3, "what was restated is not counted");
    assert_eq!(events.batch().unwrap(), ["missed 9", "a", "b"]);
}

#[test]
fn what_is_there_can_be_read_after_the_end() {
    let (feed, events) = queue(3);
    feed.queue().push(1);
    drop(feed);
    assert_eq!(events.recv_timeout(NOW), Ok(1));
    assert_eq!(
        events.recv_timeout(NOW),
        Err(RecvTimeoutError::Disconnected)
    );
    assert_eq!(events.try_recv(), Err(TryRecvError::Disconnected));
    assert!(events.batch().is_err());
    assert_eq!(events.into_iter().next(), None);
}

#[test]
fn a_writer_knows_that_the_reader_has_gone() {
    let (feed, events) = queue::<u8>(3);
    assert!(!feed.queue().is_abandoned());
    drop(events);
    assert!(feed.queue().is_abandoned());
}

#[test]
fn a_reader_that_waits_is_woken() {
    let (feed, events) = queue(3);
    let reader = thread::spawn(move || (&events).into_iter().collect::<Vec<u8>>());
    for n in 0..3 {
        thread::sleep(Duration::from_millis(5));
        feed.queue().push(n);
    }
    drop(feed);
    assert_eq!(reader.join().unwrap(), [0, 1, 2]);
}

fn is_readable<T>(events: &Events<T>) -> bool {
    let fd = events.descriptor().unwrap();
    let at_once = Timespec::try_from(NOW).unwrap();
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&at_once)).unwrap() == 1
}

#[test]
fn the_descriptor_is_readable_while_there_is_something() {
    let (feed, events) = queue(3);
    feed.queue().push(1);
    assert!(is_readable(&events), "also what came before it was made");
    feed.queue().push(2);
    events.recv().unwrap();
    assert!(is_readable(&events), "one is left");
    events.recv().unwrap();
    assert!(!is_readable(&events));
    feed.queue().push(3);
    assert!(is_readable(&events));
    events.batch().unwrap();
    assert!(!is_readable(&events));
    drop(feed);
    assert!(is_readable(&events), "the end is told, too");
    assert!(events.try_recv().is_err());
    assert!(is_readable(&events), "whoever asks");
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_task_is_woken_and_only_when_it_waits() {
    let (feed, events) = queue(3);
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let task = Context::from_waker(&waker);
    let woken = || count.0.swap(0, Ordering::SeqCst);
    feed.queue().push(1);
    assert_eq!(events.0.poll_take(&task), Poll::Ready(Some(1)));
    assert_eq!(events.0.poll_take(&task), Poll::Pending);
    assert_eq!(woken(), 0);
    feed.queue().push(2);
    feed.queue().push(3);
    assert_eq!(woken(), 1);
    assert_eq!(events.0.poll_take(&task), Poll::Ready(Some(2)));
    assert_eq!(events.0.poll_take(&task), Poll::Ready(Some(3)));
    assert_eq!(events.0.poll_take(&task), Poll::Pending);
    drop(feed);
    assert_eq!(woken(), 1);
    assert_eq!(events.0.poll_take(&task), Poll::Ready(None));
}
