//! All orders of a writer and a reader.

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use loom::thread;

use super::{Empty, Patience, Queue};
use crate::sync::{Bell, model};

#[test]
fn loom_a_reader_that_waits_misses_nothing() {
    model(3, || {
        let queue = Arc::new(Queue::new(2));
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                queue.push(1);
                queue.push(2);
                queue.close();
            }
        });
        assert_eq!(queue.take(Patience::Endless), Ok(1));
        assert_eq!(queue.take(Patience::Endless), Ok(2));
        assert_eq!(queue.take(Patience::Endless), Err(Empty::ForEver));
        writer.join().unwrap();
    });
}

/// The items read and the items missed add up to all that were written.
#[test]
fn loom_what_is_lost_is_counted() {
    model(3, || {
        let queue = Arc::new(Queue::new(1));
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                for n in 0..3 {
                    queue.push(n);
                }
                queue.close();
            }
        });
        let mut read = Vec::new();
        while let Ok(n) = queue.take(Patience::Endless) {
            read.push(n);
        }
        writer.join().unwrap();
        assert_eq!(read.last(), Some(&2), "the newest is never lost");
        assert_eq!(read.len() as u64 + queue.missed(), 3);
    });
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

#[test]
fn loom_a_task_is_woken_for_everything_that_it_has_not_seen() {
    model(3, || {
        let queue = Arc::new(Queue::new(2));
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                queue.push(1);
                queue.close();
            }
        });
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let task = Context::from_waker(&waker);
        let mut read = Vec::new();
        loop {
            match queue.poll_take(&task) {
                Poll::Ready(Some(n)) => read.push(n),
                Poll::Ready(None) => break,
                // Loom finds a wake-up that never comes as a deadlock.
                Poll::Pending => {
                    bell.wait();
                    bell.silence();
                }
            }
        }
        assert_eq!(read, [1]);
        writer.join().unwrap();
    });
}
